"""Comparing runs: curves of any length from each kind of store, code cell by cell, marks, sweeps, and single runs."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import Opening

from mlops_jupyter import Workspace, log_data, log_metric
from mlops_jupyter.display import document_of
from mlops_jupyter.tracking.alignment import Cell, changes

Series = Sequence[tuple[int, float]]


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    """Give a workspace with the embedded store; where the store matters, a test asks for each kind."""
    return Workspace.open(folder)


def kept(workspace: Workspace, name: str, *cells: str | dict[str, Any], **metrics: float) -> str:
    """Make a run that keeps these cells, and give its id."""
    records = [
        {"id": f"id{at}", "order": at, "outcome": "ok", "seconds": 0.5}
        | ({"source": cell} if isinstance(cell, str) else cell)
        for at, cell in enumerate(cells, 1)
    ]
    with workspace.run(name) as run:
        for metric, value in metrics.items():
            log_metric(metric, value)
    if records:
        run.tracking.put_text(run.run_id, json.dumps(records), "mlops/cells.json")
        run.tracking.put_text(run.run_id, "\n\n".join(record["source"] for record in records), "mlops/cell.py")
    return run.run_id


def marked(workspace: Workspace, run: str, document: str, *reasons: str) -> None:
    """Give a run marks with these reasons."""
    marks = [{"cell": "c", "order": at, "kind": "edited", "reason": reason} for at, reason in enumerate(reasons, 1)]
    workspace.tracking.put_text(run, json.dumps({"document": document, "marks": marks}), "mlops/lineage.json")


def log_series(workspace: Workspace, run_id: str, metric: str, series: Series) -> None:
    """Log a series by MLflow's own client."""
    from mlflow.entities import Metric

    for start in range(0, len(series), 1000):
        points = [Metric(metric, value, 1_000_000 + step, step) for step, value in series[start : start + 1000]]
        workspace.tracking.client.log_batch(run_id, metrics=points)


def document(workspace: Workspace, *names: str) -> Any:
    """Compare runs, and give what `--json` writes."""
    result = document_of(workspace.runs.compare(list(names)))
    json.dumps(result, allow_nan=False)
    return result


# ---------------------------------------------------------------------------------------------------------------------
# Curves


def test_a_long_curve_comes_short_from_any_store(opening: Opening) -> None:
    """Of 3,000 points 2,000 come at the most, both ends among them and that noted; a short curve comes whole."""
    workspace = opening()
    long = [(step, math.sin(step / 50)) for step in range(3000)]
    for name, extra in (("a", []), ("b", [(3000, 7.0)])):
        run = kept(workspace, name)
        log_series(workspace, run, "loss", long + extra)
        log_series(workspace, run, "short", [(1, 0.5), (2, math.nan), (3, math.inf)])
    found = document(workspace, "a", "b")
    first, second = found["curves"]["loss"]
    assert 1000 < len(first) <= 2000
    assert (first[0], first[-1]) == ([0, 0.0], [2999, pytest.approx(math.sin(2999 / 50))])
    assert second[-1] == [3000, 7.0]
    assert found["thinned"] is True
    assert found["curves"]["short"] == [[[1, 0.5], [3, "inf"]]] * 2
    shown = str(workspace.runs.compare(["a", "b"]))
    assert ("the store gave a sample of loss" in shown) is not workspace.tracking.is_embedded


def test_short_curves_are_not_thinned(opening: Opening) -> None:
    """What is complete says so, whatever the store; a step that was logged twice is there twice, in its order."""
    workspace = opening()
    log_series(workspace, kept(workspace, "a"), "loss", [(2, 0.25), (0, 1.0), (1, 0.5)])
    run = kept(workspace, "b")
    log_series(workspace, run, "loss", [(0, 2.0)])
    workspace.tracking.client.log_metric(run, "loss", 1.0, timestamp=2_000_000, step=0)
    found = document(workspace, "a", "b")
    assert found["curves"] == {"loss": [[[0, 1.0], [1, 0.5], [2, 0.25]], [[0, 2.0], [0, 1.0]]]}
    assert found["thinned"] is False


