"""How an error is told in a notebook: two lines, the cell fails, and no traceback."""

from __future__ import annotations

from mlops_jupyter.errors import MlopsError


class MlopsMagicError(Exception):
    """An error of ours as the notebook shows it; IPython asks it for its own traceback."""

    def __init__(self, error: MlopsError) -> None:
        super().__init__(str(error))
        self.error = error

    def _render_traceback_(self) -> list[str]:
        lines = [f"\x1b[31m{self.error.message}\x1b[0m"]
        return [*lines, self.error.hint] if self.error.hint else lines
