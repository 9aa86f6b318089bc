"""The engine itself. Imported inside functions only: this module is where papermill comes in.

It executes as papermill does, and differs where papermill's own way hurts or misleads:

- saving: papermill rewrites the whole notebook at every start and end of a cell; here at the start, at the end, at
  every exception, and in between only so often that it costs a twentieth of the time. Each save is atomic.
- truth: what really happened is in ``nb.metadata.mlops.outcome``: papermill marks every cell *completed* after the
  kernel has died, and takes ``sys.exit(0)`` for success.
- cells: each execute request carries the cell's id as ``cellId``, as JupyterLab's do, and the kernel's environment
  names the notebook (``MLOPS_NOTEBOOK``), so that what a cell logs can be traced to it.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.session import Session
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io, write_ipynb
from papermill.log import logger
from traitlets import default

from mlops_jupyter.files import write_whole

_LEAST_PAUSE = 2.0
_PAUSE_PER_SAVE = 20.0


class Watcher(Protocol):
    """What a caller of the engine wants to be told."""

    def kernel_started(self, pid: int) -> None:
        """Take note of the kernel's process, which leads a process group of its own."""

    def cell_started(self, index: int) -> None:
        """Take note that a cell begins."""

    def cells_done(self, ask: Callable[[str], Any]) -> None:
        """Ask the kernel what is to be known before it ends.

        Args:
            ask: Evaluates a Python expression in the kernel, silently; gives its value, or None.
        """