def test_a_hundred_thousand_points_take_little_time_and_keep_their_spike(workspace: Workspace) -> None:
    """Two runs of 100,000 points each are compared within five seconds, and the one point that stands out stays."""
    runs = [kept(workspace, name, loss=0.5) for name in ("a", "b")]
    choose = random.Random(1)
    # MLflow takes a quarter of a minute to write them.
    with sqlite3.connect(workspace.config.state / "mlflow.db") as database:
        for run in runs:
            columns = "(run_uuid, timestamp, step, value, key, is_nan)"
            rows = ((run, 1_000_000 + at, at, choose.random(), "loss", 0) for at in range(1, 100_000))
            database.executemany(f"INSERT INTO metrics {columns} VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.execute("UPDATE metrics SET value = 9 WHERE run_uuid = ? AND step = 77777", (runs[1],))
    database.close()
    began = time.perf_counter()
    result = workspace.runs.compare(["a", "b"])
    found, html = document_of(result), result._repr_html_()
    assert time.perf_counter() - began < 5
    series = found["curves"]["loss"]
    assert [len(points) <= 2000 for points in series] == [True, True]
    assert [77777, 9] in series[1]
    assert len(html) < 60_000


def test_curves_that_differ_most_come_first(workspace: Workspace) -> None:
    """A chart a metric, most different first, twelve at the most; the rest is named, and a single number has none."""
    for name, sign in (("a", 1), ("b", -1)):
        run = kept(workspace, name, final=1.0)
        for at in range(14):
            log_series(workspace, run, f"m{at:02}", [(step, step + sign * at) for step in range(5)])
    result = workspace.runs.compare(["a", "b"])
    charts = [line.split(" by ")[0] for line in str(result).splitlines() if " by step: " in line]
    assert charts == [f"m{at:02}" for at in range(13, 1, -1)]
    assert "2 more metrics have curves: m01, m00" in str(result)
    assert result._repr_html_().count("<svg") == 12


def test_metrics_logged_without_steps_are_drawn_in_their_order(workspace: Workspace) -> None:
    """Where every step is 0, the curve goes from point to point."""
    with workspace.run("a"):
        for value in (1.0, 0.5, 0.25):
            log_metric("loss", value)
    assert "loss by point: a from 1 at 0 to 0.25 at 2" in str(workspace.runs.compare(["a"]))
    assert document(workspace, "a")["curves"] == {"loss": [[[0, 1.0], [0, 0.5], [0, 0.25]]]}


# ---------------------------------------------------------------------------------------------------------------------
# Code


def test_code_is_compared_cell_by_cell(workspace: Workspace) -> None:
    """Changed cells come with their lines, added and removed ones whole, equal ones as a count."""
    kept(workspace, "a", "x = 1", "y = 2\nz = x", "gone = 1")
    kept(workspace, "b", "x = 1", "y = 3\nz = x", {"id": "new", "source": "print('<b>')"})
    found = document(workspace, "a", "b")["code"]
    assert [(pair["run"], pair["against"]) for pair in found] == [("b", "a")]
    cells = {cell["status"]: cell for cell in found[0]["cells"]}
    assert [cell["status"] for cell in found[0]["cells"]] == ["equal", "changed", "removed", "added"]
    assert cells["changed"] == {
        "status": "changed",
        "id": "id2",
        "before": "y = 2\nz = x",
        "after": "y = 3\nz = x",
        "diff": ["@@ -1,2 +1,2 @@", "-y = 2", "+y = 3", " z = x"],
    }
    assert (cells["added"]["before"], cells["added"]["diff"]) == (None, ["+print('<b>')"])
    assert (cells["removed"]["after"], cells["removed"]["diff"]) == (None, ["-gone = 1"])
    result = workspace.runs.compare(["a", "b"])
    assert "cells of b against a: 1 changed, 1 added, 1 removed, 1 equal" in str(result)
    assert "  -y = 2\n  +y = 3\n   z = x" in str(result)
    html = result._repr_html_()
    assert "<del>-y = 2</del><ins>+y = 3</ins>" in html
    assert "<b>" not in html


def test_each_run_is_held_against_the_first(workspace: Workspace) -> None:
    """Of three runs two differences are told; who is equal is named."""
    kept(workspace, "a", "x = 1")
    kept(workspace, "b", "x = 2")
    kept(workspace, "c", "x = 1  ")
    found = document(workspace, "a", "b", "c")["code"]
    told = [(pair["run"], pair["against"], [cell["status"] for cell in pair["cells"]]) for pair in found]
    assert told == [("b", "a", ["changed"]), ("c", "a", ["equal"])]
    assert "all cells equal: c" in str(workspace.runs.compare(["a", "b", "c"]))


def test_cells_that_ran_in_another_order_are_told(workspace: Workspace) -> None:
    """The same cells in another order are equal, and the order is said."""
    kept(workspace, "a", {"id": "x", "source": "x = 1"}, {"id": "y", "source": "y = 1"})
    kept(workspace, "b", {"id": "y", "source": "y = 1"}, {"id": "x", "source": "x = 1"})
    assert "cells of b against a: 2 equal, in another order" in str(workspace.runs.compare(["a", "b"]))
    assert "another order" not in str(workspace.runs.compare(["a", "a"]))
    kept(workspace, "c", {"id": "x", "source": "x = 1"}, {"id": "y", "source": "y = 1"})
    told = str(workspace.runs.compare(["a", "b", "c"]))
    assert "cells of b against a: 2 equal, in another order" in told
    assert "all cells equal: c" in told


def test_a_model_that_was_deleted_is_told(workspace: Workspace) -> None:
    """A run outlives its models: the others are compared, and of that one the id is left."""
    from sklearn.dummy import DummyClassifier

    from mlops_jupyter import log_model

    with workspace.run("had") as run:
        logged = log_model(DummyClassifier().fit([[0], [1]], [0, 1]))
    workspace.tracking.client.delete_logged_model(logged.model_id)
    (known,) = document(workspace, run.run_id)["runs"]
    assert known["models"] == [{"name": "(deleted)", "model_id": logged.model_id}]


def test_a_run_without_records_of_cells_has_one_cell(workspace: Workspace) -> None:
    """Runs of older versions keep one source, which is compared as one cell; without any, that is said."""
    for name, source in (("a", "x = 1\ny = 2"), ("b", "x = 1\ny = 3")):
        run = kept(workspace, name)
        workspace.tracking.put_text(run, source, "mlops/cell.py")
    kept(workspace, "script")
    (pair,) = document(workspace, "a", "b")["code"]
    assert pair["cells"][0]["diff"] == ["@@ -1,2 +1,2 @@", " x = 1", "-y = 2", "+y = 3"]
    assert "no cells were kept of script" in str(workspace.runs.compare(["a", "script"]))
    assert "no cells were kept of script" in str(workspace.runs.compare(["script", "a"]))
    assert "code" not in str(workspace.runs.compare(["script", "script"]))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a1 b2", "a1 b2", "a1=a1 b2=b2"),  # same ids
        ("a1", "b1", "a1=b1"),  # other ids, same source
        ("a1 b2", "b2 a1", "b2=b2 a1=a1"),  # another order
        ("a1 a2 b3", "a2 b3", "a1= a2=a2 b3=b3"),  # a cell that ran twice finds the execution that was the same
        ("a1", "a1 a1", "a1=a1 =a1"),
        ("a1 b2", "a2 b1", "a1=a2 b2=b1"),  # an id weighs more than a source
        ("", "a1", "=a1"),
        ("a1 b2", "", "a1= b2="),
    ],
)
def test_cells_find_their_partners(before: str, after: str, expected: str) -> None:
    """By id and source, by id, by source; in the other run's order, removed cells where they were."""

    def cells(text: str) -> list[Cell]:
        return [Cell(word[0], at, word[1]) for at, word in enumerate(text.split())]

    def name(cell: Cell | None) -> str:
        return "" if cell is None else f"{cell.id}{cell.source}"

    found = changes(cells(before), cells(after))
    assert " ".join(f"{name(change.before)}={name(change.after)}" for change in found) == expected


