""":class:`Queue`: accepts entries for one store, and has them brought there."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import MlopsError, StoreError, translate
from mlops_jupyter.tracking.queue import lifetime
from mlops_jupyter.tracking.queue.aside import Late, Rejected
from mlops_jupyter.tracking.queue.cells import Cells
from mlops_jupyter.tracking.queue.courier import Courier
from mlops_jupyter.tracking.queue.delivery import Delivery, Store, now
from mlops_jupyter.tracking.queue.entries import (
    BEGIN,
    CELLS,
    CLOSED,
    CREATING,
    END,
    FILE,
    INPUT,
    MODEL,
    OPEN,
    PARAM,
    STORE,
    TAG,
    TEXT,
    encode,
    metric_line,
    metric_prefix,
)
from mlops_jupyter.tracking.queue.journal import Delivered, Journal
from mlops_jupyter.tracking.queue.local_ids import LocalIds
from mlops_jupyter.tracking.queue.points import Times
from mlops_jupyter.tracking.queue.round import Backlog, Round
from mlops_jupyter.tracking.queue.spool import Spool
from mlops_jupyter.uris import hide_secrets

FOLDER = "queue"
# The cells of a run that goes on are told so often, and some time after one has ended: meanwhile the next one does.
_CELLS_EVERY, _CELLS_SOON = 5.0, 2.0
# What was put aside is tried again after so many seconds at the soonest: another process may be at it.
_LATE_AGAIN = 1.0
#: How long metrics are gathered before they are sent, in seconds.
GATHER = 0.5
# For how long a store may get on with nothing before it is no longer waited for: a database that others write to takes
# its time, and always ends; a server may hang.
_PATIENCE_ALONE, _PATIENCE = 20.0, 5.0
# As many points as the fastest loop logs in a few seconds; whoever watches takes them more often.
_MOST_WATCHED = 20_000

#: A point as who watches a run is given it: the metric, the step and the number.
Watched = deque[tuple[str, int, float]]


class Queue:
    """The write-ahead queue of one workspace for one tracking store.

    Args:
        folder: ``.mlops/queue``.
        shown_uri: The store's URI, as it may be written down.
        store: The store.
        prepare: Makes ``.mlops/``.
        alone: Whether the store is a file that takes one writer at a time.
    """

    def __init__(self, folder: Path, shown_uri: str, store: Store, prepare: Callable[[], None], alone: bool) -> None:
        self.folder = folder
        self.ids = LocalIds(folder / "ids")
        files = folder / "files"
        self._spool = Spool(files)
        self._header = encode(STORE, shown_uri)
        self._prepare = prepare
        self._patience = _PATIENCE_ALONE if alone else _PATIENCE
        self._rejected = Rejected(folder / "rejected")
        self._late = Late(folder / "late", self._header)
        self._cells = Cells(folder / "cells")
        self._round = Round(
            folder,
            self._header,
            lambda: Delivery(store, self.ids, self._rejected, self._late, files, self._cells),
            self._cells,
            alone,
        )
        self._begin_anew()
        lifetime.note(self)

    def _begin_anew(self) -> None:
        """Start without a journal and a thread: at first, and in a process that was forked off."""
        self._turn = threading.RLock()
        self._courier = Courier(self._deliver, lambda: self._round.moved, self._patience)
        self._journal: Journal | None = None
        self._open: dict[str, bytes] = {}
        self._metrics: dict[tuple[str, str], tuple[str, Times]] = {}
        self._params: dict[str, dict[str, str]] = {}
        self._watched: dict[str, Watched] = {}
        self._cells_told: dict[str, float] = {}
        # Local ids that nobody was told, since the store has answered at once.
        self._untold: list[str] = []
        self._is_gone = False

    # What is accepted

    def metric(self, run: str, name: str, value: float, step: int) -> None:
        """Accept one point of a metric.

        Args:
            run: The run's id, the store's or a local one.
            name: The metric; one that MLflow takes.
            value: The number.
            step: Its step.

        Raises:
            StoreError: The disk is full, or the workspace can't be written.
        """
        with self._turn:
            known = self._metrics.get((run, name))
            if known is None:
                known = self._metrics[run, name] = (metric_prefix(run, name), Times())
            self._put(metric_line(known[0], value, step, known[1].time_of(step)))
            if self._watched and (watched := self._watched.get(run)) is not None:
                watched.append((name, step, value))
        if not (wanted := self._courier.wanted) or self._is_only_for_late(wanted):
            self._courier.wake(GATHER)

    def _is_only_for_late(self, wanted: float) -> bool:
        """Tell whether the next delivery is one that numbers can't wait for; one that waits for the store is none."""
        if self._courier.problem is not None:
            return False
        return not self._courier.is_urgent or wanted > time.monotonic() + GATHER

    def watch(self, run: str) -> Watched:
        """Keep the points of a run's metrics in memory as well, until it ends, as far as this process accepts them.

        Args:
            run: The run's id, as the points are logged with it.

        Returns:
            Where they are kept until somebody takes them out; of very many the last ones.
        """
        return self._watched.setdefault(run, deque(maxlen=_MOST_WATCHED))

    def param(self, run: str, name: str, text: str) -> None:
        """Accept a parameter; see :meth:`metric`."""
        with self._turn:
            self._put(encode(PARAM, run, name, text))
            self._params.setdefault(run, {})[name] = text
        self._courier.wake(0)

    def param_of(self, run: str, name: str) -> str | None:
        """Give the value of a parameter that this process has accepted."""
        return self._params.get(run, {}).get(name)

    def tag(self, run: str, name: str, text: str) -> None:
        """Accept a tag; see :meth:`metric`."""
        self._accept(TAG, run, name, text)

    def text(self, run: str, artifact: str, text: str) -> None:
        """Accept a text that is kept among the run's artifacts; see :meth:`metric`."""
        self._accept(TEXT, run, artifact, text)

    def dataset(self, run: str, said: Mapping[str, Any]) -> None:
        """Accept a dataset that the run reads; see :meth:`metric`.

        Args:
            run: The run's id.
            said: ``dataset``, the fields of MLflow's, and ``tags``.
        """
        self._accept(INPUT, run, said)

    def cell(self, run: str, cell: Mapping[str, Any], *, last: bool) -> None:
        """Accept a cell that was executed while a run was open; see :meth:`metric`.

        Args:
            run: The run's id.
            cell: Its record.
            last: Whether the run has ended with it; what it was before goes to the store once in a while.
        """
        try:
            self._cells.add(run, cell, last=last)
        except OSError as error:
            raise translate(error) from error
        at = time.monotonic()
        if last or at - self._cells_told.get(run, -_CELLS_EVERY) >= _CELLS_EVERY:
            self._cells_told[run] = at
            with self._turn:
                self._put(encode(CELLS, run, last))
            self._courier.wake(0 if last else _CELLS_SOON, urgent=last)
        if last:
            self._cells_told.pop(run)

    def file(self, run: str, path: Path, folder: str) -> None:
        """Accept a file, or a folder, of which a copy is taken; see :meth:`metric`.

        Args:
            run: The run's id.
            path: What to keep.
            folder: Where among the run's artifacts.
        """
        self._ensure_folder()
        self._accept(FILE, run, self._spool.copied(path), folder)

    def model(self, run: str, said: Mapping[str, Any], write: Callable[[Path], None]) -> str:
        """Accept a model, and wait for the store as long as that gets on; see :meth:`metric`.

        Args:
            run: The run's id.
            said: ``name``, ``tags``, and ``run_tags``, which the run gets with it.
            write: Saves it into a folder.

        Returns:
            The store's id of it; empty where the store has not all of it yet.

        Raises:
            ConflictError: The store will never take it.
        """
        self._ensure_folder()
        spooled = self._spool.written(write)
        try:
            self._accept(MODEL, run, spooled, said)
        except MlopsError:
            self._spool.discard(spooled)
            raise
        return self._courier.insist(lambda: self._round.model_id(run, spooled), self._round.progress)

    def begin(self, asked: Mapping[str, Any], patience: float) -> tuple[str, Any]:
        """Accept a run that the store is to create.

        Args:
            asked: ``experiment``, ``name``, ``parent``, ``tags`` and ``start``, in milliseconds since 1970.
            patience: How long to wait for the store, in seconds.

        Returns:
            The store's id and MLflow's entity; the local id and None where the store does not answer in time.

        Raises:
            Refused: The store will never create it.
        """
        self._ensure_folder()
        try:
            run = self.ids.new()
        except OSError as error:
            raise translate(error) from error
        with self._turn:
            self._put(encode(BEGIN, run, asked))
            self._open[run] = encode(OPEN, run)
        self._courier.wake(0)
        real = self._courier.wait_for(lambda: self.ids.real(run), patience)
        created = self._round.created(run)
        if created is None or not real:
            return run, None
        # From here on it is told of under the store's id, its end as well.
        self.opened(real)
        self.closed(run)
        self._untold.append(run)
        return real, created

    def creating(self, experiment: str, name: str, start: int) -> None:
        """Note that this process is about to create a run: if it dies before it knows the id, the run ends KILLED.

        Args:
            experiment: The store's id of the experiment.
            name: The run's name.
            start: When it starts, in milliseconds since 1970.
        """
        with self._turn:
            self._put(encode(CREATING, experiment, name, start))

    def opened(self, run: str) -> None:
        """Note that this process has begun a run: if it dies, the run ends KILLED."""
        with self._turn:
            line = encode(OPEN, run)
            self._put(line)
            self._open[run] = line

    def closed(self, run: str) -> None:
        """Note that a run has ended which this process answered for; the store knows already."""
        with self._turn:
            if self._open.pop(run, None) is not None:
                self._put(encode(CLOSED, run))

    def end(self, run: str, status: str) -> None:
        """Accept the end of a run, now; see :meth:`metric`."""
        with self._turn:
            self._put(encode(END, run, status, now()))
            self._open.pop(run, None)
            self._params.pop(run, None)
            self._watched.pop(run, None)
            for key in [key for key, (_, times) in self._metrics.items() if key[0] == run and not times.is_ahead]:
                del self._metrics[key]
        self._courier.wake(0)

    @property
    def is_well(self) -> bool:
        """Whether the store took what it was sent last."""
        return self._courier.problem is None

    def require_well(self) -> None:
        """Raise what keeps entries from being delivered, if anything does; they are kept all the same.

        Raises:
            MlopsError: The store is away, or full, or not the one that it was.
        """
        if self._courier.problem is not None:
            raise self._courier.problem

    def note_failure(self, problem: MlopsError) -> None:
        """Note that the store did not answer to somebody else, so that nobody waits for it for a while."""
        self._courier.note_failure(problem)

    def turn(self) -> Any:
        """Keep other processes from writing meanwhile, where the store takes one writer at a time."""
        self._ensure_folder()
        return self._round.turn()

    def _accept(self, *values: Any) -> None:
        with self._turn:
            self._put(encode(*values))
        self._courier.wake(0)

    def _put(self, line: bytes) -> None:
        if self._is_gone:
            raise self._gone()
        try:
            if self._journal is None:
                self._ensure_folder()
                self._journal = Journal(self.folder, self._header, lambda: self._open.values())
            self._journal.append(line)
        except OSError as error:
            raise translate(error) from error

    def _gone(self) -> StoreError:
        return StoreError(
            f"{self.folder} was deleted or replaced while this process had it open",
            "put it back, or restart this process: what is logged now would be lost",
        )

    def _ensure_folder(self) -> None:
        if not self.folder.is_dir():
            self._prepare()
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise translate(error) from error

    # How it is delivered

    def settle(self, patience: float | None = None, *, insist: bool = False, everything: bool = True) -> bool:
        """Wait until what was accepted up to now is delivered.

        Args:
            patience: How long to wait while nothing gets on, in seconds; as the store needs when None.
            insist: Try although it failed a moment ago; not every reader has to find out anew that the store is away.
            everything: By any process, and end the runs of dead ones; else what this process has accepted.

        Returns:
            Whether all of it is delivered.
        """
        if self._courier.is_this_thread or not self._is_work(everything):
            return True
        is_done = self._courier.settle(patience, insist=insist, everything=everything)
        return is_done and (not everything or self._round.others_are_through(self._own))

    def require_settled(self) -> None:
        """Wait until everything is delivered, for what must not be decided on half of the numbers.

        Raises:
            StoreError: It can't be.
        """
        self._round.wait_anew()
        if not self.settle(insist=True) or self._late.count():
            waiting = self.backlog()
            why = waiting.problem or "they are on their way"
            raise StoreError(
                f"{waiting.entries} logged entries are not in the store yet: {why}",
                "try again when `mlops status` shows no backlog",
            )

    def cell_ended(self) -> None:
        """Deliver what a cell has logged; waited for a moment where the store is well."""
        if self._courier.is_urgent and self.is_well:
            self.settle(1.0, everything=False)

    def _is_work(self, everything: bool) -> bool:
        is_wanted = bool(self._courier.wanted) and self._courier.is_urgent
        return is_wanted or self._round.is_work(self._own, everything=everything)

    @property
    def _own(self) -> str | None:
        journal = self._journal
        return journal.name if journal is not None else None

    def _deliver(self, everything: bool, hurry: Callable[[], bool]) -> MlopsError | None:
        try:
            if self._journal is not None and not self._journal.is_there():
                self._is_gone = True  # from now on, each call is told
                return self._gone()
            self._round.carry_out(self._own, everything=everything, hurry=hurry)
        except Exception as error:  # whatever it is, what was accepted is still there: tried again, told by status
            return translate(error)
        if (pause := self._late.pause()) is not None:
            self._courier.wake(max(pause, _LATE_AGAIN), urgent=False)
        return None

    def left_by_the_dead(self) -> set[str]:
        """Give the stores, as they are shown, that journals of dead processes go to."""
        return self._round.left_by_the_dead(self._own)

    def backlog(self) -> Backlog:
        """Tell what MLflow does not have yet."""
        problem = self._courier.problem
        told = hide_secrets(f"{problem.message}; {problem.hint}") if problem is not None else ""
        if not told and (late := self._late.count()):
            told = f"{late} entries that the store fails on are tried again now and then: {self._late.reason()}"
        return Backlog(self._round.waiting(), self._rejected.summary(), told)

    # How it ends

    def close(self) -> None:
        """Deliver what is left, for some seconds at the most, and let go of the journal."""
        with self._turn:
            journal = self._journal
        if journal is None:
            return
        for run in list(self._open):
            with suppress(MlopsError):  # refused, or the disk is full: nobody is there to be told
                if self.ids.real(run) != run:  # MLflow ends those that it knows of itself
                    self.end(run, "FINISHED")
        self.settle(everything=False)
        with self._turn:
            journal.close()
            self._cells.close()
            self._journal = None
            left = Delivered(self.folder, journal.name)
            if not self._open and not left.pending():
                left.remove()
                self.ids.forget(self._untold)

    def forked(self) -> None:
        """Let go of what belongs to the process that this one was forked off."""
        journal = self._journal
        self._begin_anew()
        self._round.forked()
        if journal is not None:
            journal.abandon()
