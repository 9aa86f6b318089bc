"""The demo's folder and its summary, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlops_jupyter.demo import DemoResult, copy_example
from mlops_jupyter.display import Block, Shown
from mlops_jupyter.errors import UsageError


class Ran(Shown):
    """Stands in for a pipeline's result."""

    def to_json(self) -> Any:
        return {"steps": [{"state": "succeeded"}]}

    def blocks(self) -> Sequence[Block]:
        return []


def test_another_project_with_a_pipeline_is_left_alone(tmp_path: Path) -> None:
    """A pipeline.yaml is no invitation: only the demo's own is gone on with."""
    (tmp_path / "pipeline.yaml").write_text("name: churn\nsteps: {}\n# name: demo\n")
    with pytest.raises(UsageError, match="other files"):
        copy_example(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.yaml"]


def test_the_demo_itself_is_gone_on_with(tmp_path: Path) -> None:
    """What is there stays, what is missing comes back, and what a crash has left of a write is in nobody's way."""
    (tmp_path / ".train.ipynb.0a1b.part").write_text("half")
    copy_example(tmp_path)
    (tmp_path / "train.ipynb").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    copy_example(tmp_path)
    assert (tmp_path / "train.ipynb").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def model(*gates: dict[str, Any]) -> dict[str, Any]:
    return {"model": "demo", "version": 1, "run_id": "r", "aliases": ["champion"], "gates": gates}


def test_only_gates_that_hold_are_reasons(tmp_path: Path) -> None:
    """A gate that fails now, or that guards another alias, is not why the champion was promoted."""
    gates = (
        {"alias": "champion", "gate": "auc >= 0.7", "passed": True, "reason": "auc is 0.9"},
        {"alias": "champion", "gate": "f1 >= 0.7", "passed": False, "reason": "f1 is 0.1"},
        {"alias": "staging", "gate": "loss <= 3", "passed": True, "reason": "loss is 1"},
    )
    shown = str(DemoResult(tmp_path, Ran(), [], model(*gates)))
    assert "promoted because auc >= 0.7 holds" in shown
    assert "promoted because f1" not in shown
    assert "f1 >= 0.7 does not hold now: f1 is 0.1" in shown
    assert "loss" not in shown


def test_the_way_to_mlflow_can_be_pasted(tmp_path: Path) -> None:
    """A folder with a space is quoted, and an external store is the one that is named."""
    folder = tmp_path / "my demo"
    own = str(DemoResult(folder, Ran(), [], None))
    assert f"ui --backend-store-uri 'sqlite:///{folder}/.mlops/mlflow.db'" in own
    other = str(DemoResult(folder, Ran(), [], None, "postgresql://db/x y"))
    assert "ui --backend-store-uri 'postgresql://db/x y'" in other
    server = str(DemoResult(folder, Ran(), [], None, "http://tracking:5000"))
    assert "http://tracking:5000" in server
    assert "ui --backend" not in server
