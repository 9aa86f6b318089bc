"""Tracking, beside what it replaces: run with `python tests/benchmarks/tracking.py [NAME…]`; `--json` for programs.

Nothing here is a test that is timed: the numbers are printed, and people look at them.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import cells
import points
from measure import Benchmark, Outcome, Pair, Row, as_json, forget_settings, measured
from readme import section

from mlops_jupyter import Workspace
from mlops_jupyter.digest import digest_of

GIGABYTE = 1 << 30
ORDER = "metrics.m1 DESC"


def digest_of_numbers(folder: Path) -> Pair:
    """A frame of one gigabyte against one reading of its memory."""
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame(np.random.default_rng(0).random((GIGABYTE // 8 // 40, 40)))
    values = frame.to_numpy()
    return Pair(lambda: digest_of(frame), lambda: values.sum())


def digest_of_strings(folder: Path) -> Pair:
    """Five million strings held by Arrow against one reading of their memory."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    strings = [f"string number {n * 7919 % 1_000_003}" for n in range(5_000_000)]
    frame = pd.DataFrame({"x": pd.Series(strings, dtype="str")})
    size = pa.array(frame["x"].array).nbytes
    memory = np.frombuffer(np.random.default_rng(0).bytes(size // 8 * 8), dtype=np.uint64)
    return Pair(lambda: digest_of(frame), lambda: memory.sum())


def page_of_runs(count: int) -> Callable[[Path], Pair]:
    """The fifty best of many runs against MLflow on a copy of the database as it leaves it."""

    def prepare(folder: Path) -> Pair:
        workspace = Workspace.open(folder)
        experiment = workspace.tracking.experiment_id("sweep")
        fill(folder / ".mlops" / "mlflow.db", int(experiment), count)
        import mlflow

        copy = folder / "copy.db"
        with sqlite3.connect(folder / ".mlops" / "mlflow.db") as source, sqlite3.connect(copy) as target:
            source.backup(target)
        client = mlflow.MlflowClient(f"sqlite:///{copy}")
        workspace.runs.find(limit=1)  # both have opened their database before they are timed
        client.search_runs([experiment], max_results=1)
        found: dict[str, list[str]] = {}

        def ours() -> None:
            found["ours"] = [run.run_id for run in workspace.runs.find(order_by=ORDER, limit=50)]

        def peer() -> None:
            runs = client.search_runs([experiment], order_by=[ORDER], max_results=50)
            found["peer"] = [run.info.run_id for run in runs]
            assert found["ours"] == found["peer"]

        return Pair(ours, peer)

    return prepare


def fill(database: Path, experiment: int, count: int) -> None:
    """Write runs with five metrics, params and tags each, as MLflow would have left them."""
    choose = random.Random(0)
    ids = [uuid.UUID(int=choose.getrandbits(128)).hex for _ in range(count)]
    with sqlite3.connect(database) as target:
        target.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
            " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
            " VALUES (?, ?, 'UNKNOWN', '', '', 'me', 'FINISHED', ?, ?, '', 'active', 'file:///nowhere', ?)",
            [(run, f"run-{n}", 10**12 + n, 10**12 + n + 5, experiment) for n, run in enumerate(ids)],
        )
        for k in range(5):
            target.executemany(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, 1, 0, 0, ?)",
                [(f"m{k}", choose.random(), run) for run in ids],
            )
            target.executemany(
                "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
                [(f"p{k}", str(choose.randint(0, 9)), run) for run in ids],
            )
            target.executemany(
                "INSERT INTO tags (key, value, run_uuid) VALUES (?, 'v', ?)", [(f"t{k}", run) for run in ids]
            )


def first_run(folder: Path) -> Pair:
    """The first run in a new workspace against MLflow in a new folder, MLflow imported already in both."""
    import mlflow

    Workspace.open(folder).tracking.create()  # the template, once per version of MLflow

    def ours() -> None:
        with Workspace.open(Path(tempfile.mkdtemp(dir=folder))).run("first"):
            pass

    def peer() -> None:
        place = Path(tempfile.mkdtemp(dir=folder))
        client = mlflow.MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
        client.set_terminated(client.create_run(client.create_experiment("e"), run_name="first").info.run_id)

    return Pair(ours, peer)


def model(folder: Path) -> Pair:
    """A fitted pipeline of scikit-learn's kept with a run, against MLflow's own way as it comes."""
    import mlflow
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mlops_jupyter import log_model

    rows = np.random.default_rng(0).normal(size=(200, 4))
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > 0)
    workspace = Workspace.open(folder)

    def ours() -> None:
        with workspace.run("ours"):
            log_model(fitted, input_example=rows[:5])

    def peer() -> None:
        with workspace.run("peer"):
            mlflow.sklearn.log_model(fitted, name="model", input_example=rows[:5])

    ours()
    return Pair(ours, peer)


SEARCH, READ = "`mlflow.search_runs`", "memory, read once"
CALL, ASYNC = "`mlflow.log_metric`", "`mlflow.log_metric(…, synchronous=False)`"
_FAST = "100 times less, 40 µs"

BENCHMARKS = {
    "log-metric": Benchmark(
        points.calls,
        [
            Row("one `log_metric`, median", CALL, _FAST),
            Row("one `log_metric`, mean", CALL, _FAST, "mean"),
        ],
    ),
    "log-metric-magic": Benchmark(
        cells.magic, [Row("one `%mlops log metric` in a cell's loop, median", CALL, "250 µs")], 3
    ),
    "points-100k": Benchmark(
        points.delivered,
        [
            Row("a point of 100,000, until MLflow has them all", ASYNC, "30 times less"),
            Row("memory for 100,000 points", "ours for 10,000", "bounded", "memory", "MB", False),
        ],
        3,
    ),
    "record-cell": Benchmark(
        cells.recording, [Row("what recording adds to a cell", "the cell alone, `pass`", "2 ms", compared=False)]
    ),
    "load": Benchmark(cells.loading, [Row("`%load_ext mlops_jupyter`", "`import mlflow`", "50 ms")]),
    "first-run": Benchmark(first_run, [Row("first run in a new workspace", "MLflow, new database", "20 times less")]),
    "log-model": Benchmark(model, [Row("log model", "`mlflow.sklearn.log_model`", "50 times less")], 3),
    "runs-10k": Benchmark(page_of_runs(10_000), [Row("page of 50 of 10,000 runs", SEARCH, "60 times less")]),
    "runs-100k": Benchmark(page_of_runs(100_000), [Row("page of 50 of 100,000 runs", SEARCH, "400 ms")], 1),
    "digest-numbers": Benchmark(digest_of_numbers, [Row("digest of 1 GB of numbers", READ, "½ or better")]),
    "digest-strings": Benchmark(digest_of_strings, [Row("digest of 5 million strings", READ, "¼ or better")]),
}


def main(words: list[str]) -> None:
    """Measure what is named, or everything."""
    forget_settings()
    names = [word for word in words if not word.startswith("-")] or list(BENCHMARKS)
    outcomes: list[Outcome] = []
    for name in names:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            outcomes += BENCHMARKS[name].run(name, Path(folder).resolve())
        for outcome in outcomes[-len(BENCHMARKS[name].rows) :]:
            print(outcome, file=sys.stderr)
    found = measured(outcomes)
    print(as_json(found) if "--json" in words else section(found))


if __name__ == "__main__":
    main(sys.argv[1:])
