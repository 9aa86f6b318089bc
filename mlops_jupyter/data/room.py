"""The room's door to the rest: ``data diff``."""

from __future__ import annotations

from pathlib import Path

from mlops_jupyter.commands import command
from mlops_jupyter.data.difference import difference
from mlops_jupyter.data.results import DataDiff
from mlops_jupyter.data.versions import Versions
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.runs import Runs


class Data:
    """Compares versions of data.

    Args:
        tracking: The workspace's store.
        runs: The room of runs.
        root: The workspace's folder.
        inside: Whether only files below that folder may be read, as when somebody asks over the network.
    """

    def __init__(self, tracking: Tracking, runs: Runs, root: Path, *, inside: bool = False) -> None:
        self._versions = Versions(tracking, runs, root, inside)

    @command("data diff")
    def diff(self, a: str, b: str) -> DataDiff:
        """Compare two versions of data: columns, rows, and what has changed in each column.

        A name is that of data which was logged; ./NAME is a file in any case. What was logged by plain MLflow, or
        before there were profiles, has no more to compare than MLflow's schema.

        Args:
            a: NAME (logged last, by a run of late), RUN:NAME, a digest or six characters of it or more, or a CSV or
                Parquet file.
            b: Likewise.

        Returns:
            The differences, and whether the digests are equal.

        Raises:
            NotFoundError: There is no such data.
            AmbiguousError: A name means more than one.
            UsageError: A file is no table.

        Example:
            mlops data diff baseline:train train
        """
        one, two = self._versions.pair(a, b)
        return DataDiff(one, two, difference(one, two))
