"""What a journal holds: one line of JSON an entry, a list that begins with its kind and the run's id.

``["store", uri]``                    the first line of a segment: where its entries go
``["creating", experiment, name, ms]`` this process is about to create a run, by the store's id of the experiment
``["open", run]``                     this process began the run, and answers for its end
``["closed", run]``                   the run has ended, and the store knows
``["begin", run, {...}]``             a run to create; ``run`` is its local id
``["metric", run, name, value, step, ms]``
``["param", run, name, text]``, ``["tag", run, name, text]``
``["text", run, artifact, text]``     a text among the run's artifacts
``["file", run, spooled, folder]``    files kept in ``queue/files/`` until they are among the run's artifacts
``["model", run, spooled, {...}]``    a model kept there until it is one of the run's
``["input", run, {...}]``             a dataset that the run reads
``["cells", run, all]``               its cells so far, or all of them, are in ``queue/cells/``
``["end", run, status, ms]``
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

STORE, OPEN, CLOSED, BEGIN, METRIC, PARAM, TAG = "store", "open", "closed", "begin", "metric", "param", "tag"
CREATING = "creating"
TEXT, FILE, MODEL, INPUT, CELLS, END = "text", "file", "model", "input", "cells", "end"


@dataclass(frozen=True)
class Entry:
    """One thing that was accepted.

    Args:
        kind: What it is.
        run: The run's id, which may be a local one.
        values: The rest, in the order that the module's docstring gives.
    """

    kind: str
    run: str
    values: tuple[Any, ...] = ()

    def line(self) -> bytes:
        """Give the line that stands for it in a journal."""
        return encode(self.kind, self.run, *self.values)

    def to_json(self) -> list[Any]:
        """Give it as a list."""
        return [self.kind, self.run, *self.values]


def encode(*values: Any) -> bytes:
    """Give the line of an entry."""
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def metric_prefix(run: str, name: str) -> str:
    """Give what the lines of one metric have in common; made once a metric, since a loop may write millions."""
    return f"[{json.dumps(METRIC)},{json.dumps(run)},{json.dumps(name)},"


def metric_line(prefix: str, value: float, step: int, milliseconds: int) -> bytes:
    """Give the line of one point of a metric; the same as :func:`encode` would, several times faster.

    Args:
        prefix: As :func:`metric_prefix` gives it.
        value: The number; NaN and infinities too.
        step: The step.
        milliseconds: When, since 1970.
    """
    number = repr(value) if math.isfinite(value) else json.dumps(value)
    return f"{prefix}{number},{step},{milliseconds}]\n".encode()


def decode(line: bytes) -> Entry | None:
    """Read a line; None where it is none of ours, as after a machine that lost its power.

    Args:
        line: One line of a journal.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, list) or len(said) < 2 or not all(isinstance(word, str) for word in said[:2]):
        return None
    entry = Entry(said[0], said[1], tuple(said[2:]))
    return entry if _is_whole(entry) else None


# What the values of an entry are, by its kind.
_NUMBER = (int, float)
_SHAPES: dict[str, tuple[type | tuple[type, ...], ...]] = {
    STORE: (), OPEN: (), CLOSED: (), CREATING: (str, int), BEGIN: (dict,), END: (str, int),
    METRIC: (str, _NUMBER, int, int), PARAM: (str, str), TAG: (str, str),
    TEXT: (str, str), FILE: (str, str), MODEL: (str, dict), INPUT: (dict,), CELLS: (bool,),
}  # fmt: skip
_KEYS = {BEGIN: {"experiment", "name", "parent", "tags", "start"}, INPUT: {"dataset", "tags"}}


def _is_whole(entry: Entry) -> bool:
    shape = _SHAPES.get(entry.kind)
    if shape is None or len(shape) != len(entry.values):
        return False
    if not all(isinstance(value, kind) for value, kind in zip(entry.values, shape, strict=True)):
        return False
    if entry.kind in (FILE, MODEL):
        # The name of a folder of ours: nothing else is read, or taken away when it is delivered.
        return re.fullmatch(r"[0-9a-f]{32}", entry.values[0]) is not None
    return _KEYS.get(entry.kind, set()) <= set(entry.values[0] if entry.kind in _KEYS else ())


def open_runs(lines: Iterable[bytes], with_cells: Container[str] = ()) -> Iterator[str]:
    """Give the runs that a process has begun and not ended, in order.

    Args:
        with_cells: Runs whose cells are not in the store yet: not all has been done for them, ended or not.
        lines: Of a journal's kinds ``open``, ``begin``, ``end`` and ``closed``.
    """
    found: dict[str, None] = {}
    for entry in map(decode, lines):
        if entry is None or entry.kind == CREATING:
            continue
        if entry.kind in (END, CLOSED):
            if entry.run not in with_cells:
                found.pop(entry.run, None)
        else:
            found[entry.run] = None
    return iter(found)


def last_creation(lines: Iterable[bytes]) -> Entry | None:
    """Give the creation of a run of which nobody knows whether it came to one; None where each did.

    Args:
        lines: Of a journal's kinds ``creating`` and ``open``.
    """
    last: Entry | None = None
    for entry in map(decode, lines):
        if entry is not None:
            last = entry if entry.kind == CREATING else None
    return last
