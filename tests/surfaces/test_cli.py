"""The shell's program as people and scripts meet it: real processes, their exit codes and their two streams."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from driving import Done, environment, free_port, mlops, python, until, write_notebook
from prepared import Prepared

from mlops_jupyter import Workspace, cli

_JUPYTER = (sys.executable, "-m", "jupyter", "mlops")


def told_in_two_lines(done: Done) -> bool:
    """Tell whether an error was told as people want it: what is wrong, what to do, and nothing else."""
    lines = done.err.splitlines()
    return len(lines) == 2 and lines[0].startswith("mlops: ") and bool(lines[1]) and "Traceback" not in done.err


@pytest.fixture
def here(capfd, monkeypatch):
    """Run the program's main function in this process: for the many cases that need no process of their own."""

    def run(*words: str, cwd: Path, **more: str) -> Done:
        monkeypatch.chdir(cwd)
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        code = cli.main(list(words))
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def project(prepared: Prepared, tmp_path: Path) -> Path:
    """Give a copy of the prepared workspace."""
    return shutil.copytree(prepared.root, tmp_path / "work")


# ---------------------------------------------------------------------------------------------------------------------
# Exit codes


def test_done_is_exit_code_0(project):
    """A verb that was carried out exits with 0 and prints to standard output only."""
    done = mlops("runs", "--limit", "1", cwd=project)
    assert (done.code, done.err) == (0, "")
    assert "refined" in done.out


def test_an_answer_of_no_is_exit_code_1(project, here):
    """A refused promotion was carried out and its answer is no: 1, with each reason on standard output."""
    done = mlops("promote", "churn/1", "--to", "champion", cwd=project)
    assert (done.code, done.err) == (1, "")
    assert "not as good as 0.8" in done.out
    refused = here("promote", "churn/1", "--to", "champion", "--json", cwd=project)
    assert (refused.code, refused.json["status"]) == (1, "refused")
    assert refused.json["reasons"]


def test_a_promotion_that_waits_is_exit_code_0(project):
    """A promotion that waits for approvals is no failure."""
    done = mlops("promote", "churn/2", "--to", "reviewed", "--json", cwd=project)
    assert (done.code, done.json["status"]) == (0, "pending")


def test_a_failed_pipeline_is_exit_code_1(project):
    """A pipeline whose step fails exits with 1, and its document says which step and why."""
    write_notebook(project / "train.ipynb", "raise ValueError('no data today')", parameters="depth = 1")
    done = mlops("pipeline", "run", "pipeline.yaml", "--json", cwd=project)
    assert done.code == 1
    assert done.json["state"] == "failed"
    assert [(s["name"], s["state"]) for s in done.json["steps"]] == [("train", "failed")]
    assert "no data today" in done.json["steps"][0]["error"]


def test_a_broken_chain_is_exit_code_1(project):
    """A ledger that was tampered with makes `audit verify` answer no."""
    with sqlite3.connect(project / ".mlops" / "ledger.db") as ledger:
        ledger.execute("DROP TRIGGER events_no_update")
        ledger.execute("UPDATE events SET actor = 'mallory' WHERE seq = 2")
    ledger.close()
    done = mlops("audit", "verify", "--json", cwd=project)
    assert (done.code, done.json["ok"], done.json["broken_at"]) == (1, False, 2)


@pytest.mark.parametrize(
    "words",
    [
        ["promote", "churn"],
        ["promote", "nobody", "--to", "champion"],
        ["promote", "churn", "--to", "latest"],
        ["runs", "--limit", "many"],
        ["runs", "--filter", "this is no filter"],
        ["runs", "--experiment", "nobody's"],
        ["compare", "nobody"],
        ["show", "nobody"],
        ["pipeline", "run", "nothing.yaml"],
        ["pipeline", "run", "pipeline.yaml", "-p", "unknown=1"],
        ["pipeline"],
        ["--workspace", "nowhere", "status"],
        ["--workspace"],
        ["audit", "verify", "--head", "123"],
        ["help", "promotion"],
        [""],
        ["\N{SNOWMAN}"],
    ],
    ids=lambda words: " ".join(words).encode("ascii", "replace").decode() or "empty",
)
def test_a_wrong_request_is_exit_code_2_in_two_lines(project, words, here):
    """A user's mistake exits with 2 and tells, in one line each, what is wrong and what to do; with --json as JSON."""
    done = here(*words, cwd=project)
    assert (done.code, done.out) == (2, ""), done
    assert told_in_two_lines(done), done.err
    as_json = here("--json", *words, cwd=project)
    assert as_json.code == 2
    assert as_json.err == ""
    assert set(as_json.json) == {"error"}
    assert set(as_json.json["error"]) == {"message", "hint"}
    assert f"mlops: {as_json.json['error']['message']}" == done.err.splitlines()[0]
    assert as_json.json["error"]["hint"] == done.err.splitlines()[1]


