""":class:`Tracking`: what the rooms ask of the workspace's MLflow store, and tell it."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mlops_jupyter.actor import os_actor
from mlops_jupyter.config import STATE, Config
from mlops_jupyter.errors import UsageError, translate
from mlops_jupyter.files import linked_folders
from mlops_jupyter.tracking import embedded, fast_search, mlflow_module
from mlops_jupyter.tracking.connection import Connection
from mlops_jupyter.tracking.patience import answers, impatient
from mlops_jupyter.tracking.queue.delivery import end_run, now
from mlops_jupyter.tracking.queue.queue import FOLDER, Queue

Status = Literal["FINISHED", "FAILED", "KILLED"]

#: Names the run that a pipeline's orchestrator began for a process; MLflow takes its own variable away when it resumes.
RUN_VARIABLE = "MLOPS_RUN_ID"

# How long what a server said of a run's parameters is taken for true: many are logged one after the other.
_FRESH = 1.0
# How long a call waits for a server to take what was accepted already.
_MOMENT = 2.0
#: What the journals for a workspace's own store say instead of a URI.
EMBEDDED = "embedded"
#: The queues of this process: all that open a workspace, however often, share one.
_queues: dict[tuple[Path, str], Queue] = {}


class Tracking(Connection):
    """Runs and registry of one workspace, in the embedded store or any other MLflow store.

    Args:
        config: The workspace's settings.
        prepare: Makes ``.mlops/`` before the first write.
    """

    def __init__(self, config: Config, prepare: Callable[[], None]) -> None:
        super().__init__(config, prepare)
        self._params: tuple[float, str, dict[str, str]] = (0.0, "", {})

    def store_id(self, run_id: str) -> str:
        """Give the store's id of a run, which may be named by a local one.

        Raises:
            Waiting: The store has not created it yet.
            Refused: The store will never create it.
        """
        ids = self.queue.ids
        if not ids.real(run_id):
            self.queue.settle(insist=True)
        return ids.required(run_id)

    def fast_ids(
        self, experiments: Sequence[str], filter_string: str, order: Sequence[str], limit: int, skip: int = 0
    ) -> list[str] | None:
        """Find runs without MLflow's own query, which takes seconds to sort ten thousand of them by a metric.

        Args:
            experiments: Ids of the experiments to search.
            filter_string: MLflow's filter.
            order: MLflow's order clauses.
            limit: How many at the most.
            skip: How many to leave out before them.

        Returns:
            The runs' ids in order; None where MLflow has to be asked.
        """
        if not self.is_embedded:
            return None
        database = self._config.state / embedded.DATABASE
        return fast_search.run_ids(database, experiments, filter_string, order, limit, skip)

    @cached_property
    def queue(self) -> Queue:
        """What accepts entries for this store, and brings them there."""
        key = (self._config.state, self.uri)
        if key not in _queues:
            made = Queue(self._config.state / FOLDER, self._queue_name, self, self._prepare, alone=not self.is_remote)
            _queues.setdefault(key, made)
        return _queues[key]

    @property
    def _queue_name(self) -> str:
        # A workspace that is moved takes its own store along, and so the journals of it name none.
        return EMBEDDED if self.is_embedded else self.shown_uri

    @property
    def client(self) -> Any:
        """MLflow's client for this store, for what reads: what was logged up to now is delivered first.

        Raises:
            StoreError: The store can't be opened.
        """
        # Tried anew although it failed a moment ago: what is read next would be told as if it were all.
        self.queue.settle(insist=True)
        return self.connect()

    @property
    def _writer(self) -> Any:
        """MLflow's client, for what writes: what this process has logged before is there, as it may be replaced.

        Raises:
            StoreError: The store can't be opened.
        """
        self.queue.settle(insist=True, everything=False)
        return self.connect()

    @answers
    def begin(
        self,
        name: str | None,
        *,
        experiment: str | None = None,
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> str:
        """Begin a run that other processes may write to.

        Args:
            name: The run's name; MLflow makes one up when None.
            experiment: Where it goes; the workspace's own when None.
            parent: The id of the run that it is a child of.
            tags: Tags to begin with.
            params: Parameters to begin with.

        Returns:
            The run's id; its status is RUNNING.
        """
        all_tags = {str(k): str(v) for k, v in (tags or {}).items()}
        # MLflow's fluent calls say who began a run; its client does not.
        all_tags.setdefault("mlflow.user", os_actor().name)
        if parent is not None:
            all_tags["mlflow.parentRunId"] = parent
        client = self._writer
        run = client.create_run(self.experiment_id(experiment), tags=all_tags, run_name=name)
        for key, value in (params or {}).items():
            client.log_param(run.info.run_id, key, value)
        run_id: str = run.info.run_id
        self.queue.opened(run_id)
        return run_id

    @answers
    def finish(self, run_id: str, status: Status) -> None:
        """End a run.

        Args:
            run_id: Which.
            status: How it ended. KILLED takes the children that are still running along: whoever began them is gone,
                and may have had no time to note them down.
        """
        end_run(self._writer, run_id, status, now())
        self.queue.closed(run_id)

    def create_run(
        self, name: str, *, experiment: str | None, parent: str | None, tags: Mapping[str, str]
    ) -> tuple[str, Any]:
        """Begin a run that this process answers for: if it dies, the run ends KILLED.

        Args:
            name: The run's name.
            experiment: Where it goes; the workspace's own when None.
            parent: The id of the run that it is a child of.
            tags: Tags to begin with.

        Returns:
            The run's id, and MLflow's entity of it; a local id and None where a server does not answer in a moment.

        Raises:
            StoreError: The store can't be opened.
            ConflictError: The experiment was deleted and not yet purged.
        """
        if self.is_remote:
            asked: dict[str, Any] = {"experiment": experiment or self.experiment, "name": name, "parent": parent}
            asked |= {"tags": dict(tags), "start": now()}
            return self.queue.begin(asked, _MOMENT)
        every = dict(tags) | ({"mlflow.parentRunId": parent} if parent else {})
        client, experiment_id, start = self.connect(), self.experiment_id(experiment), now()
        with self.queue.turn():  # one creation at a time, so that the last noted is the one that a kill may cut off
            self.queue.creating(experiment_id, name, start)
            run = client.create_run(experiment_id, start_time=start, tags=every, run_name=name)
            self.queue.opened(run.info.run_id)
        return run.info.run_id, run

    def param_of(self, run_id: str, name: str) -> str | None:
        """Give the value of a run's parameter, if the store has it and says so in a moment."""
        queue = self.queue
        if self.is_embedded and (found := fast_search.param(self._config.state / embedded.DATABASE, run_id, name)):
            return found.value
        real = queue.ids.real(run_id)
        if not real or not queue.is_well:
            return None
        when, read_id, params = self._params
        if read_id != real or time.monotonic() - when > _FRESH:
            with impatient.for_seconds(_MOMENT):
                try:
                    params = dict(self.connect().get_run(real).data.params)
                except Exception as error:
                    # The queue will find out as well; what the store refuses then is told by status.
                    queue.note_failure(translate(error))
                    return None
            self._params = (time.monotonic(), real, params)
        return params.get(name)

    @answers
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run, in the place of those of the same names."""
        for key, value in tags.items():
            if self.is_remote:
                self.queue.tag(run_id, key, value)
            else:
                self._writer.set_tag(run_id, key, value)
        self._moment()

    @answers
    def add_dataset(self, run_id: str, described: Mapping[str, Any]) -> None:
        """Note a dataset that a run reads.

        Args:
            run_id: The run.
            described: ``dataset``, the fields of MLflow's entity, and ``tags``.
        """
        self.queue.dataset(run_id, described)
        self._moment()

    @answers
    def put_artifact(self, run_id: str, path: Path, folder: str = "") -> None:
        """Keep a file, or a folder with all that is in it, among a run's artifacts.

        Raises:
            UsageError: The folder holds the workspace's own state, artifacts included.
            ValueRefused: It is or holds a pipe, a socket or a device, a link that leads nowhere or back to a folder
                that it lies in, or a name that is no text.
        """
        self._require_apart(path)
        linked = linked_folders(path)
        for entry in linked:
            self._require_apart(entry.path)
        path = path if path.name else path.resolve()  # "." has no name, and the folder is kept by it
        if self.is_remote:
            self.queue.file(run_id, path, folder)
            self._moment()
        elif path.is_dir():
            self._writer.log_artifacts(run_id, str(path), folder or path.name)
            for entry in linked:  # in whose place MLflow makes an empty folder
                self._writer.log_artifacts(run_id, str(entry.path), f"{folder or path.name}/{entry.name}")
        else:
            self._writer.log_artifact(run_id, str(path), folder or None)

    def _require_apart(self, path: Path) -> None:
        if not path.is_dir():
            return
        whole, state = path.resolve(), self._config.state.resolve()
        if state.is_relative_to(whole) or whole.is_relative_to(state / embedded.ARTIFACTS):
            raise UsageError(
                f"{path.name or path} holds this workspace's own state, {STATE}/", "name a folder inside, or files"
            )

    @answers
    def put_text(self, run_id: str, text: str, name: str) -> None:
        """Keep a text among a run's artifacts."""
        if self.is_remote:
            self.queue.text(run_id, name, text)
            self._moment()
        else:
            self._writer.log_text(run_id, text, name)

    def _moment(self) -> None:
        """Let a store that is well take what was accepted, so that whoever reads it next finds it there."""
        if self.queue.is_well:
            self.queue.settle(_MOMENT, everything=False)

    @answers
    def status_of(self, run_id: str) -> str:
        """Give a run's present status."""
        status: str = self.client.get_run(run_id).info.status
        return status

    def child_environment(self, run_id: str | None = None) -> dict[str, str]:
        """Give what a child process needs to write to this store, and to one run in it.

        Args:
            run_id: The run that the child's MLflow calls land in.

        Returns:
            Environment variables.
        """
        self.create()
        variables = {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_REGISTRY_URI": self.uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLOPS_WORKSPACE": str(self._config.root),
        }
        if run_id is not None:
            experiment = self._writer.get_run(run_id).info.experiment_id
            variables |= {"MLFLOW_RUN_ID": run_id, RUN_VARIABLE: run_id, "MLFLOW_EXPERIMENT_ID": experiment}
        return variables

    def recover(self) -> None:
        """Deliver what dead processes have left, and end their runs; nothing where there is nothing of that kind.

        What they left for another store, which the workspace had before, goes there.
        """
        for shown in self.queue.left_by_the_dead():
            if shown == self._queue_name:
                self.queue.settle()
            elif "***" not in shown:  # without its password it can't be opened: `status` tells of it
                uri = None if shown == EMBEDDED else shown
                Tracking(replace(self._config, tracking_uri=uri), self._prepare).queue.settle()

    def use_here(self) -> None:
        """Make this store the one that plain ``mlflow.*`` calls of this process use.

        Raises:
            StoreError: The store can't be opened.
        """
        mlflow = mlflow_module()
        if self.is_remote:
            self.check_driver()
        else:
            self.connect()
        _used[self.uri] = self
        if mlflow.get_tracking_uri() == self.uri:
            return
        before = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(self.uri)
        # MLflow writes the variable as well; left there, it would name this store for the next workspace too.
        if before is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


#: The stores that plain ``mlflow.*`` calls of this process were made to use, by their URIs.
_used: weakref.WeakValueDictionary[str, Tracking] = weakref.WeakValueDictionary()


def used_here(uri: str) -> Tracking | None:
    """Give the workspace's store that plain ``mlflow.*`` calls of this process were last made to use, by its URI."""
    return _used.get(uri)
