"""What carries out ``%mlops``: one session for one shell. Imported when the first verb is typed, not on loading."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from IPython.display import display

from mlops_jupyter.arguments import find, parse_words
from mlops_jupyter.config import find_workspace
from mlops_jupyter.errors import MlopsError, UsageError, translate
from mlops_jupyter.handbook import Handbook, as_help
from mlops_jupyter.kernel.cell_run import CELL_COMMANDS, CellRuns, split_words
from mlops_jupyter.kernel.discarded import fate_of_value
from mlops_jupyter.kernel.spans import Spans
from mlops_jupyter.kernel.told import MlopsMagicError
from mlops_jupyter.kernel.work_bar import WorkBar
from mlops_jupyter.session import COMMANDS as SESSION_AND_WORKSPACE
from mlops_jupyter.session import Session
from mlops_jupyter.tracking import active, context
from mlops_jupyter.working import Watcher, watch, working
from mlops_jupyter.workspace import Workspace

if TYPE_CHECKING:
    from mlops_jupyter.kernel.extension import Extension

COMMANDS = dict(sorted((SESSION_AND_WORKSPACE | CELL_COMMANDS).items()))
PREFIX = "%mlops"
_IN_LOOPS = "log metric"
# They write to the queue: to tell of them would take longer than they do.
_QUICK = (_IN_LOOPS, "log param", "log tag")


class Desk:
    """Carries out verbs for one shell.

    Args:
        extension: What was registered with the shell: it has the journal and the recorder.
    """

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self.handbook = Handbook(COMMANDS, PREFIX, "a line %mlops VERB …, or %%mlops run … on top of a cell")
        self._session: Session | None = None
        self._cell_runs: CellRuns | None = None
        self._spans: Spans | None = None
        self._watcher = Watcher(WorkBar(extension.shell, lambda: context.current.cell), every=0.2)
        watch(self._watcher)  # for the cell that runs now: what is there of it yet is this verb
        self._stamp: tuple[Any, ...] | None = None

    @property
    def session(self) -> Session:
        """The session; opened again when the workspace or its settings have changed.

        Raises:
            ConfigError: ``mlops.toml`` is wrong.
        """
        extension = self._extension
        notebook = extension.notebook()
        start = notebook.parent if notebook is not None and notebook.parent.is_dir() else None
        root, _ = find_workspace(start=start)
        file = root / "mlops.toml"
        variables = tuple(os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"))
        stamp = (root, file.stat().st_mtime_ns if file.is_file() else 0, variables)
        if self._session is None or stamp != self._stamp:
            workspace = Workspace.open(start=start, notify=_notify)
            if self._session is None:
                self._session = Session(workspace, extension.shell.user_ns, extension.journal, extension.notebook)
                self._cell_runs = CellRuns(self._session, extension.recorder, extension.shell)
                self._spans = Spans(extension, self._session)
            else:
                self._session.workspace = workspace
            context.current.root, context.current.notebook = root, notebook
            self._stamp = stamp
        return self._session

    def call(self, words: Sequence[str]) -> Any:
        """Carry out the words after ``%mlops``.

        Args:
            words: The verb and its arguments; none means ``status``.

        Returns:
            The result.

        Raises:
            MlopsError: What is wrong, and what to do.
        """
        if words and words[0].startswith("--workspace"):
            hint = "%env MLOPS_WORKSPACE=DIR names another"
            raise UsageError("a notebook works in the workspace of its folder", hint)
        found, rest = find(COMMANDS, as_help(COMMANDS, words) or ["status"])
        if found.verb == "help":
            return found.call(self.handbook, parse_words(found, rest))
        # A number goes to the run that is open, whatever has become of the settings: a loop need not look at them.
        session = self._session if found.verb == _IN_LOOPS and self._session is not None else self.session
        arguments = parse_words(found, rest)
        if found.verb in CELL_COMMANDS:
            return found.call(self._cell_runs, arguments)
        if found.verb in _QUICK:
            return found.call(session, arguments)
        with working(f"{PREFIX} {found.verb}"):
            return found.call(session if found.needs == "session" else session.workspace, arguments)

    def line(self, line: str) -> Any:
        """Serve ``%mlops``: carry out a line, and show its result where IPython would not.

        Args:
            line: What follows the magic.

        Returns:
            The result.

        Raises:
            MlopsMagicError: What is wrong, and what to do.
        """
        # A line that ends with a semicolon is one whose value is not to be shown, in IPython.
        wanted = line.rstrip().removesuffix(";")
        result = self._answer(wanted)
        hidden = wanted != line.rstrip()
        if not hidden and line.split(maxsplit=1)[:1] == ["log"] and not _is_remarkable(line, result):
            return result  # in the middle of a cell nobody wants to see it, and loops have no time to find out
        fate = fate_of_value(self._extension.shell.ast_node_interactivity)
        if self._spans is not None and not hidden and self._spans.begun(result, is_seen=fate != "kept"):
            return None  # shown where the run is shown from now on
        if fate == "discarded" and result is not None and not hidden:
            display(result)  # type: ignore[no-untyped-call]
        return None if fate == "shown" and hidden else result

    def _answer(self, line: str) -> Any:
        debug = False
        try:
            words = split_words(line)
            debug = "--debug" in words[:1]
            return self.call(words[1:] if debug else words)
        except KeyboardInterrupt:
            raise
        except Exception as error:
            if debug:
                raise
            raise MlopsMagicError(translate(error)) from None

    def cell(self, line: str, cell: str) -> Any:
        """Serve ``%%mlops`` where no input transformer saw it: called by other code, or with another verb.

        Args:
            line: What follows the magic.
            cell: The cell's source below it.

        Returns:
            The value of the cell's last line.

        Raises:
            MlopsMagicError: What is wrong, and what to do.
        """
        words = line.split()
        if words[-1:] in (["-h"], ["--help"]):
            return self._answer(line)
        if not words or words[0] != "run":
            verb = words[0] if words else "without a verb"
            raise MlopsMagicError(
                MlopsError(f"%%mlops {verb} takes no cell", "use %%mlops run, or a line %mlops " + line)
            )
        self._answer(line)
        if self._cell_runs is not None:
            self._cell_runs.hand_down()
        result = self._extension.shell.run_cell(cell, store_history=False)
        result.raise_error()
        return result.result

    def look_again(self) -> None:
        """Compare the runs of this session with the notebook, if it has changed; without a session there are none."""
        if self._session is not None:
            self._session.marked_runs.look_again()

    def cell_begins(self) -> None:
        """Let MLflow's own calls know of a run that was begun while the store was away, once it is back."""
        try:
            active.tell_mlflow()
        except Exception as problem:  # away again: the next cell tries
            logging.getLogger("mlops_jupyter").debug("MLflow was not told of the run: %s", problem)
        if self._spans is not None:
            self._spans.cell_begins()
        watch(self._watcher)

    def cell_ended(self, depth: int, error: BaseException | None) -> None:
        """Close the runs that a cell opened, and keep what spans cells.

        Args:
            depth: How deep the cell was.
            error: What it raised.
        """
        if self._cell_runs is None or self._session is None or self._spans is None:
            return
        try:
            for shown in self._cell_runs.close(error, depth):
                display(shown)  # type: ignore[no-untyped-call]
            self._session.cell_ended()
        except Exception as problem:
            # The cell has ended, so nothing can fail it any more; what happened to its run must still be seen.
            ours = translate(problem)
            print(f"{ours.message}\n{ours.hint}", flush=True)
        self._spans.cell_ended(depth)

    def close(self) -> None:
        """Show no run live any more."""
        if self._spans is not None:
            self._spans.close()


def _is_remarkable(line: str, result: Any) -> bool:
    """Tell whether something was logged otherwise than one may think: a model in a format that runs code, say."""
    return line.split(maxsplit=2)[1:2] == ["model"] and bool(result.to_json().get("reason"))


def _notify(event: Any) -> None:
    from mlops_jupyter.progress import line_for

    text = line_for(event)
    if text:
        print(text, flush=True)
