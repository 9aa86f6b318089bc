"""Matrices, order, keys and reasons, without a kernel."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter import environment
from mlops_jupyter.errors import DefinitionError, StoreError
from mlops_jupyter.locks import Lock
from mlops_jupyter.pipelines import events, kernels
from mlops_jupyter.pipelines.attempt import folder_name
from mlops_jupyter.pipelines.cache import canonical_key, what_changed
from mlops_jupyter.pipelines.definition import load
from mlops_jupyter.pipelines.plan import Planner, expand, instance_name
from mlops_jupyter.store import MemoryFolder, ObjectStore

DOCUMENT = {
    "cells": [
        {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "source": "x = 1\nmany = []"},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": ["y = x\n", "print(y)"]},
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture
def folder(tmp_path):
    """Give a folder with one notebook."""
    (tmp_path / "a.ipynb").write_text(json.dumps(DOCUMENT))
    return tmp_path


def planner(folder, text, store=None, **params):
    """Give a planner for a text as the folder's pipeline file."""
    file = folder / "pipeline.yaml"
    file.write_text(text)
    found = load(file)
    return Planner(found, {**found.params, **params}, store or ObjectStore(MemoryFolder()))


def succeed(plan, name, published, outputs, modules=None):
    """Write the record that a successful run of an instance would."""
    instance = plan.instances[name]
    decision = plan.decide(instance, published)
    record = {"parts": dict(decision.parts), "modules": modules or {}, "outputs": outputs, "run_id": "ab" * 16}
    plan.cache.publish(decision.found.base, plan.label(instance), {**record, "pipeline_run": "r"})
    published[name] = outputs


def test_matrices_are_laid_out_as_grid_and_as_list(folder):
    """Several keys make a product; a list is taken as it is; names say the setting."""
    plan = planner(
        folder,
        "params: {rates: [0.1, 1]}\nsteps:\n"
        "  grid: {notebook: a.ipynb, matrix: {depth: [3, 5], rate: '${params.rates}'}}\n"
        "  list: {notebook: a.ipynb, matrix: [{a: x, b: true}, {a: y, b: null}]}\n",
    )
    assert list(plan.instances) == [
        "grid[depth=3,rate=0.1]",
        "grid[depth=3,rate=1]",
        "grid[depth=5,rate=0.1]",
        "grid[depth=5,rate=1]",
        "list[a=x,b=true]",
        "list[a=y,b=null]",
    ]


def test_the_same_setting_twice_is_refused(folder):
    """Two instances can't share a name."""
    with pytest.raises(DefinitionError, match=r"has s\[d=3\] twice"):
        planner(folder, "steps:\n  s: {notebook: a.ipynb, matrix: {d: [3, 3]}}")


def test_a_matrix_too_large_to_lay_out_is_refused(folder):
    """Four axes of a hundred values are a mistake, not a plan."""
    values = list(range(100))
    with pytest.raises(DefinitionError, match="more than 100000 settings"):
        planner(folder, f"steps:\n  s: {{notebook: a.ipynb, matrix: {dict.fromkeys('abcd', values)}}}".replace("'", ""))


def test_what_comes_first_is_first_whatever_the_file_says(folder):
    """Order follows the edges, then the file."""
    plan = planner(
        folder,
        "steps:\n  c: {notebook: a.ipynb, needs: [b]}\n  b: {notebook: a.ipynb, needs: [a]}\n  a: {notebook: a.ipynb}\n"
        "  z: {notebook: a.ipynb}\n",
    )
    assert list(plan.instances) == ["a", "z", "b", "c"]


CHAIN = (
    "params: {n: 1}\nsteps:\n  a: {notebook: a.ipynb, params: {x: '${params.n}'}, outputs: [o]}\n"
    "  b: {notebook: a.ipynb, params: {x: '${steps.a.outputs.o}'}, outputs: [o]}\n"
    "  c: {notebook: a.ipynb, needs: [b]}\n"
)


def reasons(plan):
    """Give instance → action and reason."""
    return {name: (decision.action, decision.reason) for name, decision in plan.plan().items()}


def test_a_plan_says_why(folder):
    """Never run, cached, changed, and what follows from what."""
    store = ObjectStore(MemoryFolder())
    plan = planner(folder, CHAIN, store)
    assert reasons(plan) == {
        "a": ("run", "never run"),
        "b": ("run", "depends on a, which will run"),
        "c": ("run", "never run"),
    }
    published = {}
    for name in "abc":
        succeed(plan, name, published, {"o": {"value": 5}})
    same = ("cached", "same code, parameters and inputs as run abababab")
    assert reasons(planner(folder, CHAIN, store)) == {"a": same, "b": same, "c": same}
    changed = reasons(planner(folder, CHAIN, store, n=2))
    assert changed["a"] == ("run", "parameter x changed from 1 to 2")
    assert changed["b"] == ("run", "depends on a, which will run")
    # Nothing flows from b to c: what c does is known now.
    assert changed["c"] == same


