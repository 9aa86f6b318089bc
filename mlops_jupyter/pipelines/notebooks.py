"""Read a step's notebook: its code cells, its kernel, and the parameters that it takes.

A notebook is read once, when its pipeline is; what was read is what is planned and what is run, whatever happens to the
file meanwhile. Plain JSON is enough for a notebook of today's format, so planning imports neither nbformat nor
papermill.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_jupyter.digest import digest_code, digest_of
from mlops_jupyter.errors import DefinitionError

SUFFIXES = (".ipynb", ".py", ".md", ".Rmd", ".qmd")
UNKNOWN: Any = ...
# What an earlier papermill run injected is replaced, or left out where there is nothing to inject.
_NEVER_RUN = frozenset({"skip-execution", "injected-parameters"})


@dataclass(frozen=True)
class Cell:
    """A code cell of a source notebook.

    Args:
        id: Its id in the notebook.
        source: Its code.
        tags: Its tags.
    """

    id: str
    source: str
    tags: frozenset[str]


@dataclass(frozen=True)
class Parameter:
    """A name that the ``parameters`` cell assigns.

    Args:
        name: The variable.
        default: Its value where that is a literal, else ``UNKNOWN``.
        type: ``int``, ``str`` … as annotated or as the default has it; empty when that says nothing.
    """

    name: str
    default: Any
    type: str


@dataclass(frozen=True)
class Notebook:
    """A notebook as it was when it was read.

    Args:
        path: The file, absolute.
        document: The notebook as JSON, of format 4.
        kernel: The name of its kernel.
        language: Its language.
    """

    path: Path
    document: Mapping[str, Any]
    kernel: str
    language: str

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The code cells that would run, in order."""
        return tuple(
            Cell(str(cell.get("id") or f"cell-{n}"), _source(cell), _tags(cell))
            for n, cell in enumerate(self.document["cells"])
            if cell.get("cell_type") == "code" and _source(cell).strip() and not _NEVER_RUN & _tags(cell)
        )

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """The digest of each code cell; markdown, outputs, ids and counts have no part in it."""
        code = digest_code if self.language == "python" else digest_of
        return tuple(code(cell.source) for cell in self.cells)

    @cached_property
    def parameters(self) -> Mapping[str, Parameter] | None:
        """Name → parameter; None where there is no cell tagged ``parameters``."""
        cell = next((cell for cell in self.cells if "parameters" in cell.tags), None)
        if cell is None:
            return None
        # Only Python's assignments can be read; elsewhere the names are not known.
        return _assigned(cell.source) if self.names_known else {}

    @property
    def names_known(self) -> bool:
        """Tell whether the ``parameters`` cell could be read, so that unknown names can be refused."""
        return self.language == "python"


def read(path: Path) -> Notebook:
    """Read a notebook.

    Args:
        path: An ``.ipynb``, or a jupytext text notebook.

    Returns:
        What it holds.

    Raises:
        DefinitionError: It is no notebook, or jupytext is needed and not installed.
        OSError: The file can't be read.
    """
    if path.exists() and not path.is_file():
        raise DefinitionError(f"{path.name} is no file", "name a notebook")
    text = path.read_text("utf-8-sig")
    document = _from_json(text, path) if path.suffix == ".ipynb" else _from_text(text, path)
    metadata = document.get("metadata") or {}
    spec = metadata.get("kernelspec") or {}
    language = (metadata.get("language_info") or {}).get("name") or spec.get("language") or "python"
    return Notebook(path, document, str(spec.get("name") or "python3"), str(language).lower())


def _from_json(text: str, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"{path.name} is no notebook: {error}", "open and save it again") from error
    if not isinstance(document, dict):
        raise _no_notebook(path, "it is no JSON object")
    form = document.get("nbformat", 4)
    if type(form) is not int:
        raise _no_notebook(path, f"its nbformat is {form!r}")
    if form < 4:
        document = _converted(document, path)
    cells = document.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise _no_notebook(path, "it has no cells")
    document = _without_nulls({**document, "cells": [_without_nulls(cell) for cell in cells]})
    if isinstance(document.get("metadata"), dict):
        document["metadata"] = _without_nulls(document["metadata"])
    _check_shapes(document, path)
    return document


def _without_nulls(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None or key == "execution_count"}


def _no_notebook(path: Path, why: str) -> DefinitionError:
    return DefinitionError(f"{path.name} is no notebook: {why}", "save it from Jupyter")


def _converted(document: dict[str, Any], path: Path) -> dict[str, Any]:
    import nbformat

    try:
        return dict(nbformat.convert(nbformat.from_dict(document), 4))
    except Exception as error:
        raise _no_notebook(path, f"it can't be converted to format 4 ({error})") from error


def _check_shapes(document: Mapping[str, Any], path: Path) -> None:
    """Refuse what is no notebook where the rest of the room reads it; what is missing is fine."""
    metadata = document.get("metadata", {})
    places = [("metadata", metadata)]
    if isinstance(metadata, dict):
        places += [(name, metadata.get(name, {})) for name in ("kernelspec", "language_info")]
    for number, cell in enumerate(document["cells"], 1):
        own = cell.get("metadata", {})
        places.append((f"the metadata of cell {number}", own))
        tags = own.get("tags") if isinstance(own, dict) else None
        if tags is not None and not isinstance(tags, list):
            raise _no_notebook(path, f"the tags of cell {number} are no list")
        source = cell.get("source", "")
        if not isinstance(source, str) and not _is_lines(source):
            raise _no_notebook(path, f"the source of cell {number} is no text")
    for name, value in places:
        if not isinstance(value, dict):
            raise _no_notebook(path, f"{name} is no JSON object")


def _is_lines(source: Any) -> bool:
    return isinstance(source, list) and all(isinstance(line, str) for line in source)


def _from_text(text: str, path: Path) -> dict[str, Any]:
    try:
        import jupytext
    except ImportError:
        raise DefinitionError(
            f"{path.name} is a text notebook, and jupytext is not installed",
            "pip install jupytext, or save it as .ipynb",
        ) from None
    # jupytext gives new cells random ids; the same text must be the same notebook.
    document = dict(jupytext.reads(text, fmt=path.suffix[1:]))
    for number, cell in enumerate(document["cells"]):
        cell["id"] = f"cell-{number}"
    return document


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)


def _tags(cell: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(map(str, (cell.get("metadata") or {}).get("tags") or ()))


def _assigned(source: str) -> dict[str, Parameter]:
    # A magic in the cell is no Python; the lines beside it still are.
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))
    try:
        body = ast.parse(plain).body
    except (SyntaxError, ValueError, RecursionError) as error:
        said = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise DefinitionError(f"the cell tagged 'parameters' is no Python: {said}", "correct the cell") from error
    found: dict[str, Parameter] = {}
    for statement in body:
        annotation = ""
        if isinstance(statement, ast.AnnAssign):
            targets: list[ast.expr] = [statement.target]
            annotation = ast.unparse(statement.annotation).strip("'\"")
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            continue
        default = _literal(statement.value)
        for target in targets:
            if isinstance(target, ast.Name):
                kind = annotation or _type_name(default)
                found[target.id] = Parameter(target.id, default, kind)
    return found


def _literal(node: ast.expr | None) -> Any:
    try:
        return UNKNOWN if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


def _type_name(default: Any) -> str:
    return "" if default is None or default is UNKNOWN else type(default).__name__
