# ruff: noqa: F811, F401 - a fixture is imported, and then named as a parameter
"""How steps fail: truthfully, with what is needed to see why, and with nothing left running."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from test_pipeline_support import HEAD, project, say, states, step

from mlops_jupyter.errors import DefinitionError, NotFoundError, StoreError
from mlops_jupyter.pipelines.events import EventLog


def one(project, *cells, keys="", **more):
    """Make the project one step with these cells."""
    project.write(f"steps:\n  one: {{notebook: one.ipynb{keys}}}\n")
    project.notebook("one.ipynb", *cells, **more)
    return project


def gone(pid: int) -> bool:
    """Tell whether a process has ended, waiting a little."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if status == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_failing_cell_keeps_the_notebook_and_stops_what_follows(project):
    """The error names the cell, the executed notebook is kept, steps below are not run; others are, on demand."""
    project.write(
        "steps:\n  bad: {notebook: bad.ipynb, outputs: [x]}\n"
        "  below: {notebook: good.ipynb, needs: [bad]}\n  beside: {notebook: good.ipynb, needs: [first]}\n"
        "  first: {notebook: good.ipynb}\n"
    )
    project.notebook("bad.ipynb", "#md hello", "print('before')", "raise ValueError('boom')", "print('never')")
    project.notebook("good.ipynb", say("good"))
    result = project.run(workers=1)
    assert not result.ok
    assert states(result)["bad"] == "failed"
    assert states(result)["below"] == "upstream_failed"
    assert (states(result)["first"], states(result)["beside"]) == ("cancelled", "cancelled")
    bad = step(result, "bad")
    assert bad.reason == "ValueError: boom in code cell 2"
    assert "raise ValueError('boom')" in bad.error
    assert "\x1b" not in bad.error
    executed = json.loads(Path(bad.notebook).read_text())
    assert executed["metadata"]["mlops"]["outcome"]["state"] == "failed"
    assert any("boom" in text for run_id, text in project.tracker.artifacts if run_id == bad.run_id)
    assert project.tracker.runs[bad.run_id]["status"] == "FAILED"
    kept = project.run(keep_going=True)
    assert states(kept) == {"bad": "failed", "first": "succeeded", "below": "upstream_failed", "beside": "cached"}


def test_resuming_runs_only_what_had_failed(project):
    """After a repair, what had succeeded is not repeated."""
    project.write(
        "steps:\n  a: {notebook: a.ipynb, outputs: [x]}\n"
        "  b: {notebook: b.ipynb, params: {x: '${steps.a.outputs.x}'}}\n"
    )
    project.notebook("a.ipynb", HEAD, "output('x', 1)", say("a"))
    project.notebook("b.ipynb", "1/0", parameters="x = 0")
    assert states(project.run()) == {"a": "succeeded", "b": "failed"}
    project.notebook("b.ipynb", say("b"), parameters="x = 0")
    assert states(project.run()) == {"a": "cached", "b": "succeeded"}
    assert project.count("a") == 1


@pytest.mark.parametrize(("code", "good"), [("import sys; sys.exit(0)", False), ("1", True)])
def test_leaving_before_the_last_cell_is_a_failure(project, code, good):
    """`sys.exit(0)` does not end a step well while cells are left."""
    result = one(project, code, say("end")).run()
    assert result.ok == good
    if not good:
        assert "sys.exit() in code cell 1" in step(result, "one").reason


def test_leaving_from_the_last_cell_is_an_end(project):
    """`sys.exit(0)` in the last code cell, and an error that a cell's tag expects, are no failures."""
    cells = ["raise ValueError('expected')", "import sys; sys.exit(0)", "#md the end"]
    assert one(project, *cells, tags={0: ["raises-exception"]}).run().ok


def test_a_dead_kernel_is_a_failure_and_is_tried_again(project):
    """A kernel that dies fails the attempt, whatever the notebook says; `retries` tries once more."""
    code = "import os\ntry:\n    open('died', 'x')\nexcept FileExistsError:\n    pass\nelse:\n    os._exit(3)"
    result = one(project, code, say("alive"), keys=", retries: 1").run()
    assert result.ok, str(result)
    assert step(result, "one").attempt == 2
    first, second = sorted(project.tracker.named("one"), key=lambda run: run["tags"]["mlops.attempt"])
    assert (first["status"], second["status"]) == ("FAILED", "FINISHED")


def test_a_kernel_that_stays_dead_fails_the_step(project):
    """Without retries the step has failed, and says that the kernel died and where."""
    result = one(project, "1", "import os; os._exit(3)").run()
    assert states(result) == {"one": "failed"}
    assert step(result, "one").reason == "the kernel died in code cell 2"