def test_an_output_enters_the_key_by_content(folder):
    """Another reference to an equal model is the same input; another content is not."""
    plan = planner(folder, CHAIN)
    entry = {"ref": "mlops://" + "1" * 64, "object": "2" * 64, "kind": "model", "digest": "d1"}
    first = plan.parts(plan.instances["b"], {"a": {"o": entry}})
    same = plan.parts(plan.instances["b"], {"a": {"o": {**entry, "ref": "mlops://" + "3" * 64}}})
    other = plan.parts(plan.instances["b"], {"a": {"o": {**entry, "digest": "d2"}}})
    assert first == same
    assert first != other
    assert plan.values(plan.instances["b"], {"a": {"o": entry}}) == {"x": entry["ref"]}


def test_a_record_whose_objects_are_gone_is_not_used(folder):
    """A pruned store means running again, not failing later."""
    store = ObjectStore(MemoryFolder())
    plan = planner(folder, CHAIN, store)
    entry = {"ref": "mlops://" + "1" * 64, "object": "2" * 64, "kind": "array", "digest": "d"}
    succeed(plan, "a", {}, {"o": entry})
    assert reasons(plan)["a"] == ("run", "its outputs are not in the store")


def test_passing_a_default_is_like_not_passing_it(folder):
    """Parameters are merged with the notebook's defaults before they count."""
    plan = planner(folder, "steps:\n  a: {notebook: a.ipynb, params: {x: 1}}\n  b: {notebook: a.ipynb}\n")
    assert plan.parts(plan.instances["a"], {}) == plan.parts(plan.instances["b"], {})


@pytest.mark.parametrize("other", [1.0, True, "1"])
def test_types_of_parameters_count(folder, other):
    """1, 1.0, true and "1" are four different parameters."""
    text = "params: {n: null}\nsteps:\n  a: {notebook: a.ipynb, params: {many: ['${params.n}']}}\n"
    keys = {canonical_key(p.parts(p.instances["a"], {})) for p in (planner(folder, text, n=n) for n in (1, other))}
    assert len(keys) == 2


def test_layout_of_code_plays_no_part(folder):
    """Comments, blank lines, ids and outputs are not code."""
    plan = planner(folder, "steps:\n  a: {notebook: a.ipynb}\n")
    before = plan.parts(plan.instances["a"], {})["cells"]
    document = json.loads(json.dumps(DOCUMENT))
    document["cells"][1] |= {"source": "y = x  # why\n\nprint( y )", "id": "zz", "execution_count": 9}
    document["cells"].insert(1, {"cell_type": "markdown", "metadata": {}, "source": "# Title"})
    (folder / "a.ipynb").write_text(json.dumps(document))
    plan = planner(folder, "steps:\n  a: {notebook: a.ipynb}\n")
    assert plan.parts(plan.instances["a"], {})["cells"] == before


def test_inputs_that_match_nothing_are_refused(folder):
    """A pattern without a file is a typo; a reference may name something that is no file."""
    plan = planner(folder, "steps:\n  a: {notebook: a.ipynb, inputs: ['*.cvs']}\n")
    with pytest.raises(DefinitionError, match=r"'\*.cvs' matches no file"):
        plan.plan()
    text = "params: {data: builtin}\nsteps:\n  a: {notebook: a.ipynb, inputs: ['${params.data}']}\n"
    assert planner(folder, text).parts(planner(folder, text).instances["a"], {})["inputs"] == {}
    (folder / "d.csv").write_text("1")
    plan = planner(folder, text, data=str(folder / "d.csv"))
    assert list(plan.parts(plan.instances["a"], {})["inputs"]) == ["d.csv"]


