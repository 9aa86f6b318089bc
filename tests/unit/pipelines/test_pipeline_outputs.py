"""What is published comes back as what it was, by reference or by value."""

from __future__ import annotations

import base64
import json
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from mlops_jupyter.errors import IntegrityError, NotFoundError, UsageError, ValueRefused
from mlops_jupyter.pipelines import outputs, payload
from mlops_jupyter.pipelines.execute import _masked
from mlops_jupyter.pipelines.masking import Mask, joined_streams
from mlops_jupyter.pipelines.outputs import describe, load, output, publish


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A store of its own for every test."""
    for name in (outputs.STEP_DIR, outputs.STEP_OUTPUTS, outputs.STEP_SECRETS, "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(outputs.STORE, str(tmp_path / "objects"))
    monkeypatch.setenv(outputs.FILES, str(tmp_path / "files"))
    return tmp_path


@pytest.fixture
def in_step(places, monkeypatch):
    """As in a kernel that runs a step."""
    folder = places / "step"
    folder.mkdir()
    monkeypatch.setenv(outputs.STEP_DIR, str(folder))
    return folder / "outputs.json"


@pytest.mark.parametrize("value", [1, 1.0, True, None, "text", [1, "a", None], {"a": {"b": [1.5]}}, "", [], {}])
def test_small_json_travels_as_itself(in_step, value):
    """The next parameter is the value, of the same type; nothing goes into the store."""
    given_on = output("x", value)
    assert json.dumps(given_on) == json.dumps(value)
    assert json.loads(in_step.read_text()) == {"x": {"value": value}}
    assert load(given_on) == value


def test_numpy_numbers_are_numbers():
    """A metric of a library is a number to the next step."""
    values = [output("x", value) for value in (np.float64(0.5), np.int64(3), np.bool_(True), [np.float32(2)])]
    assert values == [0.5, 3, True, [2.0]]
    assert [type(value) for value in values] == [float, int, bool, list]


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, float("nan"), b"bytes", {1, 2}, 1j, "a" * 70_000, [(1,)]])
def test_what_json_would_change_goes_by_reference(value):
    """Tuples, sets, NaN, keys that are numbers and long texts come back exactly."""
    reference = output("x", value)
    assert reference.startswith("mlops://")
    back = load(reference)
    assert type(back) is type(value)
    assert repr(back) == repr(value)


FRAMES = {
    "plain": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, np.nan]}),
    "types": pd.DataFrame(
        {
            "cat": pd.Categorical(["u", "v"], categories=["v", "u"], ordered=True),
            "time": pd.to_datetime(["2024-01-01", None]).tz_localize("UTC"),
            "nullable": pd.array([1, None], dtype="Int8"),
            "small": np.array([1, 2], dtype="float32"),
        }
    ),
    "index": pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])),
    "odd columns": pd.DataFrame([[1, 2]], columns=[0, ("a", 1)]),
    "objects": pd.DataFrame({"o": [{"a": 1}, (1, 2)]}),
    "empty": pd.DataFrame(),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_come_back_equal(name):
    """Types, index and column names are kept, by Parquet or, where that can't, by pickle."""
    frame = FRAMES[name]
    back = load(output("frame", frame))
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_column_type=True, check_index_type=True)
    assert describe(output("frame", frame))["kind"] == "frame"


@given(st.sampled_from(["int8", "uint64", "float32", "complex128", "bool", "U3", "datetime64[s]"]), st.integers(0, 5))
@settings(max_examples=30)
def test_arrays_come_back_equal(kind, size):
    """Any dtype and shape."""
    array = np.zeros((2, size), dtype=kind)
    packed = payload.dump(array, "a")
    back = payload.load(packed.format, packed.data)
    assert packed.kind == "array"
    assert back.dtype == array.dtype
    assert back.shape == array.shape


def test_a_file_comes_back_under_its_name(places):
    """`load` gives a read-only local copy that keeps the name."""
    source = places / "report.csv"
    source.write_text("a,b\n")
    reference = output("file", source)
    source.unlink()
    path = load(reference)
    assert (path.name, path.read_text()) == ("report.csv", "a,b\n")
    assert path.stat().st_mode & 0o222 == 0
    assert load(reference) == path


