"""What breaks under a command: servers that die, files that are damaged or gone, streams that nobody reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from driving import Notebook, environment, mlops, until, write_notebook
from stores import MlflowServer

from mlops_jupyter import Workspace, log_metric
from mlops_jupyter.config import load
from mlops_jupyter.errors import StoreError
from mlops_jupyter.store import ObjectStore

MLOPS = [sys.executable, "-m", "mlops_jupyter.cli"]
PIPELINE = "name: slow\nsteps:\n  a: {notebook: a.ipynb, outputs: [n]}\n  b: {notebook: b.ipynb, needs: [a]}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A pipeline whose second step says that it has begun, and then takes a while."""
    (tmp_path / "mlops.toml").write_text("")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    write_notebook(tmp_path / "a.ipynb", "from mlops_jupyter import output\noutput('n', list(range(2000)))")
    write_notebook(tmp_path / "b.ipynb", "from pathlib import Path\nPath('begun').touch()\nimport time\ntime.sleep(3)")
    return tmp_path


def begun(project: Path) -> subprocess.Popen[str]:
    """Start the pipeline in a process, and wait until its second step runs."""
    process = subprocess.Popen(
        [*MLOPS, "pipeline", "run", "pipeline.yaml"],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until((project / "begun").exists, "the second step has begun")
    return process


# ---------------------------------------------------------------------------------------------------------------------
# Servers and signals


def test_a_server_that_dies_in_the_middle_holds_no_cell_up(tmp_path, tmp_path_factory):
    """What is logged while the server is gone is accepted at once, told by the status, and there when it is back."""
    server = MlflowServer(tmp_path_factory.mktemp("mortal"))
    notebook = Notebook(tmp_path, MLFLOW_TRACKING_URI=server.start())
    try:
        notebook.good("%mlops start --name doomed\n%mlops log metric m=1")
        server.kill()
        began = time.monotonic()
        notebook.good("%mlops log metric m=2")
        notebook.good("%mlops log text note.txt='kept'")
        notebook.good("%mlops end")
        assert time.monotonic() - began < 15
        status = "get_ipython().run_line_magic('mlops', 'status').to_json()"
        assert notebook.value(f"{status}['backlog']") > 0
        server.start()
        run = Workspace(load(tmp_path, tracking_uri=server.uri)).runs.resolve("doomed")
        assert (run.status, run.metrics["m"]) == ("FINISHED", 2.0)
    finally:
        notebook.close()
        server.stop()


def test_a_terminated_pipeline_closes_its_runs(project):
    """SIGTERM ends a pipeline as an interrupt does: kernels gone, runs KILLED, and the exit code says so."""
    process = begun(project)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Traceback" not in said
    statuses = {row["name"]: row["status"] for row in Workspace.open(project).runs.search().rows}
    assert statuses == {"slow": "KILLED", "a": "FINISHED", "b": "KILLED"}


# ---------------------------------------------------------------------------------------------------------------------
# Streams


def test_a_pipeline_goes_on_when_nobody_reads_its_progress(project):
    """Progress that can't be told, and a reader that has gone, change neither the work nor the exit code."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*MLOPS, "pipeline", "run", "pipeline.yaml"], cwd=project, env=environment(), stdout=writer, stderr=writer
    )
    os.close(writer)
    until((project / "begun").exists, "the second step has begun")
    os.close(reader)
    assert process.wait(60) == 0
    assert [row["state"] for row in Workspace.open(project).pipelines.history().rows] == ["succeeded"]


@pytest.mark.parametrize("words", [["runs"], ["--json", "runs"], ["pipeline", "plan", "pipeline.yaml"]])
def test_a_closed_standard_output_is_no_error(project, words):
    """`>&-` asks for nothing to be printed; no database is opened under that descriptor."""
    line = " ".join([sys.executable, "-m", "mlops_jupyter.cli", *words, ">&-"])
    done = subprocess.run(["bash", "-c", line], cwd=project, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_answer_that_finds_no_room_is_exit_code_3(project):
    """Where the answer can't be written, that is told, in two lines."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MLOPS, "runs"], cwd=project, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 2
    assert "No space left" in done.stderr


def test_an_error_that_nobody_reads_keeps_its_exit_code(project):
    """`mlops --json nosuch | true` exits with 2 and prints no traceback."""
    line = f"{sys.executable} -m mlops_jupyter.cli --json nosuch | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=project, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "")


# ---------------------------------------------------------------------------------------------------------------------
# Files that are damaged, or gone


def test_keeping_a_value_heals_its_damaged_object(tmp_path):
    """What is put is what comes back, although a disk had flipped a byte of the same object before."""
    store = ObjectStore.open(tmp_path / "objects")
    data = os.urandom(3_000_000)
    key = store.put(data)
    (file,) = (path for path in (tmp_path / "objects").glob("*/*") if path.is_file())
    damaged = bytearray(data)
    damaged[2_500_000] ^= 1
    file.write_bytes(damaged)
    assert store.put(data) == key
    assert store.get(key) == data


def test_a_damaged_record_of_the_cache_is_a_miss(project):
    """Records of the cache can be made again, so a damaged one only costs the step."""
    workspace = Workspace.open(project)
    assert workspace.pipelines.run(project / "pipeline.yaml").ok
    for file in (project / ".mlops" / "objects" / "records").glob("pipeline-*/*"):
        file.write_text("garbage")
    plan = workspace.pipelines.plan(project / "pipeline.yaml")
    assert [step.action for step in plan.steps] == ["run", "run"]
    assert workspace.pipelines.run(project / "pipeline.yaml").ok
    assert {s.state for s in workspace.pipelines.run(project / "pipeline.yaml").steps} == {"cached"}


def test_a_store_that_is_deleted_under_a_process_is_told(tmp_path, monkeypatch):
    """Nothing is said to be kept that went into a file which nobody can open any more."""
    import shutil

    monkeypatch.chdir(tmp_path)

    def lose() -> None:
        with Workspace.open(tmp_path).run("lost"):
            log_metric("m", 1)
            shutil.rmtree(tmp_path / ".mlops")
            log_metric("m", 2)

    with pytest.raises(StoreError, match="deleted or replaced"):
        lose()


def test_a_ledger_whose_first_writer_died_is_an_empty_one(project):
    """The file without a table, which a crash leaves, is read as a ledger with nothing in it, and then written."""
    (project / ".mlops").mkdir(exist_ok=True)
    (project / ".mlops" / "ledger.db").touch()
    for words in (["models"], ["audit"], ["audit", "verify"], ["status"]):
        assert mlops(*words, cwd=project).code == 0, words


@pytest.mark.parametrize("kind", ["folder", "text"])
def test_a_database_that_is_none_is_refused_at_once(project, kind):
    """What lies in the place of the database is named, and not retried for minutes."""
    (project / ".mlops").mkdir(exist_ok=True)
    database = project / ".mlops" / "mlflow.db"
    if kind == "folder":
        database.mkdir()
    else:
        database.write_text("notes, and more of them than sixteen bytes")
    began = time.monotonic()
    done = mlops("runs", cwd=project)
    assert done.code in (2, 3), done
    assert len(done.err.splitlines()) == 2
    assert "mlflow.db" in done.err
    assert time.monotonic() - began < 20


def test_what_lies_in_the_place_of_the_settings_is_told(tmp_path):
    """A file called .mlops, and a folder called mlops.toml, are named."""
    (tmp_path / "mlops.toml").mkdir()
    assert "mlops.toml is a folder" in mlops("runs", "--workspace", str(tmp_path), cwd=tmp_path).err
    (tmp_path / "mlops.toml").rmdir()
    (tmp_path / ".mlops").write_text("")
    done = mlops("runs", "--workspace", str(tmp_path), cwd=tmp_path)
    assert (done.code, "is a file" in done.err) == (3, True)


def test_a_damaged_ledger_is_named(project):
    """Garbage in the ledger is told as the ledger's, with what helps."""
    (project / ".mlops").mkdir(exist_ok=True)
    (project / ".mlops" / "ledger.db").write_text("garbage, enough of it to be no database header at all " * 20)
    done = mlops("audit", cwd=project)
    assert done.code == 3
    assert "ledger.db" in done.err
    assert "backup" in done.err


def test_a_locked_database_is_two_lines(project):
    """MLflow's own tracebacks stay out of sight; the lock is told once."""
    import sqlite3

    Workspace.open(project).tracking.create()
    holder = sqlite3.connect(project / ".mlops" / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with_run = "import mlops_jupyter\nwith mlops_jupyter.run('x'): pass"
        done = subprocess.run(
            [sys.executable, "-c", with_run], cwd=project, env=environment(), capture_output=True, text=True
        )
    finally:
        holder.close()
    assert "database is locked" in done.stderr
    assert "SQLAlchemy database error" not in done.stderr


def test_opening_a_workspace_again_gives_up_no_locks(project):
    """A process that opens and closes the database in passing must not let others write into what it reads.

    To close any descriptor of a file drops all POSIX locks of a process on it: SQLite would no longer know of its own.
    """
    import sqlite3

    others = "from mlops_jupyter import log_metric, run\nfor n in range(3):\n    with run(f'r{n}'): log_metric('m', n)"
    Workspace.open(project).runs.search()
    writers = [
        subprocess.Popen([sys.executable, "-c", others], cwd=project, env=environment(MLOPS_WORKSPACE=str(project)))
        for _ in range(3)
    ]
    while any(writer.poll() is None for writer in writers):
        Workspace.open(project).runs.search()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(Workspace.open(project).runs.search().rows) == 9
    with sqlite3.connect(project / ".mlops" / "mlflow.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