BASE = {
    "cells": ["1", "2", "3"],
    "params": {"depth": 3, "t": "output:1"},
    "inputs": {"a.csv": "1"},
    "env": {"A": "1"},
    "kernel": {},
    "environment": "e",
    "secrets": [],
    "register": None,
    "schema": 1,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cells": ["1", "2", "x"]}, "code cell 3 changed"),
        ({"cells": ["x", "2", "x"]}, "code cells 1 and 3 changed"),
        ({"cells": ["1", "x", "2", "3"]}, "code cell 2 is new"),
        ({"cells": ["1", "3"]}, "code cell 2 was removed"),
        ({"params": {"depth": 5, "t": "output:1"}}, "parameter depth changed from 3 to 5"),
        ({"params": {"depth": 3.0, "t": "output:1"}}, "parameter depth changed from 3 to 3.0"),
        ({"params": {"depth": 3, "t": "output:2"}}, "input t changed"),
        ({"params": {"depth": 3}}, "parameter t is no longer given"),
        ({"params": {"depth": 3, "t": "output:1", "n": 1}}, "parameter n is new"),
        ({"inputs": {"a.csv": "2"}}, "input file a.csv changed"),
        ({"inputs": {"a.csv": "1", "b.csv": "1"}}, "input file b.csv is new"),
        ({"env": {}}, "environment variable A is gone"),
        ({"environment": "f"}, "the environment changed (packages or Python)"),
        ({"kernel": {"name": "ir"}}, "the kernel changed"),
    ],
)
def test_the_first_difference_is_told(change, said):
    """Each part of a key has its own sentence."""
    assert what_changed({**BASE, **change}, {}, {"parts": BASE, "modules": {}}) == said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4), st.randoms())
def test_keys_don_t_depend_on_order(document, random):
    """The same parts in another order have the same key."""
    items = list(document.items())
    random.shuffle(items)
    assert canonical_key(document) == canonical_key(dict(items))


