"""A list of runs as a table: which of their metrics and parameters become columns, and what stands below."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_jupyter.display import Block, Grid, Note, Table, seconds_text

_MOST = 5
# What MLflow's filters and orders call metrics and parameters.
_NAMED = re.compile(
    r"\b(?P<kind>metric|param(?:eter)?)s?\s*\.\s*(?:\"(?P<double>[^\"]+)\"|`(?P<back>[^`]+)`|(?P<plain>[\w./-]+))", re.I
)


class RunTable(Table):
    """Runs as a table whose columns are what the runs have in them.

    Args:
        rows: One mapping a run.
        empty: What to say when there are none.
        filter_string: What they were looked for with.
        order_by: What they are sorted by.
        page: Which page it is, from 1.
        is_last: Whether there is none after it.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        empty: str,
        *,
        filter_string: str = "",
        order_by: str = "",
        page: int = 1,
        is_last: bool = True,
    ) -> None:
        super().__init__(rows, {}, empty=empty)
        self.page = page
        self.is_last = is_last
        self._order = _asked(order_by)
        self._asked = [*self._order, *_asked(filter_string)]

    def to_json(self) -> dict[str, Any]:
        """Give the rows, and the number of the next page where there is one."""
        return super().to_json() | ({} if self.is_last else {"next_page": self.page + 1})

    def blocks(self) -> Sequence[Block]:
        """Give the table: the metrics and parameters that were asked for, and the few that tell the runs apart."""
        columns = {"short": "run", "name": "name", "status": "status", "started": "started", "took": "took"}
        flat = [dict(row) | _shown(row) for row in self.rows]
        if any(row["parent"] for row in flat):
            names = {row["run_id"]: row["name"] for row in flat}
            columns["child"] = "child of"
            for row in flat:
                row["child"] = names.get(row["parent"], (row["parent"] or "")[:8])
        for kind in ("metrics", "params"):
            for name in self._telling(flat, kind):
                columns[f"{kind}.{name}"] = name
                for row in flat:
                    row[f"{kind}.{name}"] = row[kind].get(name)
        if any(row["marked"] for row in flat):
            columns["marked"] = "cells that differ from the notebook"
        return [Grid(columns, flat, self.title, self.empty), *self._notes()]

    def _telling(self, rows: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
        """Choose the columns of a kind: those that were asked for, those that vary, and those that most runs have."""
        values: dict[str, list[Any]] = {}
        for row in rows:
            for name, value in row[kind].items():
                values.setdefault(name, []).append(value)
        asked = [name for asked_kind, name in dict.fromkeys(self._asked) if asked_kind == kind and name in values]

        def rank(name: str) -> tuple[bool, int]:
            varies = len(set(map(str, values[name]))) > 1
            return not varies, -len(values[name])

        # What the machine did is seldom what one looks for, and long to say.
        others = sorted((name for name in values if name not in asked and not name.startswith("system/")), key=rank)
        return [*asked, *others][: max(_MOST, len(asked))]

    def _notes(self) -> list[Block]:
        notes: list[Block] = [] if self.is_last else [Note(f"there are more: --page {self.page + 1}")]
        # Runs without a value come last, so that a first one without has none before it and none after.
        for kind, name in self._order if self.page == 1 and self.rows else ():
            if name not in self.rows[0][kind]:
                notes.append(Note(f"none of these runs has {kind}.{name}, so they are not sorted by it", "bad"))
        return notes

    @property
    def df(self) -> Any:
        """The runs as a pandas frame, a column a metric and a parameter."""
        import pandas as pd

        flat = []
        for row in self.rows:
            plain = {key: value for key, value in row.items() if key not in ("metrics", "params")}
            for kind in ("metrics", "params"):
                plain |= {f"{kind}.{name}": value for name, value in row[kind].items()}
            flat.append(plain)
        return pd.DataFrame(flat)


def _asked(expression: str) -> list[tuple[str, str]]:
    """Give the metrics and parameters that a filter or an order names, in order: the kind and the name."""
    return [
        (
            "metrics" if found["kind"].lower() == "metric" else "params",
            found["double"] or found["back"] or found["plain"],
        )
        for found in _NAMED.finditer(expression)
    ]


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a row looks like: a reused step says so, and references to what steps published are left out."""
    reused = row["cached_from"]
    return {
        "short": row["run_id"][:8],
        "took": "" if reused else seconds_text(row["seconds"]),
        "status": f"cached ({reused[:8]})" if reused else row["status"],
        "params": {name: value for name, value in row["params"].items() if "mlops://" not in value},
    }
