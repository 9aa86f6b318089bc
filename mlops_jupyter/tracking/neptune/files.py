"""The files of a run: copied to its artifacts, each to a place of its own; what is missing is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mlops_jupyter.tracking.neptune.layout import ExportedRun
from mlops_jupyter.tracking.neptune.names import Places
from mlops_jupyter.tracking.neptune.rows import Rows, read
from mlops_jupyter.tracking.neptune.survey import FILES, path_of_file
from mlops_jupyter.tracking.neptune.target import Target
from mlops_jupyter.tracking.neptune.texts import step_text, time_text

#: What there is at the most of names of missing files in a result; all of them are in the run's index.
MOST_NAMED = 50


class Files:
    """Copies files to the artifacts of one run.

    Args:
        target: Where to.
        run_id: The run.
        run: The run in the export.
        folder: An empty folder for what is needed meanwhile.
        only_look: Copy nothing, and count what is missing.
    """

    def __init__(self, target: Target, run_id: str, run: ExportedRun, folder: Path, *, only_look: bool = False) -> None:
        self._target = target
        self._run_id = run_id
        self._run = run
        self._folder = folder
        self._only_look = only_look
        self._index = folder / "files.jsonl"
        self._places = Places()
        self.kept = 0
        self.missing = 0
        self.named: list[str] = []

    def take_all(self) -> None:
        """Copy all files of the run, and no more of it."""
        for rows in read(self._run):
            self.take(rows)
        self.finish()

    def take(self, rows: Rows) -> None:
        """Copy the files that rows name."""
        given = rows.is_given("file_value")
        for row in rows.of_type(*FILES):
            path = rows.value("file_value", row)["path"] if given[row] else None
            if path is not None:
                self._attribute(rows, row, path)

    def _attribute(self, rows: Rows, row: int, exported: str) -> None:
        attribute, step = rows.path(row), rows.step(row)
        source = path_of_file(self._run, exported)
        wanted = f"{attribute}/step_{step_text(step)}" if step is not None else attribute
        if rows.kind(row) == "artifact":  # what is exported of these is a list of files, and no file
            wanted = f"{attribute}/{PurePosixPath(exported).name}"
        said = {"attribute": attribute, "step": step_text(step) or None, "exported": exported}
        said["time"] = time_text(rows.value("timestamp", row)) or None
        if source is not None and _is_folder(source):
            for file in _walk(source):
                inner = file.relative_to(source).as_posix()
                self._file(file, f"{wanted}/{inner}", said | {"exported": f"{exported}/{inner}"})
        else:
            self._file(source, _with_ending(wanted, exported), said)

    def _file(self, source: Path | None, wanted: str, said: dict[str, Any]) -> None:
        place = self._places.take(wanted)
        problem = "there is no folder of files" if source is None else _problem(source, self._run)
        if source is None or problem:
            self.missing += 1
            if len(self.named) < MOST_NAMED:
                self.named.append(f"{said['exported']}: {problem}")
            self._note(said | {"artifact": None, "problem": problem})
            return
        if not self._only_look:
            self.keep(source, place)
        self.kept += 1
        self._note(said | {"artifact": place})

    def _note(self, said: dict[str, Any]) -> None:
        if self._only_look:
            return
        with self._index.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said, ensure_ascii=False) + "\n")

    def place(self, wanted: str, *, own: bool = False) -> str:
        """Give a place to something that is no file of the export; see :meth:`Places.take`."""
        return self._places.take(wanted, own=own)

    def keep(self, source: Path, place: str) -> None:
        """Copy one file to a place among the artifacts."""
        path = PurePosixPath(place)
        folder = "" if str(path.parent) == "." else str(path.parent)
        if source.name == path.name:
            self._target.keep(self._run_id, source, folder)
            return
        named = self._folder / "named" / path.name
        named.parent.mkdir(exist_ok=True)
        try:
            # MLflow calls an artifact what the file is called.
            _link(source, named)
            self._target.keep(self._run_id, named, folder)
        finally:
            named.unlink(missing_ok=True)

    def finish(self) -> None:
        """Keep the index of all files, if there are any."""
        if self._index.exists():
            self.keep(self._index, self._places.take("files.jsonl", own=True))


def _link(source: Path, named: Path) -> None:
    try:
        named.symlink_to(source.absolute())
    except OSError:  # no links on this file system
        shutil.copyfile(source, named)


def _is_folder(source: Path) -> bool:
    try:
        return source.is_dir()
    except OSError:  # a name that is too long
        return False


def _problem(source: Path, run: ExportedRun) -> str:
    """Say what keeps a file from being copied; nothing where it can be."""
    try:
        if source.is_symlink() and run.files is not None and not source.resolve().is_relative_to(run.files):
            return "it leads out of the export"
        if not source.exists():
            return "it is missing"
        if not source.is_file():
            return "it is no file"
        with source.open("rb"):
            return ""
    except (OSError, RuntimeError) as error:
        return f"it can't be read: {getattr(error, 'strerror', None) or error}"


def _walk(folder: Path) -> Iterator[Path]:
    """Give what is in a folder, sorted; links to folders are not followed, but given."""
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(linked))
        yield from (Path(place) / name for name in sorted([*names, *linked]))


def _with_ending(wanted: str, exported: str) -> str:
    """Give a file the ending that it was exported with, if its attribute has none; the exporter may have taken it."""
    ending = PurePosixPath(exported).suffix
    return wanted if not ending or wanted.endswith(ending) else wanted + ending
