"""Which runs a search of the embedded store finds, asked of SQLite directly; MLflow's own query takes seconds for it.

Read only, and only of a schema that this was written for (:data:`REVISIONS`): of any other, and of words that are not
known here, nothing is answered, and MLflow is asked. The order is MLflow's: by what was asked for, what has no value
last, and before that, for metrics, what is not a number; then by start, the newest first, then by id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: MLflow's schema revisions whose tables are as the queries here have them.
REVISIONS = frozenset({"dc11669786a5"})
_TABLES = {"metric": "latest_metrics", "parameter": "params", "tag": "tags"}
_COLUMNS = {
    "run_id": "run_uuid",
    "run_name": "name",
    "status": "status",
    "start_time": "start_time",
    "end_time": "end_time",
    "artifact_uri": "artifact_uri",
    "user_id": "user_id",
}
_COMPARATORS = {"=", "!=", ">", ">=", "<", "<="}


@dataclass(frozen=True)
class _Clause:
    """A condition, and the values that it takes."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Order:
    """What runs are sorted by.

    Args:
        of: What kind of thing, and which.
        rank: What to sort by, in SQL.
        join: What that needs beside the table of runs.
    """

    of: tuple[str, str]
    rank: str
    join: _Clause = _Clause("")


@dataclass(frozen=True)
class Param:
    """What the store says of a parameter; None where it has none of that name."""

    value: str | None


def run_ids(
    database: Path, experiments: Sequence[str], filter_string: str, order: Sequence[str], limit: int, skip: int = 0
) -> list[str] | None:
    """Find the runs of a search, in their order.

    Args:
        database: The embedded store's file.
        experiments: Ids of the experiments to search.
        filter_string: MLflow's filter; it must be one that MLflow can read.
        order: MLflow's order clauses.
        limit: How many at the most.
        skip: How many to leave out before them.

    Returns:
        The runs' ids; None where the question is not one for here.
    """
    orders = [known for number, clause in enumerate(order) if (known := _order(clause, number)) is not None]
    filters = _filters(filter_string)
    keys = {known.of for known in orders}
    if filters is None or len(keys) < len(order) or not experiments:
        return None
    ranks = [known.rank for known in orders]
    ranks += [] if ("attribute", "start_time") in keys else ["r.start_time DESC"]
    conditions = [_Clause(f"r.experiment_id IN ({', '.join('?' * len(experiments))})", tuple(map(int, experiments)))]
    conditions += [_Clause("r.lifecycle_stage = 'active'"), *filters]
    sql = f"SELECT r.run_uuid FROM runs r {' '.join(known.join.sql for known in orders)}"
    sql += f" WHERE {' AND '.join(each.sql for each in conditions)}"
    sql += f" ORDER BY {', '.join([*ranks, 'r.run_uuid'])} LIMIT ? OFFSET ?"
    values = [value for each in (*(known.join for known in orders), *conditions) for value in each.values]
    found = rows(database, sql, [*values, limit, skip])
    return None if found is None else [str(run_id) for (run_id,) in found]


def param(database: Path, run_id: str, name: str) -> Param | None:
    """Look for a parameter of a run.

    Args:
        database: The embedded store's file.
        run_id: The run.
        name: The parameter.

    Returns:
        What the store says; None where MLflow has to be asked.
    """
    found = rows(database, "SELECT value FROM params WHERE run_uuid = ? AND key = ?", [run_id, name])
    return None if found is None else Param(str(found[0][0]) if found else None)


def rows(database: Path, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]] | None:
    """Ask the database; None where its schema is not one that was known when this was written."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            if {revision for (revision,) in found} - REVISIONS or not found:
                return None
            return list(connection.execute(sql, values))
    except (sqlite3.Error, OverflowError):
        # Whatever it is, numbers that SQLite can't hold included: MLflow's own way is tried next, and tells it.
        return None


def _order(clause: str, number: int) -> _Order | None:
    """Read one order clause; None where it is not known here."""
    from mlflow.utils.search_utils import SearchUtils

    kind, key, ascending = SearchUtils.parse_order_by_for_search_runs(clause)
    way = "ASC" if ascending else "DESC"
    if kind in _TABLES:
        name = f"o{number}"
        join = f"LEFT JOIN {_TABLES[kind]} {name} ON {name}.run_uuid = r.run_uuid AND {name}.key = ?"
        first = f"WHEN {name}.is_nan THEN 1 " if kind == "metric" else ""
        rank = f"CASE {first}WHEN {name}.value IS NULL THEN 2 ELSE 0 END, {name}.value {way}"
        return _Order((kind, key), rank, _Clause(join, (key,)))
    key = SearchUtils.translate_key_alias(key)
    if kind != "attribute" or key not in _COLUMNS:
        return None
    return _Order((kind, key), f"r.{_COLUMNS[key]} IS NULL, r.{_COLUMNS[key]} {way}")


def _filters(filter_string: str) -> list[_Clause] | None:
    """Read a filter; None where a part of it is not known here."""
    from mlflow.utils.search_utils import SearchUtils

    clauses = [_filter(part) for part in SearchUtils.parse_search_filter(filter_string)]
    known = [clause for clause in clauses if clause is not None]
    return known if len(known) == len(clauses) else None


def _filter(part: Mapping[str, Any]) -> _Clause | None:
    kind, comparator, value = part["type"], part["comparator"].upper(), part["value"]
    if comparator not in _COMPARATORS:
        return None
    key = part["key"]
    if kind == "attribute":
        from mlflow.utils.search_utils import SearchUtils

        key = SearchUtils.translate_key_alias(key)
        if key == "run_name":  # MLflow asks the tag
            kind, key = "tag", "mlflow.runName"
        elif key in _COLUMNS:
            return _Clause(f"r.{_COLUMNS[key]} {comparator} ?", (value,))
    if kind not in _TABLES:
        return None
    test = f"f.value {comparator} ?"
    if kind == "metric":
        value = float(value)
        # NaN lies in the table as 0: it differs from every number, and compares with none.
        test = f"({test} OR f.is_nan)" if comparator == "!=" else f"{test} AND NOT f.is_nan"
    where = f"SELECT f.run_uuid FROM {_TABLES[kind]} f WHERE f.key = ? AND {test}"
    return _Clause(f"r.run_uuid IN ({where})", (key, value))
