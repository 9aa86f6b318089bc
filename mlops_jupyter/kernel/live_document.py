"""The notebook as it stands in the editor, where the editor is JupyterLab with our extension.

The kernel opens a comm when ``%load_ext`` is executed. Whoever edits the notebook sends its code cells on it before it
sends a cell to be executed; an editor that knows nothing of it closes the comm, or leaves it alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mlops_jupyter.tracking import context
from mlops_jupyter.tracking.lineage import Document, DocumentCell

TARGET = "mlops.document"
# What a Jupyter server leaves in the environment of a kernel that it has started for a notebook.
_SESSION = "JPY_SESSION_NAME"


class LiveDocument:
    """Keeps :data:`context.current` up to date with the editor.

    Args:
        shell: IPython's shell; without a kernel nothing happens.
        changed: Called when the editor has sent the notebook; it must not raise.
    """

    def __init__(self, shell: Any, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._comm: Any = None
        # A program that executes notebooks has no editor, and tells its user of a comm that it does not know.
        if getattr(shell, "kernel", None) is not None and _SESSION in os.environ:
            from comm import create_comm

            self._comm = create_comm(target_name=TARGET)
            self._comm.on_msg(self._receive)

    def close(self) -> None:
        """Stop listening."""
        if self._comm is not None:
            self._comm.close()
        context.current.document = None

    def _receive(self, message: dict[str, Any]) -> None:
        cells = message["content"]["data"].get("cells")
        if not isinstance(cells, list):
            return  # of another version of the extension
        known = (cell for cell in cells if isinstance(cell, dict) and isinstance(cell.get("source"), str))
        found = tuple(DocumentCell(cell.get("id"), cell["source"]) for cell in known)
        context.current.document = Document("live", found)
        self._changed()