@pytest.mark.parametrize("words", [["promote", "churn"], ["compare", "nobody"], ["--workspace", "nowhere", "status"]])
def test_a_wrong_request_prints_nothing_else_in_a_process_of_its_own(project, words):
    """No library that is loaded on the way adds a line of its own, and the process exits with 2."""
    done = mlops(*words, cwd=project)
    assert (done.code, done.out) == (2, ""), done
    assert told_in_two_lines(done), done.err


def test_a_word_that_is_no_text_is_a_wrong_request(project):
    """Bytes that are no UTF-8 are refused as any other word, and the refusal can be printed."""
    done = mlops("status", "\udcff", "--json", cwd=project)
    assert (done.code, done.err) == (2, "")
    assert set(done.json) == {"error"}


def store_is_away(done: Done) -> bool:
    return done.code == 3 and done.out == "" and told_in_two_lines(done)


@pytest.mark.parametrize("words", [["runs"], ["models"], ["register", "churn"]], ids=" ".join)
def test_an_unreachable_server_is_exit_code_3(project, words):
    """A tracking server that does not answer exits with 3, in two lines that name it."""
    uri = f"http://127.0.0.1:{free_port()}"
    more = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = mlops(*words, cwd=project, **more)
    assert store_is_away(done), done
    assert uri in done.err


def test_an_unreachable_server_is_told_as_json(project):
    """With --json, standard output has the error's document and standard error nothing."""
    more = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    as_json = mlops("runs", "--json", cwd=project, **more)
    assert (as_json.code, set(as_json.json), as_json.err) == (3, {"error"}, "")


