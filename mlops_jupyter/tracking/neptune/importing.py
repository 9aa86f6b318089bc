"""An import, run by run: what is there is left alone, what was broken off is completed."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path

from mlops_jupyter.errors import MlopsError
from mlops_jupyter.tracking.neptune import target as tags
from mlops_jupyter.tracking.neptune.files import Files
from mlops_jupyter.tracking.neptune.layout import Export, ExportedRun
from mlops_jupyter.tracking.neptune.results import RunResult
from mlops_jupyter.tracking.neptune.rows import MICRO, identity
from mlops_jupyter.tracking.neptune.survey import Survey, survey
from mlops_jupyter.tracking.neptune.target import Found, Target
from mlops_jupyter.tracking.neptune.telling import Telling
from mlops_jupyter.tracking.neptune.texts import time_text
from mlops_jupyter.tracking.neptune.writer import Plan, Writer
from mlops_jupyter.tracking.queue.delivery import now

# Of how runs are written: what another version has begun is begun anew.
_VERSION = 1
_LONGEST_TAG = 5000
_STEPS = {"imported": "succeeded", "completed": "succeeded", "skipped": "skipped", "refused": "failed"}


class Importing:
    """One import, run by run.

    Args:
        target: Where to.
        aside: A folder for what is needed meanwhile.
        experiment: One for all runs; None for those of their projects' names.
        multiplier: What all steps are multiplied with; None to leave it to the series.
        telling: Tells of progress.
    """

    def __init__(
        self, target: Target, aside: Path, experiment: str | None, multiplier: int | None, telling: Telling
    ) -> None:
        self._target = target
        self._aside = aside
        self._telling = telling
        self._experiment = experiment
        self._multiplier = multiplier
        self._orphans: list[tuple[str, str, str]] = []
        self._changed: list[str] = []
        self._lacks_files = False

    def carry_out(self, export: Export) -> list[RunResult]:
        """Import the runs of an export.

        Raises:
            StoreError: MLflow is away.
        """
        results = [RunResult(label, "refused", problems=[problem]) for label, problem in export.broken]
        for run in export.runs:
            self._telling.begin(run.label)
            try:
                result = self._run(run)
            except MlopsError as error:
                if error.exit_code != 2:
                    raise
                # A wrong run is no reason to leave the others out.
                result = RunResult(run.label, "refused", problems=[error.message], hint=error.hint)
            results.append(result)
            self._telling.end(_STEPS[result.state])
        self._nest()
        return results

    def notes(self, export: Export) -> list[str]:
        """Say what is worth telling of the whole."""
        said = []
        if self._lacks_files and not export.has_files:
            said.append("there is no folder of files beside the data: import again with --files DIR to add them")
        if self._changed:
            some = ", ".join(self._changed[:5]) + (", …" if len(self._changed) > 5 else "")
            said.append(
                "imported before, from another export or with another --step-multiplier, and left as they are:"
                f" {some}; delete one to have it anew"
            )
        return said

    def _run(self, run: ExportedRun) -> RunResult:
        project, name = identity(run)
        self._telling.rename(f"{project}/{name}")
        experiment = self._experiment or project
        mark = run.mark(f"{_VERSION} {self._multiplier}")
        found = self._find(experiment, _key(project, name))
        if found is None or not found.is_whole:
            return self._written(run, experiment, mark, found)
        if found.is_orphan:
            self._orphans.append((found.run_id, experiment, _key(project, found.tags[tags.PARENT])))
        result = RunResult(f"{project}/{name}", "skipped", found.run_id, found.name, experiment)
        if found.tags.get(tags.MARK) != mark:
            self._changed.append(result.run)
        elif found.number(tags.MISSING):
            self._look_again(run, found, result)
        return result

    def _written(self, run: ExportedRun, experiment: str, mark: str, found: Found | None) -> RunResult:
        """Import a run that is not there, or not all of it."""
        surveyed = survey(run, self._multiplier)
        if found is not None and found.tags.get(tags.MARK) != mark:
            self._target.delete(found.run_id)
            found = None
        if found is None:
            result = RunResult(surveyed.id, "imported", self._begin(surveyed, experiment, mark))
        else:
            result = RunResult(surveyed.id, "completed", self._target.resume(found.run_id))
        result.name, result.experiment = surveyed.name, experiment
        there = 0 if found is None else found.number(tags.POINTS)
        run_id = str(result.run_id)
        options = (self._empty(), self._multiplier, there, self._telling.moment)
        self._write(Plan(run, surveyed, run_id, *options), result)
        if surveyed.parent:
            self._orphans.append((run_id, experiment, _key(surveyed.project, surveyed.parent)))
        return result

    def _empty(self) -> Path:
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        return self._aside

    def _find(self, experiment: str, key: str) -> Found | None:
        known = self._target.known_experiment(experiment)
        return None if known is None else self._target.find(known, key)

    def _begin(self, surveyed: Survey, experiment: str, mark: str) -> str:
        said = {tags.ID: surveyed.id, tags.KEY: _key(surveyed.project, surveyed.run), tags.MARK: mark}
        said |= {tags.PARENT: surveyed.parent} if surveyed.parent else {}
        for tag, fact in (("mlflow.user", "sys/owner"), ("mlflow.note.content", "sys/description")):
            said |= {tag: str(surveyed.facts[fact])} if surveyed.facts.get(fact) else {}
        kept = {tag: text[:_LONGEST_TAG].replace("\x00", "\ufffd") for tag, text in said.items()}
        return self._target.begin(self._target.experiment(experiment), surveyed.name, surveyed.started, kept)

    def _write(self, plan: Plan, result: RunResult) -> None:
        writer = Writer(self._target, plan)
        try:
            writer.write()
            done = {tags.IMPORTED: time_text(now()), tags.MISSING: str(writer.files.missing)}
            done |= {tags.POINTS: str(writer.counts["points"])}
            if self._multiplier or plan.survey.decimals:
                done[tags.MULTIPLIER] = str(self._multiplier or MICRO)
            self._target.end(plan.run_id, plan.survey.status, plan.survey.ended, done)
        except BaseException:
            with suppress(MlopsError):  # what is told is why it was broken off
                self._target.give_up(plan.run_id)
            raise
        result.counts = writer.counts | {"files": writer.files.kept, "missing": writer.files.missing}
        result.multiplied = sorted(() if self._multiplier else plan.survey.decimals)
        result.left_out = plan.survey.left_out
        result.problems = self._missing(writer.files)

    def _look_again(self, run: ExportedRun, found: Found, result: RunResult) -> None:
        """Look again for the files of a run that were missing when the rest of it was imported."""
        files = Files(self._target, found.run_id, run, self._empty(), only_look=True)
        files.take_all()
        if files.missing < found.number(tags.MISSING):
            files = Files(self._target, found.run_id, run, self._empty())
            files.take_all()
            self._target.log(found.run_id, [], [], {tags.MISSING: str(files.missing)})
            result.state, result.counts["files"] = "completed", files.kept
        result.counts["missing"] = files.missing
        result.problems = self._missing(files)

    def _missing(self, files: Files) -> list[str]:
        self._lacks_files = self._lacks_files or bool(files.missing)
        more = files.missing - len(files.named)
        return [*files.named, *([f"and {more} more files: neptune/files.jsonl of the run names them"] if more else [])]

    def _nest(self) -> None:
        """Make children of runs that were forked off, where what they were forked from is there too."""
        for run_id, experiment, key in self._orphans:
            parent = self._find(experiment, key)
            if parent is not None and parent.run_id != run_id:
                self._target.nest(run_id, parent.run_id)


def _key(project: str, run: str) -> str:
    return hashlib.blake2b(f"{project}\x00{run}".encode(), digest_size=16).hexdigest()