@given(JSON, JSON)
def test_keys_are_equal_only_for_equal_documents(one, other):
    """Documents that JSON writes differently have different keys."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_key(one) == canonical_key(other)) == same


@given(st.lists(st.text(max_size=12), min_size=2, max_size=2, unique=True))
def test_folders_of_instances_are_safe_and_distinct(values):
    """Whatever a matrix holds, its folder is one name, and no two settings share it."""
    names = [folder_name(instance_name("s", {"v": value})) for value in values]
    assert len(set(names)) == 2
    assert all("/" not in name and name not in ("", ".", "..") and len(name) < 120 for name in names)


def test_planning_a_thousand_cached_steps_is_quick(folder):
    """Planning is looking up: well under a second for a thousand steps."""
    matrix = f"matrix: {{n: {list(range(1000))}}}"
    text = "steps:\n  s: {notebook: a.ipynb, params: {x: '${matrix.n}'}, " + matrix + "}\n"
    store = ObjectStore(MemoryFolder())
    plan = planner(folder, text, store)
    for name in plan.instances:
        succeed(plan, name, {}, {"o": {"value": 1}})
    began = time.perf_counter()
    decisions = planner(folder, text, store).plan()
    assert {decision.action for decision in decisions.values()} == {"cached"}
    assert time.perf_counter() - began < 3


def test_a_torn_last_line_is_not_read(tmp_path):
    """A crash in the middle of a write leaves a log that is whole up to there."""
    log = events.EventLog(tmp_path / events.new_run_id(), {"pipeline": "p"})
    log.append({"event": "run", "state": "running"})
    log.append({"event": "step", "name": "a", "state": "running"})
    log.append({"event": "begun", "run_id": "r1"})
    log.close()
    with (log.folder / "events.jsonl").open("a") as file:
        file.write('{"event": "step", "name": "a", "sta')
    found = events.state_of(log.folder)
    assert found.steps["a"]["state"] == "running"
    assert found.runs == ["r1"]


def test_only_a_run_without_a_process_is_closed(tmp_path):
    """A run that goes on is left alone; one whose process is gone gets its end, and its MLflow runs are told."""
    log = events.EventLog(tmp_path / "r", {"pipeline": "p"})
    log.append({"event": "run", "state": "running"})
    log.append({"event": "begun", "run_id": "r1"})
    finished = []
    assert not events.close_abandoned(log.folder, finished.append)
    # As when a process is killed: the lock is let go of, the file stays.
    log._alive.release()
    (log.folder / "alive.lock").touch()
    log._file.close()
    assert events.close_abandoned(log.folder, finished.append)
    assert finished == ["r1"]
    found = events.state_of(log.folder)
    assert (found.state, found.runs) == ("cancelled", [])
    assert not events.close_abandoned(log.folder, finished.append)


def test_run_ids_sort_by_time():
    """Later runs have greater ids."""
    first = events.new_run_id()
    time.sleep(0.002)
    assert first < events.new_run_id()


def test_a_lock_is_held_by_one(tmp_path):
    """A second taker waits, and a released lock can be taken again."""
    one, other = Lock(tmp_path / "l"), Lock(tmp_path / "l")
    assert one.acquire()
    assert not other.acquire()
    one.release()
    assert other.acquire()
    other.release()
    assert not (tmp_path / "l").exists()


def test_expanding_keeps_upstream_of_every_instance(folder):
    """An instance below a matrix waits for all of its instances."""
    file = folder / "p.yaml"
    file.write_text(
        "steps:\n  t: {notebook: a.ipynb, matrix: {d: [1, 2]}}\n"
        "  e: {notebook: a.ipynb, params: {many: '${steps.t.outputs.o}'}}\n"
    )
    assert expand(load(file), {})["e"].upstream == ("t[d=1]", "t[d=2]")


def abandoned(place):
    """Give the log of a run whose process was killed."""
    log = events.EventLog(place, {"pipeline": "p"})
    log.append({"event": "run", "state": "running"})
    log.append({"event": "begun", "run_id": "r1"})
    log.close(whole=False)
    return log


def test_a_run_whose_process_is_gone_is_not_running(tmp_path):
    """The history tells a dead run from one that goes on, before anybody has closed it."""
    log = events.EventLog(tmp_path / "alive", {"pipeline": "p"})
    log.append({"event": "run", "state": "running"})
    assert events.state_of(log.folder).state == "running"
    log.close()
    assert events.state_of(abandoned(tmp_path / "dead").folder).state == "cancelled"


def test_what_could_not_be_closed_is_closed_the_next_time(tmp_path):
    """A tracking store that is away when a dead run is found leaves the run to be found again."""
    folder = abandoned(tmp_path / "r").folder

    def away(run_id):
        raise StoreError("no answer")

    with pytest.raises(StoreError):
        events.close_abandoned(folder, away)
    finished = []
    assert events.close_abandoned(folder, finished.append)
    assert finished == ["r1"]
    assert not events.close_abandoned(folder, finished.append)


def test_a_run_that_can_not_hold_its_lock_does_not_begin(tmp_path, monkeypatch):
    """Without its lock a run would be taken for dead; a lock held for a moment is waited for."""
    monkeypatch.setattr(events, "_PATIENCE", 0.1)
    monkeypatch.setattr(Lock, "acquire", lambda self: False)
    with pytest.raises(StoreError, match="locked"):
        events.EventLog(tmp_path / "r", {})
    answers = iter([False, False, True])
    monkeypatch.setattr(Lock, "acquire", lambda self: next(answers))
    events.EventLog(tmp_path / "s", {}).close()


def test_asking_for_a_lock_neither_takes_nor_removes_it(tmp_path):
    """Whoever looks whether a lock is held changes nothing."""
    lock = Lock(tmp_path / "l")
    assert not lock.is_held()
    assert not lock.path.exists()
    assert lock.acquire()
    assert Lock(tmp_path / "l").is_held()
    lock.release(keep=True)
    assert not lock.is_held()
    assert lock.path.exists()


def test_force_is_a_fact_and_not_a_sentence(folder):
    """A decision says whether the cache is to be passed over; `cache: false` is not that."""
    text = "steps: {a: {notebook: a.ipynb}, b: {notebook: a.ipynb, cache: false}}"
    plan = planner(folder, text)
    assert [decision.forced for decision in plan.plan().values()] == [False, False]
    forced = Planner(plan.definition, {}, ObjectStore(MemoryFolder()), force=True)
    assert [decision.forced for decision in forced.plan().values()] == [True, True]


def kernel(folder, name, *argv, language="python"):
    """Install a kernel whose command line is this."""
    place = folder / "jupyter" / "kernels" / name
    place.mkdir(parents=True, exist_ok=True)
    spec = {"argv": list(argv), "display_name": name, "language": language}
    (place / "kernel.json").write_text(json.dumps(spec))


def test_the_interpreter_behind_a_kernel_is_part_of_the_key(folder, monkeypatch):
    """The same name that starts another interpreter, with other packages, is another environment."""
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    ours = kernels.describe("python3", "python")
    assert ours == kernels.Kernel(platform.python_version(), environment.digest(environment.capture()))
    plan = planner(folder, "steps: {s: {notebook: a.ipynb}}")
    parts = plan.parts(plan.instances["s"], {})
    assert (parts["kernel"]["version"], parts["environment"]) == (ours.version, ours.environment)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    kernel(folder, "other", str(folder / "venv" / "bin" / "python"), "-m", "ipykernel_launcher")
    other = kernels.describe("other", "python")
    assert other.version == ours.version
    assert other.environment not in ("", ours.environment)
    kernel(folder, "own", sys.executable, "-m", "ipykernel_launcher")
    assert kernels.describe("own", "python") == ours


def test_a_kernel_of_another_language_goes_by_what_its_command_says(folder, monkeypatch):
    """A new version of R is another kernel, although no Python could ask what it has installed."""
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    command = folder / "R"
    command.write_text("#!/bin/sh\necho R version 4.3\necho more\n")
    command.chmod(0o755)
    kernel(folder, "ir", str(command), "--slave", language="R")
    assert kernels.describe("ir", "r").version == "R version 4.3"
