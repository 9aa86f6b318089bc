"""Which variables of the notebook a cell reads and writes, told from its source alone.

:class:`_Walk` goes through it in the order of execution, a magic being what :mod:`.cell_magics` says. It keeps the
names that the cell has bound for sure, in layers: what one branch binds is in the branch's own layer, and goes with it
unless the other branches bind it too. A name that is loaded and in no layer comes from outside, and is read.

In doubt a name is read: a name too many costs a cell that need not be run, a name too few an answer that is wrong.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from mlops_jupyter.cell_magics import Cell, Magic
from mlops_jupyter.cell_syntax import BUILTINS, CALLS_LATER, LETS_THROUGH, binds, callee, children, imported

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


@dataclass(frozen=True)
class Names:
    """The variables of the notebook that a cell has to do with.

    Args:
        read: The names whose values from before the cell it may use, sorted.
        written: The names that it binds, deletes, or whose objects it changes by assignment, sorted.
        is_known: Whether it could be looked into; where not, it may read and write anything.
    """

    read: tuple[str, ...]
    written: tuple[str, ...]
    is_known: bool = True


def names_of(source: str) -> Names:
    """Tell which variables a cell reads and writes, without executing anything.

    Args:
        source: The cell, with IPython's syntax.

    Returns:
        The names; none where the source is no Python, and not known where it is nested too deeply to be looked into.
    """
    cell = Cell(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever runs the cell is warned then
            statements = cell.statements(source)
        walk = _Walk(cell.magics)
        walk.visit(statements)
    except (SyntaxError, ValueError):
        return Names((), ())
    except (RecursionError, MemoryError):  # the parser's, or ours, of deep nesting
        return Names((), (), is_known=False)
    return walk.names()


@dataclass(eq=False)
class _Scope:
    """What lies between a name and the notebook's variables: a body, a comprehension, or the types of a generic.

    Args:
        kind: Of a ``class`` the names that are bound so far count, of the others those that are bound anywhere.
        own: The names that it binds, and that are its own unless they are shared; a class's are in the layers.
        shared: The names that it declares ``global``.
    """

    kind: Literal["function", "class", "comprehension", "types"]
    own: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)


_Bound = str | tuple[_Scope, str]


class _Walk:
    """One pass over a cell.

    Args:
        magics: What the names that stand for magics mean.
    """

    def __init__(self, magics: dict[str, Magic]) -> None:
        self._magics = magics
        self._read: set[str] = set()
        self._written: set[str] = set()
        # What function bodies load; read unless the cell binds it after.
        self._later: set[str] = set()
        # What the functions and classes of the cell load, by their names, until these are used.
        self._waiting: dict[str, set[str]] = {}
        self._in_function = False
        self._layers: list[set[_Bound]] = [set()]
        self._scopes: list[_Scope] = []

    def names(self) -> Names:
        """Give what was found."""
        read = self._read | {name for name in self._later if name not in self._layers[0]}
        # A builtin is a variable where the cell makes it one.
        variables = {name for name in read if name not in BUILTINS or name in self._written}
        return Names(tuple(sorted(variables)), tuple(sorted(self._written)))

    def visit(self, nodes: Iterable[ast.AST | None]) -> None:
        """Go through nodes and what is in them, in the order of execution."""
        stack = [*nodes][::-1]
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind is ast.Name:
                self._load(node.id)  # type: ignore[union-attr]
            elif kind in _VISITS:
                _VISITS[kind](self, node)
            elif node is not None:
                stack += children(node)[::-1]

    def _load(self, name: str) -> None:
        magic = self._magics.get(name)
        if magic is not None and magic.apart:
            self.function([], magic.statements, at_once=True)
        elif magic is not None:
            self.visit(magic.statements)
        elif not self._scopes or self._is_notebooks(name):
            if not self._is_bound(name):
                (self._later if self._in_function else self._read).add(name)
            elif name in self._waiting and self._in_function:
                self._later.add(name)
            elif name in self._waiting:
                self._use(name)

    def _use(self, name: str) -> None:
        """Take it that a function is called here, or a class: what it loads is there, or comes from outside."""
        waiting = [name]
        while waiting:
            loaded = self._waiting.pop(waiting.pop(), set())
            waiting += [each for each in loaded if each in self._waiting]
            self._read |= {each for each in loaded if not self._is_bound(each)}

    @contextmanager
    def _defining(self, names: Iterable[str]) -> Iterator[None]:
        """Go into what is executed when one of these names is used, which may be before the cell ends."""
        before, self._later = self._later, set()
        yield
        if all(scope.kind == "types" for scope in self._scopes):
            self._waiting |= dict.fromkeys(names, self._later)
        self._later = before | self._later

    def _is_bound(self, name: _Bound) -> bool:
        return any(name in layer for layer in self._layers)

    def _is_notebooks(self, name: str) -> bool:
        """Tell whether a name here is a variable of the notebook, and of no scope around."""
        sees_class = True
        for scope in reversed(self._scopes):
            if name in scope.shared:
                return True
            if name in scope.own or (sees_class and scope.kind == "class" and self._is_bound((scope, name))):
                return False
            sees_class = sees_class and scope.kind == "types"
        return True

    def _bind(self, name: str) -> None:
        for scope in reversed(self._scopes):
            if name in scope.shared:
                break
            if scope.kind == "class":
                self._layers[-1].add((scope, name))
                return
            if scope.kind == "function" or name in scope.own:
                return
        self._written.add(name)
        self._layers[-1].add(name)

    @contextmanager
    def _maybe(self) -> Iterator[set[_Bound]]:
        """Go into what may not be run; gives what it binds, which is not bound for sure after."""
        layer: set[_Bound] = set()
        outside, self._later = self._later, set()
        waiting = dict(self._waiting)
        self._layers.append(layer)
        yield layer
        self._layers.pop()
        # What is used here may not have been.
        self._waiting = {**self._waiting, **waiting}
        # A function that the branch defines sees what the branch binds after it.
        outside |= self._later if self._in_function else {name for name in self._later if name not in layer}
        self._later = outside

    @contextmanager
    def _inside(self, scope: _Scope) -> Iterator[None]:
        self._scopes.append(scope)
        yield
        self._scopes.pop()

    @contextmanager
    def _generic(self, node: ast.AST) -> Iterator[None]:
        """Go into what sees the ``[T]`` after a name, which Python has from 3.12."""
        types = getattr(node, "type_params", ())
        with self._inside(_Scope("types", {parameter.name for parameter in types})):
            self.visit(types)
            yield

    def _either(self, *branches: Iterable[ast.AST]) -> None:
        layers = []
        for branch in branches:
            with self._maybe() as layer:
                self.visit(branch)
            layers.append(layer)
        self._layers[-1] |= set.intersection(*layers)

    # Targets

    def target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name):
            self._bind(node.id)
        elif isinstance(node, ast.Tuple | ast.List):
            for element in node.elts:
                self.target(element)
        elif isinstance(node, ast.Starred):
            self.target(node.value)
        else:
            self.visit(children(node))
            self._change(node)

    def _change(self, node: ast.expr) -> None:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if isinstance(node, ast.Name) and self._is_notebooks(node.id):
            self._written.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._value(node.value, [target.id for target in node.targets if isinstance(target, ast.Name)])
        for target in node.targets:
            self.target(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._value(node.value, [node.target.id] if isinstance(node.target, ast.Name) else [])
        self.visit([node.annotation])
        if node.value is not None:
            self.target(node.target)
        elif not isinstance(node.target, ast.Name):
            self.visit([node.target])

    def _value(self, node: ast.expr | None, names: Iterable[str]) -> None:
        # A lambda with a name is a function; any other is taken to be called where it stands.
        if isinstance(node, ast.Lambda):
            with self._defining(names):
                self.visit_Lambda(node, at_once=False)
        else:
            self.visit([node])

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit([node.target, node.value])
        if isinstance(node.target, ast.Name):
            self._bind(node.target.id)
        else:
            self._change(node.target)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Del):
                    self._load(name.id)  # it must be there
            self.target(target)  # what is loaded after is not from outside, as if it were bound

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit([node.value])
        self._bind(node.target.id)

    def visit_alias(self, node: ast.alias) -> None:
        if node.name != "*":
            self._bind(imported(node))

    # Branches

    def visit_If(self, node: ast.If) -> None:
        self.visit([node.test])
        self._either(node.body, node.orelse)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit([node.test])
        self._either([node.body], [node.orelse])

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[:1])
        self._either(node.values[1:], [])

    def visit_Compare(self, node: ast.Compare) -> None:
        self.visit([node.left, node.comparators[0]])
        if len(node.comparators) > 1:
            self._either(node.comparators[1:], [])

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit([node.test])
        self._either([node.msg] if node.msg else [], [])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit([node.iter])
        with self._maybe():
            self.target(node.target)
            self.visit(node.body)
        self._either(node.orelse, [])

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        self.visit([node.test])
        self._either(node.body, [])
        self._either(node.orelse, [])

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        self.visit(node.items)
        # What swallows an exception ends the block anywhere in it.
        if all(callee(item.context_expr) in LETS_THROUGH for item in node.items):
            self.visit(node.body)
        else:
            self._either(node.body, [])

    visit_AsyncWith = visit_With

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit([node.context_expr])
        if node.optional_vars is not None:
            self.target(node.optional_vars)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        with self._maybe() as layer:
            self.visit([*node.body, *node.orelse])
        layers = [layer]
        for handler in node.handlers:
            with self._maybe() as layer:
                self.visit([handler.type])
                if handler.name:
                    self._bind(handler.name)
                self.visit(handler.body)
            layers.append(layer)
        with self._maybe() as layer:  # after any part of the body
            self.visit(node.finalbody)
        self._layers[-1] |= set.intersection(*layers) | layer

    visit_TryStar = visit_Try

    def visit_Match(self, node: ast.Match) -> None:
        self.visit([node.subject])
        last = node.cases[-1]
        catches_all = last.guard is None and isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        cases = [children(case) for case in node.cases]
        self._either(*cases, *([] if catches_all else [[]]))

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        self.visit(children(node))
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name is not None:
            self._bind(name)

    visit_MatchStar = visit_MatchMapping = visit_MatchAs

    # Scopes

    def function(self, parameters: Iterable[str], body: Sequence[ast.AST], *, at_once: bool) -> None:
        scope = _Scope("function", set(parameters))
        self._declare(scope, body)
        outside, self._in_function = self._in_function, self._in_function or not at_once
        with self._maybe(), self._inside(scope):
            self.visit(body)
        self._in_function = outside

    def _declare(self, scope: _Scope, body: Sequence[ast.AST]) -> None:
        """Find what a function's body binds, and what it declares global, wherever in it that stands."""
        stack = list(body)
        while stack:
            node = stack.pop()
            name = binds(node)
            if name is not None:
                scope.own.add(name)
            if isinstance(node, ast.Global):
                scope.shared.update(node.names)
            elif isinstance(node, _Function | ast.ClassDef):
                stack += [child for child in children(node) if not isinstance(child, ast.stmt)]
            elif isinstance(node, ast.Lambda):
                stack.append(node.args)
            elif isinstance(node, ast.comprehension):
                stack += [node.iter, *node.ifs]
            elif isinstance(node, ast.Name) and node.id in self._magics and not self._magics[node.id].apart:
                stack += self._magics[node.id].statements
            else:
                stack += children(node)

    def visit_FunctionDef(self, node: _Function) -> None:
        self.visit(node.decorator_list)
        with self._generic(node):
            parameters = self._signature(node.args)
            self.visit([node.returns])
            with self._defining([node.name]):
                self.function(parameters, node.body, at_once=False)
        if not self._scopes and any(callee(each) not in CALLS_LATER for each in node.decorator_list):
            self._use(node.name)
        self._bind(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda, *, at_once: bool = True) -> None:
        self.function(self._signature(node.args), [node.body], at_once=at_once)

    def _signature(self, node: ast.arguments) -> list[str]:
        parameters = [child for child in children(node) if isinstance(child, ast.arg)]
        self.visit([*node.defaults, *node.kw_defaults, *(parameter.annotation for parameter in parameters)])
        return [parameter.arg for parameter in parameters]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit(node.decorator_list)
        with self._generic(node):
            self.visit([*node.bases, *node.keywords])
            with self._defining([node.name]), self._inside(_Scope("class")):
                self.visit(node.body)
        self._bind(node.name)

    def visit_TypeAlias(self, node: Any) -> None:  # ast.TypeAlias, of Python 3.12 and later
        with self._generic(node):
            self.function([], [node.value], at_once=False)
        self._bind(node.name.id)

    def visit_ListComp(self, node: _Comprehension) -> None:
        first, *_ = node.generators
        self.visit([first.iter])
        own = {binds(name) or "" for part in node.generators for name in ast.walk(part.target)}
        with self._maybe(), self._inside(_Scope("comprehension", own)):
            for part in node.generators:
                self.visit([part.iter] if part is not first else [])
                self.target(part.target)
                self.visit(part.ifs)
            self.visit([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def visit_Global(self, node: ast.Global) -> None:
        if self._scopes:  # a class's: nothing of it is known before
            self._scopes[-1].shared.update(node.names)


_VISITS: dict[type[ast.AST], Callable[[_Walk, Any], None]] = {
    getattr(ast, name[6:]): method
    for name, method in vars(_Walk).items()
    if name.startswith("visit_") and hasattr(ast, name[6:])  # not every Python has every node
}
