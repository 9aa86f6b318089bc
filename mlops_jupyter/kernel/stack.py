"""Which cells are being executed, as the stack has it."""

from __future__ import annotations

import inspect
from types import FrameType


def running_cells() -> list[FrameType]:
    """Give the frames of the cells that are being executed in this thread, the innermost first."""
    found, frame = [], inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "run_cell_async":
            found.append(frame)
        frame = frame.f_back
    return found


def a_cell_runs() -> bool:
    """Tell whether we are called by a cell of the history; when the sidebar loads us, none runs.

    IPython notes a cell when it begins, and its counter went up at the end of a cell once and at its beginning now:
    whether the last one has ended is told by nothing but the stack.
    """
    return any(frame.f_locals.get("store_history") for frame in running_cells())
