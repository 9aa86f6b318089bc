"""What becomes of a line magic's value: whether it is shown, kept, or goes nowhere.

IPython shows the value of a cell's last line only. A refused promotion, or a snapshot that leaves a variable out, must
be seen where its line stands in the middle of a cell, too; one that is assigned or shown anyway must not be seen twice.
Inside ``%%time`` and its like IPython keeps no source, and nothing can be told.
"""

from __future__ import annotations

import ast
import linecache
import sys
from types import FrameType
from typing import Literal


def fate_of_value(interactivity: str) -> Literal["shown", "discarded", "kept"]:
    """Tell what becomes of the value of the line magic that is running now.

    Args:
        interactivity: IPython's ``ast_node_interactivity``.

    Returns:
        ``shown`` by IPython; ``discarded``, being a statement whose value nobody looks at; else ``kept``, also where it
        can't be told.
    """
    frame = _caller(sys._getframe())
    if frame is None:
        return "kept"
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return "kept"
    line = frame.f_lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and node.lineno <= line <= (node.end_lineno or line) and _is_magic(node.value):
            shown = tree.body if interactivity == "all" else tree.body[-1:]
            return "shown" if node in shown and interactivity != "none" else "discarded"
    return "kept"


def _caller(frame: FrameType | None) -> FrameType | None:
    """Give the frame of the user's that called the magic."""
    while frame is not None and frame.f_code.co_name != "run_line_magic":
        frame = frame.f_back
    return frame.f_back if frame is not None else None


def _is_magic(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "run_line_magic"