class _CellSession(Session):  # type: ignore[misc]
    """A session whose execute requests say which cell they are for."""

    cell_id: str | None = None

    def msg(
        self,
        msg_type: str,
        content: dict[str, Any] | None = None,
        parent: dict[str, Any] | None = None,
        header: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make a message."""
        if msg_type == "execute_request" and self.cell_id:
            metadata = {"cellId": self.cell_id, **(metadata or {})}
        made: dict[str, Any] = super().msg(msg_type, content, parent, header, metadata)
        return made


class _KernelManager(AsyncKernelManager):  # type: ignore[misc]
    """A manager whose messages name their cell."""

    @default("session")
    def _cell_session(self) -> Session:
        return _CellSession(parent=self)


class _Notebook(NotebookExecutionManager):  # type: ignore[misc]
    """The notebook while it is executed: its marks, its outcome, and when it is saved.

    Args:
        nb: The notebook.
        scrub: Makes the notebook fit to be written: masks secrets.
        kwargs: As papermill has it.
    """

    def __init__(self, nb: Any, *, scrub: Callable[[Any], Any] | None = None, **kwargs: Any) -> None:
        super().__init__(nb, **kwargs)
        self._scrub = scrub
        self._must_save = True
        self._saved_at = 0.0
        self._took = 0.0
        self._local = _local_path(self.output_path)
        self.outcome: dict[str, Any] = {"state": "running", "executed": 0}

    def save(self, **kwargs: Any) -> None:
        """Write the notebook, if it is due."""
        if kwargs.get("nb"):
            self.nb = kwargs["nb"]
        pause = max(_LEAST_PAUSE, _PAUSE_PER_SAVE * self._took)
        if not self.output_path or not (self._must_save or time.monotonic() - self._saved_at > pause):
            return
        began = time.monotonic()
        self.nb.metadata.setdefault("mlops", {})["outcome"] = dict(self.outcome)
        self._write(self._scrub(self.nb) if self._scrub else self.nb)
        self._must_save = False
        self._saved_at = time.monotonic()
        self._took = self._saved_at - began
        self.last_save_time = self.now()

    def _write(self, nb: Any) -> None:
        if self._local is None:
            write_ipynb(nb, self.output_path)
        else:
            if not self._local.parent.is_dir():
                raise FileNotFoundError(f"output folder {self._local.parent} doesn't exist.")
            text = nbformat.writes(nb)
            write_whole(self._local, text.encode("utf-8", "surrogatepass"))

    def autosave_cell(self, **kwargs: Any) -> None:
        """Write the notebook in the middle of a cell, if it is due."""
        if self.autosave_cell_every:
            self.save(**kwargs)

    def cell_exception(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Mark a cell as failed; the notebook is written next."""
        super().cell_exception(cell, cell_index=cell_index, **kwargs)
        self._must_save = True

    def notebook_complete(self, **kwargs: Any) -> None:
        """Finish the notebook's marks and write it for the last time."""
        self._must_save = True
        super().notebook_complete(**kwargs)

    def settle(self, state: str, index: int | None = None, error: Mapping[str, Any] | None = None) -> None:
        """Take down how the execution ended.

        Args:
            state: ``succeeded``, ``failed``, ``exited``, ``died``, ``timed_out`` or ``interrupted``.
            index: The cell where it ended, among all cells.
            error: ``name``, ``value`` and ``traceback``.
        """
        self.outcome["state"] = state
        if index is not None:
            self.outcome["cell"] = self._number(index)
            self.outcome["cell_id"] = self.nb.cells[index].get("id")
        if error:
            self.outcome["error"] = dict(error)

    def _number(self, index: int) -> int | None:
        """Give the number of a code cell as its author counts: without the one that papermill injected."""
        injected = "injected-parameters"
        code = [
            n
            for n, cell in enumerate(self.nb.cells)
            if cell.cell_type == "code" and injected not in cell.metadata.get("tags", [])
        ]
        return code.index(index) + 1 if index in code else None


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Papermill's client, with the truth kept and the cells named.

    Args:
        nb_man: The notebook.
        watcher: Who wants to be told.
        kwargs: As papermill has it.
    """

    def __init__(self, nb_man: _Notebook, watcher: Watcher | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("kernel_manager_class", _KernelManager)
        super().__init__(nb_man, **kwargs)
        self._watcher = watcher

    async def async_start_new_kernel_client(self) -> Any:
        """Connect to the kernel, telling the watcher of its process first: it may hang already."""
        pid = getattr(getattr(self.km, "provisioner", None), "pid", None)
        if self._watcher and pid:
            self._watcher.kernel_started(pid)
        return await super().async_start_new_kernel_client()

    start_new_kernel_client = run_sync(async_start_new_kernel_client)

    async def async_execute_cell(self, cell: Any, cell_index: int, **kwargs: Any) -> Any:
        """Execute a cell, its id in the request."""
        self._name_cell(cell.get("id"))
        return await super().async_execute_cell(cell, cell_index, **kwargs)

    execute_cell = run_sync(async_execute_cell)

    def papermill_execute_cells(self) -> None:
        """Execute the cells until one fails, and take down how it ended."""
        notebook: _Notebook = self.nb_man
        index = 0
        try:
            for index, cell in enumerate(self.nb.cells):
                if self._watcher:
                    self._watcher.cell_started(index)
                if not self._one_cell(index, cell):
                    return
            notebook.settle("succeeded")
        except CellTimeoutError as error:
            notebook.settle("timed_out", index, _told(error))
            raise
        except DeadKernelError as error:
            notebook.settle("died", index, _told(error))
            raise
        finally:
            self._name_cell(None)
        if self._watcher:
            self._watcher.cells_done(self.ask)

    def _one_cell(self, index: int, cell: Any) -> bool:
        notebook: _Notebook = self.nb_man
        try:
            notebook.cell_start(cell, index)
            self.execute_cell(cell, index)
            notebook.outcome["executed"] += cell.cell_type == "code"
            return True
        except CellExecutionError as error:
            notebook.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
            notebook.settle(self._verdict(error, index), index, _told(error))
            # Papermill stops here without raising; only a clean exit from the last cell is an end like any other.
            return bool(notebook.outcome["state"] == "succeeded")
        finally:
            notebook.cell_complete(self.nb.cells[index], cell_index=index)

    def _verdict(self, error: CellExecutionError, index: int) -> str:
        if error.ename == "KeyboardInterrupt":
            return "interrupted"
        if error.ename != "SystemExit" or error.evalue not in ("", "0", "None"):
            return "failed"
        rest = self.nb.cells[index + 1 :]
        return "exited" if any(c.cell_type == "code" and c.source.strip() for c in rest) else "succeeded"

    def _name_cell(self, cell_id: str | None) -> None:
        session = getattr(self.km, "session", None)
        if isinstance(session, _CellSession):
            session.cell_id = cell_id
        if self.kc is not None and isinstance(self.kc.session, _CellSession):
            self.kc.session.cell_id = cell_id

    def ask(self, expression: str) -> Any:
        """Evaluate a Python expression in the kernel, leaving no trace there.

        Args:
            expression: Of a value whose ``repr`` is a literal.

        Returns:
            The value, or None where the kernel gave none.
        """
        assert self.kc is not None
        request = self.kc.execute("", silent=True, store_history=False, user_expressions={"answer": expression})
        reply = self.wait_for_reply(request)
        answer = ((reply or {}).get("content", {}).get("user_expressions") or {}).get("answer", {})
        try:
            return ast.literal_eval(answer["data"]["text/plain"])
        except (KeyError, ValueError, SyntaxError):
            return None


def _told(error: Exception) -> dict[str, Any]:
    return {
        "name": getattr(error, "ename", None) or type(error).__name__,
        "value": getattr(error, "evalue", None) or str(error),
        "traceback": getattr(error, "traceback", "") or "",
    }


class NotebookEngine(NBClientEngine):  # type: ignore[misc]
    """The engine behind ``mlops``."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        *,
        scrub: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Execute a notebook.

        Args:
            nb: The notebook, parameters injected.
            kernel_name: Which kernel.
            output_path: Where it is saved; not at all when None.
            progress_bar: As papermill has it.
            log_output: As papermill has it.
            autosave_cell_every: 0 to not save in the middle of a cell.
            scrub: Makes a notebook fit to be written.
            kwargs: ``watcher``, ``kernel_options`` (of ``start_kernel``: ``cwd``, ``env``), and papermill's.

        Returns:
            The executed notebook; ``metadata.mlops.outcome`` says how it ended.

        Raises:
            DeadKernelError: The kernel died.
            CellTimeoutError: A cell took longer than ``execution_timeout``.
        """
        notebook = _Notebook(
            nb,
            scrub=scrub,
            output_path=output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        notebook.notebook_start()
        try:
            cls.execute_managed_notebook(notebook, kernel_name, log_output=log_output, **kwargs)
        except BaseException as error:
            if notebook.outcome["state"] == "running":
                stopped = isinstance(error, KeyboardInterrupt)
                notebook.settle("interrupted" if stopped else "failed", None, _told_any(error))
            raise
        finally:
            notebook.nb.metadata.setdefault("mlops", {})["outcome"] = dict(notebook.outcome)
            notebook.cleanup_pbar()
            notebook.notebook_complete()
        return notebook.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: _Notebook,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        *,
        input_path: str | None = None,
        watcher: Watcher | None = None,
        kernel_options: Mapping[str, Any] | None = None,
        timeout: int | None = None,
        startup_timeout: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start the kernel, execute the cells, end the kernel."""
        kwargs.setdefault("log", logger)
        client = _Client(
            nb_man,
            watcher=watcher,
            timeout=execution_timeout or timeout,
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            **kwargs,
        )
        options = dict(kernel_options or {})
        source = _local_path(input_path)
        if source is not None:
            options["env"] = {**options.get("env", os.environ), "MLOPS_NOTEBOOK": str(source)}
        return client.execute(**options)


def _told_any(error: BaseException) -> dict[str, Any]:
    return {"name": type(error).__name__, "value": str(error), "traceback": ""}


def _local_path(path: str | None) -> Path | None:
    """Give the absolute path of a local file; None for a URL, a stream, or nothing."""
    if not path or not isinstance(path, str):
        return None
    handler = papermill_io.get_handler(path)
    if not isinstance(handler, LocalHandler):
        return None
    # Papermill runs the engine in the kernel's folder, while paths are relative to where it was called.
    return Path(os.path.normpath(Path(handler._cwd or Path.cwd()) / path))