def test_cells_of_other_notebooks_are_found_by_their_likeness() -> None:
    """Without a common id or source the most alike cells belong together; what is like nothing is added or removed."""
    fit = "clf = GradientBoostingClassifier(max_depth=3, learning_rate=0.1)\nclf.fit(X, y)"
    before = [Cell("a", 1, "import pandas as pd"), Cell("b", 2, fit), Cell("c", 3, fit.replace("3", "4") + "\nz = 1")]
    after = [Cell("x", 1, "print('something else entirely')"), Cell("y", 2, fit.replace("3", "8"))]
    found = [(change.status, change.before and change.before.id, change.id) for change in changes(before, after)]
    assert found == [("removed", "a", "a"), ("added", None, "x"), ("changed", "b", "y"), ("removed", "c", "c")]


def test_equal_cells_are_found_however_far_apart() -> None:
    """Cells of another notebook in quite another order are equal where their sources are."""
    before = [Cell(f"a{at}", at, f"x = {at}") for at in range(60)]
    after = [Cell(f"b{at}", at, f"x = {at}") for at in reversed(range(60))]
    assert {change.status for change in changes(before, after)} == {"equal"}


@given(*[st.lists(st.builds(Cell, st.sampled_from(["a", "b", None]), st.integers(), st.text("xy\n ", max_size=4)))] * 2)
def test_every_cell_is_told_once(before: list[Cell], after: list[Cell]) -> None:
    """No cell is lost or told twice, the other run's order holds, and equal means no line differs."""
    found = changes(before, after)
    assert [change.after for change in found if change.after is not None] == after
    firsts = [id(change.before) for change in found if change.before is not None]
    assert sorted(firsts) == sorted(map(id, before))
    assert all((change.status == "equal") == (not change.diff) for change in found)
    assert {change.status for change in changes(before, before)} <= {"equal"}


