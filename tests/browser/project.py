"""Fill a folder with what the sidebar can show: ``python project.py FOLDER`` (a process of its own).

The preparation executes kernels, which can't be done in a process where Playwright's event loop runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "surfaces"))

from driving import ONE_STEP, write_step

HOSTILE = '<img src="x" onerror="window.hacked = true"><b>bold</b>'
CELL = "%%mlops run --name baseline --param depth=3\nclf.fit(X, y)"

SETTINGS = """
[tracking]
experiment = "churn"

[[promotion]]
models = "*"
alias = "champion"
gates = [{metric = "auc", min = 0.75}, {metric = "loss", max = 0.5}]

[[promotion]]
models = "*"
alias = "reviewed"
approvals = {count = 1}
"""
PIPELINE = "name: nightly\n" + ONE_STEP


def fitted(depth: int) -> tuple[Any, Any]:
    """Give a small fitted classifier, and the rows that it was fitted to."""
    import pandas as pd
    from sklearn.tree import DecisionTreeClassifier

    rows = pd.DataFrame({"age": [21.0, 35.0, 48.0, 62.0], "calls": [1.0, 4.0, 2.0, 7.0]})
    return DecisionTreeClassifier(max_depth=depth, random_state=0).fit(rows, [0, 1, 0, 1]), rows


def prepare(root: Path) -> dict[str, Any]:
    """Make the workspace: runs, a snapshot, two versions of a model, a pipeline that has run, and a neighbour."""
    from mlops_jupyter import Workspace, log_data, log_metric, log_model
    from mlops_jupyter.tracking.runs import CELL_SOURCE

    (root / "mlops.toml").write_text(SETTINGS, "utf-8")
    (root / "neighbour").mkdir()
    (root / "neighbour" / "mlops.toml").write_text('[tracking]\nexperiment = "neighbour"\n', "utf-8")
    workspace = Workspace.open(root)

    with workspace.run(HOSTILE, params={"label": HOSTILE}):
        pass
    with workspace.run("hasty", params={"depth": 1}):
        log_metric("auc", 0.7)
        log_metric("loss", 0.9)
    with workspace.run("baseline", params={"depth": 3, "criterion": "gini"}, tags={"mlops.cell": "cell-1"}) as run:
        model, rows = fitted(3)
        log_data(rows, "customers", "train")
        for step, value in enumerate((0.8, 0.86, 0.9)):
            log_metric("auc", value, step)
        log_metric("loss", 0.2)
        log_model(model, register="churn")
        run.tracking.put_text(run.run_id, CELL, CELL_SOURCE)
    with workspace.run("shallow", params={"depth": 1}):
        log_metric("auc", 0.7)
        log_metric("loss", 0.9)
        log_model(fitted(1)[0], register="churn")

    held = {"depth": 3, "label": HOSTILE, "rows": rows}
    environment = {"python": "3", "packages": {}}
    taken = workspace.snapshots.take(held, name=HOSTILE, message=HOSTILE, environment=environment, git={})
    write_step(root)
    (root / "pipeline.yaml").write_text(PIPELINE, "utf-8")
    ran = workspace.pipelines.run(root / "pipeline.yaml")
    assert ran.to_json()["state"] == "succeeded", ran
    return {"run": run.run_id, "snapshot": taken.snapshot}


if __name__ == "__main__":
    print(json.dumps(prepare(Path(sys.argv[1]))))
