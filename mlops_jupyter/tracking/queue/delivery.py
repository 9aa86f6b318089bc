"""Brings entries to MLflow: merged into batches, created once, and what is refused for good put aside."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from mlops_jupyter.errors import MlopsError, StoreError, translate
from mlops_jupyter.tracking.patience import impatient
from mlops_jupyter.tracking.queue.aside import Late, Put, Rejected
from mlops_jupyter.tracking.queue.batches import Batch
from mlops_jupyter.tracking.queue.cells import Cells
from mlops_jupyter.tracking.queue.entries import (
    BEGIN,
    CELLS,
    END,
    FILE,
    INPUT,
    METRIC,
    MODEL,
    PARAM,
    TAG,
    TEXT,
    Entry,
)
from mlops_jupyter.tracking.queue.failures import is_away, is_for_good
from mlops_jupyter.tracking.queue.local_ids import LOCAL_ID, LocalIds, Refused
from mlops_jupyter.tracking.queue.spooled_models import SpooledModels
from mlops_jupyter.uris import hide_secrets

_ARTIFACTS = (TEXT, FILE, MODEL, CELLS)
# What takes the place of what was there before.
_REPLACING = (TAG, TEXT, FILE, CELLS)
# So many failures in a row of one batch, while the store takes others, and it is looked at entry by entry.
_PATIENCE = 5
# How long a server may take for one call, in seconds.
_LONGEST = 30
# And for one whose answer somebody waits for.
_SOON = 5
# A run that was created so soon after it began was waited for, in milliseconds.
_AT_ONCE = 1500
# MLflow's tag that every run has: its name.
_NAME = "mlflow.runName"


class Store(Protocol):
    """What delivery needs of the tracking store."""

    def connect(self) -> Any:
        """Give MLflow's client."""

    def check_reachable(self) -> None:
        """Ask in a moment whether it is there at all."""

    def experiment_id(self, name: str | None = None) -> str:
        """Give an experiment's id, making it when there is none of that name."""


