"""Read YAML with the line of every key kept, and with nothing that would change type on its way.

A pipeline's values travel as JSON, and are written into notebooks as source. So this reader takes scalars, lists and
mappings with text keys, and refuses what YAML would silently turn into something else: dates, ``yes`` and ``off``,
``010``, ``12:30``, ``.nan``, keys that are numbers. ``1e-3``, which YAML 1.1 takes for text, is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import DefinitionError

Place = tuple[str | int, ...]
_MOST_NODES = 200_000
# Numbers that PyYAML takes for text.
_NUMBER = re.compile(r"[-+]?((\d+(\.\d*)?|\.\d+)[eE][-+]?\d+|\.\d+)")
_PLAIN_INT = re.compile(r"[-+]?(0|[1-9][\d_]*|0x[0-9a-fA-F_]+|0b[01_]+)")


@dataclass(frozen=True)
class Located:
    """A document, and where in its file everything stands.

    Args:
        value: The document as JSON values.
        lines: Path of keys and indexes → line, counted from 1.
        file: The file it was read from.
        text: The file's whole text.
    """

    value: Any
    lines: Mapping[Place, int]
    file: Path
    text: str

    def line(self, where: Place) -> int:
        """Give the line of a place, or of the nearest thing around it."""
        for length in range(len(where), -1, -1):
            if where[:length] in self.lines:
                return self.lines[where[:length]]
        return 1

    def wrong(self, where: Place, message: str, hint: str) -> DefinitionError:
        """Make the error for a place in the file.

        Args:
            where: Path of keys and indexes.
            message: What is wrong there.
            hint: What to do.

        Returns:
            The error, to be raised.
        """
        return DefinitionError(f"{self.file.name}:{self.line(where)}: {message}", hint)


def read(file: Path) -> Located:
    """Read a YAML file.

    Args:
        file: The file, UTF-8.

    Returns:
        Its values and their lines.

    Raises:
        DefinitionError: It can't be read, is no YAML, or holds a value that would change type.
    """
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        said = error.strerror or str(error)
        raise DefinitionError(f"{file}: can't be read: {said}", "check the path") from error
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise DefinitionError(f"{file.name}:{line}: not UTF-8 text", "save it as UTF-8") from error
    return parse(text, file)


def parse(text: str, file: Path) -> Located:
    """Take YAML text apart.

    Args:
        text: The text.
        file: Where it came from, for messages.

    Returns:
        Its values and their lines.

    Raises:
        DefinitionError: It is no YAML, or holds a value that would change type.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = error.problem or error.context or "not valid YAML"
        raise DefinitionError(
            f"{file.name}:{line}: not valid YAML: {said}", "check indentation, colons and quotes"
        ) from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"{file.name}:1: not valid YAML: {error}", "save it as plain UTF-8 text") from error
    except RecursionError:
        raise DefinitionError(f"{file.name}:1: nested too deep", "flatten the document") from None
    if node is None:
        raise DefinitionError(f"{file.name}:1: the file is empty", "give it a name and steps")
    reader = _Reader(file)
    value = reader.value(node, ())
    return Located(value, reader.lines, file, text)


class _Reader:
    """One walk over composed nodes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[Place, int] = {}
        self._open: set[int] = set()
        self._count = 0

    def refuse(self, node: Any, message: str, hint: str) -> DefinitionError:
        return DefinitionError(f"{self.file.name}:{node.start_mark.line + 1}: {message}", hint)

    def value(self, node: Any, where: Place) -> Any:
        self._count += 1
        # Aliases of aliases can describe more values than fit in memory, in a few lines.
        if self._count > _MOST_NODES or id(node) in self._open:
            raise self.refuse(node, "the file refers to itself without end", "write it out")
        self.lines.setdefault(where, node.start_mark.line + 1)
        if node.id == "scalar":
            return self.scalar(node)
        self._open.add(id(node))
        try:
            if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
                raise self.refuse(node, f"{_short(node.tag)} is not taken here", "use plain values")
            if node.id == "sequence":
                return [self.value(item, (*where, n)) for n, item in enumerate(node.value)]
            return self.mapping(node, where)
        finally:
            self._open.discard(id(node))

    def mapping(self, node: Any, where: Place) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                for part in self._merged(value_node, where):
                    merged.update(part)
                continue
            key = self.key(key_node)
            if key in own:
                raise self.refuse(key_node, f"key {key!r} stands here twice", "keep one of them")
            self.lines[(*where, key)] = key_node.start_mark.line + 1
            own[key] = self.value(value_node, (*where, key))
        return merged | own

    def _merged(self, node: Any, where: Place) -> Iterator[dict[str, Any]]:
        nodes = reversed(node.value) if node.id == "sequence" else [node]
        for one in nodes:
            value = self.value(one, where)
            if not isinstance(value, dict):
                raise self.refuse(one, "'<<' merges no mapping", "refer to a mapping")
            yield value

    def key(self, node: Any) -> str:
        if node.id != "scalar" or node.tag != "tag:yaml.org,2002:str":
            shown = node.value if node.id == "scalar" else node.id
            raise self.refuse(node, f"key {shown!r} is no text", "put the key in quotes")
        return str(node.value)

    def scalar(self, node: Any) -> Any:
        kind, text = _short(node.tag), node.value
        if kind == "str":
            plain = node.style is None and _NUMBER.fullmatch(text)
            return self._finite(node, float(text)) if plain else self._text(node, text)
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and _PLAIN_INT.fullmatch(text):
            return int(text.replace("_", ""), 0)
        if kind == "float" and ":" not in text and "_" not in text:
            return self._finite(node, float(text.lower().replace(".inf", "inf").replace(".nan", "nan")))
        raise self.refuse(
            node,
            f"{text!r} would become another type on its way ({_READ_AS.get(kind, kind)})",
            f'write "{text}" in quotes if it is text' + _INSTEAD.get(kind, ""),
        )

    def _text(self, node: Any, text: str) -> str:
        try:
            # JSON writes a character beyond the basic plane as two escapes, which PyYAML leaves as two halves.
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self.refuse(node, "half of a surrogate pair is no text", "take it out") from None

    def _finite(self, node: Any, number: float) -> float:
        if not math.isfinite(number):
            raise self.refuse(node, f"{node.value!r} is no finite number", "leave it out, or pass it as text")
        return number


_READ_AS = {"timestamp": "a date", "bool": "true or false", "int": "a number in another base"}
_INSTEAD = {
    "bool": ", true or false if it is a truth value",
    "int": ", a decimal if it is a number",
}


def _short(tag: str) -> str:
    return tag.removeprefix("tag:yaml.org,2002:")
