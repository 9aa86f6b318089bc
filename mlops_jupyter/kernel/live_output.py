"""A place among a cell's outputs whose content can be replaced, and the widget that shows what is live there.

Messages name the cell that they belong to themselves: ipykernel 6 has one parent for the whole process, ipykernel 7 one
a context, and a thread's own messages would go to either. What the widget sends belongs to no cell at all: a front end
finds a widget by its id, and a program that executes notebooks would keep the state of one that has long been closed.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from comm.base_comm import BaseComm

from mlops_jupyter.display import Shown

_VIEW = "application/vnd.jupyter.widget-view+json"


class Place:
    """A place among the outputs of the cell that runs now.

    Args:
        shell: IPython's shell, in a kernel.
        cell: The cell's id in the notebook, if anyone knows.
    """

    def __init__(self, shell: Any, cell: str | None) -> None:
        self._publisher = shell.display_pub
        self._id = uuid.uuid4().hex
        self._parent = self._own = shell.get_parent()
        self._cell = cell
        self.is_shown = False
        self._is_cleared = False
        self._publisher.register_hook(self._look)

    @classmethod
    def here(cls, shell: Any, cell: str | None) -> Place | None:
        """Make one; None where outputs go to a terminal, or are captured."""
        is_kernels = getattr(shell, "kernel", None) is not None and hasattr(shell.display_pub, "pub_socket")
        return cls(shell, cell) if is_kernels else None

    @property
    def is_there(self) -> bool:
        """Whether something is shown there, and can still be replaced."""
        return self.is_shown and not self._is_cleared

    @property
    def is_cleared(self) -> bool:
        """Whether the cell's outputs were taken away, by its own code or because it is executed again."""
        return self._is_cleared

    def cell_begins(self, parent: Any, cell: str | None) -> None:
        """Note that another cell begins: a program that executes notebooks listens to that one alone from now on."""
        self._parent = parent
        if cell is not None and cell == self._cell:
            self._is_cleared = self.is_shown

    def show(self, shown: Shown, panel: Panel | None = None) -> None:
        """Show something there, in the place of what was shown before.

        Args:
            shown: What a notebook keeps.
            panel: What is live, for a front end that has widgets.
        """
        data = {"text/html": shown._repr_html_(), "text/plain": str(shown)}
        if panel is not None:
            data |= panel.view
        content = {"data": data, "metadata": {}, "transient": {"display_id": self._id}}
        kind = "update_display_data" if self.is_shown else "display_data"
        self.is_shown = True
        publisher = self._publisher
        publisher.session.send(publisher.pub_socket, kind, content, parent=self._parent, ident=publisher.topic)

    def leave(self) -> None:
        """Let go of the publisher."""
        self._publisher.unregister_hook(self._look)

    def _look(self, message: dict[str, Any]) -> dict[str, Any]:
        own = self._own.get("header", {}).get("msg_id")
        if message["msg_type"] == "clear_output" and message["parent_header"].get("msg_id") == own:
            # Within an Output widget it is the widget that is cleared.
            self._is_cleared = self.is_shown and not _is_captured(own)
        return message


def _is_captured(cell: str) -> bool:
    widgets = sys.modules.get("ipywidgets.widgets.widget")
    made = list(getattr(widgets, "_instances", {}).values())
    return any(getattr(widget, "msg_id", "") == cell for widget in made)


def import_widgets() -> None:
    """Import ipywidgets, which takes a while, before anything waits for it."""
    import ipywidgets  # type: ignore[import-untyped]  # noqa: F401


class _Comm(BaseComm):
    """A widget's comm whose messages belong to no cell.

    Args:
        kernel: The kernel.
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._is_told = False
        super().__init__(target_name="jupyter.widget", primary=False)

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        """Send a message; none before the one that opens the comm, which has all that a widget is made with."""
        self._is_told = self._is_told or msg_type == "comm_open"
        if self._is_told:
            content = {"data": data or {}, "comm_id": self.comm_id, **keys}
            more = {"metadata": metadata or {}, "parent": {}, "ident": self.topic, "buffers": buffers}
            self._kernel.session.send(self._kernel.iopub_socket, msg_type, content, **more)


class Panel:
    """A widget of two parts: a head that changes every second, and a body that changes with the metrics.

    Args:
        shell: IPython's shell, in a kernel.
        head: What the head shows at first.
        body: What the body shows at first.
    """

    def __init__(self, shell: Any, head: str, body: str) -> None:
        from ipywidgets import HTML, Layout, VBox
        from ipywidgets.widgets.widget_string import HTMLStyle  # type: ignore[import-untyped]

        self._kernel = shell.kernel
        self._made: list[Any] = []
        self._layout = self._make(Layout, width="100%", margin="0")
        style = self._make(HTMLStyle)
        self._head = self._make(HTML, value=head, layout=self._layout, style=style)
        self._body = self._make(HTML, value=body, layout=self._layout, style=style)
        self._box = self._make(VBox, children=[self._head, self._body], layout=self._layout)

    def _make(self, kind: Any, **traits: Any) -> Any:
        from ipywidgets import __protocol_version__

        comm = _Comm(self._kernel)
        widget = kind(comm=comm, **traits)
        self._made.append(widget)
        data = {"state": widget.get_state(), "buffer_paths": []}
        comm.open(data=data, metadata={"version": __protocol_version__})
        return widget

    @cached_property
    def view(self) -> Mapping[str, Any]:
        """The part of a mime bundle that says which widget to show."""
        return {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}}

    def update(self, head: str, body: str) -> None:
        """Show something else; what has not changed is not sent."""
        self._head.value = head
        self._body.value = body

    def close(self) -> None:
        """Take the widget away, and all that it was made of."""
        while self._made:
            self._made.pop().close()
