"""What single nodes of Python's syntax say of names; see :mod:`.cell_names`."""

from __future__ import annotations

import ast
import builtins

# The attribute that holds the name that a statement or a pattern binds.
_NAMES_OF: dict[type[ast.AST], str] = {
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), "name"),
    **dict.fromkeys((ast.ExceptHandler, ast.MatchAs, ast.MatchStar), "name"),
    ast.MatchMapping: "rest",
}

#: The first few are IPython's, which are built in as long as a cell runs; the others Python knows in every class.
BUILTINS = frozenset({*dir(builtins), "display", "get_ipython", "__class__", "__module__", "__qualname__"}) - {"_"}

#: Context managers that are known to let exceptions through; of any other nobody knows.
LETS_THROUGH = frozenset(
    [
        *("open", "closing", "redirect_stdout", "redirect_stderr", "nullcontext", "catch_warnings", "chdir"),
        *("TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile", "ZipFile", "connect", "begin", "urlopen"),
        *("Lock", "RLock", "lock", "Pool", "ThreadPoolExecutor", "ProcessPoolExecutor", "Client", "LocalCluster"),
        *("errstate", "printoptions", "option_context", "ExcelWriter", "HDFStore", "config_context", "style"),
        *("no_grad", "inference_mode", "autocast", "enable_grad", "device", "GradientTape", "profile"),
        *("run", "start_run", "start_span", "tqdm", "Session", "rc_context", "pm", "Model"),
    ]
)

#: Decorators that are known not to call what they are given; of any other nobody knows.
CALLS_LATER = frozenset(
    [
        *("cache", "lru_cache", "cached_property", "property", "staticmethod", "classmethod", "wraps", "setter"),
        *("contextmanager", "asynccontextmanager", "singledispatch", "overload", "abstractmethod", "final", "override"),
        *("jit", "njit", "vectorize", "guvectorize", "delayed", "no_grad", "inference_mode", "compile", "function"),
        *("task", "flow", "step", "fixture", "udf", "pandas_udf", "trace", "memoize", "timer", "profile"),
    ]
)


def callee(node: ast.expr) -> str:
    """Give the last part of the name of what is called, or is there."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def children(node: ast.AST) -> list[ast.AST]:
    """Give the nodes in a node, in the order of evaluation."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [child for child in value if isinstance(child, ast.AST)]
        elif isinstance(value, ast.AST) and name not in ("ctx", "op"):
            found.append(value)
    return found


def binds(node: ast.AST) -> str | None:
    """Give the name that a node itself binds, whatever is in it."""
    if isinstance(node, ast.Name):
        return None if isinstance(node.ctx, ast.Load) else node.id
    if isinstance(node, ast.alias):
        return imported(node)
    name: str | None = getattr(node, _NAMES_OF.get(type(node), ""), None)
    return name


def imported(node: ast.alias) -> str:
    """Give the name that an import binds."""
    return node.asname or node.name.partition(".")[0]
