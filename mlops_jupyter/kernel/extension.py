"""The extension: one session for one shell, and what IPython is told of it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from IPython.display import display

from mlops_jupyter.commands import find, parse_words
from mlops_jupyter.config import find_workspace
from mlops_jupyter.errors import MlopsError, UsageError, translate
from mlops_jupyter.handbook import Handbook, as_help
from mlops_jupyter.journal import Journal
from mlops_jupyter.kernel.cell_run import CELL_COMMANDS, CellRuns, rewrite, split_words
from mlops_jupyter.kernel.completion import Completer
from mlops_jupyter.kernel.discarded import fate_of_value
from mlops_jupyter.kernel.recorder import Recorder
from mlops_jupyter.kernel.told import MlopsMagicError
from mlops_jupyter.session import COMMANDS as SESSION_AND_WORKSPACE
from mlops_jupyter.session import Session
from mlops_jupyter.tracking import context
from mlops_jupyter.workspace import Workspace

COMMANDS = dict(sorted((SESSION_AND_WORKSPACE | CELL_COMMANDS).items()))
PREFIX = "%mlops"


class Extension:
    """Serves one shell.

    Args:
        shell: IPython's shell.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.journal = Journal()
        self.recorder = Recorder(self.journal)
        self.handbook = Handbook(COMMANDS, PREFIX, "a line %mlops VERB …, or %%mlops run … on top of a cell")
        self._session: Session | None = None
        self._cell_runs: CellRuns | None = None
        self._stamp: tuple[Any, ...] | None = None
        self._completer = Completer(self)

    def install(self) -> None:
        """Register magics, events and completion; import nothing heavy."""
        self._recall()
        context.current.active = True
        context.current.notebook = self.notebook()
        shell = self.shell
        shell.register_magic_function(self._line_magic(), "line", "mlops")
        shell.register_magic_function(self._cell_magic(), "cell", "mlops")
        shell.events.register("pre_run_cell", self._pre_run_cell)
        shell.events.register("post_run_cell", self._post_run_cell)
        shell.input_transformers_cleanup.append(rewrite)
        shell.Completer.custom_matchers.append(self._completer.matcher)

    def uninstall(self) -> None:
        """Take all of it away again."""
        shell = self.shell
        shell.events.unregister("pre_run_cell", self._pre_run_cell)
        shell.events.unregister("post_run_cell", self._post_run_cell)
        shell.input_transformers_cleanup.remove(rewrite)
        shell.Completer.custom_matchers.remove(self._completer.matcher)
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop("mlops", None)
        context.current.active = False

    def _recall(self) -> None:
        """Take the cells executed before we were loaded from IPython's own history."""
        history = getattr(self.shell, "history_manager", None)
        sources = list(getattr(history, "input_hist_raw", None) or self.shell.user_ns.get("In", []))
        running = len(sources) > 1 and _a_cell_runs()
        self.recorder.recall(sources[1:-1] if running else sources[1:], sources[-1] if running else None)

    def notebook(self) -> Path | None:
        """Give the notebook's file, as far as anyone has said."""
        named = self.shell.user_ns.get("__vsc_ipynb_file__")
        return Path(named) if isinstance(named, str) else context.find_notebook()

    @property
    def session(self) -> Session:
        """The session; opened again when the workspace or its settings have changed.

        Raises:
            ConfigError: ``mlops.toml`` is wrong.
        """
        notebook = self.notebook()
        start = notebook.parent if notebook is not None and notebook.parent.is_dir() else None
        root, _ = find_workspace(start=start)
        file = root / "mlops.toml"
        variables = tuple(os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"))
        stamp = (root, file.stat().st_mtime_ns if file.is_file() else 0, variables)
        if self._session is None or stamp != self._stamp:
            workspace = Workspace.open(start=start, notify=self._notify)
            if self._session is None:
                self._session = Session(workspace, self.shell.user_ns, self.journal, self.notebook)
                self._cell_runs = CellRuns(self._session, self.recorder)
            else:
                self._session.workspace = workspace
            context.current.root, context.current.notebook = root, notebook
            self._stamp = stamp
        return self._session

    def _notify(self, event: Any) -> None:
        from mlops_jupyter.progress import line_for

        text = line_for(event)
        if text:
            print(text, flush=True)

    def call(self, words: Sequence[str]) -> Any:
        """Carry out the words after ``%mlops``.

        Args:
            words: The verb and its arguments; none means ``status``.

        Returns:
            The result.

        Raises:
            MlopsError: What is wrong, and what to do.
        """
        if words and words[0].startswith("--workspace"):
            raise UsageError(
                "a notebook works in the workspace of its folder", "%env MLOPS_WORKSPACE=DIR names another"
            )
        found, rest = find(COMMANDS, as_help(COMMANDS, words) or ["status"])
        if found.verb == "help":
            return found.call(self.handbook, parse_words(found, rest))
        session = self.session
        arguments = parse_words(found, rest)
        if found.verb in CELL_COMMANDS:
            return found.call(self._cell_runs, arguments)
        return found.call(session if found.needs == "session" else session.workspace, arguments)

    def _line_magic(self) -> Any:
        def mlops(line: str) -> Any:
            # A line that ends with a semicolon is one whose value is not to be shown, in IPython.
            wanted = line.rstrip().removesuffix(";")
            result = self._answer(wanted)
            fate = fate_of_value(self.shell.ast_node_interactivity)
            if fate == "discarded" and result is not None and line.split()[:1] != ["log"] and wanted == line.rstrip():
                display(result)  # type: ignore[no-untyped-call]
            return None if fate == "shown" and wanted != line.rstrip() else result

        mlops.__doc__ = self._doc()
        return mlops

    def _cell_magic(self) -> Any:
        def mlops(line: str, cell: str) -> Any:
            return self._run_cell(line, cell)

        mlops.__doc__ = self._doc()
        return mlops

    def _doc(self) -> str:
        return f"Experiments, notebook state, models and pipelines.\n\n{self.handbook.help()}"

    def _answer(self, line: str) -> Any:
        debug = False
        try:
            words = split_words(line)
            debug = "--debug" in words[:1]
            return self.call(words[1:] if debug else words)
        except KeyboardInterrupt:
            raise
        except Exception as error:
            if debug:
                raise
            raise MlopsMagicError(translate(error)) from None

    def _run_cell(self, line: str, cell: str) -> Any:
        """Serve ``%%mlops`` where no input transformer saw it: called by other code, or with another verb."""
        words = line.split()
        if words[-1:] in (["-h"], ["--help"]):
            return self._answer(line)
        if not words or words[0] != "run":
            verb = words[0] if words else "without a verb"
            raise MlopsMagicError(
                MlopsError(f"%%mlops {verb} takes no cell", "use %%mlops run, or a line %mlops " + line)
            )
        self._answer(line)
        if self._cell_runs is not None:
            self._cell_runs.hand_down()
        result = self.shell.run_cell(cell, store_history=False)
        result.raise_error()
        return result.result

    def _pre_run_cell(self, info: Any) -> None:
        # The cell that is about to run is on the stack already, and not yet noted.
        while self.recorder.is_stale(len(_running_cells()) - 1):
            self._ended(self.recorder.drop(), RuntimeError("the cell's exception could not be shown"))
        self.recorder.pre_run_cell(info)

    def _post_run_cell(self, result: Any) -> None:
        self._ended(self.recorder.post_run_cell(result), result.error_before_exec or result.error_in_exec)

    def _ended(self, depth: int, error: BaseException | None) -> None:
        if self._cell_runs is None or self._session is None:
            return
        try:
            for shown in self._cell_runs.close(error, depth):
                display(shown)  # type: ignore[no-untyped-call]
            self._session.cell_ended()
        except Exception as problem:
            # The cell has ended, so nothing can fail it any more; what happened to its run must still be seen.
            ours = translate(problem)
            print(f"{ours.message}\n{ours.hint}", flush=True)


def _a_cell_runs() -> bool:
    """Tell whether we are called by a cell of the history; when the sidebar loads us, none runs.

    IPython notes a cell when it begins, and its counter went up at the end of a cell once and at its beginning now:
    whether the last one has ended is told by nothing but the stack.
    """
    return any(frame.f_locals.get("store_history") for frame in _running_cells())


def _running_cells() -> list[FrameType]:
    """Give the frames of the cells that are being executed in this thread, the innermost first."""
    found, frame = [], inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "run_cell_async":
            found.append(frame)
        frame = frame.f_back
    return found
