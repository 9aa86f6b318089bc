"""Local ids: what runs are called that were begun while the store was away."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

from mlops_jupyter.errors import ConflictError

#: The tag that a run carries which was begun under a local id.
LOCAL_ID = "mlops.local_id"
_REFUSED = "refused: "
_LOCAL = re.compile(r"[0-9a-f]{32}")


class Waiting(ConflictError):
    """The run has not been created in the store yet."""


class Refused(ConflictError):
    """The store will never create the run."""


class LocalIds:
    """Knows which id the store has given to a run that was begun without it.

    A file a run in ``queue/ids/``: empty until the store has answered, then the run's id.

    Args:
        folder: ``.mlops/queue/ids``; made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}

    def new(self) -> str:
        """Give a new local id.

        Raises:
            OSError: The folder can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        local = uuid.uuid4().hex
        (self._folder / local).touch(exist_ok=False)
        return local

    def matching(self, prefix: str) -> list[str]:
        """Give the local ids that begin like this."""
        return sorted(path.name for path in self._folder.glob(f"{prefix}*"))

    def real(self, run: str) -> str:
        """Give a run's id in the store; empty where the store has not given one.

        Args:
            run: A local id, or the store's.

        Raises:
            Refused: The store will never create the run.
        """
        known = self._known.get(run)
        if known is not None:
            return known
        if not _LOCAL.fullmatch(run):
            return run
        try:
            said = (self._folder / run).read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            said = run
        if said.startswith(_REFUSED):
            raise Refused(f"run {run[:8]} could not be created: {said.removeprefix(_REFUSED)}", "begin another")
        if said:
            self._known[run] = said
        return said

    def required(self, run: str) -> str:
        """Give a run's id in the store.

        Raises:
            Waiting: The store has not given one.
            Refused: The store will never create the run.
        """
        real = self.real(run)
        if not real:
            raise Waiting(
                f"run {run[:8]} waits for the tracking store, which was away when it began",
                "`mlops status` tells when the backlog is gone",
            )
        return real

    def settle(self, local: str, real: str) -> None:
        """Note the id that the store has given to a run.

        Raises:
            OSError: It can't be written.
        """
        self._write(local, real)
        self._known[local] = real

    def refuse(self, local: str, reason: str) -> None:
        """Note that the store will never create a run.

        Raises:
            OSError: It can't be written.
        """
        self._write(local, _REFUSED + reason)

    def forget(self, runs: Iterable[str]) -> None:
        """Take away what is known of runs whose local ids are no longer asked for.

        Args:
            runs: Their local ids.
        """
        for local in runs:
            self._known.pop(local, None)
            (self._folder / local).unlink(missing_ok=True)

    def _write(self, local: str, text: str) -> None:
        path = self._folder / local
        aside = path.with_name(f".{local}.{os.getpid()}.part")
        aside.write_text(text, "utf-8")
        os.replace(aside, path)