def test_a_timeout_ends_the_whole_process_group(project):
    """The wall clock counts; the kernel and what it had started are gone."""
    code = (
        "import subprocess, os\nchild = subprocess.Popen(['sleep', '300'])\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}')"
    )
    stubborn = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass"
    result = one(project, code, stubborn, keys=", timeout: 4s").run()
    assert states(result) == {"one": "timed_out"}
    assert "took longer than 4 s" in step(result, "one").reason
    assert all(gone(int(pid)) for pid in (project.folder / "pids").read_text().split())


def test_nothing_that_a_step_has_started_outlives_it(project):
    """A process left behind by a step that succeeded is ended with its kernel."""
    code = "import subprocess, os\nchild = subprocess.Popen(['sleep', '300'])\nopen('pids', 'w').write(str(child.pid))"
    assert one(project, code, "del child").run().ok
    assert gone(int((project.folder / "pids").read_text()))


def test_a_module_edited_while_its_step_runs_makes_no_record(project):
    """What the step imported is not what is there now, so the result stands for neither."""
    (project.folder / "features.py").write_text("value = 1\n")
    code = "import features\nopen('features.py', 'w').write('value = 2 # other')"
    assert one(project, code).run().ok
    (project.folder / "features.py").write_text("value = 1\n")
    assert project.plan()["one"] == ("run", "never run")


def test_a_kernel_that_does_not_start_says_why(project):
    """What the kernel's process printed is in the error."""
    (project.folder / "ipykernel_launcher.py").write_text("import sys; sys.exit('no kernel today')")
    result = one(project, "1", keys=f", env: {{PYTHONPATH: '{project.folder}'}}").run()
    assert states(result) == {"one": "failed"}
    assert "no kernel today" in step(result, "one").error


def test_declared_outputs_must_be_published_and_others_must_not(project):
    """A step that publishes less or other than it declares fails, and says what to do."""
    result = one(project, HEAD, "1", keys=", outputs: [table]").run()
    assert step(result, "one").reason == "output 'table' was never published"
    result = one(project, HEAD, "output('tabel', 1)", keys=", outputs: [table]").run()
    assert "declares no output 'tabel'" in step(result, "one").error
    assert "did you mean 'table'?" in step(result, "one").error


def test_secrets_reach_the_kernel_and_nothing_that_is_kept(project, monkeypatch):
    """A secret is in no file of the workspace, however the notebook prints it; an output that holds it is refused."""
    secret = 'hunter2/"quoted" & co'
    monkeypatch.setenv("TOKEN", secret)
    cells = [
        "import os, base64, sys\nt = os.environ['TOKEN']\nprint(t, repr(t), base64.b64encode(t.encode()))\n"
        "sys.stdout.write(t[:4]); sys.stdout.flush(); sys.stdout.write(t[4:])",
        HEAD,
        "try:\n    output('x', {'a': t})\nexcept Exception as error:\n    print(error.message)\noutput('n', len(t))",
        "raise KeyError(t)",
    ]
    result = one(project, *cells, keys=", secrets: [TOKEN]").run()
    bad = step(result, "one")
    assert bad.reason.startswith("KeyError: ")
    text = Path(bad.notebook).read_text()
    assert text.count("***") >= 4
    assert "holds a secret" in text
    kept = [file for file in project.folder.rglob("*") if file.is_file()]
    assert len(kept) > 4
    for file in kept:
        assert b"hunter2" not in file.read_bytes(), file
        assert b"aHVudGVyM" not in file.read_bytes(), file
    assert "hunter2" not in json.dumps([result.to_json(), project.tracker.artifacts, project.events])
    monkeypatch.delenv("TOKEN")
    with pytest.raises(DefinitionError, match="secret TOKEN"):
        project.run()


def test_register_and_promote(project):
    """A refused promotion fails the step with its reasons; a pending one does not; a cached step does neither again."""
    keys = ", register: {name: m, output: best, promote: champion}"
    code = "from pathlib import Path\nimport os, json\noutput('best', 1)"
    project = one(project, HEAD, code, keys=keys)
    result = project.run()
    assert "can't be registered" in step(result, "one").reason
    # What output() writes for a model that was logged to MLflow, without MLflow.
    entry = {"best": {"value": 1, "model": {"id": "m-1"}}}
    fake = f"import json, os\nopen(os.environ['MLOPS_STEP_DIR'] + '/outputs.json', 'w').write({json.dumps(entry)!r})"
    project = one(project, fake, keys=keys)
    project.registry.status = "refused"
    refused = project.run()
    assert states(refused) == {"one": "failed"}
    assert "auc 0.6 is below 0.75" in step(refused, "one").reason
    project.registry.status = "pending"
    assert "waits for approval" in step(project.run(), "one").reason
    assert project.registry.promotions == [("m/1", "champion")] * 2
    assert states(project.run()) == {"one": "cached"}
    assert len(project.registry.promotions) == 2
    assert len(project.registry.versions) == 1


