"""Whether a line magic's value goes nowhere.

IPython shows the value of a cell's last line only. A refused promotion, or a snapshot that leaves a variable out, must
be seen where its line stands in the middle of a cell, too; one that is assigned or shown anyway must not be seen twice.
"""

from __future__ import annotations

import ast
import linecache
import sys
from types import FrameType


def is_discarded(interactivity: str) -> bool:
    """Tell whether the line magic that is running now is a statement whose value nobody looks at.

    Args:
        interactivity: IPython's ``ast_node_interactivity``.

    Returns:
        Whether it is; False where that can't be told.
    """
    frame = _caller(sys._getframe())
    if frame is None:
        return False
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    line = frame.f_lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and node.lineno <= line <= (node.end_lineno or line) and _is_magic(node.value):
            shown = tree.body if interactivity == "all" else tree.body[-1:]
            return interactivity == "none" or node not in shown
    return False


def _caller(frame: FrameType | None) -> FrameType | None:
    """Give the frame of the user's that called the magic."""
    while frame is not None and frame.f_code.co_name != "run_line_magic":
        frame = frame.f_back
    return frame.f_back if frame is not None else None


def _is_magic(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "run_line_magic"
