"""The extension: what IPython is told of us when we are loaded. What it takes to carry out a verb is imported later.

``%load_ext`` stands in the first cell of a notebook, and most notebooks that have it are waiting for it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_jupyter.journal import Journal
from mlops_jupyter.kernel.completion import Completer
from mlops_jupyter.kernel.live_document import LiveDocument
from mlops_jupyter.kernel.recorder import Recorder
from mlops_jupyter.kernel.rewriting import rewrite
from mlops_jupyter.kernel.stack import a_cell_runs, running_cells
from mlops_jupyter.tracking import context

if TYPE_CHECKING:
    from mlops_jupyter.kernel.desk import Desk
    from mlops_jupyter.session import Session


class Extension:
    """Serves one shell.

    Args:
        shell: IPython's shell.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.journal = Journal()
        self.recorder = Recorder(self.journal)
        self._completer = Completer(self)

    @cached_property
    def desk(self) -> Desk:
        """What carries out verbs."""
        from mlops_jupyter.kernel.desk import Desk

        return Desk(self)

    @property
    def session(self) -> Session:
        """The session.

        Raises:
            ConfigError: ``mlops.toml`` is wrong.
        """
        return self.desk.session

    def install(self) -> None:
        """Register magics, events and completion; import nothing heavy."""
        self._recall()
        context.current.active = True
        context.current.notebook = self.notebook()
        shell = self.shell
        shell.register_magic_function(_LineMagic(self), "line", "mlops")
        shell.register_magic_function(_CellMagic(self), "cell", "mlops")
        shell.events.register("pre_run_cell", self._pre_run_cell)
        shell.events.register("post_run_cell", self._post_run_cell)
        shell.input_transformers_cleanup.append(rewrite)
        shell.Completer.custom_matchers.append(self._completer.matcher)
        self._document = LiveDocument(shell, self._look_again)

    def uninstall(self) -> None:
        """Take all of it away again."""
        shell = self.shell
        shell.events.unregister("pre_run_cell", self._pre_run_cell)
        shell.events.unregister("post_run_cell", self._post_run_cell)
        shell.input_transformers_cleanup.remove(rewrite)
        shell.Completer.custom_matchers.remove(self._completer.matcher)
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop("mlops", None)
        self._document.close()
        if "desk" in vars(self):
            self.desk.close()
        context.current.active = False

    def _recall(self) -> None:
        """Take the cells executed before we were loaded from IPython's own history."""
        history = getattr(self.shell, "history_manager", None)
        sources = list(getattr(history, "input_hist_raw", None) or self.shell.user_ns.get("In", []))
        running = len(sources) > 1 and a_cell_runs()
        self.recorder.recall(sources[1:-1] if running else sources[1:], sources[-1] if running else None)

    def notebook(self) -> Path | None:
        """Give the notebook's file, as far as anyone has said."""
        named = self.shell.user_ns.get("__vsc_ipynb_file__")
        return Path(named) if isinstance(named, str) else context.find_notebook()

    def _pre_run_cell(self, info: Any) -> None:
        # The cell that is about to run is on the stack already, and not yet noted.
        while self.recorder.is_stale(len(running_cells()) - 1):
            self._ended(self.recorder.drop(), RuntimeError("the cell's exception could not be shown"))
        self.recorder.pre_run_cell(info)
        if "desk" in vars(self):
            self.desk.cell_begins()
        self._look_again()

    def _look_again(self) -> None:
        if "desk" in vars(self):
            self.desk.look_again()

    def _post_run_cell(self, result: Any) -> None:
        self._ended(self.recorder.post_run_cell(result), result.error_before_exec or result.error_in_exec)

    def _ended(self, depth: int, error: BaseException | None) -> None:
        if "desk" in vars(self):  # before the first verb there is nothing that a cell could end
            self.desk.cell_ended(depth, error)


class _LineMagic:
    """``%mlops``; IPython takes its documentation from here, which is made when somebody asks."""

    __name__ = "mlops"

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"Experiments, notebook state, models and pipelines.\n\n{self._extension.desk.handbook.help()}"

    def __call__(self, line: str) -> Any:
        return self._extension.desk.line(line)


class _CellMagic(_LineMagic):
    """``%%mlops``."""

    def __call__(self, line: str, cell: str = "") -> Any:
        return self._extension.desk.cell(line, cell)
