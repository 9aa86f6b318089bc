"""The document that describes a snapshot, in a versioned format.

Everything that listing, showing and comparing need stands here, so that none of them has to
unpickle. A document that somebody else wrote is read with the same care as any input: a wrong shape
is an :class:`IntegrityError`, a newer version is told as such, and nothing in it is ever used as a
path.
"""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from mlops_jupyter.errors import IntegrityError, UsageError

FORMAT = "mlops-snapshot"
VERSION = 1

_ID = re.compile(r"[0-9a-f]{12,64}")
_CELL_KEYS = ("id", "order", "source", "outcome", "seconds", "started")
_LONGEST_NAME, _LONGEST_MESSAGE = 200, 10_000
# Characters that would let a name show as another: controls, line breaks, and switches of writing
# direction.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
T = TypeVar("T")


@dataclass(frozen=True)
class Variable:
    """One name of the namespace.

    Args:
        name: The name.
        type: Qualified name of the value's type.
        summary: What it is, in a few words.
        bytes: Its size when written alone, with the memory that it shares with others.
        component: The number of its component; None for an imported module.
        digest: Of its content as written; of its component's where writing it alone would have cost
            too much.
        module: The module to import again, where it is one.
        submodules: Modules below that one which were imported too.
    """

    name: str
    type: str
    summary: str
    bytes: int = 0
    component: int | None = None
    digest: str = ""
    module: str | None = None
    submodules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """A variable, or a part of one, that could not be kept or brought back.

    Args:
        name: The variable's name.
        type: Qualified name of the type of what is missing.
        reason: Why, in one line.
    """

    name: str
    type: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """Give it as JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Buffer:
    """Memory that stands beside a stream: its object, its size, and whether it was read-only."""

    key: str
    bytes: int
    readonly: bool


@dataclass(frozen=True)
class Component:
    """Variables that were written together.

    Args:
        variables: Their names.
        stream: Key of the object that holds the pickle.
        bytes: The stream's size.
        buffers: What stands beside it, in the stream's order.
    """

    variables: tuple[str, ...]
    stream: str
    bytes: int
    buffers: tuple[Buffer, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """All that is known of a snapshot without unpickling.

    Args:
        id: 16 hexadecimal digits.
        name: What its user calls it, or None.
        message: What its user says of it.
        created: When, in UTC (ISO 8601).
        actor: Who took it.
        parent: The snapshot that was taken or restored before it in the same kernel.
        notebook: Path of the notebook, relative to the workspace.
        document: Key of the object that holds the notebook's file, or None.
        cells: What had run: ``id order source outcome seconds started`` each.
        environment: Interpreter, platform, packages.
        git: Commit and whether files differed from it.
        run_id: The run that was active.
        variables: The names that it holds.
        components: How they are stored.
        missing: What could not be kept.
        bytes: Size of all its objects, those that it shares with other snapshots included.
        hmac: Signature over all of the above, under its user's secret.
    """

    id: str
    name: str | None
    message: str
    created: str
    actor: str
    parent: str | None
    notebook: str | None
    document: str | None
    cells: tuple[Mapping[str, Any], ...]
    environment: Mapping[str, Any]
    git: Mapping[str, Any]
    run_id: str | None
    variables: tuple[Variable, ...]
    components: tuple[Component, ...]
    missing: tuple[Missing, ...]
    bytes: int
    hmac: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """Give the document, signature included."""
        return {"format": FORMAT, "version": VERSION, **_plain(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Manifest:
        """Read a document.

        Args:
            document: What :meth:`to_json` gave, possibly changed by anybody since.

        Returns:
            The manifest; its signature is not looked at.

        Raises:
            IntegrityError: It is no manifest, or one of a newer version.
        """
        if document.get("format") != FORMAT:
            raise IntegrityError("this record is no snapshot", "bring it back from a copy of the store")
        version = document.get("version")
        if version != VERSION:
            raise IntegrityError(
                f"this snapshot is of version {str(version)[:20]} of the format",
                "a newer mlops-jupyter made it: update, then try again",
            )
        try:
            return cls(**_checked(document))
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"the manifest of snapshot {str(document.get('id'))[:40]!r} is damaged",
                "bring it back from a copy of the store",
            ) from error


def new_id(content: Mapping[str, Any]) -> str:
    """Make the id of a snapshot.

    Args:
        content: What it holds; JSON values.

    Returns:
        16 hexadecimal digits that no other snapshot has, be it of the same content and moment.
    """
    from mlops_jupyter.snapshots.trust import canonical
    from mlops_jupyter.store import key_of

    return key_of(canonical(content) + uuid.uuid4().bytes)[:16]


def now() -> str:
    """Give the present moment in UTC, so that later ones sort after it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def checked_name(name: str | None) -> str | None:
    """Check what a user wants to call a snapshot.

    Args:
        name: The name; any text that shows as what it is.

    Returns:
        The name without white space around it.

    Raises:
        UsageError: It is empty, too long, could be taken for a reference, or has control
            characters.
    """
    if name is None:
        return None
    name = name.strip() if isinstance(name, str) else ""
    if not name or len(name) > _LONGEST_NAME or _UNSHOWABLE.search(name):
        raise UsageError(
            "this is no name for a snapshot: it is empty, too long, or has control characters",
            f"use up to {_LONGEST_NAME} ordinary characters",
        )
    if name.startswith(("@", "-")):
        raise UsageError(
            f"the name {name!r} would read as a reference",
            "begin it with a letter or a digit: @last and -1 mean snapshots by their place",
        )
    return name


