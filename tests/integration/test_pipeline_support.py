"""What the tests of pipelines share: a small project in a folder, and stand-ins for tracking and registry."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_jupyter.pipelines.results import PipelineResult, StepResult
from mlops_jupyter.pipelines.room import Pipelines
from mlops_jupyter.store import ObjectStore

REPOSITORY = Path(__file__).parents[2]
HEAD = "from mlops_jupyter.pipelines.outputs import load, output"


def notebook(
    path: Path, *cells: str, parameters: str | None = None, tags: Mapping[int, list[str]] | None = None
) -> None:
    """Write a notebook: code cells, `#md …` for markdown, the parameters cell first."""
    sources = [parameters, *cells] if parameters is not None else list(cells)
    document: dict[str, Any] = {
        "cells": [],
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    for number, source in enumerate(sources):
        own = ["parameters"] if parameters is not None and number == 0 else []
        own += (tags or {}).get(number, [])
        cell: dict[str, Any] = {"id": f"c{number}", "metadata": {"tags": own}, "source": source}
        if source.startswith("#md "):
            cell |= {"cell_type": "markdown", "source": source[4:]}
        else:
            cell |= {"cell_type": "code", "outputs": [], "execution_count": None}
        document["cells"].append(cell)
    path.write_text(json.dumps(document))


@dataclass
class StandInTracker:
    """Stands in for MLflow, so that a test of pipelines costs no seconds of its import.

    The real one is in test_pipeline_workspace.py.
    """

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, name, *, parent=None, tags=None, params=None):
        run_id = uuid.uuid4().hex
        with self.lock:
            self.runs[run_id] = {
                "name": name,
                "parent": parent,
                "tags": dict(tags or {}),
                "params": dict(params or {}),
                "status": "RUNNING",
            }
        return run_id

    def finish(self, run_id, status):
        self.runs.setdefault(run_id, {})["status"] = status

    def set_tags(self, run_id, tags):
        self.runs[run_id]["tags"].update(tags)

    def put_artifact(self, run_id, path, folder=""):
        self.artifacts.append((run_id, path.read_text()))

    def child_environment(self, run_id):
        return {"STEP_RUN": str(run_id)}

    def named(self, name):
        return [run for run in self.runs.values() if run.get("name") == name]


@dataclass
class StandInRegistry:
    """Stands in for the registry; says what it is told to say about promotions."""

    status: str = "promoted"
    versions: list[tuple[str, str, str]] = field(default_factory=list)
    promotions: list[tuple[str, str]] = field(default_factory=list)

    def register_model(self, name, *, model_id, run_id):
        if (name, model_id, run_id) not in self.versions:
            self.versions.append((name, model_id, run_id))
        return self.versions.index((name, model_id, run_id)) + 1

    def promote_once(self, model, *, to, message):
        self.promotions.append((model, to))
        return SimpleNamespace(status=self.status, reasons=("auc 0.6 is below 0.75",))


class Project:
    """A folder with a pipeline in it, and a room over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".mlops"
        self.tracker = StandInTracker()
        self.registry = StandInRegistry()
        self.events: list[Mapping[str, Any]] = []
        self.file = folder / "pipeline.yaml"

    @property
    def room(self) -> Pipelines:
        store = ObjectStore.open(self.state / "objects")
        return Pipelines(self.folder, self.state, store, self.tracker, self.registry, notify=self.events.append)

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def notebook(self, name: str, *cells: str, **more: Any) -> None:
        notebook(self.folder / name, *cells, **more)

    def run(self, **options: Any) -> PipelineResult:
        return self.room.run(self.file, **options)

    def plan(self, **options: Any) -> dict[str, tuple[str, str]]:
        return {step.name: (step.action, step.reason) for step in self.room.plan(self.file, **options).steps}

    def count(self, word: str) -> int:
        """How often a step has said a word in the file `log`, which tells how often it really ran."""
        log = self.folder / "log"
        return log.read_text().split().count(word) if log.exists() else 0


def states(result: PipelineResult) -> dict[str, str]:
    """Give instance → state."""
    return {step.name: step.state for step in result.steps}


def step(result: PipelineResult, name: str) -> StepResult:
    """Give what became of one instance."""
    return next(step for step in result.steps if step.name == name)


def say(word: str) -> str:
    """Give a cell that notes that it ran; one write, so that two kernels don't mix."""
    return f"with open('log', 'a') as f: f.write('{word}\\n')"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Give an empty project."""
    # Kernels are processes of their own: they find the package under test by this.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return Project(tmp_path)
