"""What a journal holds: one line of JSON an entry, a list that begins with its kind and the run's id.

``["store", uri]``                    the first line of a segment: where its entries go
``["open", run]``                     this process began the run, and answers for its end
``["closed", run]``                   the run has ended, and the store knows
``["begin", run, {...}]``             a run to create; ``run`` is its local id
``["metric", run, name, value, step, ms]``
``["param", run, name, text]``, ``["tag", run, name, text]``
``["text", run, artifact, text]``     a text among the run's artifacts
``["file", run, spooled, folder]``    files kept in ``queue/files/`` until they are among the run's artifacts
``["input", run, {...}]``             a dataset that the run reads
``["cells", run, all]``               its cells so far, or all of them, are in ``queue/cells/``
``["end", run, status, ms]``
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

STORE, OPEN, CLOSED, BEGIN, METRIC, PARAM, TAG = "store", "open", "closed", "begin", "metric", "param", "tag"
TEXT, FILE, INPUT, CELLS, END = "text", "file", "input", "cells", "end"


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
    except ValueError:
        return None
    if not isinstance(said, list) or len(said) < 2 or not all(isinstance(word, str) for word in said[:2]):
        return None
    return Entry(said[0], said[1], tuple(said[2:]))


def open_runs(lines: Iterable[bytes], with_cells: Container[str] = ()) -> Iterator[str]:
    """Give the runs that a process has begun and not ended, in order.

    Args:
        with_cells: Runs whose cells are not in the store yet: not all has been done for them, ended or not.
        lines: Of a journal's kinds ``open``, ``begin``, ``end`` and ``closed``.
    """
    found: dict[str, None] = {}
    for entry in map(decode, lines):
        if entry is None:
            continue
        if entry.kind in (END, CLOSED):
            if entry.run not in with_cells:
                found.pop(entry.run, None)
        else:
            found[entry.run] = None
    return iter(found)
