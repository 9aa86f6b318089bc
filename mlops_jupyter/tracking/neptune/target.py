"""Where the runs go: what the import asks of MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import translate
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.patience import answers

#: The run's project and id in Neptune.
ID = "mlops.neptune.id"
KEY = "mlops.neptune.key"
MARK = "mlops.neptune.mark"
PARENT = "mlops.neptune.parent"
#: How many points are there for sure.
POINTS = "mlops.neptune.points"
#: How many files were missing.
MISSING = "mlops.neptune.missing"
#: What the steps of some metrics were multiplied with.
MULTIPLIER = "mlops.neptune.step_multiplier"
#: When the import was completed; a run without it is half imported.
IMPORTED = "mlops.neptune.imported"
_NESTED = "mlflow.parentRunId"


@dataclass(frozen=True)
class Found:
    """A run that an import has begun before.

    Args:
        run_id: MLflow's id.
        name: Its name.
        tags: Its tags.
    """

    run_id: str
    name: str
    tags: Mapping[str, str]

    @property
    def is_whole(self) -> bool:
        """Whether it was imported to its end."""
        return IMPORTED in self.tags

    @property
    def is_orphan(self) -> bool:
        """Whether it was forked from a run that it is not nested in."""
        return PARENT in self.tags and _NESTED not in self.tags

    def number(self, tag: str) -> int:
        """Give a tag that is a number."""
        text = self.tags.get(tag, "")
        return int(text) if text.isdecimal() else 0


class Target:
    """Writes runs to MLflow.

    Args:
        tracking: The workspace's store.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._writing = ThreadPoolExecutor(1, "mlops-import")

    def close(self) -> None:
        """Let go of what writes."""
        self._writing.shutdown()

    @answers
    def known_experiment(self, name: str) -> str | None:
        """Give an experiment's id, or None where there is none."""
        if not self._tracking.exists():
            return None
        found = self._tracking.connect().get_experiment_by_name(name)
        return str(found.experiment_id) if found is not None and found.lifecycle_stage == "active" else None

    def experiment(self, name: str) -> str:
        """Give an experiment's id; it is made where there is none."""
        return self._tracking.experiment_id(name)

    @answers
    def find(self, experiment: str, key: str) -> Found | None:
        """Look for a run that was imported, or begun to be."""
        runs = self._tracking.connect().search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
        return next((Found(run.info.run_id, run.info.run_name, dict(run.data.tags)) for run in runs), None)

    @answers
    def begin(self, experiment: str, name: str, start: int | None, tags: Mapping[str, str]) -> str:
        """Begin a run; if this process dies, it ends KILLED until it is imported again."""
        with self._tracking.queue.turn():
            run = self._tracking.connect().create_run(experiment, start_time=start, tags=dict(tags), run_name=name)
        self._tracking.queue.opened(run.info.run_id)
        return str(run.info.run_id)

    @answers
    def resume(self, run_id: str) -> str:
        """Take up a run that was begun before, and give its id."""
        self._tracking.queue.opened(run_id)
        return run_id

    def log(self, run_id: str, metrics: Sequence[Any], params: Sequence[Any], tags: Mapping[str, str]) -> None:
        """Write points, params and tags; together at most a thousand, and at most a hundred params or tags."""
        # In the caller's thread MLflow would give the points to the model that is active there, too.
        self._writing.submit(self._log, run_id, metrics, params, tags).result()

    @answers
    def _log(self, run_id: str, metrics: Sequence[Any], params: Sequence[Any], tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        with self._tracking.queue.turn():
            self._tracking.connect().log_batch(run_id, metrics, params, [RunTag(*tag) for tag in tags.items()])

    def keep(self, run_id: str, file: Path, folder: str) -> None:
        """Copy a file to a folder of a run's artifacts."""
        # Without the haste of other calls: a server may take its time with a large file.
        try:
            self._tracking.connect().log_artifact(run_id, str(file), folder or None)
        except Exception as error:
            raise translate(error) from error

    @answers
    def end(self, run_id: str, status: str, ended: int | None, tags: Mapping[str, str]) -> None:
        """End a run as it ended in Neptune, then tag it as imported."""
        with self._tracking.queue.turn():
            self._tracking.connect().set_terminated(run_id, status, ended)
        self.log(run_id, [], [], tags)
        self._tracking.queue.closed(run_id)

    @answers
    def give_up(self, run_id: str) -> None:
        """End a run that could not be imported to its end; the next import takes it up."""
        self._tracking.connect().set_terminated(run_id, "KILLED")
        self._tracking.queue.closed(run_id)

    @answers
    def delete(self, run_id: str) -> None:
        """Delete a half that was imported from what the export was before."""
        self._tracking.connect().delete_run(run_id)

    def nest(self, run_id: str, parent: str) -> None:
        """Make a run a child of another."""
        self.log(run_id, [], [], {_NESTED: parent})