def test_a_name_in_a_descriptor_never_leaves_its_folder(places):
    """A descriptor that somebody else wrote can't lay out a file elsewhere."""
    path = outputs._laid_out({"name": "../../evil", "object": "0" * 64}, b"x")
    assert path.is_relative_to(places / "files")
    assert outputs._laid_out({"name": "..", "object": "0" * 64}, b"x").name == "file"


def test_equal_models_have_equal_digests_and_others_not():
    """Early cut-off sees a model's state, not its bytes' addresses."""
    rows, labels = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1]
    first, same, other = (LogisticRegression(C=c).fit(rows, labels) for c in (1.0, 1.0, 0.1))
    assert publish("m", first)["kind"] == "model"
    assert publish("m", first)["digest"] == publish("m", same)["digest"]
    assert publish("m", first)["digest"] != publish("m", other)["digest"]


def test_a_model_is_logged_once_and_its_id_is_in_the_entry(in_step, monkeypatch):
    """A model that the notebook has logged is not logged again; one that it has not is."""
    logged = types.SimpleNamespace(model_id="m-1", uri="models:/m-1", name="model")
    calls = []
    fake = types.ModuleType("log")  # stands in for the room that speaks to MLflow
    fake.find_logged = lambda model: logged if calls else None
    fake.log_model = lambda model, name: calls.append(name) or logged
    monkeypatch.setitem(sys.modules, "mlops_jupyter.tracking.log", fake)
    monkeypatch.setattr("mlops_jupyter.tracking.log", fake, raising=False)
    monkeypatch.setenv("MLFLOW_RUN_ID", "r")
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    output("best", model)
    output("best", model)
    assert calls == ["best"]
    assert json.loads(in_step.read_text())["best"]["model"]["id"] == "m-1"


def test_a_model_that_can_not_be_logged_is_kept_and_told(in_step, monkeypatch, capsys):
    """MLflow's refusal is no reason to lose the value; it is said, and kept for who wants to register it."""
    fake = types.ModuleType("log")  # stands in for the room that speaks to MLflow
    fake.find_logged = lambda model: None
    fake.log_model = lambda model, name: 1 / 0
    monkeypatch.setattr("mlops_jupyter.tracking.log", fake, raising=False)
    monkeypatch.setitem(sys.modules, "mlops_jupyter.tracking.log", fake)
    monkeypatch.setenv("MLFLOW_RUN_ID", "r")
    reference = output("best", LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert json.loads(in_step.read_text())["best"]["model"]["id"] is None
    assert load(reference).predict([[2.0]])[0] == 1


def test_references_are_passed_on_and_lists_are_opened():
    """Handing on a reference publishes the same thing; a list of references opens as a list."""
    references = [output("a", np.arange(n)) for n in (1, 2)]
    assert publish("b", references[0])["ref"] == references[0]
    assert [array.size for array in load(references)] == [1, 2]
    again = [output("c", np.arange(n)) for n in (1, 2)]
    assert publish("l", references)["digest"] == publish("l", again)["digest"]


def test_undeclared_names_and_wrong_references_are_refused(in_step, monkeypatch):
    """The mistakes of a notebook's author are told in a line and a hint."""
    monkeypatch.setenv(outputs.STEP_OUTPUTS, '["table"]')
    with pytest.raises(ValueRefused, match="declares no output 'tabel'"):
        output("tabel", 1)
    monkeypatch.delenv(outputs.STEP_OUTPUTS)
    with pytest.raises(ValueRefused, match="no name for an output"):
        output("a b", 1)
    with pytest.raises(UsageError, match="is no reference"):
        load("mlops://123")
    with pytest.raises(NotFoundError):
        load("mlops://" + "0" * 64)
    with pytest.raises(ValueRefused, match="is a folder"):
        output("x", Path.cwd())
    with pytest.raises(ValueRefused, match="can't be pickled"):
        output("x", (i for i in ()))


def test_a_damaged_object_is_told(places):
    """Bytes that are not what they were are never opened."""
    reference = output("x", (1, 2))
    key = describe(reference)["object"]
    file = places / "objects" / key[:2] / key[2:]
    file.chmod(0o644)
    file.write_bytes(b"other")
    with pytest.raises(IntegrityError):
        load(reference)


@pytest.mark.parametrize(
    "make", [lambda s: s, lambda s: {"a": [s]}, lambda s: (s,), lambda s: pd.DataFrame({"c": [s] * 99})]
)
def test_an_output_that_holds_a_secret_is_refused(in_step, monkeypatch, make):
    """By value, by reference, inside a compressed frame."""
    monkeypatch.setenv("TOKEN", "hunter2-hunter2")
    monkeypatch.setenv(outputs.STEP_SECRETS, '["TOKEN"]')
    with pytest.raises(ValueRefused, match="holds a secret"):
        output("x", make("hunter2-hunter2"))
    assert not in_step.exists()


@given(st.text(min_size=4, max_size=20), st.text(max_size=10), st.text(max_size=10))
def test_a_mask_hides_every_spelling(secret, before, after):
    """Verbatim, base64, JSON-escaped, as repr: none of them is left in a text."""
    mask = Mask([secret])
    spelt = [secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]]
    spelt.append(base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode())
    for form in spelt:
        assert "***" in mask.text(before + form + after)
        assert form == "***" or form not in mask.text(" " + form + " ") or form in "***"


