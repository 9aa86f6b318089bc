"""Work that takes longer than a second, among the outputs of the cell that does it."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from mlops_jupyter.display import Block, Shown
from mlops_jupyter.kernel.live_output import Place
from mlops_jupyter.progress import how_far, name_of
from mlops_jupyter.working import Work

_LOOK = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;"
    "color:var(--jp-content-font-color1,inherit);overflow-wrap:anywhere"
)


class WorkBar:
    """Shows work in a place of the cell, and leaves nothing of it there.

    Args:
        shell: IPython's shell.
        cell: Gives the id of the cell that runs now, if anyone knows.
    """

    def __init__(self, shell: Any, cell: Callable[[], str | None]) -> None:
        self._shell = shell
        self._cell = cell
        self._place: Place | None = None

    def prepare(self) -> None:
        """Note which cell it is: the thread that draws would not know."""
        self._place = Place.here(self._shell, self._cell())

    def draw(self, work: Work, seconds: float) -> None:
        """Show work, and how far it has come."""
        if self._place is not None and not self._place.is_cleared:
            far = how_far(work, seconds)
            self._place.show(_Seen(_html(work, far), f"{name_of(work)}: {far}"))

    def wipe(self) -> None:
        """Take away what was shown: all that a saved notebook has of it is an output without content."""
        place, self._place = self._place, None
        if place is None:
            return
        if place.is_there:
            place.show(_Seen("", ""))
        place.leave()


def _html(work: Work, far: str) -> str:
    name = html.escape(name_of(work))
    value = "" if work.fraction is None else f' value="{work.fraction:.3f}" max="1"'
    bar = f'<progress aria-label="{name}"{value} style="accent-color:var(--jp-brand-color1,#1976d2)"></progress>'
    return f'<div style="{_LOOK}">{name} {bar} {html.escape(far)}</div>'


class _Seen(Shown):
    """What stands in the place for the moment."""

    def __init__(self, markup: str, text: str) -> None:
        self._markup = markup
        self._text = text

    def to_json(self) -> Any:
        """Give the text."""
        return self._text

    def blocks(self) -> list[Block]:
        """Give nothing: the markup is made here."""
        return []

    def __str__(self) -> str:
        """Give the text."""
        return self._text

    def _repr_html_(self) -> str:
        return self._markup
