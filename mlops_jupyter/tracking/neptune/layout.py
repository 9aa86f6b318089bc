"""Where things lie in an export: projects, the parts of their runs, and the files beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops_jupyter.errors import NotFoundError, UsageError, ValueRefused, translate

DATA, FILES, MODEL_DATA = "data", "files", "model_data"
_PART = re.compile(r"(.+)_part_(\d{1,9})\.parquet")
# What `neptune-exporter export-models` writes: objects of Neptune's model registry, which are no runs.
_MODELS = ("models", "model_versions")
_MAGIC = b"PAR1"
_AGAIN = "export the run again, or copy its parts anew"


class Refused(ValueRefused):
    """A run of an export that is not imported: damaged, or not what neptune-exporter writes."""


@dataclass(frozen=True)
class ExportedRun:
    """One run of an export.

    Args:
        label: Its project's folder and its own name there.
        parts: Its Parquet files, in order.
        files: The folder that the paths of its files start from; None where there is none.
    """

    label: str
    parts: tuple[Path, ...]
    files: Path | None

    def mark(self, options: str) -> str:
        """Give a digest that changes when the parts do: of their sizes and footers, which tell of every column.

        Args:
            options: What else the outcome depends on.

        Raises:
            Refused: A part is cut off.
        """
        digest = hashlib.blake2b(options.encode(), digest_size=16)
        for part in self.parts:
            digest.update(_footer(part))
        return digest.hexdigest()


@dataclass(frozen=True)
class Export:
    """What lies in an export.

    Args:
        runs: The runs that were exported to their end.
        broken: Label and reason of those that were not.
        has_files: Whether there is a folder of files.
        notes: What else is worth telling.
    """

    runs: tuple[ExportedRun, ...]
    broken: tuple[tuple[str, str], ...]
    has_files: bool
    notes: tuple[str, ...]


def find_export(folder: Path, files: Path | None, near: Callable[[Path], bool]) -> Export:
    """Look at what lies in a folder.

    Args:
        folder: What neptune-exporter wrote: with ``data/`` and ``files/`` in it, or the data alone.
        files: Where the files are, if that was said.
        near: Tells of a folder beside the data whether it may be looked into unasked.

    Returns:
        The runs, sorted.

    Raises:
        NotFoundError: A folder does not exist.
        UsageError: It is no export, or a link in it leads out of it.
        StoreError: It can't be read.
    """
    try:
        return _find(folder, files, near)
    except OSError as error:
        raise translate(error) from error


def _find(folder: Path, files: Path | None, near: Callable[[Path], bool]) -> Export:
    if not folder.exists():
        raise NotFoundError(f"there is no folder {folder}", "name the folder that neptune-exporter wrote to")
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", "name the folder that neptune-exporter wrote to")
    home = folder.resolve()
    for data in (folder / DATA, folder):
        projects = _projects(data, home)
        if projects:
            notes = _notes(projects, folder)
            return _read(projects, _files_root(folder, data, files, near), notes)
    raise UsageError(
        f"{folder} is no export of neptune-exporter: no PROJECT/RUN_part_0.parquet is in it",
        "name the folder that it wrote to, with data and files in it",
    )


def _projects(data: Path, home: Path) -> list[Path]:
    if not data.is_dir():
        return []
    _check_inside(data, home)
    found = []
    for project in sorted(data.iterdir()):
        if project.is_dir() and any(_PART.fullmatch(path.name) for path in project.iterdir()):
            _check_inside(project, home)
            found.append(project)
    return found


def _check_inside(path: Path, home: Path) -> None:
    if not path.resolve().is_relative_to(home):
        raise UsageError(f"{path} leads out of the export", "name the folder that it leads to")


def _files_root(folder: Path, data: Path, files: Path | None, near: Callable[[Path], bool]) -> Path | None:
    if files is not None:
        if not files.is_dir():
            raise NotFoundError(f"there is no folder {files}", "give --files the folder that has the export's files")
        return files.resolve()
    inside = folder / FILES
    if inside.is_dir():
        if not inside.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{inside} leads out of the export", f"say --files {inside.resolve()} where that is meant")
        return inside.resolve()
    beside = folder.parent / FILES
    if data == folder and near(beside) and beside.is_dir() and beside.resolve() == folder.parent.resolve() / FILES:
        return beside.resolve()
    return None


def _notes(projects: list[Path], folder: Path) -> list[str]:
    models = [project.name for project in projects if any((project / kind).is_dir() for kind in _MODELS)]
    models += [MODEL_DATA] if (folder / MODEL_DATA).is_dir() else []
    return [f"{', '.join(models)}: models of Neptune's registry are not imported, only runs are"] if models else []


def _read(projects: list[Path], root: Path | None, notes: list[str]) -> Export:
    runs: list[ExportedRun] = []
    broken: list[tuple[str, str]] = []
    for project in projects:
        files = root / project.name if root is not None else None
        for name, parts in sorted(_parts(project).items()):
            label = f"{project.name}/{name}"
            problem = _problem(parts)
            if problem:
                broken.append((label, problem))
            else:
                ordered = tuple(parts[number] for number in sorted(parts))
                runs.append(ExportedRun(label, ordered, files))
    return Export(tuple(runs), tuple(broken), root is not None, tuple(notes))


def _parts(project: Path) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = {}
    for path in project.iterdir():
        match = _PART.fullmatch(path.name)
        if match:
            found.setdefault(match[1], {})[int(match[2])] = path
    return found


def _problem(parts: dict[int, Path]) -> str:
    if 0 not in parts:
        return "part 0 is missing: neptune-exporter did not come to its end"
    missing = next((number for number in range(len(parts)) if number not in parts), None)
    if missing is not None:
        return f"part {missing} is missing"
    odd = next((path for path in parts.values() if path.is_symlink() or not path.is_file()), None)
    return f"{odd.name} is no file of its own" if odd else ""


def _footer(part: Path) -> bytes:
    try:
        size = part.stat().st_size
        with part.open("rb") as file:
            file.seek(max(size - 8, 0))
            tail = file.read(8)
            length = int.from_bytes(tail[:4], "little")
            if tail[4:] != _MAGIC or length + 8 > size:
                raise Refused(f"{part.name} is damaged: it does not end as a Parquet file does", _AGAIN)
            file.seek(size - 8 - length)
            return size.to_bytes(8, "little") + file.read(length)
    except OSError as error:
        raise Refused(f"{part.name} can't be read: {error.strerror or error}", _AGAIN) from error