def test_status_tells_of_an_unreachable_server_without_failing(project):
    """`status` is what people look at when something is broken: it names the server and answers."""
    uri = f"http://127.0.0.1:{free_port()}"
    done = mlops("status", "--json", cwd=project, MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.code == 0
    assert (done.json["tracking"], done.json["tracking_why"]) == (uri, "MLFLOW_TRACKING_URI")


def test_a_database_that_is_no_database_is_exit_code_3(project):
    """A database file that was overwritten with something else exits with 3."""
    for left in (project / ".mlops").glob("mlflow.db*"):
        left.unlink()
    (project / ".mlops" / "mlflow.db").write_bytes(b"not a database at all" * 300)
    assert store_is_away(mlops("runs", cwd=project))


def test_a_ledger_that_is_no_database_is_exit_code_3(project, here):
    """A ledger that was overwritten exits with 3, whether it is read or written."""
    for left in (project / ".mlops").glob("ledger.db*"):
        left.unlink()
    (project / ".mlops" / "ledger.db").write_bytes(b"not a database at all" * 300)
    for words in (["audit"], ["audit", "verify"], ["promote", "churn", "--to", "other"], ["requests"]):
        done = here(*words, cwd=project)
        assert store_is_away(done), (words, done)


@pytest.fixture
def read_only(project: Path):
    """Give the workspace with a `.mlops` that can't be written, by whatever means this machine has."""
    state = project / ".mlops"
    files = [state, *state.rglob("*")]
    if os.getuid() == 0:
        done = subprocess.run(["chattr", "+i", *map(str, files)], capture_output=True, check=False)
        if done.returncode:
            subprocess.run(["chattr", "-i", *map(str, files)], capture_output=True, check=False)
            pytest.skip("permissions don't bind root, and chattr does nothing here")
        yield project
        subprocess.run(["chattr", "-i", *map(str, files)], capture_output=True, check=True)
    else:
        modes = {file: file.stat().st_mode for file in files}
        for file in files:
            file.chmod(0o500 if file.is_dir() else 0o400)
        yield project
        for file, mode in modes.items():
            file.chmod(mode)


def test_a_store_that_cannot_be_written_is_exit_code_3(read_only):
    """Writing to a read-only `.mlops` exits with 3 and two lines."""
    done = mlops("promote", "churn", "--to", "other", cwd=read_only)
    assert store_is_away(done), done


def test_a_locked_ledger_is_exit_code_3(project):
    """A ledger that another process holds for too long exits with 3 and says that it is locked."""
    holder = sqlite3.connect(project / ".mlops" / "ledger.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        # The program waits for 30 s; a test does not.
        code = (
            "import sqlite3, sys; connect = sqlite3.connect\n"
            "sqlite3.connect = lambda *a, **k: connect(*a, **{**k, 'timeout': 0.2})\n"
            "from mlops_jupyter.cli import main; sys.exit(main(['promote', 'churn', '--to', 'other']))"
        )
        done = mlops(cwd=project, program=(sys.executable, "-c", code))
    finally:
        holder.close()
    assert store_is_away(done), done
    assert "locked" in done.err


def test_a_workspace_below_a_file_is_a_wrong_request(tmp_path):
    """A workspace that can't be one is refused before anything is tried."""
    (tmp_path / "file").write_text("")
    done = mlops("init", "file", cwd=tmp_path)
    assert done.code == 2
    assert told_in_two_lines(done), done.err


def test_interrupt_is_exit_code_130(project):
    """An interrupted pipeline exits with 130 and says so in two lines; what runs is ended."""
    marker = project / "begun"
    write_notebook(
        project / "train.ipynb",
        f"open({str(marker)!r}, 'w').close()\nimport time\ntime.sleep(100)",
        parameters="depth = 1",
    )
    program = [sys.executable, "-m", "mlops_jupyter.cli", "pipeline", "run", "pipeline.yaml", "--json"]
    process = subprocess.Popen(
        program, cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until(marker.exists, "the step begins")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, (out, err)
    json.loads(out)
    assert "Traceback" not in err
    history = mlops("pipeline", "history", "--json", cwd=project).json
    assert history["rows"][0]["state"] == "cancelled"


# ---------------------------------------------------------------------------------------------------------------------
# What is printed, and where


@pytest.mark.parametrize(
    "line", ["status", "help", "help promote", "runs", "models", "audit", "snapshots", "version", "--version"]
)
def test_json_is_one_document_and_nothing_else(project, line):
    """With --json, standard output is exactly one JSON document, and standard error is silent."""
    done = mlops(*line.split(), "--json", cwd=project)
    assert (done.code, done.err) == (0, "")
    assert isinstance(done.json, dict)


def test_tables_are_rows(project, here):
    """A table's document is `{"rows": […]}`."""
    for words in (["runs"], ["models"], ["audit"], ["snapshots"], ["requests"], ["pipeline", "history"]):
        assert set(here(*words, "--json", cwd=project).json) == {"rows"}, words


def test_json_holds_no_nan(tmp_path):
    """A metric that is NaN is still in a document that every JSON reader takes."""
    workspace = Workspace.open(tmp_path)
    with workspace.run("odd") as run:
        run.tracking.client.log_metric(run.run_id, "loss", float("nan"))
    done = mlops("runs", "--json", cwd=tmp_path)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    rows = json.loads(done.out, parse_constant=refuse)["rows"]
    assert rows[0]["metrics"] == {"loss": "nan"}


def test_json_of_a_pipeline_is_not_disturbed_by_what_its_kernel_prints(project):
    """What a step prints, to any stream, does not reach the document."""
    noise = "import os, sys\nprint('out'); print('err', file=sys.stderr)\nos.write(1, b'raw 1'); os.write(2, b'raw 2')"
    publish = "from mlops_jupyter import output\noutput('doubled', depth * 2)"
    write_notebook(project / "train.ipynb", noise, publish, parameters="depth = 1")
    done = mlops("pipeline", "run", "pipeline.yaml", "-p", "depth=7", "--json", cwd=project)
    assert done.code == 0, done
    assert done.json["state"] == "succeeded"
    assert done.json["steps"][0]["outputs"] == {"doubled": 14}
    assert {"name", "step", "matrix", "state", "reason", "run_id", "seconds", "outputs", "notebook", "error"} <= set(
        done.json["steps"][0]
    )


def test_json_is_not_disturbed_by_what_a_library_prints(tmp_path):
    """What code below prints while a verb is carried out goes to standard error, buffered or not."""
    code = (
        "import os, sys\nfrom mlops_jupyter import cli\nfrom mlops_jupyter.workspace import Workspace\n"
        "status = Workspace.status\n"
        "def noisy(self):\n    print('noise'); os.write(1, b'raw noise'); return status(self)\n"
        "Workspace.status = noisy\nsys.exit(cli.main(['status', '--json']))"
    )
    done = mlops(cwd=tmp_path, program=(sys.executable, "-c", code))
    assert done.code == 0
    assert done.json["workspace"] == str(tmp_path)
    assert "raw noise" in done.err


def test_debug_shows_the_traceback(project):
    """--debug, and only it, shows where an error happened; the two lines and the code stay."""
    plain = mlops("show", "nobody", cwd=project)
    done = mlops("show", "nobody", "--debug", cwd=project)
    assert done.code == plain.code == 2
    assert "Traceback" in done.err
    assert done.err.endswith(plain.err)


@pytest.mark.parametrize("words", [["--version"], ["version"]], ids=" ".join)
def test_version_is_the_distribution_s(tmp_path, words):
    """The version that is printed is that of the installed distribution's package."""
    from mlops_jupyter import __version__

    assert mlops(*words, cwd=tmp_path).out == f"mlops-jupyter {__version__}\n"


def test_an_unknown_verb_names_the_nearest(tmp_path):
    """A mistyped verb is answered with the one that was probably meant."""
    done = mlops("promot", "x", cwd=tmp_path)
    assert done.code == 2
    assert done.err.splitlines() == ["mlops: there is no verb 'promot'", "did you mean 'promote'?"]


@pytest.mark.parametrize(
    "words", [["log", "metric", "a=1"], ["run"], ["start"], ["snapshot", "x"], ["restore", "x"]], ids=" ".join
)
def test_a_verb_of_the_notebook_says_so(tmp_path, words):
    """A verb that needs live variables tells that it needs a notebook, and how to get there."""
    done = mlops(*words, cwd=tmp_path)
    assert done.code == 2
    assert told_in_two_lines(done), done.err
    assert "notebook" in done.err
    assert "%load_ext mlops_jupyter" in done.err


def test_a_reader_that_leaves_early_is_no_error(project):
    """`mlops … | head -1` prints one line and no traceback."""
    program = f"{sys.executable} -m mlops_jupyter.cli help | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program], cwd=project, env=environment(), capture_output=True, text=True
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    gone = f"{sys.executable} -m mlops_jupyter.cli help | true"
    done = subprocess.run(["bash", "-c", gone], cwd=project, env=environment(), capture_output=True, text=True)
    assert done.stderr == ""


def test_bare_program_and_help_flags_are_help(project):
    """`mlops`, `mlops --help` list the verbs; `mlops promote --help` shows that verb's use."""
    for words in ([], ["--help"], ["-h"], ["help"]):
        done = mlops(*words, cwd=project)
        assert done.code == 0
        assert "promote" in done.out
    assert mlops("promote", "--help", cwd=project).out == mlops("help", "promote", cwd=project).out


def test_help_imports_nothing_heavy(tmp_path):
    """`mlops --help` and `mlops --version` load none of MLflow, pandas, numpy, papermill and IPython."""
    code = (
        "import sys\nfrom mlops_jupyter.cli import main\n"
        "main(['--help']); main(['--version']); main(['help', 'promote'])\n"
        "heavy = [m for m in ('mlflow', 'pandas', 'numpy', 'papermill', 'IPython', 'fastapi', 'tornado', 'sklearn')"
        " if m in sys.modules]\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    python(code, tmp_path)


def test_jupyter_mlops_is_the_same_program(project):
    """`jupyter mlops` prints what `mlops` prints, and exits as it does."""
    path = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    for words in (["models", "--json"], ["promot"]):
        ours, jupyters = (
            mlops(*words, cwd=project, PATH=path),
            mlops(*words, cwd=project, program=_JUPYTER, PATH=path),
        )
        assert (ours.code, ours.out, ours.err) == (jupyters.code, jupyters.out, jupyters.err)


def test_places_back_from_now_are_no_options(project):
    """`show -1` is the latest snapshot, though it looks like an option."""
    assert mlops("show", "-1", "--json", cwd=project).json["name"] == "first"


def test_a_hostile_name_does_not_move_the_terminal_s_cursor(tmp_path):
    """Control characters in a run's name are shown, not sent to the terminal."""
    workspace = Workspace.open(tmp_path)
    with workspace.run("bad\x1b[2Jname"):
        pass
    done = mlops("runs", cwd=tmp_path)
    assert "\x1b" not in done.out
    assert "bad\\x1b" in done.out


# ---------------------------------------------------------------------------------------------------------------------
# Workspace and settings


def status(cwd: Path, *words: str, **more: str) -> tuple[Path, str]:
    """Ask which workspace is meant, and which rule found it."""
    done = mlops("status", "--json", *words, cwd=cwd, **more)
    assert done.code == 0, done
    return Path(done.json["workspace"]), done.json["why"]


def test_workspace_is_found_in_the_order_of_the_contract(tmp_path):
    """--workspace, MLOPS_WORKSPACE, mlops.toml or .mlops/ above, the git root, the working directory: in this order."""
    deep = tmp_path / "repo" / "project" / "notebooks"
    deep.mkdir(parents=True)
    named, called = tmp_path / "named", tmp_path / "called"
    named.mkdir()
    called.mkdir()
    assert status(deep) == (deep, "the working directory")
    subprocess.run(["git", "init", "-q", str(tmp_path / "repo")], check=True)
    assert status(deep) == (tmp_path / "repo", "the git root")
    (tmp_path / "repo" / ".mlops").mkdir()
    assert status(deep)[0] == tmp_path / "repo"
    assert ".mlops" in status(deep)[1]
    (tmp_path / "repo" / "project" / "mlops.toml").write_text("")
    assert status(deep)[0] == tmp_path / "repo" / "project"
    assert "mlops.toml" in status(deep)[1]
    assert status(deep, MLOPS_WORKSPACE=str(named)) == (named, "MLOPS_WORKSPACE")
    assert status(deep, "--workspace", str(called), MLOPS_WORKSPACE=str(named))[0] == called


def test_reading_writes_nothing(tmp_path, here):
    """Verbs that only look leave no trace in a folder that is no workspace yet."""
    for words in (["status"], ["runs"], ["models"], ["snapshots"], ["requests"], ["audit"], ["audit", "verify"]):
        assert here(*words, cwd=tmp_path).code == 0, words
    assert here("compare", "@last", cwd=tmp_path).code == 2
    assert list(tmp_path.iterdir()) == []


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith(("-wal", "-shm"))
    }


def test_init_twice_changes_nothing(tmp_path):
    """`init` writes mlops.toml and makes the store, which git leaves alone; the second time not a byte changes."""
    first = mlops("init", "project", "--experiment", "churn", "--json", cwd=tmp_path)
    assert (first.code, first.json["created"]) == (0, True)
    project = tmp_path / "project"
    assert (project / "mlops.toml").is_file()
    assert (project / ".mlops" / ".gitignore").read_text().strip() == "*"
    with sqlite3.connect(project / ".mlops" / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
    before = contents(project)
    again = mlops("init", "project", "--experiment", "churn", "--json", cwd=tmp_path)
    assert (again.code, again.json["created"]) == (0, False)
    assert contents(project) == before
    assert mlops("status", "--json", cwd=project).json["experiment"] == "churn"


def test_init_does_not_overrule_what_is_there(tmp_path, here):
    """Asking `init` for another experiment than mlops.toml has is refused, and the file stays."""
    assert here("init", "--experiment", "churn", cwd=tmp_path).code == 0
    before = (tmp_path / "mlops.toml").read_bytes()
    done = here("init", "--experiment", "fraud", cwd=tmp_path)
    assert done.code == 2
    assert told_in_two_lines(done)
    assert (tmp_path / "mlops.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[tracking\nuri = 1", 1, "TOML"),
        ("[tracking]\nuri = 5", 2, "uri"),
        ("# a\n[tracking]\nexperimant = 'x'", 3, "experiment"),
        ("[[promotion]]\nalias = 'a'\n[[promotion]]\ngates = [{metric = 'a', mni = 1}]", 4, "min"),
        ("[[promotion]]\ngates = [{metric = 'a'}]", 2, "min"),
        ("[[promotion]]\napprovals = {count = 'two'}", 2, "count"),
        ("[roles]\nlead = 'ann'", 2, "lead"),
        ("promotoin = 1", 1, "promotion"),
    ],
)
def test_a_wrong_setting_is_told_with_its_line_and_a_hint(tmp_path, text, line, word, here):
    """What is wrong in mlops.toml is told with file and line, and what to write instead."""
    (tmp_path / "mlops.toml").write_text(text)
    done = here("runs", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert told_in_two_lines(done), done.err
    assert f"mlops.toml:{line}:" in done.err
    assert word in done.err


def test_a_store_of_the_environment_is_used_and_named(tmp_path, project, here):
    """MLFLOW_TRACKING_URI names another database; its runs are the ones listed, and no store is made besides."""
    with sqlite3.connect(project / ".mlops" / "mlflow.db") as ours, sqlite3.connect(tmp_path / "other.db") as other:
        ours.backup(other)
    ours.close()
    other.close()
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    away = tmp_path / "away"
    away.mkdir()
    assert here("runs", "--json", cwd=away).json["rows"] == []
    done = mlops("runs", "--experiment", "churn", "--json", cwd=away, MLFLOW_TRACKING_URI=uri)
    assert [row["name"] for row in done.json["rows"]] == ["refined", "tuned", "base"]
    assert mlops("status", "--json", cwd=away, MLFLOW_TRACKING_URI=uri).json["tracking"] == uri
    assert list(away.iterdir()) == []


def test_the_embedded_store_is_what_mlflow_s_own_words_open(tmp_path):
    """`sqlite:///.mlops/mlflow.db` from the workspace shows the same runs and artifacts, without our package."""
    python(
        "import mlops_jupyter\nwith mlops_jupyter.run('ours') as run:\n"
        "    run.tracking.put_text(run.run_id, 'kept', 'note.txt')",
        tmp_path,
    )
    names = python(
        "import mlflow, sys\nmlflow.set_tracking_uri('sqlite:///.mlops/mlflow.db')\n"
        "run, = mlflow.search_runs(search_all_experiments=True, output_format='list')\n"
        "assert 'mlops_jupyter.workspace' not in sys.modules\n"
        "print(run.info.run_name, mlflow.artifacts.load_text(run.info.artifact_uri + '/note.txt'))",
        tmp_path,
    )
    assert names.split() == ["ours", "kept"]


# ---------------------------------------------------------------------------------------------------------------------
# Help and mistyped words


def test_help_tells_what_every_verb_shares(here, tmp_path):
    """The overview has the options of all verbs, the exit codes, and what only a notebook has."""
    told = here("--help", cwd=tmp_path).out
    for word in ("usage: mlops", "--workspace DIR", "--json", "--debug", "--version", "130 interrupted", "snapshot"):
        assert word in told, word
    assert here("-h", cwd=tmp_path).out == here("help", cwd=tmp_path).out == told
    assert here("promote", "churn", "--help", cwd=tmp_path).out == here("help", "promote", cwd=tmp_path).out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("runs", "--limt", "3"), "there is no option --limt", "did you mean --limit?"),
        (("pipeline", "rn"), "there is no verb 'pipeline rn'", "did you mean 'pipeline run'?"),
        (("--workspce", "x"), "there is no option '--workspce'", "`mlops help`"),
        (("demo", "-p", "data"), "-p/--param/--params takes K=V, not 'data'", "usage: demo"),
    ],
)
def test_a_mistyped_word_is_told_with_the_nearest(here, tmp_path, words, message, hint):
    """What was probably meant is named, for verbs, second words and options."""
    done = here(*words, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err
    assert hint in done.err


# ---------------------------------------------------------------------------------------------------------------------
# Workspaces that hold nothing yet


def test_an_empty_answer_names_its_workspace(here, tmp_path):
    """Whoever looks in the wrong folder sees which one was looked in."""
    for words in (("runs",), ("models",), ("pipeline", "history")):
        assert str(tmp_path) in here(*words, cwd=tmp_path).out, words


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "--experiment", "nope"),
        ("runs", "--filter", "metrics.auc >"),
        ("runs", "--order-by", "foo bar baz"),
    ],
)
def test_a_wrong_question_is_wrong_in_an_empty_workspace_too(here, tmp_path, words):
    """A filter that can't be read is refused before there is anything to filter, and nothing is made."""
    assert here(*words, cwd=tmp_path).code == 2
    assert list(tmp_path.iterdir()) == []
