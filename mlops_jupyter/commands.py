"""A public operation is declared once, by its typed method, and reaches every door from there.

``@command("promote", needs="workspace")`` on a method makes its signature and docstring the magic's words, the shell's
words, the help, the tab completion and the REST call: positional parameters are positional words, keyword-only ones are
``--options``, and the ``Args:`` section describes them. Words of a shell and values of a JSON body pass the same
:func:`.arguments.coerce`, so they mean the same. Nothing here knows what a command does, or how an answer looks.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

Needs = Literal["workspace", "session"]
Doors = Literal["all", "local"]
F = TypeVar("F", bound=Callable[..., Any])
_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """More flags for a keyword-only parameter, in ``Annotated[T, Option("-m")]``.

    Args:
        flags: Flags besides the one made from the name.
        metavar: What stands for the value in the usage line.
    """

    flags: tuple[str, ...]
    metavar: str

    def __init__(self, *flags: str, metavar: str = "") -> None:
        object.__setattr__(self, "flags", flags)
        object.__setattr__(self, "metavar", metavar)


@dataclass(frozen=True)
class Completes:
    """What a parameter names, for tab completion: ``run snapshot model pipeline alias verb``."""

    what: str


@dataclass(frozen=True)
class Parameter:
    """One argument of a command, read off its method's signature."""

    name: str
    annotation: Any
    default: Any
    positional: bool
    flags: tuple[str, ...]
    metavar: str
    completes: str
    help: str

    @property
    def required(self) -> bool:
        """Tell whether the argument must be given."""
        return self.default is _EMPTY

    @cached_property
    def kind(self) -> type:
        """The type without ``None`` and without its parameters: ``str int float bool Path list dict``."""
        origin = typing.get_origin(self.annotation)
        if origin is Literal:
            return str
        kind: type = origin or self.annotation
        return kind

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that are allowed, or none when any is."""
        if typing.get_origin(self.annotation) is Literal:
            return typing.get_args(self.annotation)
        return ()

    @property
    def literal_values(self) -> bool:
        """Tell whether the values of a mapping stay text (``dict[str, str]``)."""
        return typing.get_args(self.annotation)[1:] == (str,)

    @property
    def names(self) -> frozenset[str]:
        """Every key that a JSON body may give the argument by."""
        spelt = {flag.lstrip("-").replace("-", "_") for flag in self.flags}
        return frozenset({self.name, *spelt})


@dataclass(frozen=True, eq=False)  # declared once: itself, and no other like it
class Command:
    """A declared operation.

    Args:
        verb: The words that call it (``pipeline run``).
        needs: ``workspace`` when any door can run it, ``session`` when it needs the live namespace.
        long: Whether it takes more than a moment, so that REST answers with a job.
        doors: ``local`` when there is no REST door.
        method: The method's name in its room.
        room: The attribute of the workspace (or session) that has the method; empty for itself.
        parameters: Its arguments in order.
        summary: What it does, in one line.
        description: The rest of what the docstring tells.
        example: Words to copy.
    """

    verb: str
    needs: Needs
    long: bool
    doors: Doors
    method: str
    room: str
    parameters: tuple[Parameter, ...]
    summary: str
    description: str
    example: str

    @property
    def route(self) -> str | None:
        """The path below ``/mlops/api/``, or None where there is no REST door."""
        if self.needs == "session" or self.doors == "local":
            return None
        return self.verb.replace(" ", "/")

    def usage(self) -> str:
        """Give the usage line."""
        return " ".join([self.verb, *map(_usage_of, self.parameters)])

    def call(self, owner: object, arguments: Mapping[str, Any]) -> Any:
        """Run the operation.

        Args:
            owner: The workspace or session that has the room.
            arguments: What :func:`.arguments.parse_words` or :func:`.arguments.parse_body` gave.

        Returns:
            The method's result.
        """
        target = getattr(owner, self.room) if self.room else owner
        arguments = dict(arguments)
        positional = [arguments.pop(p.name) for p in self.parameters if p.positional and p.name in arguments]
        return getattr(target, self.method)(*positional, **arguments)


def command(verb: str, *, needs: Needs = "workspace", long: bool = False, doors: Doors = "all") -> Callable[[F], F]:
    """Declare a method as a public operation.

    Args:
        verb: The words that call it.
        needs: ``workspace`` or ``session``.
        long: Whether it takes more than a moment.
        doors: ``local`` to leave out REST.

    Returns:
        A decorator that marks the method and leaves it as it is.
    """

    def mark(method: F) -> F:
        method.__mlops_command__ = (verb, needs, long, doors)  # type: ignore[attr-defined]
        return method

    return mark


def collect(rooms: Mapping[str, type]) -> dict[str, Command]:
    """Read the declarations off the classes of the rooms.

    Args:
        rooms: Attribute name → class of the object that is found there; the empty name is the owner itself.

    Returns:
        Verb → command, sorted by verb.
    """
    found = {}
    for room, kind in rooms.items():
        for name, method in vars(kind).items():
            declared = getattr(method, "__mlops_command__", None)
            if declared is not None:
                found[declared[0]] = _read(method, name, room, *declared)
    return dict(sorted(found.items()))


def _read(
    method: Callable[..., Any], name: str, room: str, verb: str, needs: Needs, long: bool, doors: Doors
) -> Command:
    doc = parse_docstring(inspect.getdoc(method) or "")
    hints = typing.get_type_hints(method, include_extras=True)
    parameters = [
        _parameter(parameter, hints[parameter.name], doc.arguments.get(parameter.name, ""))
        for parameter in list(inspect.signature(method).parameters.values())[1:]
    ]
    return Command(verb, needs, long, doors, name, room, tuple(parameters), doc.summary, doc.description, doc.example)


def _parameter(parameter: inspect.Parameter, hint: Any, text: str) -> Parameter:
    extras: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *rest = typing.get_args(hint)
        extras = tuple(rest)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    option = next((extra for extra in extras if isinstance(extra, Option)), Option())
    completes = next((extra.what for extra in extras if isinstance(extra, Completes)), "")
    positional = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    flags = () if positional else (*option.flags, "--" + parameter.name.replace("_", "-"))
    return Parameter(parameter.name, hint, parameter.default, positional, flags, option.metavar, completes, text)


@dataclass(frozen=True)
class Docstring:
    """A Google-style docstring in its parts."""

    summary: str
    description: str
    arguments: dict[str, str]
    example: str


def parse_docstring(text: str) -> Docstring:
    """Take a Google-style docstring apart.

    Args:
        text: The docstring, its common indentation removed.

    Returns:
        Summary, description, arguments by name, and the ``Example:`` section.
    """
    parts = re.split(r"^(Args|Returns|Raises|Yields|Example):\n", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    summary, _, description = parts[0].partition("\n\n")
    arguments = {}
    for name, body in re.findall(r"^ {4}(\w+): ((?:.+)(?:\n {8}.+)*)", sections.get("Args", ""), flags=re.MULTILINE):
        arguments[name] = " ".join(body.split())
    return Docstring(
        " ".join(summary.split()),
        description.strip(),
        arguments,
        inspect.cleandoc(sections.get("Example", "")),
    )


def metavar(parameter: Parameter) -> str:
    """Give the word that stands for an argument's value in a usage line."""
    if parameter.metavar:
        return parameter.metavar
    if parameter.choices:
        return "|".join(parameter.choices)
    return "K=V" if parameter.kind is dict else parameter.name.upper()


def _usage_of(parameter: Parameter) -> str:
    many = "…" if parameter.kind in (list, dict) else ""
    if parameter.positional:
        text = f"{metavar(parameter)}{many}"
        return text if parameter.required else f"[{text}]"
    flag = parameter.flags[0]
    text = flag if parameter.kind is bool else f"{flag} {metavar(parameter)}"
    return (text if parameter.required else f"[{text}]") + many
