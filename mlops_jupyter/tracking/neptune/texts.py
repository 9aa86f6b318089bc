"""Series of texts and of histograms, which become files: gathered on disk, since they may be larger than memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlops_jupyter.tracking.neptune.rows import MICRO
from mlops_jupyter.tracking.records import iso


def step_text(step: int | None) -> str:
    """Give a step that is counted in millionths as people write it: ``3``, ``0.25``."""
    if step is None:
        return ""
    whole, rest = divmod(abs(step), MICRO)
    decimals = f".{rest:06d}".rstrip("0").rstrip(".")
    return f"{'-' if step < 0 else ''}{whole}{decimals}"


def time_text(milliseconds: int | None) -> str:
    """Give a time as ISO 8601 in UTC; one that no calendar has as its number."""
    try:
        return iso(milliseconds) or ""
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)


class Texts:
    """The series of one run that become files.

    Args:
        folder: An empty folder for what is gathered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wanted: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}

    def text(self, path: str, step: int | None, time: int | None, value: str) -> None:
        """Take a point of a series of texts: a line, whose further lines are indented."""
        indented = value.replace("\n", "\n\t\t")
        ending = "" if path.endswith((".txt", ".log")) else ".txt"
        self._take(path, path + ending, f"{step_text(step)}\t{time_text(time)}\t{indented}\n")

    def histogram(self, path: str, step: int | None, time: int | None, value: Mapping[str, Any]) -> None:
        """Take a point of a series of histograms: a line of JSON."""
        numbers = {key: [_number(number) for number in value.get(key) or []] for key in ("edges", "values")}
        at = None if step is None else step // MICRO if step % MICRO == 0 else step / MICRO
        said = {"step": at, "time": time_text(time) or None, "type": value.get("type"), **numbers}
        self._take(path, path + ".jsonl", json.dumps(said, ensure_ascii=False, allow_nan=False) + "\n")

    def _take(self, path: str, wanted: str, line: str) -> None:
        self._wanted.setdefault(path, wanted)
        self._lines.setdefault(path, []).append(line)

    def flush(self) -> None:
        """Write down what was taken since; called after each batch of rows."""
        numbers = {path: number for number, path in enumerate(self._wanted)}
        for path, lines in self._lines.items():
            with (self._folder / f"{numbers[path]}.text").open("a", encoding="utf-8", newline="") as file:
                file.writelines(lines)
        self._lines.clear()

    def files(self) -> Iterator[tuple[str, str, Path]]:
        """Give each series, what its file is to be called, and the file."""
        self.flush()
        for number, (path, wanted) in enumerate(self._wanted.items()):
            yield path, wanted, self._folder / f"{number}.text"


def _number(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else str(number)
