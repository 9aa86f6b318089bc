"""From what a caller said, words of a shell or a JSON body, to the arguments of a command, checked."""

from __future__ import annotations

import argparse
import difflib
import functools
import itertools
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mlops_jupyter.coercion import COERCE
from mlops_jupyter.commands import Command, Parameter, metavar
from mlops_jupyter.errors import NotFoundError, UsageError


class _Words(argparse.ArgumentParser):
    """A parser that raises instead of printing and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "")


def find(commands: Mapping[str, Command], words: Sequence[str]) -> tuple[Command, list[str]]:
    """Find the command that words call: the longest verb that they begin with.

    Args:
        commands: Verb → command.
        words: What was typed.

    Returns:
        The command and the words after its verb.

    Raises:
        NotFoundError: No verb begins like that; the hint names the nearest.
    """
    for length in (3, 2, 1):
        verb = " ".join(words[:length])
        if len(words) >= length and verb in commands:
            return commands[verb], list(words[length:])
    head = words[0] if words else ""
    below = [verb for verb in commands if verb.startswith(head + " ")]
    if head and below:
        raise _no_second_word(head, words[1:], below)
    if head.startswith("-"):
        raise UsageError(f"there is no option {head!r} before a verb", "`mlops help` lists what there is")
    near = difflib.get_close_matches(head, {verb.split()[0] for verb in commands}, 1)
    raise NotFoundError(
        f"there is no verb {head!r}",
        f"did you mean {near[0]!r}?" if near else "`mlops help` lists what there is",
    )


def _no_second_word(head: str, rest: Sequence[str], below: Sequence[str]) -> UsageError:
    listed = "one of: " + ", ".join(below)
    if not rest or rest[0].startswith("-"):
        return UsageError(f"{head} needs one more word", listed)
    near = difflib.get_close_matches(f"{head} {rest[0]}", below, 1)
    return UsageError(f"there is no verb {head + ' ' + rest[0]!r}", f"did you mean {near[0]!r}?" if near else listed)


def parse_words(command: Command, words: Sequence[str], base: Path | None = None) -> dict[str, Any]:
    """Turn the words after a verb into arguments.

    Args:
        command: What is called.
        words: The words, split as a shell splits.
        base: The folder that relative paths start from; the working directory when None.

    Returns:
        Argument name → value, for those that were given.

    Raises:
        UsageError: A word is unknown, missing, or not of its type.
    """
    try:
        given = vars(_parser(command, threading.get_ident()).parse_intermixed_args(list(words)))
    except (UsageError, argparse.ArgumentError, TypeError) as error:
        unknown = _unknown_option(command, words)
        if unknown:
            raise unknown from None
        said = error.message if isinstance(error, UsageError) else str(error)
        extra = said.removeprefix("unrecognized arguments: ")
        if extra != said:
            named = _meant_by(command, words, extra)
            raise UsageError(
                f"{command.verb}: nothing is expected where {extra!r} stands", f"{named}usage: {command.usage()}"
            ) from None
        raise UsageError(f"{command.verb}: {said.removeprefix('argument ')}", f"usage: {command.usage()}") from None
    # A default of argparse can't be told from a word that was typed, so it has none: None means "not given".
    present = {name: value for name, value in given.items() if value not in (None, [])}
    return _complete(command, present, base)


def _meant_by(command: Command, words: Sequence[str], extra: str) -> str:
    """Say what a word too many may have been meant for."""
    before = words[list(words).index(extra) - 1] if extra in words else ""
    texts = [flag for parameter in command.parameters if parameter.kind is str for flag in parameter.flags]
    flag = next((known for known in texts if known in words), "")
    if flag and before == words[list(words).index(flag) + 1]:
        return f'did you mean {flag} "{before} {extra}"? '
    is_word = not extra.startswith("-") and " " not in extra
    return f"did you mean --name {extra}? " if is_word and "--name" in texts and "--name" not in words else ""


@functools.lru_cache(maxsize=256)
def _parser(command: Command, thread: int) -> argparse.ArgumentParser:
    """Give a command's parser; one a thread, since a parser changes itself while it parses."""
    parser = _Words(prog=command.verb, add_help=False, allow_abbrev=False, exit_on_error=False)
    for parameter in command.parameters:
        _add(parser, parameter)
    return parser


def _unknown_option(command: Command, words: Sequence[str]) -> UsageError | None:
    known = [flag for parameter in command.parameters for flag in parameter.flags]
    # What follows an option is its value, whatever it looks like.
    given = {value for flag, value in itertools.pairwise(words) if flag in known}
    for word in words:
        option = word.partition("=")[0]
        is_option = word.startswith("--") or re.fullmatch(r"-[A-Za-z]", word)
        if is_option and option not in known and word not in given:
            near = difflib.get_close_matches(option, known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            return UsageError(f"{command.verb}: there is no option {option}", f"{meant}usage: {command.usage()}")
    return None


def _add(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    many = parameter.kind is list
    if parameter.positional:
        # What is missing is told by us, in our words; to the parser everything may be left out.
        parser.add_argument(parameter.name, nargs="*" if many else "?")
    elif parameter.kind is bool:
        parser.add_argument(*parameter.flags, dest=parameter.name, action="store_const", const=True)
    elif many or parameter.kind is dict:
        parser.add_argument(*parameter.flags, dest=parameter.name, action="append")
    else:
        parser.add_argument(*parameter.flags, dest=parameter.name)


def parse_body(command: Command, body: Mapping[str, Any], base: Path | None = None) -> dict[str, Any]:
    """Turn a JSON body into arguments, checked and coerced as a shell's words are.

    Args:
        command: What is called.
        body: The JSON object; a ``null`` means "not given".
        base: The folder that relative paths start from.

    Returns:
        Argument name → value, for those that were given.

    Raises:
        UsageError: A key is unknown or missing, or a value is not of its type.
    """
    known = {name: parameter.name for parameter in command.parameters for name in parameter.names}
    present: dict[str, Any] = {}
    for key, value in body.items():
        name = known.get(str(key).replace("-", "_"))
        if name is None:
            near = difflib.get_close_matches(str(key), known, 1)
            listed = ", ".join(p.name for p in command.parameters) or "none"
            raise UsageError(
                f"{command.verb}: unknown argument {key!r}",
                f"did you mean {near[0]!r}?" if near else f"it takes: {listed}",
            )
        if name in present:
            raise UsageError(f"{command.verb}: {name} is given twice", "give it once")
        if value is not None:
            present[name] = value
    return _complete(command, present, base)


def _complete(command: Command, present: Mapping[str, Any], base: Path | None) -> dict[str, Any]:
    arguments = {}
    for parameter in command.parameters:
        if parameter.name in present:
            arguments[parameter.name] = coerce(command, parameter, present[parameter.name], base)
        elif parameter.required:
            raise UsageError(f"{command.verb}: {_label(parameter)} is missing", f"usage: {command.usage()}")
    return arguments


def coerce(command: Command, parameter: Parameter, value: Any, base: Path | None = None) -> Any:
    """Make a value what its parameter wants, or refuse it.

    Args:
        command: What is called, for the message.
        parameter: Which argument it is for.
        value: A word, or any JSON value.
        base: The folder that relative paths start from.

    Returns:
        The value in the parameter's type.

    Raises:
        UsageError: It is none of that type.
    """
    try:
        return COERCE[parameter.kind](parameter, value, base)
    except ValueError as error:
        raise UsageError(f"{command.verb}: {_label(parameter)} {error}", f"usage: {command.usage()}") from None


def _label(parameter: Parameter) -> str:
    return metavar(parameter) if parameter.positional else "/".join(parameter.flags)