def test_a_secret_in_two_pieces_of_a_stream_is_one_text():
    """Pieces of one stream are put together before masking."""
    pieces = [{"output_type": "stream", "name": "stdout", "text": text} for text in ("hun", "ter2")]
    other = {"output_type": "stream", "name": "stderr", "text": "x"}
    assert [o["text"] for o in joined_streams([*pieces, other])] == ["hunter2", "x"]


def test_outside_of_a_step_the_workspace_keeps_the_values(places, monkeypatch):
    """A notebook that runs by hand needs no pipeline around it."""
    monkeypatch.delenv(outputs.STORE)
    monkeypatch.delenv(outputs.FILES)
    monkeypatch.delenv("MLOPS_WORKSPACE", raising=False)
    (places / "mlops.toml").write_text("")
    monkeypatch.chdir(places)
    assert load(output("x", (1, 2))) == (1, 2)
    assert (places / ".mlops" / ".gitignore").read_text() == "*\n"


def test_a_state_folder_without_its_gitignore_gets_one(places, monkeypatch):
    """A notebook that runs by hand prepares the workspace as every other door does."""
    monkeypatch.delenv(outputs.STORE)
    monkeypatch.delenv("MLOPS_WORKSPACE", raising=False)
    (places / "mlops.toml").write_text("")
    (places / ".mlops").mkdir()
    monkeypatch.chdir(places)
    output("x", (1, 2))
    assert (places / ".mlops" / ".gitignore").read_text() == "*\n"


REF = "mlops://12ab34cd" + "0" * 56


def test_a_short_secret_never_damages_a_reference(in_step, monkeypatch):
    """Some digits of a reference that spell a secret are chance; the same text beside it is not."""
    mask = Mask(["34cd"])
    assert mask.text(f"34cd {REF} x34cd") == f"*** {REF} x***"
    assert mask.value({"a": [REF]}) == {"a": [REF]}
    assert not mask.found_in(REF.encode())
    assert mask.found_in(f"{REF} 34cd".encode())


def test_a_long_secret_is_hidden_even_behind_the_mark_of_a_reference():
    """So many digits are no chance."""
    secret = "5f" * 32
    mask = Mask([secret])
    assert secret not in mask.text(f"mlops://{secret}")
    assert mask.found_in(f"mlops://{secret}".encode())


def test_the_keys_of_an_entry_are_never_masked():
    """What a record leads to is found although a secret is spelt in its digits."""
    entry = {
        "ref": REF,
        "object": REF[8:],
        "digest": REF[8:40],
        "kind": "model",
        "model": {"id": "m-34cd", "name": "34cd"},
    }
    assert _masked(entry, Mask(["34cd"])) == {**entry, "model": {"id": "m-34cd", "name": "***"}}