def test_very_long_cells_are_compared_in_a_moment() -> None:
    """Ten thousand lines against ten thousand, or hundreds of cells of another notebook, keep nobody waiting."""
    began = time.perf_counter()
    lines = [f"x{at % 7} = {at % 11}" for at in range(10_000)]
    (change,) = changes(
        [Cell("a", 1, "\n".join(lines))], [Cell("a", 1, "\n".join([*lines[:5000], "new", *lines[5001:]]))]
    )
    assert change.diff == ("@@ from line 5001 @@", f"-{lines[5000]}", "+new")
    ours = [Cell(f"a{at}", at, f"value_{at} = compute({at}, other_{at})\n" * 9) for at in range(300)]
    theirs = [Cell(f"b{at}", at, f"value_{at} = calculate({at}, other_{at})\n" * 9) for at in range(300)]
    assert len(changes(ours, theirs)) >= 300
    assert time.perf_counter() - began < 10


# ---------------------------------------------------------------------------------------------------------------------
# Marks


def test_a_run_that_will_not_reproduce_says_why(workspace: Workspace) -> None:
    """Marks are a warning with their reasons, and whether the notebook was the saved one; no marks, no warning."""
    marked(workspace, kept(workspace, "a", "x = 1"), "saved", "[2] came after [3]", "<b> was edited")
    marked(workspace, kept(workspace, "b", "x = 1"), "live", *[f"reason {at}" for at in range(9)])
    marked(workspace, kept(workspace, "c", "x = 1"), "unknown")
    result = workspace.runs.compare(["a", "b", "c"])
    text = str(result)
    assert "✗ a will not reproduce: [2] came after [3]; <b> was edited (by the notebook as last saved)\n" in text
    assert "✗ b will not reproduce: reason 0; reason 1; reason 2; reason 3; reason 4; and 4 more\n" in text
    assert "c will not reproduce" not in text
    assert "&lt;b&gt; was edited" in result._repr_html_()
    first, _, last = document(workspace, "a", "b", "c")["runs"]
    assert first["marks"][0] == {"cell": "c", "order": 1, "kind": "edited", "reason": "[2] came after [3]"}
    assert (first["document"], last["document"], last["marks"]) == ("saved", "unknown", [])


@pytest.mark.parametrize("text", ["{", '[{"no": "source"}]', "[1]", '{"marks": [{}]}', '[{"source": 1}]', "3", "null"])
def test_artifacts_that_cannot_be_read_are_told(workspace: Workspace, text: str) -> None:
    """What somebody else has written under our names is no reason to show nothing, and is not passed over."""
    for name in ("a", "b"):
        run = kept(workspace, name, "x = 1", loss=0.5)
        workspace.tracking.put_text(run, text, "mlops/cells.json")
        workspace.tracking.put_text(run, text, "mlops/lineage.json")
    shown = str(workspace.runs.compare(["a", "b"]))
    assert "mlops/cells.json of a can't be read" in shown
    assert "loss" in shown
    found = document(workspace, "a")["runs"][0]
    assert "mlops/cells.json" in found["unreadable"]
    assert found["source"] == "x = 1"


# ---------------------------------------------------------------------------------------------------------------------
# Sweeps, single runs, names


def sweep(workspace: Workspace) -> list[str]:
    """Make six runs of a sweep."""
    for at, (depth, kind) in enumerate(
        [(2, "gini"), (4, "gini"), (8, "entropy"), (2, "entropy"), (4, "gini"), (8, "x")]
    ):
        with workspace.run(f"s{at}", params={"depth": depth, "kind": kind, "seed": 7}):
            log_metric("auc", 0.7 + at / 20)
            log_metric("flat", 0.5)
    return [f"s{at}" for at in range(6)]


def test_five_runs_are_a_sweep(workspace: Workspace) -> None:
    """From five on: parallel axes of what differs and the metric, a row a run, and what is the same in all."""
    names = sweep(workspace)
    result = workspace.runs.compare(names)
    text = str(result)
    assert "6 rows across 3 axes: depth 2 to 8; kind gini, entropy, x; auc 0.7 to 0.95. highest auc: s5, 0.95" in text
    assert text.splitlines()[1] == "6 runs"
    header = next(line for line in text.splitlines() if line.startswith("run "))
    assert header.split()[:4] == ["run", "auc", "depth", "kind"]
    assert [line.split()[:4] for line in text.splitlines() if line.startswith("s3")] == [["s3", "0.85", "2", "entropy"]]
    same = text[text.index("the same in all") :]
    assert "seed" in same
    assert result._repr_html_().count("<svg") == 1
    assert "across" not in str(workspace.runs.compare(names[:4]))


