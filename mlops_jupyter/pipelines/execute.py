"""Run one step once: its notebook, with its parameters, in a kernel of its own.

Whether it succeeded is what the engine saw, never what the notebook says: every code cell was executed, and everything
that the step has to publish is there. The kernel leads a process group of its own; when the step is over, however it
ended, nothing of that group is left. An :class:`Order` is plain data, so that it can be carried out by another process.
"""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from mlops_jupyter.pipelines import outputs
from mlops_jupyter.pipelines.masking import Mask, joined_streams
from mlops_jupyter.pipelines.notebooks import Notebook
from mlops_jupyter.pipelines.watchdog import Watchdog, kill_group

Ended = Literal["succeeded", "failed", "timed_out", "cancelled"]
_GRACE = 3.0
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# What was imported from files, asked of a kernel without a name of ours in its namespace. As JSON: IPython shortens
# the display of long lists.
_IMPORTED = (
    "__import__('json').dumps([m.__file__ for m in __import__('sys').modules.copy().values()"
    " if __import__('builtins').isinstance("
    "__import__('builtins').getattr(m, '__file__', None), __import__('builtins').str)])"
)


@dataclass(frozen=True)
class Order:
    """Everything that is needed to run a step once.

    Args:
        name: The instance's name, for messages.
        notebook: What to run.
        params: The parameters to inject.
        folder: The attempt's folder: the executed notebook and ``outputs.json``.
        cwd: The folder that the kernel runs in.
        environment: Environment variables on top of this process's.
        secrets: Environment variables whose values are masked.
        timeout: Seconds of wall-clock time, or None.
        local: Folders whose modules belong to the code.
        declared: The outputs that may be published; None for any.
        required: The outputs that must be.
        store: The object store, as a path or URL.
        files: The folder in which published files are laid out.
    """

    name: str
    notebook: Notebook
    params: Mapping[str, Any]
    folder: Path
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    local: tuple[Path, ...] = ()
    declared: tuple[str, ...] | None = None
    required: tuple[str, ...] = ()
    store: str = ""
    files: Path = Path()

    @property
    def executed(self) -> Path:
        """Where the executed notebook is written."""
        return self.folder / f"{self.notebook.path.stem}.ipynb"


@dataclass(frozen=True)
class Outcome:
    """How it ended.

    Args:
        state: ``succeeded``, ``failed``, ``timed_out`` or ``cancelled``.
        reason: Why, in one line; empty for a success.
        error: What to show of it: the reason and a short traceback; None for a success.
        outputs: Name → entry of what was published.
        modules: Local files that were imported, relative to ``cwd``; None where that is not known.
        seconds: How long it took.
    """

    state: Ended
    reason: str
    error: str | None
    outputs: Mapping[str, Any]
    modules: tuple[str, ...] | None
    seconds: float


class Cancellation:
    """Ends everything that is going on, from another thread; new work is ended as it begins."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._running: set[_Kernel] = set()
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Interrupt every kernel; after a moment of grace their process groups are killed."""
        with self._lock:
            self._event.set()
            running = list(self._running)
        for kernel in running:
            kernel.stop("cancelled")

    @property
    def cancelled(self) -> bool:
        """Tell whether everything is to end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until all is cancelled.

        Returns:
            Whether it is.
        """
        return self._event.wait(seconds)

    def add(self, kernel: _Kernel) -> None:
        """Take a kernel among those that :meth:`cancel` ends."""
        with self._lock:
            self._running.add(kernel)
            late = self._event.is_set()
        if late:
            kernel.stop("cancelled")

    def remove(self, kernel: _Kernel) -> None:
        """Take a kernel out again."""
        with self._lock:
            self._running.discard(kernel)


class _Stopped(Exception):
    """The step was told to end, between two cells."""


