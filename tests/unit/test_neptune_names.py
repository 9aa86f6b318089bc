"""Laws of the small parts of the import from Neptune: names, places, steps and times."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_jupyter.tracking.names import checked_param, checked_tag
from mlops_jupyter.tracking.neptune.batches import Batches
from mlops_jupyter.tracking.neptune.names import OWN, Places, mapped
from mlops_jupyter.tracking.neptune.results import ImportResult, RunResult
from mlops_jupyter.tracking.neptune.survey import Survey
from mlops_jupyter.tracking.neptune.telling import Telling
from mlops_jupyter.tracking.neptune.texts import step_text, time_text

START = 1_740_830_400_000
_CLOSE = st.text(st.sampled_from("ab@#_/. "), max_size=6)
_PATHS = st.sets(_CLOSE | st.text(st.characters(codec="utf-8"), max_size=300), max_size=12)


@given(paths=_PATHS, tags=st.booleans())
@settings(deadline=None)
def test_every_attribute_gets_a_name_of_its_own_that_mlflow_takes(paths, tags):
    """Whatever paths a run has, no two of them end up under one name, and MLflow refuses none."""
    names = mapped(paths, tags=tags)
    assert set(names) == paths
    assert len(set(names.values())) == len(paths)
    for name in names.values():
        checked_param(name, "")
        assert not (tags and name.startswith(("mlflow.", "mlops.")))


@given(paths=st.lists(_CLOSE, unique=True, max_size=8), data=st.data())
@settings(deadline=None)
def test_names_do_not_depend_on_the_order(paths, data):
    """A run that is imported to its end later finds its attributes under the same names."""
    assert mapped(paths) == mapped(data.draw(st.permutations(paths)))


def test_what_mlflow_takes_stays_and_what_it_does_not_is_close():
    """Names stay where they can; others lose only what MLflow does not take, and say more only where two would meet."""
    names = mapped(["train/loss", "hits@10", "a@b", "a#b", "é: ü", "/x//y/../z", "l" * 300])
    assert names["train/loss"] == "train/loss"
    assert names["é: ü"] == "é: ü"
    assert names["hits@10"] == "hits_10"
    assert names["/x//y/../z"] == "x/_/y/_/z"
    assert {names["a@b"][:4], names["a#b"][:4]} == {"a_b-"}
    assert len(names["l" * 300]) <= 250


def test_an_attribute_can_not_pass_for_a_tag_of_mlflow_or_ours():
    """A set of texts that is called like a tag with a meaning becomes another tag."""
    names = mapped(["mlflow.parentRunId", "mlops.neptune.key", "sys/tags"], tags=True)
    assert names == {
        "mlflow.parentRunId": "neptune/mlflow.parentRunId",
        "mlops.neptune.key": "neptune/mlops.neptune.key",
        "sys/tags": "sys/tags",
    }
    for name in names.values():
        checked_tag(name, "x")


@given(
    wanted=st.lists(
        st.text(st.sampled_from("ab/."), min_size=1, max_size=5)
        | st.text(st.characters(codec="utf-8"), max_size=400)
        | st.sampled_from([OWN, f"{OWN}/import.json", "a/" + "ü" * 300 + ".png"]),
        max_size=12,
    ),
    own=st.booleans(),
)
@settings(deadline=None)
def test_every_artifact_gets_a_place_of_its_own(wanted, own):
    """No file lies where another has its folder, and neither MLflow nor a file system refuses a place."""
    from mlflow.store.artifact.artifact_repo import verify_artifact_path

    places = Places()
    taken = [places.take(path, own=own) for path in wanted]
    assert len(set(taken)) == len(wanted)
    folders = {str(parent) for place in taken for parent in PurePosixPath(place).parents}
    assert not folders & set(taken)
    for place in taken:
        parts = PurePosixPath(place).parts
        assert (parts[0] == OWN) == own
        verify_artifact_path(place)
        assert ".." not in parts
        assert not PurePosixPath(place).is_absolute()
        assert all(len(part.encode()) <= 255 and part.isprintable() for part in parts)


def test_files_lie_where_neptune_had_them():
    """What can stay where it was does, and a file that is also a folder is set beside it."""
    places = Places()
    assert places.take("model/weights.bin") == "model/weights.bin"
    assert places.take("model") == "model-2"
    assert places.take("model/weights.bin/meta") == "model_weights.bin_meta"
    assert places.take("neptune/import.json") == "neptune_import.json"
    assert places.take("import.json", own=True) == "neptune/import.json"


@given(step=st.integers(-(10**18), 10**18))
def test_a_step_is_written_as_it_was(step):
    """A step in millionths becomes the shortest decimal number that is equal to it."""
    text = step_text(step)
    assert Decimal(text) * 1_000_000 == step
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")


@given(milliseconds=st.integers(-(2**63), 2**63 - 1))
def test_any_time_has_a_text(milliseconds):
    """Times that no calendar has are written as their number."""
    assert time_text(milliseconds)


# ---------------------------------------------------------------------------------------------------------------------
# What goes to MLflow in one call


class Calls:
    """Notes what would be written: a stand-in for MLflow, whose server does not say how large a call was."""

    def __init__(self) -> None:
        self.made = []

    def log(self, run_id, metrics, params, tags):
        self.made.append((list(metrics), list(params), dict(tags)))

    def all(self, kind):
        return [thing for call in self.made for thing in call[kind]]


@given(
    things=st.lists(st.booleans() | st.integers(1, 900), max_size=40),
    there=st.integers(0, 3000),
    name=st.sampled_from(["m", "é" * 250]),
)
@settings(deadline=None, max_examples=40)
def test_calls_are_as_large_as_mlflow_takes_and_lose_nothing(things, there, name):
    """However points and params come, each goes once and in order, and a call says how many are there with it."""
    calls = Calls()
    batches = Batches(calls, "run", there)
    points = params = 0
    for thing in things:
        for _ in range(thing if thing is not True and thing is not False else 0):
            batches.point(name, points, START, points)
            points += 1
        if thing is True or thing is False:
            batches.param(f"p{params}", "é" * 6000)
            params += 1
    batches.send()
    assert [metric.step for metric in calls.all(0)] == list(range(there, points))
    assert [param.key for param in calls.all(1)] == [f"p{n}" for n in range(params)]
    sent = there
    for metrics, some, tags in calls.made:
        assert len(some) <= 100
        assert len(metrics) + len(some) + len(tags) <= 1000
        assert len(json.dumps([[dict(metric) for metric in metrics], [dict(param) for param in some]])) < 1_000_000
        sent += len(metrics)
        assert tags == ({"mlops.neptune.points": str(sent)} if metrics else {})


# ---------------------------------------------------------------------------------------------------------------------
# What Neptune says of a run


@pytest.mark.parametrize(
    ("facts", "ended"),
    [
        ({"sys/ping_time": START + 5, "sys/modification_time": START + 9, "sys/running_time": 7.0}, START + 5),
        ({"sys/running_time": 7.0, "sys/modification_time": START + 9}, START + 7000),
        ({"sys/running_time_seconds": 1.5}, START + 1500),
        ({"sys/modification_time": START + 9}, START + 9),
        ({"sys/ping_time": START - 5}, START),
        ({"sys/ping_time": 2**62}, START + 3),
        ({}, START + 3),
    ],
)
def test_a_run_ended_when_neptune_last_heard_of_it(facts, ended):
    """The last contact counts, then the duration, the last change, the last point; never before the start."""
    found = Survey("p", "r", facts={"sys/creation_time": START, **facts}, first=START + 1, last=START + 3)
    assert (found.started, found.ended) == (START, ended)


def test_without_a_word_of_neptune_the_points_tell_the_times():
    """A run whose system attributes were not exported began with its first point and ended with its last."""
    found = Survey("p", "r", first=START, last=START + 3)
    assert (found.started, found.ended) == (START, START + 3)
    assert (Survey("p", "r").started, Survey("p", "r").ended) == (None, None)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"sys/name": "baseline", "sys/custom_run_id": "mine"}, "baseline"),
        ({"sys/name": "Untitled", "sys/custom_run_id": "mine"}, "mine"),
        ({"sys/name": " "}, "CH-1"),
        ({"sys/name": "n" * 300}, "n" * 250),
    ],
)
def test_a_run_is_called_as_people_called_it(facts, name):
    """A name that somebody gave comes first; what Neptune calls a run that nobody has named is none."""
    assert Survey("p", "CH-1", facts=facts).name == name


# ---------------------------------------------------------------------------------------------------------------------
# Progress and results


def test_progress_is_told_once_a_second(monkeypatch):
    """Short waits are told nothing of, a long run when it goes on and when it ends; a refusal is the answer's."""
    now = [100.0]
    monkeypatch.setattr("mlops_jupyter.tracking.neptune.telling.time.monotonic", lambda: now[0])
    told = []
    telling = Telling(told.append, 3)
    telling.begin("fast")
    telling.moment()
    telling.end("succeeded")
    assert told == []
    telling.begin("part")
    telling.rename("slow")
    now[0] += 1.5
    telling.moment()
    telling.moment()
    now[0] += 0.5
    telling.end("succeeded")
    telling.begin("last")
    telling.end("skipped")
    now[0] += 5
    telling.begin("refused")
    telling.end("failed")
    assert [(event["step"], event["state"], event["done"]) for event in told] == [
        ("slow", "running", 1),
        ("slow", "succeeded", 2),
    ]
    assert told[-1]["seconds"] == 2.0
    assert told[-1]["total"] == 3


