"""Reading an export: what lies where, what is in a run, and what is refused before anything is written."""

from __future__ import annotations

import os
import random
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_neptune_support import PROJECT, SCHEMA, START_MS, Exported, folder_name, row, series, system

from mlops_jupyter.errors import NotFoundError, UsageError
from mlops_jupyter.tracking.neptune import rows as rows_module
from mlops_jupyter.tracking.neptune.layout import Refused, find_export
from mlops_jupyter.tracking.neptune.rows import identity, read
from mlops_jupyter.tracking.neptune.survey import survey


@pytest.fixture
def exported(tmp_path):
    """Give an export without runs."""
    return Exported(tmp_path / "exports")


def found(exported, files=None, near=lambda folder: False):
    return find_export(exported.folder, files, near)


def only(exported):
    (run,) = found(exported).runs
    return run


# ---------------------------------------------------------------------------------------------------------------------
# Where things lie


def test_runs_are_found_with_their_parts_in_order(exported):
    """Ten parts and more are read in the order of their numbers, and the files beside the data are found."""
    exported.run("CH-1", *[series("m", [(n, n)]) for n in range(12)])
    exported.file("CH-1/x", "x")
    run = only(exported)
    assert [part.name.rpartition("_")[2] for part in run.parts] == [f"{n}.parquet" for n in range(12)]
    assert run.files == (exported.folder / "files" / folder_name(PROJECT)).resolve()
    assert identity(run) == (PROJECT, "CH-1")


def test_the_folder_of_data_alone_does_too(exported):
    """Where the data is named, files beside it are looked for only where that was allowed, or where they were named."""
    exported.run("CH-1", system())
    exported.file("CH-1/x", "x")
    data = exported.folder / "data"
    assert find_export(data, None, lambda folder: False).has_files is False
    assert find_export(data, None, lambda folder: folder == exported.folder / "files").has_files
    assert find_export(data, exported.folder / "files", lambda folder: False).has_files


def test_a_run_that_was_not_exported_to_its_end_is_named(exported):
    """Without part 0, or with a gap, a run is no whole one; the others are found."""
    exported.run("whole", system())
    exported.run("begun", system(), system())
    exported.part("begun").unlink()
    exported.run("gap", system(), system(), system())
    exported.part("gap", 1).unlink()
    export = found(exported)
    assert [run.label.partition("/")[2] for run in export.runs] == [folder_name("whole")]
    assert sorted(problem for _, problem in export.broken) == [
        "part 0 is missing: neptune-exporter did not come to its end",
        "part 1 is missing",
    ]


def test_models_of_the_registry_are_told_of(exported):
    """What export-models has written is no run, and is not passed over in silence."""
    exported.run("CH-1", system())
    (exported.data() / "models").mkdir()
    (note,) = found(exported).notes
    assert "models" in note


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "other", "parquet"])
def test_what_is_no_export_is_refused(tmp_path, kind):
    """A folder that is not there, is a file, is empty, or holds other things is told as that."""
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("x")
    elif kind != "missing":
        place.mkdir()
    if kind == "other":
        (place / "notes" / "deep").mkdir(parents=True)
        (place / "notes" / "a.txt").write_text("x")
    if kind == "parquet":
        pq.write_table(pa.table({"a": [1]}), place / "a_part_0.parquet")
    with pytest.raises(NotFoundError if kind == "missing" else UsageError) as refused:
        find_export(place, None, lambda folder: True)
    assert refused.value.hint


@pytest.mark.parametrize("what", ["data", "project", "part", "files"])
def test_links_that_lead_out_of_the_export_are_refused(exported, tmp_path, what):
    """An archive may hold links: none is followed to what lies outside."""
    elsewhere = Exported(tmp_path / "elsewhere")
    elsewhere.run("CH-1", system())
    elsewhere.file("CH-1/x", "x")
    if what == "data":
        (exported.folder / "data").rmdir()
        (exported.folder / "data").symlink_to(elsewhere.folder / "data")
    elif what == "project":
        exported.data().symlink_to(elsewhere.data())
    elif what == "part":
        exported.data().mkdir()
        exported.part("CH-1").symlink_to(elsewhere.part("CH-1"))
    else:
        exported.run("CH-1", system())
        (exported.folder / "files").symlink_to(elsewhere.folder / "files")
    if what == "part":
        ((_, problem),) = found(exported).broken
        assert "no file of its own" in problem
        return
    with pytest.raises(UsageError, match="leads out of the export"):
        found(exported)
    if what == "files":
        assert found(exported, files=elsewhere.folder / "files").has_files