class _Kernel:
    """The running kernel of a step, as the engine's watcher."""

    def __init__(self, order: Order, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._python = order.notebook.language == "python"
        self._group: int | None = None
        self._timers: list[threading.Timer] = []
        self._lock = threading.Lock()
        self.why: Ended | None = None
        self.imported: list[str] | None = None
        if order.timeout:
            self._later(order.timeout, lambda: self.stop("timed_out"))

    def kernel_started(self, pid: int) -> None:
        with self._lock:
            # jupyter_client starts every kernel in a session of its own, so its pid names its group.
            self._group = pid
        self._watchdog.watch(pid)
        if self.why:
            self._kill()

    def cell_started(self, index: int) -> None:
        if self.why:
            raise _Stopped

    def cells_done(self, ask: Callable[[str], Any]) -> None:
        answer = ask(_IMPORTED) if self._python else "[]"
        self.imported = json.loads(answer) if isinstance(answer, str) else None

    def stop(self, why: Ended) -> None:
        """Interrupt the kernel, and kill its group if that does not end it soon."""
        with self._lock:
            if self.why:
                return
            self.why = why
            group = self._group
        if group is not None:
            kill_group(group, signal.SIGINT)
            self._later(_GRACE, self._kill)

    def close(self) -> None:
        """Leave nothing of the kernel behind."""
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self._kill()
        if self._group is not None:
            self._watchdog.forget(self._group)

    def _kill(self) -> None:
        if self._group is not None:
            kill_group(self._group)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()


def run_notebook(order: Order, cancellation: Cancellation, watchdog: Watchdog) -> Outcome:
    """Run a step once.

    Args:
        order: What to run.
        cancellation: Ends it early.
        watchdog: Ends the kernel should this process be killed.

    Returns:
        How it ended. Failures of the user's code are no exceptions here.
    """
    began = time.monotonic()
    mask = Mask(order.secrets.values())
    order.folder.mkdir(parents=True, exist_ok=True)
    kernel = _Kernel(order, watchdog)
    cancellation.add(kernel)
    try:
        with tempfile.TemporaryFile() as log:
            told = _executed(order, kernel, mask, log)
            # What a kernel said before it died; an error in a cell speaks for itself.
            crashed = told["state"] == "died" or (told["state"] == "failed" and not told.get("cell"))
            tail = _tail(log) if crashed else ""
    finally:
        cancellation.remove(kernel)
        kernel.close()
    state, reason, trace = _judged(told, kernel, order)
    published = _published(order.folder)
    lacking = outputs.missing(published, order.required) if state == "succeeded" else None
    if lacking:
        state, reason, trace = "failed", lacking.message, lacking.hint
    error = None if state == "succeeded" else mask.text("\n".join(filter(None, [reason, trace, tail])))
    return Outcome(
        state,
        mask.text(reason),
        error,
        {name: _masked(entry, mask) for name, entry in published.items()},
        _local_files(kernel.imported, order),
        time.monotonic() - began,
    )


def _masked(entry: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """Give an output's entry with every secret replaced, but for the digits of keys, digests and MLflow's ids."""
    clean = {key: value if key in ("ref", "object", "digest") else mask.value(value) for key, value in entry.items()}
    if clean.get("model"):
        clean["model"] |= {key: entry["model"][key] for key in ("id", "uri") if key in entry["model"]}
    return clean


def _executed(order: Order, kernel: _Kernel, mask: Mask, log: IO[bytes]) -> dict[str, Any]:
    """Let the engine execute the notebook, and give its outcome."""
    import logging

    from mlops_jupyter.pipelines.engine import NotebookEngine

    quiet = logging.getLogger("mlops_jupyter.pipelines.kernel")
    quiet.propagate = False
    nb = None
    try:
        nb = _node(order)
        NotebookEngine.execute_notebook(
            nb,
            order.notebook.kernel,
            output_path=str(order.executed),
            progress_bar=False,
            scrub=_scrubber(mask) if mask else None,
            input_path=str(order.notebook.path),
            watcher=kernel,
            # What a kernel prints past IPython must not end up in our own answer on stdout.
            kernel_options={
                "cwd": str(order.cwd),
                "env": _environ(order),
                "stdout": log,
                "stderr": log,
            },
            log=quiet,
        )
    except Exception as error:
        told = dict(nb.metadata.get("mlops", {}).get("outcome", {})) if nb is not None else {}
        told.setdefault("error", {"name": type(error).__name__, "value": str(error), "traceback": ""})
        return {"state": "failed", **told}
    finally:
        _close_loop()
    return dict(nb.metadata["mlops"]["outcome"])


def _node(order: Order) -> Any:
    """Make the notebook that is executed: a copy of the source, its parameters injected."""
    import nbformat
    from nbformat.v4.rwbase import rejoin_lines
    from papermill.execute import prepare_notebook_metadata, remove_error_markers
    from papermill.parameterize import parameterize_notebook
    from papermill.version import version

    source = order.notebook
    nb = nbformat.from_dict(copy.deepcopy(dict(source.document)))
    nb.cells = [cell for cell in nb.cells if "injected-parameters" not in cell.get("metadata", {}).get("tags", [])]
    for number, cell in enumerate(nb.cells):
        cell.setdefault("id", f"cell-{number}")
        cell.setdefault("metadata", nbformat.NotebookNode())
        cell.metadata.setdefault("tags", [])
        cell.metadata["papermill"] = nbformat.NotebookNode()
        if cell.cell_type == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    nb = rejoin_lines(nb)
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.setdefault("metadata", nbformat.NotebookNode())
    spec = nb.metadata.setdefault("kernelspec", nbformat.NotebookNode(display_name=source.kernel))
    spec["name"], spec["language"] = source.kernel, source.language
    nb.metadata["papermill"] = nbformat.from_dict(
        {
            "default_parameters": {},
            "parameters": {},
            "environment_variables": {},
            "version": version,
        }
    )
    if order.params:
        nb = parameterize_notebook(nb, dict(order.params), kernel_name=source.kernel, language=source.language)
        for cell in nb.cells:
            cell.metadata.setdefault("papermill", nbformat.NotebookNode())
    nb = prepare_notebook_metadata(nb, str(source.path), str(order.executed))
    return remove_error_markers(nb)


def _environ(order: Order) -> dict[str, str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MLOPS_STEP_")}
    environ |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"} | dict(order.environment) | dict(order.secrets)
    beside = order.notebook.path.parent
    if beside != order.cwd:
        # A notebook in a folder of its own finds the modules beside it, as it does in JupyterLab.
        known = environ.get("PYTHONPATH")
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [known, str(beside)]))
    environ |= {
        outputs.STEP_DIR: str(order.folder),
        outputs.STORE: order.store,
        outputs.FILES: str(order.files),
        outputs.STEP_SECRETS: json.dumps(sorted(order.secrets)),
    }
    if order.declared is not None:
        environ[outputs.STEP_OUTPUTS] = json.dumps(order.declared)
    return environ


def _scrubber(mask: Mask) -> Callable[[Any], Any]:
    def scrub(nb: Any) -> Any:
        import nbformat

        clean = copy.deepcopy(nb)
        for cell in clean.cells:
            if cell.cell_type == "code":
                cell.outputs = joined_streams(cell.outputs)
        return nbformat.from_dict(mask.value(clean))

    return scrub


def _judged(told: Mapping[str, Any], kernel: _Kernel, order: Order) -> tuple[Ended, str, str]:
    """Turn what the engine saw into a state, a sentence and a traceback."""
    if told["state"] == "succeeded":
        return "succeeded", "", ""
    where = f" in code cell {told['cell']}" if told.get("cell") else ""
    error = told.get("error") or {}
    trace = _short_trace(error.get("traceback") or "")
    if kernel.why == "timed_out":
        return "timed_out", f"took longer than {order.timeout:g} s{where}", trace
    if kernel.why == "cancelled":
        return "cancelled", f"cancelled{where}", ""
    if told["state"] == "exited":
        return "failed", f"sys.exit(){where} ended the notebook before its last cell", ""
    if told["state"] == "died":
        return "failed", f"the kernel died{where}", ""
    said = " ".join(_ANSI.sub("", f"{error.get('name')}: {error.get('value')}").split())
    return "failed", f"{said}{where}", trace


def _short_trace(trace: str) -> str:
    lines = _ANSI.sub("", trace).strip().splitlines()
    return "\n".join(lines if len(lines) <= 40 else [*lines[:5], "…", *lines[-34:]])


def _tail(log: IO[bytes]) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 2000))
    return _ANSI.sub("", log.read().decode("utf-8", "replace")).strip()


def _published(folder: Path) -> dict[str, Any]:
    try:
        published: dict[str, Any] = json.loads((folder / "outputs.json").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return published


def _local_files(imported: list[str] | None, order: Order) -> tuple[str, ...] | None:
    """Pick the imported files that belong to the user's code."""
    if imported is None:
        return None
    ours = Path(__file__).parents[1].resolve()
    found = set()
    for name in imported:
        path = (order.cwd / name).resolve()
        local = any(path.is_relative_to(folder) for folder in order.local)
        installed = {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(ours)
        if local and not installed and path.is_file():
            found.add(Path(os.path.relpath(path, order.cwd.resolve())).as_posix())
    return tuple(sorted(found))


def _close_loop() -> None:
    """Close the event loop that nbclient has opened in this thread."""
    import asyncio

    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.set_event_loop(None)
