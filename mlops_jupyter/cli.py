"""Door 3, the shell: ``mlops``, also ``jupyter mlops``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn, TextIO

from mlops_jupyter.arguments import find, parse_words
from mlops_jupyter.commands import Command
from mlops_jupyter.display import Shown, document_of, dump, safe_text
from mlops_jupyter.errors import MlopsError, UsageError, translate
from mlops_jupyter.handbook import as_help
from mlops_jupyter.progress import Progress
from mlops_jupyter.session import HELP, SESSION_COMMANDS, Handbook
from mlops_jupyter.working import working
from mlops_jupyter.workspace import COMMANDS as WORKSPACE_COMMANDS

PREFIX = "mlops"
COMMANDS: Mapping[str, Command] = dict(sorted((WORKSPACE_COMMANDS | HELP).items()))
INTERRUPTED = 130


@dataclass
class _Globals:
    """The options that every verb takes."""

    workspace: str | None = None
    json: bool = False
    debug: bool = False


def main(words: Sequence[str] | None = None) -> int:
    """Carry out a command line.

    Args:
        words: The words after ``mlops``; the process's own when None.

    Returns:
        The exit code: 0 done, 1 the answer is no, 2 the request was wrong, 3 a store does not answer, 130 interrupted.
    """
    options = _Globals()
    with _stdout_kept_clean() as out:
        try:
            result = _carry_out(list(sys.argv[1:] if words is None else words), options)
        except KeyboardInterrupt as interrupt:
            code = interrupt.code if isinstance(interrupt, _Terminated) else INTERRUPTED
            error = MlopsError("interrupted", "what was finished is kept; run it again to go on")
            return _tell(error, code, options, out)
        except Exception as problem:
            if options.debug:
                import traceback

                traceback.print_exc(file=sys.stderr)
            ours = translate(problem)
            return _tell(ours, ours.exit_code, options, out)
        text = dump(document_of(result)) if options.json else str(result)
        return _write(text, 0 if result.ok else 1, out)


def _carry_out(words: list[str], options: _Globals) -> Shown:
    words = as_help(COMMANDS, _take_globals(words, options)) or ["help"]
    if words == ["--version"]:
        words = ["version"]
    if words[0] in SESSION_VERBS and not _is_ours(words):
        raise UsageError(
            f"{words[0]!r} needs a notebook's live variables",
            f"in a notebook: %load_ext mlops_jupyter, then %mlops {words[0]} …",
        )
    if words == ["version"]:
        return _version()
    if words[0] == "help" and words[1:2] and words[1] in SESSION_VERBS and not _is_ours(words[1:]):
        return _notebook_help(words[1:])
    found, rest = find(COMMANDS, words)
    arguments = parse_words(found, rest)
    if found.verb == "help":
        result: Shown = found.call(Handbook(COMMANDS, PREFIX, _USAGE, _ABOUT), arguments)
        return result
    from mlops_jupyter.workspace import Workspace

    # A pipeline that is named from outside of its project belongs to the project that it lies in.
    file = arguments.get("file")
    beside = file.parent if file is not None else None
    with (
        Progress(sys.stderr, quiet=options.json) as progress,
        progress.watching(),
        working(f"{PREFIX} {found.verb}"),
    ):
        workspace = Workspace.open(options.workspace, beside=beside, notify=progress.tell)
        answer: Shown = found.call(workspace, arguments)
    return answer


def _notebook_help(words: list[str]) -> Shown:
    if words == ["run"]:  # a cell's verb, which only the notebook's own door knows
        raise UsageError("'run' is a notebook's verb", "in a notebook: %mlops help run")
    return Handbook(SESSION_COMMANDS, "%mlops").help(words)


SESSION_VERBS = {verb.split()[0] for verb in SESSION_COMMANDS} | {"run"}
_USAGE = "usage: mlops [--workspace DIR] [--json] [--debug] VERB …"
_ABOUT = f"""  --workspace DIR  the project's folder; else the nearest above with mlops.toml or .mlops/
  --json           one JSON document on standard output, also when the answer is no
  --debug          the whole traceback of an error
  --version        what is installed

Exit codes: 0 done, or a promotion that waits; 1 the answer is no; 2 the request was wrong; 3 a store is away, locked or
full; 130 interrupted.

In a notebook, after %load_ext mlops_jupyter, there are also: {", ".join(sorted(SESSION_VERBS - {"help"}))}."""


def _is_ours(words: list[str]) -> bool:
    return any(verb.split()[0] == words[0] for verb in COMMANDS)


def _take_globals(words: list[str], options: _Globals) -> list[str]:
    """Take the options that every verb has out of the words, wherever they stand."""
    left: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return left + words[position + 1 :]
        if word == "--json":
            options.json = True
        elif word == "--debug":
            options.debug = True
        elif word == "--workspace":
            position += 1
            if position == len(words):
                raise UsageError("--workspace names no folder", "write --workspace DIR")
            options.workspace = words[position]
        elif word.startswith("--workspace="):
            options.workspace = word.partition("=")[2]
        else:
            left.append(word)
        position += 1
    return left


def _version() -> Shown:
    from mlops_jupyter._version import __version__
    from mlops_jupyter.display import Message

    return Message(f"mlops-jupyter {__version__}", {"version": __version__}, "info")


def _write(text: str, code: int, out: TextIO) -> int:
    """Print an answer, and give the exit code that it comes with."""
    try:
        print(text, file=out)
        out.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, as after `mlops runs | head`; the answer is what it was.
        _silence(out)
    except OSError as error:
        _silence(out)
        ours = translate(error)
        return _tell(ours, ours.exit_code, _Globals(), out)
    return code


def _silence(out: TextIO) -> None:
    # What could not be written waits in the buffer, and Python would complain of it again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _tell(error: MlopsError, code: int, options: _Globals, out: TextIO) -> int:
    """Tell an error, and give the exit code."""
    if options.json:
        return _write(dump(error.to_json()), code, out)
    # Nobody may be listening, or the disk that the errors go to may be full: the exit code says it too.
    with suppress(OSError):
        print(safe_text(f"{PREFIX}: {error.message}"), file=sys.stderr)
        if error.hint:
            print(safe_text(error.hint), file=sys.stderr)
    return code


@contextmanager
def _stdout_kept_clean() -> Iterator[TextIO]:
    """Give what reaches the real standard output; everything else that is printed goes to standard error.

    Libraries print, and kernels inherit the file descriptor: what ``--json`` promises holds only if none can reach it.
    """
    try:
        real = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # no such descriptors: replaced by whoever calls us
        yield sys.stdout
        return
    before = sys.stdout
    out = os.fdopen(real, "w", encoding="utf-8", errors="replace", closefd=True)
    sys.stdout = sys.stderr
    try:
        yield out
    finally:
        sys.stdout = before
        os.dup2(real, 1)
        with suppress(OSError):
            out.close()


class _Terminated(KeyboardInterrupt):
    """The process was told to end: as an interrupt, what is going on is closed in order."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def _end(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def _occupy_standard_streams() -> None:
    """Put something behind descriptors that the caller has closed, before a database is opened under one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the whole process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def run() -> NoReturn:
    """Serve the console scripts ``mlops`` and ``jupyter-mlops``."""
    _occupy_standard_streams()
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _end)
    sys.exit(main())


if __name__ == "__main__":
    run()
