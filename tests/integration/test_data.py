"""Data that runs have logged, on each kind of store: what MLflow has of it, and how two versions are compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_jupyter import Workspace, cli, log_data
from mlops_jupyter.actor import Actor
from mlops_jupyter.errors import AmbiguousError, DeniedError, MlopsError, NotFoundError, UsageError

FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0], "city": ["a", "b", "b"], "flag": [True, False, True]})
LATER = FRAME.assign(x=[1.0, 2.0, 30.0], city=["a", "b", "c"])


def logged(workspace: Workspace, run: str, **data: Any) -> str:
    """Log data by name in a run of its own, and give the run's id."""
    with workspace.run(run) as opened:
        for name, value in data.items():
            log_data(value, name)
    return str(opened.run_id)


def test_mlflow_has_schema_and_profile(workspace):
    """MLflow's own client finds the schema and the profile of frames, tables, arrays and wide frames."""
    wide = pd.DataFrame(np.zeros((2, 5000))).rename(columns=str)
    table = pa.table({"x": [1, 2, None]})
    run_id = logged(workspace, "one", frame=FRAME, table=table, array=np.zeros((4, 2)), wide=wide, empty=pd.DataFrame())
    inputs = workspace.tracking.client.get_run(run_id).inputs.dataset_inputs
    found = {item.dataset.name: item.dataset for item in inputs}
    assert len(found) == 5
    assert [spec["type"] for spec in json.loads(found["frame"].schema)["mlflow_colspec"]] == [
        "double", "string", "boolean",
    ]  # fmt: skip
    profile = json.loads(found["frame"].profile)
    assert (profile["num_rows"], profile["num_elements"], profile["columns"][0]["mean"]) == (3, 9, 2.0)
    assert json.loads(found["table"].schema)["mlflow_colspec"] == [{"type": "long", "name": "x", "required": False}]
    assert json.loads(found["table"].profile)["columns"][0]["missing"] == 1
    assert "mlflow_tensorspec" in json.loads(found["array"].schema)
    assert json.loads(found["wide"].profile)["columns_left_out"] > 0
    assert json.loads(found["empty"].profile)["num_rows"] == 0


def test_versions_are_named_by_name_run_digest_and_file(workspace, tmp_path):
    """A name means what was logged last, RUN:NAME that run's, a digest its data, and a path a file."""
    first = logged(workspace, "first", rows=FRAME)
    logged(workspace, "second", rows=LATER)
    digest = workspace.runs.get(first).data[0]["digest"]
    LATER.to_parquet(tmp_path / "later.parquet")
    FRAME.to_csv(tmp_path / "first.csv", index=False)
    for a in ("first:rows", f"{first}:rows", f"{first[:8]}:rows", digest, digest[:6], "first.csv"):
        for b in ("rows", "second:rows", "@last:rows", "later.parquet", str(tmp_path / "later.parquet")):
            told = workspace.data.diff(a, b).to_json()
            assert not told["equal"]
            if ".csv" not in a or ".parquet" not in b:  # else both are files, and their bytes are compared
                assert told["columns"]["x"]["max"] == {"a": 3.0, "b": 30.0, "change": 27.0}, (a, b)
                assert told["columns"]["city"]["frequent"]["gained"] == ["c"]
                assert told["columns_equal"] == 1
    assert workspace.data.diff("rows", "second:rows").equal
    assert workspace.data.diff("rows", "later.parquet").equal
    assert workspace.data.diff("first.csv", digest).equal


def test_a_name_means_what_was_logged_last_not_the_run_that_began_last(workspace):
    """Data that is logged by a run which began before another is still the last, when it is logged after."""
    with workspace.run("outer"):
        with workspace.run("inner", nested=True):
            log_data(FRAME, "rows")
        log_data(LATER, "rows")
    assert workspace.data.diff("rows", "outer:rows").equal
    assert not workspace.data.diff("rows", "inner:rows").equal


def test_an_ambiguous_name_lists_what_it_could_mean(workspace):
    """Two contents by one name in a run, and a digest's prefix of two, list digests with runs and times."""
    with workspace.run("both") as run:
        digests = [log_data(data, "rows") for data in (FRAME, LATER)]
    with pytest.raises(AmbiguousError) as refused:
        workspace.data.diff("both:rows", "rows")
    assert len(refused.value.candidates) == 2
    for digest in digests:
        (said,) = (each for each in refused.value.candidates if each.startswith(digest[:12]))
        assert re.search(r"rows of run both, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", said)
    # What was logged last is no question of which run, but of time.
    assert workspace.data.diff("rows", digests[1]).equal
    with workspace.run("prefix"):
        for number, name in enumerate(("one", "two")):
            dataset = mlflow.data.from_pandas(FRAME[["x"]] + number, name=name, digest=f"abcdef{number}")
            mlflow.log_input(dataset)
    with pytest.raises(AmbiguousError) as refused:
        workspace.data.diff("abcdef", "rows")
    assert [candidate[:7] for candidate in sorted(refused.value.candidates)] == ["abcdef0", "abcdef1"]
    assert workspace.data.diff("abcdef0", "one").equal
    for name in ("one", "two"):
        with workspace.run("twice"):
            log_data(FRAME, name)
    with pytest.raises(AmbiguousError):
        workspace.data.diff("twice:one", "rows")
    assert run.run_id