def usable_name(text: str, ending: str) -> str:
    """Make a snapshot's name from a text that may be anything.

    Args:
        text: What it is to resemble.
        ending: What tells it from others: a few letters or digits.

    Returns:
        A name that :func:`checked_name` takes.
    """
    plain = _UNSHOWABLE.sub("", text).strip().lstrip("@-").strip()
    return f"{plain[: _LONGEST_NAME - len(ending) - 1].strip() or 'run'}-{ending}"


def checked_message(message: str) -> str:
    """Check what a user says of a snapshot.

    Raises:
        UsageError: It is longer than 10,000 characters.
    """
    if len(message) > _LONGEST_MESSAGE:
        raise UsageError(f"the message is longer than {_LONGEST_MESSAGE:,} characters", "say it shorter")
    return storable(message)


def cell_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a manifest keeps of an entry of the journal."""
    return {key: storable(entry.get(key)) for key in _CELL_KEYS}


def storable(value: T) -> T:
    """Give JSON values that can be written as they are: UTF-8, and no NaN.

    Args:
        value: JSON values as anybody made them.

    Returns:
        The same; half a surrogate pair is a question mark, NaN is None, other objects are text.
    """
    return _storable(value)  # type: ignore[no-any-return]


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("?", value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_storable(item) for item in value]
    return _storable(str(value))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _checked(document: Mapping[str, Any]) -> dict[str, Any]:
    known = {item.name for item in dataclasses.fields(Manifest)}
    values = {key: value for key, value in document.items() if key in known}
    for key in ("id", "message", "created", "actor", "hmac"):
        _expect(values.get(key), str)
    for key in ("name", "parent", "notebook", "document", "run_id"):
        _expect(values.get(key), str, type(None))
    for key in ("environment", "git"):
        _expect(values.get(key), dict)
    _expect(values.get("bytes"), int)
    if not _ID.fullmatch(values["id"]):
        raise ValueError("no id")
    datetime.fromisoformat(values["created"])
    values["cells"] = tuple(_expect(cell, dict) for cell in _expect(values.get("cells"), list))
    values["missing"] = _many(Missing, values.get("missing"))
    values["variables"] = tuple(
        dataclasses.replace(one, submodules=tuple(one.submodules)) for one in _many(Variable, values.get("variables"))
    )
    values["components"] = tuple(
        dataclasses.replace(one, variables=tuple(one.variables), buffers=_many(Buffer, list(one.buffers)))
        for one in _many(Component, values.get("components"))
    )
    return values


_KINDS = {
    "str": (str,), "int": (int,), "bool": (bool,), "int | None": (int, type(None)),
    "str | None": (str, type(None)),
}  # fmt: skip


def _many(kind: type[T], entries: Any) -> tuple[T, ...]:
    made = []
    for entry in _expect(entries, list):
        for item in dataclasses.fields(kind):  # type: ignore[arg-type]
            expected = _KINDS.get(str(item.type), (list, tuple))
            if item.name in entry:
                _expect(entry[item.name], *expected)
        made.append(kind(**_expect(entry, dict)))
    return tuple(made)


def _expect(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise ValueError(f"{type(value).__name__} where {kinds[0].__name__} was to be")
    return value
