"""The room's door to the rest: ``import neptune``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

from mlops_jupyter.commands import Option, command
from mlops_jupyter.errors import ConflictError, UsageError, translate
from mlops_jupyter.locks import Lock
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.neptune.importing import Importing
from mlops_jupyter.tracking.neptune.layout import find_export
from mlops_jupyter.tracking.neptune.results import ImportResult, RunResult
from mlops_jupyter.tracking.neptune.rows import MICRO
from mlops_jupyter.tracking.neptune.target import Target
from mlops_jupyter.tracking.neptune.telling import Notify, Telling
from mlops_jupyter.working import working

_FOLDER = "import"


class Neptune:
    """Brings runs over from Neptune.

    Args:
        tracking: The workspace's store.
        prepare: Makes ``.mlops/``.
        notify: Takes progress events.
    """

    def __init__(self, tracking: Tracking, prepare: Callable[[], None], notify: Notify) -> None:
        self._tracking = tracking
        self._prepare = prepare
        self._notify = notify

    @command("import neptune", long=True)
    def import_runs(
        self,
        dir: Path,
        *,
        experiment: Annotated[str | None, Option(metavar="E")] = None,
        files: Annotated[Path | None, Option(metavar="DIR")] = None,
        step_multiplier: Annotated[int | None, Option(metavar="N")] = None,
    ) -> ImportResult:
        """Import the runs that neptune-exporter has written: params, metrics, texts, files, times and status.

        A run goes to the experiment of its project's name. Runs that are there already are left alone, and one whose
        import was broken off is completed.

        Args:
            dir: The folder that neptune-exporter wrote to, with data and files in it.
            experiment: One experiment for all runs.
            files: The folder of files, where it lies elsewhere.
            step_multiplier: What all steps are multiplied with, to make whole numbers of them.

        Returns:
            What became of each run, and how much of it there is.

        Raises:
            NotFoundError: There is no such folder.
            UsageError: It is no export, or no run of it can be imported.
            ConflictError: Another import is going on, or the experiment was deleted.
            StoreError: MLflow can't be reached; the next import goes on where this one ended.

        Example:
            mlops import neptune exports --experiment from-neptune
        """
        if step_multiplier is not None and not 1 <= step_multiplier <= MICRO:
            raise UsageError(f"--step-multiplier {step_multiplier} is out of range", f"give a number from 1 to {MICRO}")
        if experiment is not None and not experiment.strip():
            raise UsageError("--experiment names none", "give a name, or leave the option out")
        folder = Path(dir)
        export = find_export(folder, None if files is None else Path(files), self._is_near)
        if not export.runs and not export.broken:
            raise UsageError(f"{folder} has no runs in it", "name the folder that neptune-exporter wrote to")
        self._prepare()
        with self._alone() as aside, closing(Target(self._tracking)) as target:
            telling = Telling(self._notify, len(export.runs))
            importing = Importing(target, aside, experiment, step_multiplier, telling)
            with working("import from Neptune", len(export.runs), "runs"):
                results = importing.carry_out(export)
        if all(result.state == "refused" for result in results):
            raise _none(folder, results)
        return ImportResult(folder, results, [*export.notes, *importing.notes(export)])

    def _is_near(self, folder: Path) -> bool:
        return folder.resolve().is_relative_to(self._tracking.config.root.resolve())

    @contextmanager
    def _alone(self) -> Iterator[Path]:
        """Keep other imports from looking for the same runs meanwhile; give a folder that is empty."""
        state = self._tracking.config.state
        lock, aside = Lock(state / f"{_FOLDER}.lock"), state / _FOLDER
        try:
            if not lock.acquire():
                raise ConflictError("another import into this workspace is going on", "try again when it is done")
        except OSError as error:
            raise translate(error) from error
        try:
            # What a process that was killed has left.
            shutil.rmtree(aside, ignore_errors=True)
            yield aside
        except OSError as error:
            raise translate(error) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            lock.release()


def _none(folder: Path, results: list[RunResult]) -> UsageError:
    problem = results[0].problems[0]
    rest = f"; and {len(results) - 1} more runs" if len(results) > 1 else ""
    return UsageError(
        f"no run of {folder} can be imported: {results[0].run}: {problem}{rest}",
        results[0].hint or "export it again, or copy the export anew",
    )