def test_a_condition_skips_a_step_and_those_below(project):
    """`when` that does not hold skips the step; so are steps that need it; a matrix hands over those that ran."""
    project.write(
        "params: {mode: quick}\nsteps:\n"
        "  deep: {notebook: n.ipynb, when: \"${params.mode} == 'full'\"}\n"
        "  below: {notebook: n.ipynb, needs: [deep]}\n"
        "  fan: {notebook: fan.ipynb, params: {n: '${matrix.n}'}, matrix: {n: [1, 2, 3]}, when: '${matrix.n} != 2'}\n"
        "  sum: {notebook: sum.ipynb, params: {all: '${steps.fan.outputs.n}'}, outputs: [s]}\n"
    )
    project.notebook("n.ipynb", say("n"))
    project.notebook("fan.ipynb", HEAD, "output('n', n)", parameters="n = 0")
    project.notebook("sum.ipynb", HEAD, "output('s', all)", parameters="all = []")
    result = project.run()
    assert result.ok, str(result)
    assert (states(result)["deep"], states(result)["below"]) == ("skipped", "skipped")
    assert states(result)["fan[n=2]"] == "skipped"
    assert step(result, "sum").outputs == {"s": [1, 3]}
    assert project.count("n") == 0


def test_history_and_progress_come_from_the_events(project):
    """The history lists runs newest first; progress events count up to the total."""
    project = one(project, say("one"))
    project.run()
    project.run()
    rows = project.room.history(project.file).rows
    assert [row["cached"] for row in rows] == [1, 0]
    assert {row["state"] for row in rows} == {"succeeded"}
    assert project.room.history(project.folder / "other.yaml").rows == []
    assert project.events[-1]["done"] == project.events[-1]["total"] == 1
    assert {"running", "succeeded", "cached"} <= {event["state"] for event in project.events}


def test_frames_arrays_and_files_travel(project):
    """What a step publishes by reference arrives as what it was."""
    project.write(
        "steps:\n  a: {notebook: a.ipynb, outputs: [frame, array, file]}\n"
        "  b:\n    notebook: b.ipynb\n    outputs: [ok]\n    params:\n"
        "      frame: '${steps.a.outputs.frame}'\n      array: '${steps.a.outputs.array}'\n"
        "      file: '${steps.a.outputs.file}'\n"
    )
    project.notebook(
        "a.ipynb",
        HEAD,
        "import pandas as pd, numpy as np, pathlib\n"
        "output('frame', pd.DataFrame({'c': pd.Categorical(['a', 'b'])}))\n"
        "output('array', np.arange(3, dtype='int16'))\n"
        "p = pathlib.Path('notes.txt'); p.write_text('hello')\noutput('file', p)",
    )
    project.notebook(
        "b.ipynb",
        HEAD,
        "f, a, p = load(frame), load(array), load(file)\n"
        "output('ok', [str(f.c.dtype), str(a.dtype), p.name, p.read_text()])",
        parameters="frame = array = file = ''",
    )
    result = project.run()
    assert result.ok, str(result)
    assert step(result, "b").outputs == {"ok": ["category", "int16", "notes.txt", "hello"]}
    assert step(result, "a").outputs["frame"].startswith("mlops://")


def test_a_run_that_tracking_could_not_end_is_ended_by_the_next(project, monkeypatch):
    """The log and its lock are closed whatever the tracking store says, and the open run is not forgotten."""
    project = one(project, say("one"))
    finish = project.tracker.finish

    def away(run_id, status):
        if project.tracker.runs[run_id]["parent"] is None:
            raise StoreError("no answer", "")
        finish(run_id, status)

    monkeypatch.setattr(project.tracker, "finish", away)
    with pytest.raises(StoreError):
        project.run()
    assert [row["state"] for row in project.room.history().rows] == ["succeeded"]
    monkeypatch.setattr(project.tracker, "finish", finish)
    project.run()
    assert "RUNNING" not in {run["status"] for run in project.tracker.runs.values()}
    assert [row["state"] for row in project.room.history().rows] == ["succeeded", "succeeded"]


def test_only_a_run_that_was_deleted_is_passed_over(project, monkeypatch):
    """A dead run that MLflow no longer has stops nothing; an MLflow that does not answer is told."""
    project = one(project, say("one"))
    dead = EventLog(project.state / "pipelines" / "r", {"pipeline": "p"})
    dead.append({"event": "begun", "run_id": "gone"})
    dead.close(whole=False)
    finish = project.tracker.finish
    error = StoreError("no answer", "")

    def answer(run_id, status):
        if run_id == "gone":
            raise error
        finish(run_id, status)

    monkeypatch.setattr(project.tracker, "finish", answer)
    with pytest.raises(StoreError):
        project.run()
    error = NotFoundError("no such run", "")
    assert project.run().ok