def test_what_is_not_there_is_told_in_two_lines(workspace, tmp_path):
    """Unknown names, runs without such data and files that are no tables are errors with a hint."""
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "broken.csv").write_bytes(b"")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(NotFoundError) as refused:
        workspace.data.diff("rows", "rows")
    assert "log data" in refused.value.hint
    logged(workspace, "one", rows=FRAME)
    wrong: dict[str, type[MlopsError]] = {
        "nothing": NotFoundError,
        "nothing.csv": NotFoundError,
        "./rows": NotFoundError,
        "one:nothing": NotFoundError,
        "nobody:rows": NotFoundError,
        "0123456789abcdef": NotFoundError,
        'it\'s "both" \\': NotFoundError,
        "": UsageError,
        "notes.txt": UsageError,
        "broken.csv": UsageError,
        "broken.parquet": UsageError,
        ".": UsageError,
    }
    for ref, kind in wrong.items():
        for pair in ((ref, "rows"), ("rows", ref)):
            with pytest.raises(kind) as refused:
                workspace.data.diff(*pair)
            assert refused.value.hint, ref
            assert refused.value.exit_code == 2
    with pytest.raises(NotFoundError, match="rows"):
        workspace.data.diff("one:nothing", "rows")


def test_names_of_any_text_are_found(workspace):
    """Quotes, colons, slashes and what looks like a digest are names like any other."""
    names = ["it's", 'say "x"', 'it\'s "both"', "a:b", "raw/train", "back\\slash", "facade", "two\nlines", "ünï 🙂"]
    logged(workspace, "one", **dict.fromkeys(names, FRAME))
    for name in names:
        assert workspace.data.diff(name, f"one:{name}").equal, name


def test_what_plain_mlflow_has_logged_is_compared_by_schema(workspace):
    """Data that MLflow logged without us has types and rows to compare, and says that there is no more."""
    with workspace.run("plain"):
        mlflow.log_input(mlflow.data.from_pandas(FRAME[["x", "city"]], name="theirs"))
        log_data(FRAME, "ours")
    found = workspace.data.diff("theirs", "ours")
    told = found.to_json()
    assert (told["schema"]["added"], told["schema"]["changed"]) == (["flag"], {})
    assert (told["digests"], told["rows"]["change"], told["columns_not_compared"]) == ("not comparable", 0, 2)
    assert "not compared" in str(found)
    same = workspace.data.diff("theirs", "theirs")
    assert same.equal
    assert "MLflow's digest" in str(same)


def test_a_file_is_read_as_what_it_is_compared_with(workspace, tmp_path):
    """Beside a frame a file is read by pandas, beside a table by Arrow, and beside a file by its bytes."""
    path = tmp_path / "rows.parquet"
    FRAME.to_parquet(path)
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    logged(workspace, "one", frame=FRAME, file=path, array=np.zeros((3, 3)))
    assert workspace.data.diff("frame", "rows.parquet").equal
    assert workspace.data.diff("file", "rows.parquet").equal
    assert workspace.data.diff("rows.parquet", "file").equal
    assert workspace.data.diff("rows.parquet", "rows.parquet").equal
    logged(workspace, "two", table=table)
    beside = workspace.data.diff("table", "rows.parquet").to_json()
    assert (beside["digests"], beside["columns"], beside["columns_equal"]) == ("equal", {}, 3)
    assert workspace.data.diff("frame", "array").to_json()["digests"] == "not comparable"


def test_over_the_network_only_the_workspace_is_read(opening, tmp_path, monkeypatch):
    """Who asks through the server names files of the workspace, from its folder, and no others."""
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "link.csv").symlink_to("/etc/hostname")
    monkeypatch.chdir("/")
    over = opening(actor=Actor("ann", "identity"))
    assert over.data.diff("rows.csv", "./rows.csv").equal
    for ref in ("/etc/hostname", "../rows.csv", "~/rows.csv", "link.csv"):
        with pytest.raises(DeniedError):
            over.data.diff("rows.csv", ref)
    assert opening().data.diff(str(tmp_path / "rows.csv"), str(tmp_path / "rows.csv")).equal


def test_the_shell_tells_the_difference(workspace, capfd, tmp_path: Path):
    """`mlops data diff` prints what has changed, and with --json one document."""
    logged(workspace, "first", rows=FRAME)
    logged(workspace, "second", rows=LATER)
    assert cli.main(["data", "diff", "first:rows", "rows"]) == 0
    text = capfd.readouterr().out
    assert "they differ" in text
    assert "+c" in text
    assert max(map(len, text.splitlines())) <= 100
    assert cli.main(["data", "diff", "first:rows", "rows", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert set(told) >= {"a", "b", "equal", "schema", "rows", "columns"}
    assert (told["a"]["run"], told["b"]["run"], told["rows"]) == ("first", "second", {"a": 3, "b": 3, "change": 0})
    assert cli.main(["data", "diff", "first:rows", "nothing"]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 2