def test_a_sweep_without_a_metric_is_a_table(workspace: Workspace) -> None:
    """Where nothing could be on the last axis, or nothing on the others, there is no picture."""
    for at in range(5):
        with workspace.run(f"p{at}", params={"depth": at}):
            pass
        with workspace.run(f"m{at}"):
            log_metric("auc", math.nan if at else 0.5)
    for letter in "pm":
        assert "<svg" not in workspace.runs.compare([f"{letter}{at}" for at in range(5)])._repr_html_()


def test_a_single_run_shows_its_cells(workspace: Workspace) -> None:
    """A few cells stand there, more are folded; what each reads and writes is told where it is known."""
    names = {"read": ["x", "df"], "written": ["y"]}
    kept(workspace, "few", {"source": "y = f(x, df)", "outcome": "error"} | names)
    kept(workspace, "many", *[f"x = {at}" for at in range(6)])
    few, many = (workspace.runs.compare([name]) for name in ("few", "many"))
    assert "cell [1], error, 0.5 s, reads x, df, writes y\n  y = f(x, df)" in str(few)
    assert "<details>" not in few._repr_html_()
    assert "<details><summary>6 cells</summary>" in many._repr_html_()
    assert "x = 5" in str(many)
    run = document(workspace, "few")["runs"][0]
    assert run["cells"] == [{"id": "id1", "order": 1, "outcome": "error", "seconds": 0.5} | names]
    assert document(workspace, "many")["runs"][0]["cells"][0]["read"] is None


def test_runs_of_one_name_are_told_apart(workspace: Workspace) -> None:
    """Two runs of the same name get a part of their ids, and a run beside itself a number."""
    ids = [kept(workspace, "twin", f"x = {at}") for at in range(2)]
    for at, run in enumerate(ids):
        log_series(workspace, run, "loss", [(0, at), (1, at + 1)])
    shown = str(workspace.runs.compare(ids))
    assert all(f"twin ({run[:8]}) from" in shown for run in ids)
    assert document(workspace, *ids)["code"][0]["against"] == f"twin ({ids[0][:8]})"
    assert "#2 from" in str(workspace.runs.compare([ids[0], ids[0]]))


def test_runs_that_are_equal_say_so(workspace: Workspace) -> None:
    """Nothing that differs is said in words; a changed cell is something."""
    kept(workspace, "a", "x = 1", loss=0.5)
    kept(workspace, "b", "x = 1", loss=0.5)
    kept(workspace, "c", "x = 2", loss=0.5)
    assert "no differences" in str(workspace.runs.compare(["a", "b"]))
    assert "no differences" not in str(workspace.runs.compare(["a", "c"]))


def test_hostile_names_and_sources_stay_text(workspace: Workspace) -> None:
    """A run, a metric's curve, a cell and a parameter of hostile texts are text in every part of the page."""
    hostile = "<script>alert(1)</script>"
    for at in range(5):
        with workspace.run(f"{hostile}{at}", params={"p": f"{hostile}{at}"}) as run:
            for step in range(3):
                log_metric("loss", step * at, step=step)
        run.tracking.put_text(run.run_id, json.dumps([{"source": f"{hostile}{at}"}]), "mlops/cells.json")
    for count in (1, 2, 5):
        result = workspace.runs.compare([f"{hostile}{at}" for at in range(count)])
        assert "<script" not in result._repr_html_()
        assert "&lt;script" in result._repr_html_()


def test_data_of_one_name_that_changed_is_marked_and_told_how_to_compare(workspace: Workspace) -> None:
    """Two runs with other rows under the same name differ, visibly; equal ones do not."""
    for name, rows in (("one", 3), ("other", 4), ("again", 3)):
        with workspace.run(name):
            log_data(pd.DataFrame({"n": range(rows)}), "table", "train")
    first, changed = workspace.runs.resolve("one"), workspace.runs.resolve("other")
    told = str(workspace.runs.compare(["one", "other"]))
    assert f"data diff {first.run_id[:8]}:table {changed.run_id[:8]}:table" in told
    assert f"table {first.data[0]['digest'][:8]}" in told
    assert f"table {changed.data[0]['digest'][:8]}" in told
    assert "data diff" not in str(workspace.runs.compare(["one", "again"]))
    by_role = workspace.data.diff("one:train", "other:train").to_json()
    assert by_role == workspace.data.diff("one:table", "other:table").to_json()
