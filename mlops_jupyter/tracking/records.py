"""What tracking tells of runs and versions, as plain records without MLflow's types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# Names of the tags on our runs; CONTRACT of the project.
NOTEBOOK = "mlops.notebook"
CELL = "mlops.cell"
SNAPSHOT = "mlops.snapshot"
GIT_COMMIT = "mlops.git.commit"
GIT_DIRTY = "mlops.git.dirty"
ENVIRONMENT = "mlops.env"
CACHE_SOURCE = "mlops.cache.source"
MARKS = "mlops.marks"
# MLflow's own, on a run that is the child of another.
PARENT = "mlflow.parentRunId"


def iso(milliseconds: int | float | None) -> str | None:
    """Give MLflow's time as ISO 8601 in UTC."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Run:
    """One run, as the store has it."""

    run_id: str
    name: str
    status: str
    experiment: str
    started: str | None
    seconds: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifact_uri: str
    model_ids: tuple[str, ...] = ()
    data: tuple[Mapping[str, Any], ...] = ()

    def row(self) -> dict[str, Any]:
        """Give what a list of runs shows."""
        return {
            "run_id": self.run_id,
            "name": self.name,
            "status": self.status,
            "experiment": self.experiment,
            "started": self.started,
            "seconds": self.seconds,
            "params": dict(self.params),
            "metrics": json_numbers(self.metrics),
            "notebook": self.tags.get(NOTEBOOK),
            "parent": self.tags.get(PARENT),
            "cached_from": self.tags.get(CACHE_SOURCE),
            "marked": self.tags.get(MARKS),
        }


@dataclass(frozen=True)
class Version:
    """One version of a registered model, as the registry has it."""

    model: str
    version: int
    run_id: str | None
    source: str
    created: str | None
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """The version's name: ``NAME/VERSION``."""
        return f"{self.model}/{self.version}"


def short_references(params: Mapping[str, str]) -> dict[str, str]:
    """Give parameters as people look at them: references to what a step published by their first digits."""
    return {name: re.sub(r"(mlops://[0-9a-f]{8})[0-9a-f]{56}", r"\1…", value) for name, value in params.items()}


def json_numbers(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Give metrics as JSON has them: NaN and infinities become text, since JSON has none."""
    return {
        name: value if value == value and abs(value) != float("inf") else str(value) for name, value in metrics.items()
    }