class Delivery:
    """Sends batches to one store.

    Args:
        store: The store.
        ids: The ids of runs that were begun without it.
        rejected: Takes what is refused for good.
        late: Takes what the store fails on while it takes other things.
        files: Where files wait that belong to entries.
        cells: The cells of runs.
    """

    def __init__(self, store: Store, ids: LocalIds, rejected: Rejected, late: Late, files: Path, cells: Cells) -> None:
        self._store = store
        self._ids = ids
        self._rejected = rejected
        self.late = late
        self._files = files
        self._cells = cells
        #: The models that wait there.
        self.models = SpooledModels(files)
        #: MLflow's entities of the runs that were created, by local id, for whoever waits for one.
        self.created: dict[str, Any] = {}

    def send(self, batch: Batch) -> None:
        """Bring one batch to the store.

        Raises:
            MlopsError: The store is away, or not itself; the batch has to be sent again.
        """
        # Tried again by us, and not by MLflow, which would not let go for minutes.
        with impatient.for_seconds(_LONGEST):
            self._store.check_reachable()
            calls = self.models.calls
            try:
                self._send(batch)
            except Exception as error:
                if self.models.calls != calls:
                    batch.failures = 0  # it gets on, if bit by bit
                if not is_for_good(error) and not self._is_to_part(batch, error):
                    raise translate(error) from error
                self._part(batch, error)

    def _is_to_part(self, batch: Batch, error: Exception) -> bool:
        """Tell whether it may be the batch that makes the store fail: it fails on this one again and again."""
        batch.failures += 1
        kind = batch.entries[0].kind
        # Artifacts lie in a store of their own, which may be away while the other is there.
        if batch.failures < _PATIENCE or kind == BEGIN or (is_away(error) and kind not in _ARTIFACTS):
            return False
        return self._takes_others(batch.run)

    def _takes_others(self, run: str) -> bool:
        """Tell whether the store takes anything at all for a run, by writing what it has already."""
        from mlflow.entities import RunTag

        try:
            client, real = self._store.connect(), self._ids.required(run)
            client.log_batch(real, tags=[RunTag(_NAME, client.get_run(real).info.run_name)])
        except Exception:
            return False  # it is the store: full, locked, read only or away; what was raised first is told
        return True

    def _part(self, batch: Batch, error: Exception, whole: Batch | None = None) -> None:
        """Send the halves of what the store fails on, down to the entry that is at fault; that one is put aside.

        Args:
            batch: What it fails on.
            error: How.
            whole: The batch that it is a part of; what is put aside is taken out of it, and not sent again.
        """
        entries, whole = batch.entries, whole or batch
        if (len(entries) == 1 and is_for_good(error)) or isinstance(error, Refused) or self._is_gone(batch.run):
            self._reject(entries, error)
            whole.drop(entries)
            return
        if len(entries) == 1:
            if not self._takes_others(batch.run):
                raise translate(error) from error
            self._put_aside(entries[0], translate(error).message)
            whole.drop(entries)
            return
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            part = Batch(batch.run, half)
            try:
                self._send(part)
            except Exception as problem:
                if not is_for_good(problem) and is_for_good(error):
                    raise translate(problem) from problem
                self._part(part, problem, whole)

    def _put_aside(self, entry: Entry, reason: str) -> None:
        for older in self.late.put(entry, self._target(entry), hide_secrets(reason)):
            self._forget(older)

    def _target(self, entry: Entry) -> str:
        """Give what an entry replaces in the store, of the same run and kind; nothing where it is only added."""
        if entry.kind in (TAG, TEXT):
            return str(entry.values[0])
        if entry.kind == CELLS:
            return "cells"
        if entry.kind == FILE:
            spooled, folder = entry.values
            place = self._files / spooled
            return "/".join([folder, *sorted(path.name for path in place.iterdir())]) if place.is_dir() else ""
        return ""

    def _forget(self, entry: Entry) -> None:
        """Take away what an entry has in the spool that is not sent any more."""
        if entry.kind == FILE:
            shutil.rmtree(self._files / entry.values[0], ignore_errors=True)

    def _reject(self, entries: Sequence[Entry], error: Exception) -> None:
        said = hide_secrets(translate(error).message)
        self._rejected.keep(entries, said)
        if entries[0].kind == MODEL:
            self.models.refuse(entries[0].values[0], said)
        if entries[0].kind == BEGIN:
            self._ids.refuse(entries[0].run, said)

    def keep_strange(self, lines: Sequence[bytes]) -> None:
        """Keep lines of a journal that are no entries, as a machine leaves them that has lost its power."""
        if lines:
            self._rejected.keep(lines, "the line is damaged, or of another version")

    def retry_late(self, path: Path) -> None:
        """Try something that was put aside.

        Args:
            path: The file that it is in.

        Raises:
            MlopsError: The store is away.
            OSError: The queue's own files can't be written.
        """
        put = self.late.read(path)
        if put is None:
            if path.exists():
                self.keep_strange([path.read_bytes()])
                path.unlink(missing_ok=True)
            return
        with impatient.for_seconds(_LONGEST):
            self._store.check_reachable()
            reason = self._retry(put)
        if reason is None:
            path.unlink(missing_ok=True)
        else:
            self.late.again(put, reason)

    def _retry(self, put: Put) -> str | None:
        """Send what was put aside: why it could not be; None where it is there, or will never be."""
        entry = put.entry
        try:
            self._send(Batch(entry.run, [entry]))
        except Exception as error:
            if not is_for_good(error) and not self._is_over(put, error):
                return hide_secrets(translate(error).message)
            self._reject([entry], error)
        return None

    def _is_over(self, put: Put, error: Exception) -> bool:
        """Tell whether there is no hope that the store ever takes it."""
        try:
            if self._is_gone(put.entry.run):
                return True
        except MlopsError:
            return False  # it is the store that is away
        return put.is_over and not is_away(error) and self._takes_others(put.entry.run)

    def _is_gone(self, run: str) -> bool:
        try:
            return bool(self._store.connect().get_run(self._ids.required(run)).info.lifecycle_stage == "deleted")
        except Exception as error:
            if is_for_good(error):
                return True
            raise translate(error) from error

    def _send(self, batch: Batch) -> None:
        replaced = [(entry, self._target(entry)) for entry in batch.entries if entry.kind in _REPLACING]
        self._bring(batch)
        for entry, target in replaced:
            for older in self.late.sent(entry, target):
                self._forget(older)

    def _bring(self, batch: Batch) -> None:
        if not batch.entries:
            return  # all of it was put aside
        first = batch.entries[0]
        if first.kind == BEGIN:
            self._begin(first)
            return
        client, run = self._store.connect(), self._ids.required(batch.run)
        if first.kind == END:
            end_run(client, run, *first.values)
        elif first.kind == TEXT:
            name, text = first.values
            client.log_text(run, text, name)
        elif first.kind == FILE:
            self._file(client, run, *first.values)
        elif first.kind == MODEL:
            self.models.deliver(client, run, *first.values)
        elif first.kind == CELLS:
            self._keep_cells(client, batch.run, run, *first.values)
        elif first.kind == INPUT:
            client.log_inputs(run, datasets=[_dataset_input(first.values[0])])
        else:
            self._values(client, run, batch.entries)

    def _values(self, client: Any, run: str, entries: Sequence[Entry]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        metrics, params, tags = [], [], []
        for entry in entries:
            if entry.kind == METRIC:
                name, value, step, milliseconds = entry.values
                metrics.append(Metric(name, float(value), milliseconds, step))
            elif entry.kind == PARAM:
                params.append(Param(*entry.values))
            else:
                tags.append(RunTag(*entry.values))
        client.log_batch(run, metrics, params, tags)

    def _begin(self, entry: Entry) -> None:
        """Create a run, unless an earlier try has come through whose answer did not."""
        asked: dict[str, Any] = entry.values[0]
        if self._ids.real(entry.run):
            return
        client, experiment = self._store.connect(), self._store.experiment_id(asked["experiment"])
        known = client.search_runs([experiment], f"tags.`{LOCAL_ID}` = '{entry.run}'", max_results=1)
        if known:
            self._ids.settle(entry.run, known[0].info.run_id)
            return
        tags = asked["tags"] | {LOCAL_ID: entry.run}
        if asked["parent"]:
            tags["mlflow.parentRunId"] = self._ids.required(asked["parent"])
        run = client.create_run(experiment, start_time=asked["start"], tags=tags, run_name=asked["name"])
        if not run.info.run_id:
            raise StoreError(
                "the tracking server answered without a run", "check that [tracking] uri names an MLflow server"
            )
        at_once = now() - asked["start"] < _AT_ONCE
        if at_once:
            self.created[entry.run] = run
        self._ids.settle(entry.run, run.info.run_id)
        if at_once:
            with suppress(Exception):  # the tag says that the store was away, and it was not; no harm where it stays
                client.delete_tag(run.info.run_id, LOCAL_ID)

    def _keep_cells(self, client: Any, run: str, real: str, everything: bool) -> None:
        for name, text in self._cells.texts(run).items():
            client.log_text(real, text, name)
        if everything:
            self._cells.forget(run)

    def _file(self, client: Any, run: str, spooled: str, folder: str) -> None:
        place = self._files / spooled
        if not place.exists():
            return  # delivered by one who died before it could be noted
        for path in sorted(place.iterdir()):
            if path.is_dir():
                client.log_artifacts(run, str(path), "/".join(filter(None, (folder, path.name))))
            else:
                client.log_artifact(run, str(path), folder or None)
        shutil.rmtree(place)

    def model_id(self, run: str, spooled: str) -> str:
        """Give the store's id of a model that this process has accepted, once; empty where it has not all of it yet.

        Raises:
            ConflictError: The store will never take it.
        """
        with impatient.for_seconds(_SOON):
            return self.models.id_of(self._store.connect, lambda: self._ids.required(run), spooled)

    def kill(self, run: str, when: float) -> None:
        """End the run of a process that is dead, unless it has ended, and keep the cells that it has left.

        Args:
            run: The run's id.
            when: When the process was last heard of, in seconds since 1970.

        Raises:
            MlopsError: The store is away.
        """
        with impatient.for_seconds(_LONGEST):
            try:
                client, real = self._store.connect(), self._ids.required(run)
                info = client.get_run(real).info
                if info.status == "RUNNING":
                    client.set_terminated(real, "KILLED", max(int(when * 1000), info.start_time))
            except Exception as error:
                if not is_for_good(error):
                    raise translate(error) from error
                return  # the run was deleted, or never could be created: there is nothing left to end
            try:
                self._keep_cells(client, run, real, True)
            except Exception as error:  # which lie with the artifacts: their store may be away, or full
                self._put_aside(Entry(CELLS, run, (True,)), translate(error).message)

    def kill_created(self, creation: Entry, when: float) -> None:
        """End the run that a dead process was just creating, if it came to one.

        Args:
            creation: What it has noted before.
            when: When the process was last heard of, in seconds since 1970.

        Raises:
            MlopsError: The store is away.
        """
        name, start = creation.values
        with impatient.for_seconds(_LONGEST):
            wanted = f"attributes.start_time = {start} and attributes.status = 'RUNNING'"
            try:
                made = self._store.connect().search_runs([creation.run], wanted, max_results=100)
            except Exception as error:
                if not is_for_good(error):
                    raise translate(error) from error
                return  # the experiment was deleted
        for run in made:
            if run.info.run_name == name:
                self.kill(run.info.run_id, when)


def end_run(client: Any, run: str, status: str, milliseconds: int) -> None:
    """End a run; KILLED takes along the children that are running: whoever began them is gone.

    Args:
        client: MLflow's client.
        run: The run's id in the store.
        status: How it ended.
        milliseconds: When, since 1970.
    """
    client.set_terminated(run, status, milliseconds)
    if status != "KILLED":
        return
    experiment = client.get_run(run).info.experiment_id
    orphans = f"tags.`mlflow.parentRunId` = '{run}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([experiment], orphans, max_results=1000):
        client.set_terminated(child.info.run_id, "KILLED", milliseconds)


def _dataset_input(said: dict[str, Any]) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = [InputTag(name, value) for name, value in said["tags"].items()]
    return DatasetInput(dataset=Dataset(**said["dataset"]), tags=tags)


def now() -> int:
    """Give the present time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
