"""Runs that neptune-exporter has written, imported for real: what MLflow has then is read by MLflow's client alone."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from driving import Server, environment, mlops, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_jupyter import Workspace
from mlops_jupyter.errors import ConflictError, NotFoundError, StoreError, UsageError
from mlops_jupyter.locks import Lock
from mlops_jupyter.tracking.neptune.target import Target

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from test_neptune_support import PROJECT, START_MS, Exported, points, row, series, system


def client_of(workspace: Workspace) -> Any:
    """Give MLflow's client, which knows nothing of this project."""
    import mlflow

    return mlflow.MlflowClient(workspace.tracking.uri)


def runs_of(workspace: Workspace, experiment: str, **more: Any) -> dict[str, Any]:
    """Give the runs of an experiment, by their id in Neptune."""
    client = client_of(workspace)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], **more) if found else []
    named = {run.data.tags["mlops.neptune.id"].rpartition("/")[2]: run for run in runs}
    assert len(named) == len(runs)
    return named


def artifacts(client: Any, run_id: str, folder: str = "") -> dict[str, bytes]:
    """Give all artifacts of a run, by their paths."""
    found: dict[str, bytes] = {}
    for item in client.list_artifacts(run_id, folder or None):
        if item.is_dir:
            found |= artifacts(client, run_id, item.path)
        else:
            found[item.path] = Path(client.download_artifacts(run_id, item.path)).read_bytes()
    return found


@pytest.fixture
def project(tmp_path: Path) -> str:
    """Give the name of a project that no other test has: the server's experiments are shared."""
    return f"team/{tmp_path.name}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    """Give an export without runs, in the workspace's folder."""
    return Exported(tmp_path / "exports")


@pytest.fixture
def embedded(folder: Path) -> Workspace:
    """Give a workspace with the embedded store."""
    return Workspace.open(folder)


