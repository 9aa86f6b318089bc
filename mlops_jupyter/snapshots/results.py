"""What the verbs of snapshots answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.display import Block, Code, Grid, Heading, Note, Pairs, Shown, bytes_text
from mlops_jupyter.snapshots.manifest import Manifest

_SHOWN_CELLS = 20
_MISSING_COLUMNS = {"name": "variable", "type": "type", "reason": "reason"}


def _missing(manifest: Manifest) -> list[dict[str, str]]:
    return [lack.to_json() for lack in manifest.missing]


def _title(manifest: Manifest) -> str:
    return f"snapshot {manifest.id}" + (f" · {manifest.name}" if manifest.name else "")


@dataclass(frozen=True, repr=False)
class SnapshotTaken(Shown):
    """A snapshot that has been taken.

    Args:
        manifest: The snapshot.
        namesakes: How many others have its name.
    """

    manifest: Manifest
    namesakes: int = 0

    @property
    def snapshot(self) -> str:
        """The snapshot's id."""
        return self.manifest.id

    def to_json(self) -> dict[str, Any]:
        """Give the document of ``--json`` and of REST."""
        made = self.manifest
        return {
            "snapshot": made.id,
            "name": made.name,
            "variables": len(made.variables),
            "missing": _missing(made),
            "bytes": made.bytes,
            "created": made.created,
            "run_id": made.run_id,
        }

    def blocks(self) -> Sequence[Block]:
        """Give what is shown: the id, the sizes, and what is not in it."""
        made = self.manifest
        size = f"{len(made.variables)} variables, {bytes_text(made.bytes)}"
        shown: list[Block] = [Note(f"{_title(made)}: {size}", "good")]
        if self.namesakes:
            others = "another snapshot is" if self.namesakes == 1 else f"{self.namesakes} other snapshots are"
            shown.append(Note(f"{others} called {made.name!r} as well: restore this one by {made.id[:8]} or @last"))
        if made.missing:
            shown.append(Grid(_MISSING_COLUMNS, _missing(made), "not in the snapshot"))
        return shown


@dataclass(frozen=True, repr=False)
class SnapshotDetails(Shown):
    """All that a snapshot's manifest tells.

    Args:
        manifest: The snapshot.
    """

    manifest: Manifest

    def to_json(self) -> dict[str, Any]:
        """Give the document of ``--json`` and of REST."""
        seen = self.manifest
        return {
            "snapshot": seen.id,
            "name": seen.name,
            "message": seen.message,
            "created": seen.created,
            "notebook": seen.notebook,
            "run_id": seen.run_id,
            "bytes": seen.bytes,
            "variables": self._variables(),
            "missing": _missing(seen),
            "cells": [{key: cell.get(key) for key in ("order", "source", "outcome")} for cell in seen.cells],
            "environment": dict(seen.environment),
            "actor": seen.actor,
            "parent": seen.parent,
            "git": dict(seen.git),
        }

    def _variables(self) -> list[dict[str, Any]]:
        keys = ("name", "type", "summary", "bytes", "component")
        return [{key: getattr(one, key) for key in keys} for one in self.manifest.variables]

    def blocks(self) -> Sequence[Block]:
        """Give what is shown: the head, the variables, what is missing, and the last cells."""
        seen = self.manifest
        head = {
            "message": seen.message, "created": seen.created, "by": seen.actor,
            "notebook": seen.notebook, "run": seen.run_id, "parent": seen.parent,
            "git commit": seen.git.get("commit"), "python": seen.environment.get("python"),
            "size": bytes_text(seen.bytes), "cells": len(seen.cells),
        }  # fmt: skip
        rows = [row | {"bytes": bytes_text(row["bytes"])} for row in self._variables()]
        columns = {"name": "variable", "summary": "what", "type": "type", "bytes": "size"}
        shown: list[Block] = [
            Heading(_title(seen)),
            Pairs({key: value for key, value in head.items() if value not in (None, "")}),
            Grid(columns, rows, "variables", "no variables"),
        ]
        if seen.missing:
            shown.append(Grid(_MISSING_COLUMNS, _missing(seen), "not in the snapshot"))
        shown.extend(
            Code(str(cell.get("source", "")), f"[{cell.get('order')}] {cell.get('outcome')}")
            for cell in seen.cells[-_SHOWN_CELLS:]
        )
        return shown