# ---------------------------------------------------------------------------------------------------------------------
# What is in a run


def test_a_survey_tells_what_a_run_has(exported):
    """Attributes are told apart by what they become; rows that are empty are another run's; steps are looked at."""
    rows = [
        *system(),
        row("lr", "float", 0.1),
        row("of another run", "float", None),
        *series("loss", [(0, 1.0), (1, 0.5)]),
        *series("val", [(Decimal("0.5"), 1.0), (1, 0.5)]),
        *series("words", [(0, "a")], "string_series"),
        row("repository", "git_ref", None),
    ]
    exported.run("CH-1", rows)
    told = survey(only(exported), None)
    assert (told.id, told.name, told.status) == ("team/churn/CH-1", "baseline", "FINISHED")
    assert "lr" in told.params
    assert "of another run" not in told.params
    assert (told.metrics, told.decimals, told.tags) == ({"loss", "val"}, {"val"}, {"sys/tags"})
    assert told.left_out == {"git_ref": 1}
    assert (told.started, told.ended) == (START_MS, START_MS + 60_000)


def test_a_multiplier_must_make_every_step_whole(exported):
    """A factor that leaves a step broken is refused with the metric's name; one that does not is taken."""
    exported.run("CH-1", series("val", [(Decimal("0.25"), 1.0), (Decimal("999999999999.75"), 0.5)]))
    assert survey(only(exported), 4).decimals == set()
    with pytest.raises(Refused, match="step-multiplier 2 leaves steps of 'val'"):
        survey(only(exported), 2)


def test_rows_are_read_in_batches_whatever_they_weigh(exported, monkeypatch):
    """A row group of large texts is not read at once."""
    exported.run("CH-1", series("log", [(n, f"{n}" * 1000) for n in range(2000)], "string_series"))
    monkeypatch.setattr(rows_module, "_BYTES", 100_000)
    sizes = [len(batch) for batch in read(only(exported))]
    assert sum(sizes) == 2000
    assert max(sizes) < 200


def test_an_export_that_other_tools_wrote_again_is_read(exported):
    """Other types for the same values, and columns in another order, are no reason to refuse."""
    (part,) = exported.run("CH-1", [*system(), *series("val", [(Decimal("0.5"), 1.0)])])
    table = pq.read_table(part)
    columns = {name: table[name] for name in reversed(table.column_names)}
    for name in ("run_id", "string_value", "attribute_type"):
        columns[name] = columns[name].cast(pa.large_string())
    columns["timestamp"] = columns["timestamp"].cast(pa.timestamp("us", tz="UTC"))
    columns["attribute_path"] = columns["attribute_path"].dictionary_encode()
    pq.write_table(pa.table(columns | {"more": pa.nulls(len(table))}), part)
    told = survey(only(exported), None)
    assert (told.name, told.decimals, told.last) == ("baseline", {"val"}, START_MS)


# ---------------------------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "a/../../../x", "a/../b", "..", "", ".", "a\x00b", "link/passwd", "loop/x"],
)
def test_a_path_that_climbs_out_is_refused(exported, tmp_path, path):
    """No row can name a file outside of its project's files, by whatever way."""
    exported.run("CH-1", [*system(), row("f", "file", path)])
    exported.file("CH-1/x", "x")
    inside = exported.folder / "files" / folder_name(PROJECT)
    (inside / "link").symlink_to("/etc")
    (inside / "loop").symlink_to(inside / "loop")
    if path == "loop/x":  # leads nowhere: a file that is missing
        assert survey(only(exported), None).run == "CH-1"
        return
    with pytest.raises(Refused, match="outside of the export"):
        survey(only(exported), None)


