"""A prepared workspace: runs, models with aliases and requests, a snapshot, a policy and a pipeline of one step."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from driving import ONE_STEP, write_step
from test_neptune_support import Exported, series, system

from mlops_jupyter import Workspace, log_data, log_metric, log_model, log_param
from mlops_jupyter.actor import Actor

TOML = """
[tracking]
experiment = "churn"

[[promotion]]
models = "churn"
alias = "champion"
gates = [{metric = "auc", min = 0.5}, {beats = "champion", metric = "auc"}]

[[promotion]]
models = "churn"
alias = "reviewed"
approvals = {count = 1}
"""
PIPELINE = "name: small\n" + ONE_STEP


def fitted() -> Any:
    """Give a small fitted model."""
    import numpy as np
    from sklearn.linear_model import LinearRegression

    rows = np.arange(8.0).reshape(4, 2)
    return LinearRegression().fit(rows, rows[:, 0])


@dataclass
class Prepared:
    """What is in the prepared workspace."""

    root: Path
    runs: dict[str, str]
    snapshot: str
    requests: list[str] = field(default_factory=list)


def prepare(root: Path) -> Prepared:
    """Make the workspace."""
    import numpy as np

    root.mkdir(parents=True, exist_ok=True)
    (root / "mlops.toml").write_text(TOML)
    (root / "pipeline.yaml").write_text(PIPELINE)
    write_step(root)
    Exported(root / "exports").run("CH-1", system() + series("loss", [(0, 1.0)]))
    ann = Workspace.open(root, actor=Actor("ann"))
    runs = {}
    for name, auc in (("base", 0.7), ("tuned", 0.8), ("refined", 0.9)):
        with ann.run(name) as run:
            runs[name] = run.run_id
            log_metric("auc", auc)
            log_param("depth", len(runs))
            log_data(np.arange(4.0), "rows", "train")
            if name != "refined":
                log_model(fitted(), register="churn")
            else:
                log_model(fitted())
    for version in (1, 2):
        ann.registry.promote(f"churn/{version}", to="champion", message="better")
    requests = [ann.registry.promote(f"churn/{version}", to="reviewed").request for version in (1, 2)]
    env: dict[str, Any] = {"python": "3", "packages": {}}
    taken = ann.snapshots.take({"a": [1, 2], "b": "text"}, name="first", environment=env, git={})
    return Prepared(root, runs, taken.snapshot, [str(request) for request in requests])
