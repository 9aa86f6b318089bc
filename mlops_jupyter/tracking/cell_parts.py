"""What single statements of a cell do to a variable, where :mod:`~mlops_jupyter.cell_names` looks at the whole cell.

That one errs on the side of too many names read, which suits a cache. Here a name too many would be a run marked for
nothing, so what is read in doubt only is left out.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mlops_jupyter.cell_magics import Cell
from mlops_jupyter.cell_names import Names, names_of

# A notebook's cells are looked at again and again, as they are edited; their syntax trees are large.
_ANSWERS, _TREES = 65_536, 256
_WORD = re.compile(r"[^\W\d]\w*")
_DEFINES = frozenset(["def", "class", "lambda"])
_LOCATORS = ("loc", "iloc", "at", "iat")


@lru_cache(_ANSWERS)
def words(source: str) -> frozenset[str]:
    """Give the words of a cell, of which some are variables; to parse it takes a hundred times as long."""
    return frozenset(_WORD.findall(source))


@lru_cache(_ANSWERS)
def names_in(source: str) -> Names:
    """Tell which variables a cell reads and writes; see :func:`~mlops_jupyter.cell_names.names_of`."""
    return names_of(source)


@lru_cache(_TREES)
def _statements(source: str) -> tuple[tuple[ast.stmt, str, Names], ...]:
    """Give the statements of a cell with their texts and names; none where it can't be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever runs the cell is warned then
            texts = [(statement, ast.unparse(statement)) for statement in Cell(source).statements(source)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple((statement, text, names_of(text)) for statement, text in texts)


@lru_cache(_ANSWERS)
def read_at_once(source: str) -> frozenset[str]:
    """Give the names that a cell surely reads while it runs, and not only in functions that are called later."""
    names = names_in(source)
    read = set(names.read)
    for name in read & set(names.written):
        # After a loop that binds it, say, it is read from before in doubt only.
        first = next((each for _, _, each in _statements(source) if name in (*each.read, *each.written)), None)
        if first is not None and name not in first.read:
            read.discard(name)
    return frozenset(read & _at_once(source, names))


def _at_once(source: str, names: Names) -> set[str]:
    """Leave out what functions load: it is read unless the cell binds it after them."""
    if not names.read or not words(source) & _DEFINES:
        return set(names.read)
    bound = names_of(f"{source}\n{' = '.join(names.read)} = None")
    return set(bound.read) if set(names.read) <= set(bound.written) else set(names.read)


@lru_cache(_ANSWERS)
def read_later(source: str, name: str) -> frozenset[str]:
    """Give the names that are read when somebody uses a function, or a class, that a cell defines."""
    found: set[str] = set()
    for _, text, names in _statements(source) if words(source) & _DEFINES else ():
        if name in names.written:
            found |= set(names.read) - _at_once(text, names)
    return frozenset(found)


@lru_cache(_ANSWERS)
def made_of_nothing(source: str, name: str) -> tuple[str, ...]:
    """Give the statements that make a variable of nothing else, as imports and plain values do.

    Args:
        source: The cell.
        name: The variable.

    Returns:
        Their texts, which are the same where the variable is; none where it depends on anything.
    """
    found: list[str] = []
    for statement, text, names in _statements(source):
        if name in names.written:
            if names.read:
                return ()
            found.append(_import_of(statement, name) or text)
    return tuple(found)


def _import_of(statement: ast.stmt, name: str) -> str:
    """Give the part of an import that binds a name."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return ""
    origin = f"{'.' * statement.level}{statement.module or ''}" if isinstance(statement, ast.ImportFrom) else ""
    found = [each for each in statement.names if name == (each.asname or each.name.partition(".")[0])]
    return f"{origin} {found[-1].name}" if found else ""


@dataclass(frozen=True)
class Parts:
    """What a cell has to do with the parts of a variable: a frame's columns, a dictionary's items.

    Args:
        written: The keys of the parts that it sets.
        read: The keys of those that it may look at; None where it may look at any.
    """

    written: frozenset[str]
    read: frozenset[str] | None


@lru_cache(_ANSWERS)
def parts(source: str, name: str) -> Parts | None:
    """Tell which parts of a variable a cell sets, where that is all that it does to it.

    Args:
        source: The cell.
        name: The variable.

    Returns:
        The parts; None where the cell makes the variable anew, or makes of it what depends on how it was: executed
        twice, such a cell does not do the same.
    """
    written: set[str] = set()
    read: set[str] | None = set()
    if f"{name}[" not in source and f"{name}." not in source:
        return None
    for statement, _, names in _statements(source):
        looked_at = _looked_at(statement, name) if name in (*names.read, *names.written) else set()
        if name in names.written:
            keys = _set_keys(statement, name)
            if not keys or looked_at is None or looked_at & keys:
                return None
            written |= keys
        if not _is_shown(statement):
            read = None if read is None or looked_at is None else read | looked_at
    return Parts(frozenset(written), None if read is None else frozenset(read)) if written else None


def _is_shown(statement: ast.stmt) -> bool:
    """Tell whether a statement only shows something."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in ("display", "print")
    return isinstance(value, ast.Name)


def _set_keys(statement: ast.stmt, name: str) -> set[str]:
    """Give the keys that a plain assignment sets; none where it is anything else."""
    if not isinstance(statement, ast.Assign):
        return set()
    found = [_key(target) for target in statement.targets if _is_of(target, name)]
    return set() if "" in found else set(found)


def _key(target: ast.expr) -> str:
    """Give the key of ``v["k"]``, ``v.k`` or ``v.loc[rows, "k"]``; empty for anything deeper."""
    if isinstance(target, ast.Attribute):
        return target.attr if isinstance(target.value, ast.Name) else ""
    if not isinstance(target, ast.Subscript):
        return ""
    if isinstance(target.value, ast.Name):
        return _text(target.slice)
    is_located = isinstance(target.value, ast.Attribute) and target.value.attr in _LOCATORS
    if not is_located or not isinstance(target.slice, ast.Tuple) or not target.slice.elts:
        return ""
    return _text(target.slice.elts[-1])


def _is_of(node: ast.expr, name: str) -> bool:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node))


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def _looked_at(statement: ast.stmt, name: str) -> set[str] | None:
    """Give the keys that a statement may look at in a variable; None where it takes all of it."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    inside: set[ast.AST] = set()
    for target in targets:
        inside |= _own_nodes(target) if _is_of(target, name) else set()
    found: set[str] = set()
    for node in _without(statement, inside):
        if isinstance(node, ast.Attribute | ast.Subscript) and _is_name(node.value, name):
            inside.add(node.value)
            found.add(node.attr if isinstance(node, ast.Attribute) else _text(node.slice))
        elif _is_name(node, name):
            return None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def _own_nodes(target: ast.expr) -> set[ast.AST]:
    """Give the nodes of a target that say which part is set, and look at nothing."""
    found: set[ast.AST] = set()
    node = target
    while isinstance(node, ast.Attribute | ast.Subscript):
        found.add(node)
        if isinstance(node, ast.Subscript):
            last = node.slice.elts[-1:] if isinstance(node.slice, ast.Tuple) else [node.slice]
            found |= {each for each in last if isinstance(each, ast.Constant)}
        node = node.value
    return found | {node}


def _without(statement: ast.stmt, left_out: set[ast.AST]) -> Iterator[ast.AST]:
    """Go through a statement; what is added meanwhile to those left out is left out, too."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if node not in left_out:
            yield node
        stack += ast.iter_child_nodes(node)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