def test_a_projects_folder_of_files_that_is_a_link_is_refused(exported, tmp_path):
    """The folder of a project's files may not be a way out either."""
    exported.run("CH-1", [row("f", "file", "hostname")])
    (exported.folder / "files").mkdir()
    (exported.folder / "files" / folder_name(PROJECT)).symlink_to("/etc")
    with pytest.raises(Refused, match="outside of the export"):
        survey(only(exported), None)


def without(name):
    return pa.schema([field for field in SCHEMA if field.name != name])


@pytest.mark.parametrize(
    ("rows", "schema", "match"),
    [
        ([], SCHEMA, "no rows"),
        ([{"project_id": "p", "run_id": None}], SCHEMA, "does not say which"),
        ([{"project_id": "p", "run_id": "r"}], SCHEMA, "without a path or a type"),
        ([{"project_id": "p", "run_id": "r"}, {"project_id": "p", "run_id": "s"}], SCHEMA, "more than one run"),
        ([{"project_id": "p", "run_id": "r"}], without("step"), "no column 'step'"),
    ],
)
def test_rows_that_are_none_of_a_run_are_refused(exported, rows, schema, match):
    """A part without rows, of two runs, of none, without paths or without a column is no part of an export."""
    path = exported.part("CH-1")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    run = only(exported)
    with pytest.raises(Refused, match=match):
        assert identity(run) == (None, survey(run, None))


def test_parts_of_two_runs_under_one_name_are_refused(exported):
    """The second part belongs to another run."""
    exported.run("CH-1", system(), system())
    exported.run("CH-2", system())
    os.replace(exported.part("CH-2"), exported.part("CH-1", 1))
    with pytest.raises(Refused, match="more than one run"):
        survey(only(exported), None)


def refusal(run):
    """Read all of a run, and give what it was refused with, if it was."""
    try:
        identity(run)
        run.mark("")
        survey(run, None)
    except Refused as error:
        return error
    return None


def test_damaged_parts_are_refused_whatever_the_damage(exported):
    """Cut off, emptied, or with bytes that have flipped: either it can be read to its end, or it is refused by name."""
    texts = series("words", [(n, f"text {n}") for n in range(60)], "string_series")
    (part,) = exported.run("CH-1", [*system(), *series("loss", [(n / 3, n) for n in range(200)]), *texts], batch=90)
    good = part.read_bytes()
    chance = random.Random(7)
    refused = 0
    for turn in range(300):
        damaged = bytearray(good)
        for _ in range(chance.choice([1, 2, 8])):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        part.write_bytes([b"", b"PAR1", good[: len(good) // 2], good[:-1]][turn] if turn < 4 else damaged)
        error = refusal(only(exported))
        if error is not None:
            refused += 1
            assert part.name in error.message
            assert error.hint
    assert 100 < refused < 300


def test_texts_that_are_no_utf8_are_refused(exported):
    """A part is not written to MLflow up to the character that no text has."""
    path = exported.part("CH-1")
    path.parent.mkdir(parents=True)
    rows = [{"project_id": "p", "run_id": "r", "attribute_path": "a", "attribute_type": "string", "string_value": "XX"}]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="none", write_statistics=False)
    data = path.read_bytes()
    assert data.count(b"XX") == 1
    path.write_bytes(data.replace(b"XX", b"\xff\xfe"))
    with pytest.raises(Refused, match="damaged"):
        survey(only(exported), None)


def test_a_mark_follows_the_parts_and_the_options(exported):
    """A run that was exported again is known to be another; one that was only copied is not."""
    exported.run("CH-1", system(), series("m", [(0, 1.0)]))
    first = only(exported).mark("1 None")
    os.utime(exported.part("CH-1"), (1, 1))
    assert only(exported).mark("1 None") == first
    assert only(exported).mark("1 10") != first
    exported.run("CH-1", system(), series("m", [(0, 1.0), (1, 1.0)]))
    assert only(exported).mark("1 None") != first