def every_type(exported: Exported, project: str) -> list[dict[str, Any]]:
    """Give rows of every type of attribute that there is, and write their files."""

    def file(path: str, content: str) -> str:
        return exported.file(path, content, project)

    file("CH-1/code/src/train.py", "print(1)")
    file("CH-1/code/setup.cfg", "[x]")
    return [
        *system(),
        row("sys/description", "string", "the first try"),
        row("params/lr", "float", 0.001),
        row("params/depth", "int", 7),
        row("params/optimizer", "string", "adamw"),
        row("params/empty", "string", ""),
        row("params/augment", "bool", True),
        row("params/when", "datetime", START_MS + 5),
        row("params/prompt", "string", "long ü\n" * 2000),
        row("params/another's", "float", None),
        row("labels", "string_set", ["b", "a, c"]),
        *series("train/loss", [(n, 1 / (n + 1)) for n in range(1200)]),
        *series("val/hits@10", [(Decimal("0.25") * n, n) for n in range(8)]),
        *series("odd", [(-3, float("inf")), (0, float("nan"))]),
        *series("logs/stdout", [(0, "epoch 0"), (Decimal("0.5"), "two\nlines"), (1, "ü")], "string_series"),
        *series(
            "weights", [(2, {"type": "COUNTING", "edges": [0.0, 0.5, 1.0], "values": [3.0, 4.0]})], "histogram_series"
        ),
        row("model/best", "file", file("CH-1/model/best.bin", "model")),
        row("files/card.json", "file", file("CH-1/files/card_json", "{}")),
        row("gone", "file", "CH-1/gone.txt"),
        row("data", "artifact", file("CH-1/data/files_list.json", "[]")),
        row("code", "file_set", "CH-1/code"),
        row("images", "file_series", file("CH-1/images/0.png", "zero"), 0, START_MS),
        row("images", "file_series", file("CH-1/images/1_5.png", "later"), Decimal("1.5"), START_MS + 9),
        row("repository", "git_ref", None),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# What arrives


def test_everything_of_a_run_is_in_mlflow(workspace, exported, project):
    """Each type of attribute arrives as what it is in MLflow, with its times, steps, values and names."""
    exported.run("CH-1", every_type(exported, project), project=project)
    result = workspace.neptune.import_runs(exported.folder)
    client = client_of(workspace)
    run = runs_of(workspace, project)["CH-1"]

    assert (run.info.run_name, run.info.status) == ("baseline", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (START_MS, START_MS + 60_000)
    params = run.data.params
    said = {"lr": "0.001", "depth": "7", "optimizer": "adamw", "augment": "True", "empty": ""}
    assert {name: params[f"params/{name}"] for name in said} == said
    assert params["params/when"] == "2025-03-01T12:00:00.005+00:00"
    assert params["params/prompt"] == ("long ü\n" * 2000)[:6000]
    assert params["sys/owner"] == "ann"
    assert not any("another" in name for name in params)
    tags = run.data.tags
    assert json.loads(tags["labels"]) == ["a, c", "b"]
    assert json.loads(tags["sys/tags"]) == ["best", "v2"]
    assert (tags["mlflow.user"], tags["mlflow.note.content"]) == ("ann", "the first try")

    second = 1000
    loss = [(n, START_MS + second * n, 1 / (n + 1)) for n in range(1200)]
    assert points(client, run.info.run_id, "train/loss") == loss
    hits = [(250_000 * n, START_MS + second * n, n) for n in range(8)]
    assert points(client, run.info.run_id, "val/hits_10") == hits
    assert [(step, value) for step, _, value in points(client, run.info.run_id, "odd")] == [
        (-3, sys.float_info.max),  # what MLflow makes of an infinity
        (0, "nan"),
    ]
    assert set(run.data.metrics) == {"train/loss", "val/hits_10", "odd"}

    kept = artifacts(client, run.info.run_id)
    began = "2025-03-01T12:00:0"
    assert kept.pop("logs/stdout.txt").decode() == (
        f"0\t{began}0.000+00:00\tepoch 0\n0.5\t{began}1.000+00:00\ttwo\n\t\tlines\n1\t{began}2.000+00:00\tü\n"
    )
    assert json.loads(kept.pop("weights.jsonl")) == {
        "step": 2,
        "time": f"{began}0.000+00:00",
        "type": "COUNTING",
        "edges": [0.0, 0.5, 1.0],
        "values": [3.0, 4.0],
    }
    assert kept.pop("neptune/params/params/prompt.txt").decode() == "long ü\n" * 2000
    record = json.loads(kept.pop("neptune/import.json"))
    assert record["renamed"]["metrics"] == {"val/hits_10": "val/hits@10"}
    assert record["step_multipliers"] == {"val/hits_10": 1_000_000}
    assert record["left_out"] == {"git_ref": 1}
    index = [json.loads(line) for line in kept.pop("neptune/files.jsonl").splitlines()]
    assert kept == {
        "model/best.bin": b"model",
        "files/card.json": b"{}",
        "data/files_list.json": b"[]",
        "code/setup.cfg": b"[x]",
        "code/src/train.py": b"print(1)",
        "images/step_0.png": b"zero",
        "images/step_1.5.png": b"later",
    }
    assert {said["artifact"] for said in index} == {*kept, None}
    assert [said["time"] for said in index if said["step"] == "1.5"] == [f"{began}0.009+00:00"]

    document = result.to_json()
    assert document["runs"] == {"imported": 1, "completed": 0, "skipped": 0, "refused": 0}
    assert (document["points"], document["params"], document["tags"]) == (1210, len(params), 2)
    assert (document["texts"], document["files"], document["missing"]) == (2, 7, 1)
    assert document["problems"] == [f"{project}/CH-1: CH-1/gone.txt: it is missing"]
    assert any("val/hits@10" in note for note in document["notes"])
    assert any("git_ref" in note for note in document["notes"])
    assert result.ok


def test_runs_go_to_the_experiments_of_their_projects(embedded, exported):
    """A failed run is FAILED, each project has its experiment, and a fork is a child of what it was forked from."""
    exported.run("A-1", system("one", failed=True), project="team/a")
    child = [*system("two"), row("sys/forking/parent", "string", "B-2"), row("sys/forking/step", "float", 10.0)]
    exported.run("B-1", child, project="team/b")
    exported.run("B-2", system("three"), project="team/b")
    embedded.neptune.import_runs(exported.folder)
    assert runs_of(embedded, "team/a")["A-1"].info.status == "FAILED"
    both = runs_of(embedded, "team/b")
    assert sorted(both) == ["B-1", "B-2"]
    assert both["B-1"].data.tags["mlflow.parentRunId"] == both["B-2"].info.run_id
    assert both["B-1"].data.params["sys/forking/step"] == "10.0"


def test_one_experiment_can_take_all(embedded, exported):
    """With --experiment the runs of all projects are together, those of equal ids too."""
    exported.run("1", system("one"), project="team/a")
    exported.run("1", system("two"), project="team/b")
    embedded.neptune.import_runs(exported.folder, experiment="old")
    client = client_of(embedded)
    found = client.search_runs([client.get_experiment_by_name("old").experiment_id])
    assert sorted(run.info.run_name for run in found) == ["one", "two"]
    assert client.get_experiment_by_name("team/a") is None


def test_a_factor_for_all_steps_keeps_series_side_by_side(embedded, exported):
    """With --step-multiplier whole and broken steps of a run count alike, and the run says by what."""
    exported.run("CH-1", [*series("train", [(Decimal("0.5"), 1.0), (1, 2.0)]), *series("val", [(1, 3.0)])])
    result = embedded.neptune.import_runs(exported.folder, step_multiplier=10)
    run = runs_of(embedded, PROJECT)["CH-1"]
    client = client_of(embedded)
    assert [step for step, _, _ in points(client, run.info.run_id, "train")] == [5, 10]
    assert [step for step, _, _ in points(client, run.info.run_id, "val")] == [10]
    assert run.data.tags["mlops.neptune.step_multiplier"] == "10"
    assert result.to_json()["notes"] == []


def test_the_active_model_of_a_notebook_gets_no_points(embedded, exported):
    """MLflow adds what is logged to the model that is active just then; what is imported is not of that model."""
    import mlflow

    exported.run("CH-1", series("loss", [(0, 1.0)]))
    embedded.tracking.use_here()
    model = mlflow.set_active_model(name="mine")
    try:
        embedded.neptune.import_runs(exported.folder)
        assert not mlflow.get_logged_model(model.model_id).metrics
    finally:
        mlflow.clear_active_model()


def test_points_of_many_parts_and_series_arrive_once(embedded, exported):
    """Parts that cut a series in the middle, and series whose points alternate, lose and double nothing."""
    woven = [made for n in range(700) for made in series(f"m{n % 7}", [(n, n / 7)])]
    exported.run("CH-1", woven[:300], woven[300:301], woven[301:], batch=64)
    result = embedded.neptune.import_runs(exported.folder)
    run = runs_of(embedded, PROJECT)["CH-1"]
    client = client_of(embedded)
    for m in range(7):
        found = points(client, run.info.run_id, f"m{m}")
        assert [(step, value) for step, _, value in found] == [(n, n / 7) for n in range(m, 700, 7)]
    assert result.total("points") == 700


_STEPS = st.one_of(
    st.integers(-(10**12) + 1, 10**12 - 1).map(Decimal),
    st.integers(-(10**9), 10**9).map(lambda millionths: Decimal(millionths) / 1_000_000),
)
_POINT = st.tuples(
    _STEPS, st.integers(0, 4 * 10**12), st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
)


@given(points_of=st.dictionaries(st.sampled_from("abc"), st.lists(_POINT, max_size=8, unique=True), min_size=1))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_distinct_point_of_any_series_is_lost(tmp_path_factory, points_of):
    """Whatever the steps, times and values of series are: MLflow has exactly their points."""
    workspace = _shared(tmp_path_factory)
    exported = Exported(workspace.root / uuid.uuid4().hex)
    rows = [row("lr", "float", 0.1)]
    for name, some in points_of.items():
        rows += [row(name, "float_series", value, step, time) for step, time, value in some]
    exported.run("R", rows, batch=5)
    (result,) = workspace.neptune.import_runs(exported.folder, experiment=exported.folder.name).runs
    client = client_of(workspace)
    for name, some in points_of.items():
        factor = 1 if all(step == step.to_integral_value() for step, _, _ in some) else 1_000_000
        # -0.0 and 0.0 are one value to MLflow's database, and to Python.
        expected = sorted({(int(step * factor), time, value) for step, time, value in some})
        assert points(client, result.run_id, name) == expected


_workspaces: list[Workspace] = []


def _shared(factory: pytest.TempPathFactory) -> Workspace:
    if not _workspaces:
        _workspaces.append(Workspace.open(factory.mktemp("shared")))
    return _workspaces[0]


# ---------------------------------------------------------------------------------------------------------------------
# Twice, and broken off


def everything(workspace: Workspace, experiment: str) -> Any:
    """Give all that MLflow has of an experiment's runs, but for when and how they were imported."""
    client = client_of(workspace)
    found = {}
    for name, run in runs_of(workspace, experiment).items():
        metrics = {metric: points(client, run.info.run_id, metric) for metric in run.data.metrics}
        tags = {tag: value for tag, value in run.data.tags.items() if tag != "mlops.neptune.imported"}
        times = run.info.status, run.info.start_time, run.info.end_time
        found[name] = times, dict(run.data.params), tags, metrics, artifacts(client, run.info.run_id)
    return found


def test_a_second_import_changes_nothing(workspace, exported, project):
    """Runs that are there are skipped, and new ones are added."""
    exported.run("CH-1", every_type(exported, project), project=project)
    workspace.neptune.import_runs(exported.folder)
    before, ids = everything(workspace, project), {run.info.run_id for run in runs_of(workspace, project).values()}
    exported.run("CH-2", system("second"), project=project)
    again = workspace.neptune.import_runs(exported.folder)
    assert again.to_json()["runs"] == {"imported": 1, "completed": 0, "skipped": 1, "refused": 0}
    after = everything(workspace, project)
    assert after.pop("CH-2")
    assert after == before
    assert ids < {run.info.run_id for run in runs_of(workspace, project).values()}


_KILLED = """
import os, signal, sys
from mlops_jupyter import Workspace
from mlops_jupyter.tracking.neptune.target import Target
folder, method, turn, when = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
real = getattr(Target, method)
def deadly(self, *args, **more):
    global turn
    turn -= 1
    if not turn and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    found = real(self, *args, **more)
    if not turn:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
setattr(Target, method, deadly)
Workspace.open(folder).neptune.import_runs(folder + "/exports")
"""


@pytest.mark.parametrize(
    ("method", "turn", "when"),
    [
        ("begin", 1, "after"),
        ("log", 2, "before"),
        ("log", 2, "after"),
        ("log", 4, "after"),
        ("keep", 3, "after"),
        ("end", 1, "before"),
        ("end", 1, "after"),
        ("begin", 2, "after"),
    ],
)
def test_a_killed_import_is_completed_and_doubles_nothing(tmp_path, exported, method, turn, when):
    """SIGKILL at any moment: the next import ends where one that was left in peace ends."""
    rows = every_type(exported, PROJECT)
    exported.run("CH-1", rows[:900], [*rows[900:], *series("more", [(n, n) for n in range(2500)])])
    exported.run("CH-2", system("second"))
    (tmp_path / "peaceful").mkdir()
    peaceful = Workspace.open(tmp_path / "peaceful")
    peaceful.neptune.import_runs(exported.folder)
    died = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), method, str(turn), when],
        env=environment(MLOPS_WORKSPACE=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    workspace = Workspace.open(tmp_path)
    assert "RUNNING" not in {run.info.status for run in runs_of(workspace, PROJECT).values()}
    result = workspace.neptune.import_runs(exported.folder)
    assert result.ok
    assert everything(workspace, PROJECT) == everything(peaceful, PROJECT)
    client = client_of(workspace)
    (experiment,) = (e for e in client.search_experiments() if e.name == PROJECT)
    assert len(client.search_runs([experiment.experiment_id], run_view_type=3)) == 2
    assert not (tmp_path / ".mlops" / "import").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_import_that_is_broken_off_by_a_signal_is_completed(tmp_path, exported, number, code):
    """SIGKILL or Ctrl-C while points arrive: what arrived is told by the run, and completed."""
    exported.run("CH-1", [*system(), *series("loss", [(n, n / 3) for n in range(20_000)])])
    words = [sys.executable, "-m", "mlops_jupyter.cli", "import", "neptune", "exports"]
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment(MLOPS_WORKSPACE=str(tmp_path)), stderr=subprocess.PIPE, text=True
    )
    until(lambda: arrived(tmp_path) > 3000, "points arrive")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in said) == (code, False)
    assert 3000 < arrived(tmp_path) < 20_000
    assert runs_of(Workspace.open(tmp_path), PROJECT)["CH-1"].info.status == "KILLED"
    done = mlops("import", "neptune", "exports", "--json", cwd=tmp_path, MLOPS_WORKSPACE=str(tmp_path))
    assert done.code == 0, done.err
    assert done.json["runs"] == {"imported": 0, "completed": 1, "skipped": 0, "refused": 0}
    run = runs_of(Workspace.open(tmp_path), PROJECT)["CH-1"]
    assert (run.info.status, run.info.end_time) == ("FINISHED", START_MS + 60_000)
    found = points(client_of(Workspace.open(tmp_path)), run.info.run_id, "loss")
    assert [(step, value) for step, _, value in found] == [(n, n / 3) for n in range(20_000)]