def test_a_result_counts_and_names(tmp_path):
    """Counts are sums over the runs, problems carry their run, and a refused run makes the answer no."""
    done = RunResult("p/1", "imported", "a" * 32, "one", "p", {"points": 3, "params": 2}, ["loss"])
    bad = RunResult("p/2", "refused", problems=["it is damaged"])
    result = ImportResult(tmp_path, [done, bad], ["look here"])
    document = result.to_json()
    assert not result.ok
    assert document["runs"] == {"imported": 1, "completed": 0, "skipped": 0, "refused": 1}
    assert (document["points"], document["params"], document["files"]) == (3, 2, 0)
    assert document["problems"] == ["p/2: it is damaged"]
    assert [row["state"] for row in document["rows"]] == ["imported", "refused"]
    for text in ("p/2: it is damaged", "look here", "'loss'", "runs imported"):
        assert text in str(result)
        assert text.replace("'", "&#x27;") in result._repr_html_()
    assert list(result.df["points"]) == [3, 0]
    assert ImportResult(tmp_path, [done], []).ok


def test_a_result_of_many_problems_stays_short(tmp_path):
    """Of hundreds of problems a screen shows some, and says where the others are."""
    runs = [RunResult(f"p/{n}", "refused", problems=["damaged"]) for n in range(300)]
    result = ImportResult(tmp_path, runs, [])
    assert len(str(result).splitlines()) < 40
    assert "and 280 more" in str(result)
    assert len(result.to_json()["problems"]) == 300
