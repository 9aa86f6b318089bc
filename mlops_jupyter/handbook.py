"""The verb ``help``: what there is at one door, and how it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from mlops_jupyter.arguments import find
from mlops_jupyter.commands import Command, Completes, collect, command, metavar
from mlops_jupyter.display import Block, Code, Shown
from mlops_jupyter.errors import MlopsError, NotFoundError


@dataclass(frozen=True, repr=False)
class Guide(Shown):
    """A help text."""

    verb: str
    text: str
    verbs: tuple[str, ...]

    def to_json(self) -> Any:
        """Give the text and the verbs that it speaks of."""
        return {"verb": self.verb or None, "text": self.text, "verbs": list(self.verbs)}

    def blocks(self) -> Sequence[Block]:
        """Give the text as it is."""
        return [Code(self.text)]

    def __str__(self) -> str:
        """Give the text."""
        return self.text


class Handbook:
    """The verb ``help``, for one door.

    Args:
        commands: What the door has.
        prefix: What is typed before a verb there.
        usage: How a line of the door is put together.
        about: What is to be known of the door besides its verbs.
    """

    def __init__(self, commands: Mapping[str, Command], prefix: str, usage: str = "", about: str = "") -> None:
        self._commands = commands
        self._prefix = prefix
        self._usage = usage
        self._about = about

    @command("help")
    def help(self, verb: Annotated[list[str], Completes("verb")] = []) -> Guide:  # noqa: B006
        """Show what there is, or one verb's use with an example.

        Args:
            verb: The verb; all of them when left out.

        Returns:
            The text.

        Raises:
            NotFoundError: There is no such verb.

        Example:
            mlops help promote
        """
        if not verb:
            parts = (self._usage, overview(self._commands, self._prefix), self._about)
            return Guide("", "\n\n".join(filter(None, parts)), tuple(self._commands))
        words = " ".join(verb).split()
        below = [name for name in self._commands if name.startswith(" ".join(words) + " ")]
        if below and " ".join(words) not in self._commands:
            group = {name: self._commands[name] for name in below}
            return Guide(" ".join(words), overview(group, self._prefix, usage=True), tuple(below))
        found, rest = find(self._commands, words)
        if rest:
            raise NotFoundError(f"there is no verb {' '.join(words)!r}", f"`help {found.verb}` shows its use")
        return Guide(found.verb, describe(found, self._prefix), (found.verb,))


def as_help(commands: Mapping[str, Command], words: Sequence[str]) -> list[str]:
    """Turn ``VERB … --help`` into ``help VERB``.

    Args:
        commands: What the door has.
        words: What was typed.

    Returns:
        The words of the verb ``help``, or those that were typed where no help was asked for.
    """
    if not words or words[-1] not in ("-h", "--help"):
        return list(words)
    before = list(words[:-1])
    try:
        return ["help", *find(commands, before)[0].verb.split()]
    except MlopsError:
        # A group (`pipeline --help`), nothing at all, or a word that is no verb: `help` knows what to say.
        return ["help", *before]


#: Verb → command: ``help`` itself.
HELP = collect({"": Handbook})


def describe(command: Command, prefix: str) -> str:
    """Give the help of one command as plain text.

    Args:
        command: Which one.
        prefix: What is typed before the verb in this door: ``%mlops`` or ``mlops``.

    Returns:
        Usage, what it does, its arguments and an example.
    """
    lines = [f"{prefix} {command.usage()}", "", command.summary]
    if command.description:
        lines += ["", command.description]
    if command.parameters:
        lines.append("")
        labels = [", ".join(p.flags) or metavar(p) for p in command.parameters]
        width = max(map(len, labels))
        for label, parameter in zip(labels, command.parameters, strict=True):
            lines.append(f"  {label:<{width}}  {parameter.help}".rstrip())
    if command.example:
        shown = re.sub(r"^(%*)mlops\b", lambda m: m[0] if m[1] == "%%" else prefix, command.example, flags=re.M)
        lines += ["", "Example:", *(f"  {line}" for line in shown.splitlines())]
    return "\n".join(lines)


def overview(commands: Mapping[str, Command], prefix: str, *, usage: bool = False) -> str:
    """Give a list of commands as plain text.

    Args:
        commands: Verb → command.
        prefix: What is typed before the verb in this door.
        usage: Whether to show how each is used, which takes a line more.

    Returns:
        A line or two a command, and how to learn more.
    """
    width = max(len(verb) for verb in commands)
    if usage:
        lines = [f"{prefix} {command.usage()}\n    {command.summary}" for command in commands.values()]
    else:
        lines = [f"  {verb:<{width}}  {command.summary}" for verb, command in commands.items()]
    return "\n".join([*lines, "", f"{prefix} help VERB shows one verb's use, with an example."])