def arrived(place: Path) -> int:
    """Count the points in a workspace's store, without waiting for anybody."""
    database = place / ".mlops" / "mlflow.db"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
            return int(store.execute("SELECT count(*) FROM metrics").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_a_half_of_what_was_exported_anew_is_begun_anew(tmp_path, exported):
    """Points of an older export must not stay among those of the newer."""
    exported.run("CH-1", series("loss", [(n, n) for n in range(3000)]))
    words = [sys.executable, "-c", _KILLED, str(tmp_path), "log", "2", "after"]
    subprocess.run(words, env=environment(MLOPS_WORKSPACE=str(tmp_path)), check=False)
    exported.run("CH-1", series("loss", [(n, -n) for n in range(10)]))
    workspace = Workspace.open(tmp_path)
    result = workspace.neptune.import_runs(exported.folder)
    run = runs_of(workspace, PROJECT)["CH-1"]
    assert result.to_json()["runs"]["imported"] == 1
    assert len(points(client_of(workspace), run.info.run_id, "loss")) == 10


def test_a_whole_run_is_left_alone_when_its_export_has_changed(embedded, exported):
    """What somebody may have worked with since is not replaced, and that is told."""
    exported.run("CH-1", series("loss", [(0, 1.0)]))
    embedded.neptune.import_runs(exported.folder)
    exported.run("CH-1", series("loss", [(0, 2.0)]))
    result = embedded.neptune.import_runs(exported.folder)
    assert runs_of(embedded, PROJECT)["CH-1"].data.metrics == {"loss": 1.0}
    assert any("CH-1" in note for note in result.to_json()["notes"])


def test_files_that_were_missing_are_added_by_the_next_import(embedded, exported, tmp_path):
    """The data may come before the files: they are named, and copied when they are there."""
    exported.run("CH-1", [*system(), row("a", "file", "CH-1/a.txt"), row("b", "file", "CH-1/b.txt")])
    first = embedded.neptune.import_runs(exported.folder)
    assert (first.total("missing"), first.ok) == (2, True)
    assert any("--files" in note for note in first.to_json()["notes"])
    elsewhere = Exported(tmp_path / "elsewhere")
    elsewhere.file("CH-1/a.txt", "here")
    second = embedded.neptune.import_runs(exported.folder, files=elsewhere.folder / "files")
    assert (second.runs[0].state, second.total("files"), second.total("missing")) == ("completed", 1, 1)
    third = embedded.neptune.import_runs(exported.folder, files=elsewhere.folder / "files")
    assert (third.runs[0].state, third.total("files"), third.total("missing")) == ("skipped", 0, 1)
    run_id = runs_of(embedded, PROJECT)["CH-1"].info.run_id
    kept = artifacts(client_of(embedded), run_id)
    assert kept["a.txt"] == b"here"
    assert "b.txt" not in kept


def test_a_parent_that_comes_later_gets_its_children(embedded, exported, tmp_path):
    """A fork that was imported before what it was forked from is nested by the import that brings it."""
    exported.run("B-1", [*system(), row("sys/forking/parent", "string", "B-2")])
    embedded.neptune.import_runs(exported.folder)
    assert "mlflow.parentRunId" not in runs_of(embedded, PROJECT)["B-1"].data.tags
    exported.run("B-2", system())
    embedded.neptune.import_runs(exported.folder)
    both = runs_of(embedded, PROJECT)
    assert both["B-1"].data.tags["mlflow.parentRunId"] == both["B-2"].info.run_id


def test_two_imports_at_once_do_not_meet(embedded, exported):
    """While one import goes on another is refused, so that both can't begin the same run."""
    exported.run("CH-1", system())
    embedded.prepare()
    lock = Lock(embedded.config.state / "import.lock")
    assert lock.acquire()
    with pytest.raises(ConflictError, match="another import"):
        embedded.neptune.import_runs(exported.folder)
    lock.release()
    assert embedded.neptune.import_runs(exported.folder).ok


# ---------------------------------------------------------------------------------------------------------------------
# What is refused, at the doors


def break_by(exported: Exported, kind: str) -> None:
    """Make an export that can't be imported."""
    if kind == "empty":
        return
    rows = [*system(), row("f", "file", "../../../../etc/passwd" if kind == "climbing" else "x")]
    (part,) = exported.run("CH-1", rows)
    if kind == "damaged":
        part.write_bytes(part.read_bytes()[:500])
    if kind == "unfinished":
        part.rename(part.with_name(part.name + ".tmp"))


@pytest.mark.parametrize("kind", ["empty", "damaged", "climbing", "unfinished", "missing"])
@pytest.mark.parametrize("door", ["text", "json"])
def test_a_hostile_export_is_two_lines(tmp_path, kind, door):
    """What is no export, damaged, or wants files of the machine, is refused in two lines, and nothing is written."""
    break_by(Exported(tmp_path / "exports"), kind)
    name = "nowhere" if kind == "missing" else "exports"
    words = ["import", "neptune", name, *(["--json"] if door == "json" else [])]
    done = mlops(*words, cwd=tmp_path, MLOPS_WORKSPACE=str(tmp_path))
    assert done.code == 2
    if door == "json":
        assert set(done.json["error"]) == {"message", "hint"}
        assert done.json["error"]["hint"]
    else:
        assert (len(done.err.splitlines()), done.out) == (2, "")
    assert not list(tmp_path.rglob("passwd"))
    assert runs_of(Workspace.open(tmp_path), PROJECT) == {}


def test_a_run_that_is_refused_leaves_the_others_be(tmp_path):
    """One damaged run of two: the other is imported, and the exit code says that not all went."""
    exported = Exported(tmp_path / "exports")
    break_by(exported, "damaged")
    exported.run("CH-2", system())
    done = mlops("import", "neptune", "exports", "--json", cwd=tmp_path, MLOPS_WORKSPACE=str(tmp_path))
    assert done.code == 1
    assert done.json["runs"] == {"imported": 1, "completed": 0, "skipped": 0, "refused": 1}
    (problem,) = done.json["problems"]
    assert "damaged" in problem
    assert list(runs_of(Workspace.open(tmp_path), PROJECT)) == ["CH-2"]


@pytest.mark.parametrize(
    "options", [{"step_multiplier": 0}, {"step_multiplier": 1_000_001}, {"experiment": " "}, {"files": Path("nowhere")}]
)
def test_options_that_can_mean_nothing_are_refused(embedded, exported, options):
    """A factor that no step needs, an experiment without a name, a folder that is not there."""
    exported.run("CH-1", system())
    with pytest.raises(NotFoundError if "files" in options else UsageError):
        embedded.neptune.import_runs(exported.folder, **options)
    assert runs_of(embedded, PROJECT) == {}


def hostile_files(exported: Exported, tmp_path: Path) -> list[dict[str, Any]]:
    """Give rows of files that are links, pipes, folders and secrets."""
    (tmp_path / "secret").write_text("secret")
    exported.file("R/set/good.txt", "good")
    place = exported.folder / "files" / exported.data().name / "R"
    (place / "set" / "out.txt").symlink_to(tmp_path / "secret")
    (place / "set" / "up").symlink_to(tmp_path)
    os.mkfifo(place / "set" / "pipe")
    (place / "set" / "round").symlink_to(place / "set" / "round")
    return [row("set", "file_set", "R/set"), row("x" * 900, "file", "R/" + "y" * 900)]


def test_links_and_pipes_in_a_folder_of_files_are_named_and_left_out(embedded, exported, tmp_path):
    """A link out of the export brings no file of the machine into MLflow, and a pipe stops nothing."""
    exported.run("R", hostile_files(exported, tmp_path))
    result = embedded.neptune.import_runs(exported.folder)
    kept = artifacts(client_of(embedded), str(result.runs[0].run_id))
    assert {path for path in kept if not path.startswith("neptune/")} == {"set/good.txt"}
    assert b"secret" not in b"".join(kept.values())
    problems = "\n".join(result.problems)
    for name in ("set/out.txt", "set/up", "set/pipe", "set/round", "yyy"):
        assert name in problems


def test_values_that_no_one_foresaw_are_kept(workspace, exported, project):
    """Times of no calendar, names of no file system, texts with NUL, and attributes said twice."""
    rows = [
        row("sys/creation_time", "datetime", 2**62),
        row("sys/name", "string", "n" * 400),
        row("nul", "string", "a\x00b"),
        row("twice", "int", 1),
        row("twice", "int", 2),
        row("a" * 1000, "float", 1.0),
        row("mlflow.parentRunId", "string_set", ["x"]),
        row("m", "float_series", 1.0, 0, 2**62),
        row("m", "float_series", 2.0, 1, -5),
        row("m", "float_series", 3.0),
        row("../../m", "float_series", 1.0, 0, 5),
        row("logs/../../../out", "string_series", "text", 0, 2**62),
        row("", "int", 3),
    ]
    exported.run("R/%?#", rows, project=project)
    result = workspace.neptune.import_runs(exported.folder)
    assert result.ok
    client = client_of(workspace)
    experiment = client.get_experiment_by_name(project)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["nul"] == "a\ufffdb"
    assert run.data.params["twice"] == "1"
    assert [value for _, _, value in points(client, run.info.run_id, "m")] == [3.0, 1.0, 2.0]
    kept = artifacts(client, run.info.run_id)
    assert kept["neptune/params/nul.txt"] == b"a\x00b"
    record = json.loads(kept["neptune/import.json"])
    assert {"a" * 1000, ""} <= set(record["renamed"]["params"].values())
    assert "mlflow.parentRunId" not in run.data.tags
    assert Workspace.open(workspace.root).runs.get(run.info.run_id).started


def test_an_import_whose_store_fails_ends_its_run(embedded, exported, monkeypatch):
    """In a process that goes on, a run that could not be written to its end does not stay running."""

    def fail(*_: object) -> None:
        raise StoreError("the disk is full", "free some space")

    exported.run("CH-1", every_type(exported, PROJECT))
    with monkeypatch.context() as broken:
        broken.setattr(Target, "keep", fail)
        with pytest.raises(StoreError, match="disk is full"):
            embedded.neptune.import_runs(exported.folder)
    assert runs_of(embedded, PROJECT)["CH-1"].info.status == "KILLED"
    assert embedded.neptune.import_runs(exported.folder).runs[0].state == "completed"
    assert runs_of(embedded, PROJECT)["CH-1"].info.status == "FINISHED"


def test_the_magic_the_shell_and_rest_import_alike(tmp_path, tmp_path_factory):
    """Over REST an import is a job; a folder outside of the server's root is refused, and so are its files."""
    root = tmp_path / "root"
    exported = Exported(root / "work" / "exports")
    exported.run("CH-1", every_type(exported, PROJECT))
    outside = Exported(tmp_path / "outside")
    outside.run("CH-1", system())
    (root / "work" / "mlops.toml").touch()
    server = Server(root, tmp_path_factory.mktemp("server"))
    try:
        for body in (
            {"dir": str(outside.folder)},
            {"dir": "exports", "files": str(outside.folder)},
            {"dir": "../../outside"},
        ):
            status, answer = server.post("import neptune", body | {"workspace": "work"})
            assert (status, set(answer)) == (403, {"error"})
        status, answer = server.post("import neptune", {"dir": "exports", "workspace": "work"})
        assert status == 202
        job = server.job(answer["job"])
        assert (job["state"], job["ok"]) == ("done", True)
        assert job["result"]["points"] == 1210
        status, answer = server.post("import neptune", {"dir": ".", "workspace": "work"})
        assert server.job(answer["job"])["error"]["hint"]
    finally:
        server.close()
    shell = mlops("import", "neptune", "exports", cwd=root / "work")
    assert (shell.code, "runs skipped" in shell.out) == (0, True)


def test_progress_is_told_on_the_terminal(tmp_path):
    """An import of more than a second says which run it is at; --json keeps standard output for the answer."""
    exported = Exported(tmp_path / "exports")
    exported.run("CH-1", series("loss", [(n, n) for n in range(25_000)]))
    done = mlops("import", "neptune", "exports", cwd=tmp_path, MLOPS_WORKSPACE=str(tmp_path))
    assert f"[1/1] ✓ {PROJECT}/CH-1 succeeded in" in done.err
    quiet = mlops("import", "neptune", "exports", "--json", cwd=tmp_path, MLOPS_WORKSPACE=str(tmp_path))
    assert (quiet.err, quiet.json["runs"]["skipped"]) == ("", 1)


_MEASURED = """
import re, sys
import pyarrow.compute, pyarrow.parquet
from pathlib import Path
from mlops_jupyter import Workspace
workspace = Workspace.open(sys.argv[1])
workspace.tracking.connect().search_runs(["0"])
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
before = peak()
result = workspace.neptune.import_runs(Path(sys.argv[1]) / "exports")
print(peak() - before, result.total("points"), result.total("texts"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory a process took")
def test_memory_does_not_grow_with_the_run(tmp_path, exported):
    """Texts that are larger than what an import may take of memory go through, and a long series."""
    text = os.urandom(10_000).hex()
    words = series("log", [(n, f"{n}{text}") for n in range(8000)], "string_series")
    exported.run("CH-1", words, series("loss", [(n, n) for n in range(20_000)]), batch=8000)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path)], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    megabytes, points_there, texts = map(int, done.stdout.split())
    assert (points_there, texts) == (20_000, 1)
    assert megabytes < 220
    run_id = runs_of(Workspace.open(tmp_path), PROJECT)["CH-1"].info.run_id
    kept = Path(client_of(Workspace.open(tmp_path)).download_artifacts(run_id, "log.txt"))
    assert kept.stat().st_size > 160_000_000
