"""A session: a workspace, a live namespace, and the journal of the cells that made it. No IPython here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from mlops_jupyter import environment
from mlops_jupyter.commands import Completes, Option, collect, command
from mlops_jupyter.display import Block, Grid, Message, Note, Shown
from mlops_jupyter.errors import ConflictError, MlopsError, NotFoundError, UsageError, translate
from mlops_jupyter.handbook import HELP as HELP
from mlops_jupyter.handbook import Handbook as Handbook
from mlops_jupyter.journal import Journal
from mlops_jupyter.logs import Logs
from mlops_jupyter.marked_runs import MarkedRuns
from mlops_jupyter.snapshots.variables import user_variables
from mlops_jupyter.tracking import active
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.context import run_tags
from mlops_jupyter.tracking.records import SNAPSHOT, Run
from mlops_jupyter.tracking.versions import Versions
from mlops_jupyter.workspace import COMMANDS as WORKSPACE_COMMANDS
from mlops_jupyter.workspace import Workspace


@dataclass(frozen=True, repr=False)
class Restored(Shown):
    """What a restore brought back, and what it could not."""

    snapshot: str
    restored: tuple[str, ...]
    missing: tuple[Mapping[str, Any], ...]
    kept: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> Any:
        """Give names, and reasons for those that are missing."""
        return {
            "snapshot": self.snapshot,
            "restored": list(self.restored),
            "missing": [dict(item) for item in self.missing],
            "kept": list(self.kept),
            "warnings": list(self.warnings),
        }

    def blocks(self) -> Sequence[Block]:
        """Give what came back, then what did not."""
        names = ", ".join(self.restored[:12]) + (", …" if len(self.restored) > 12 else "")
        blocks: list[Block] = [Note(warning, "bad") for warning in self.warnings]
        blocks.append(Note(f"{len(self.restored)} names are back from {self.snapshot}: {names}", "good"))
        if self.kept:
            blocks.append(Note(f"not in the snapshot, left as they are: {', '.join(self.kept[:12])}"))
        if self.missing:
            columns = {"name": "name", "type": "type", "reason": "why it is not back"}
            blocks.append(Grid(columns, self.missing, "could not come back"))
        return blocks


@dataclass
class _Span:
    """A run that spans cells, where in the journal it began and ended, and up to where its cells are kept."""

    run: ActiveRun
    begun: int
    kept: int
    ended: int | None = None


class Session:
    """What a notebook does with its workspace.

    Args:
        workspace: The workspace.
        namespace: The live variables.
        journal: The cells executed so far.
        notebook: Tells the notebook's file, if anyone knows.
    """

    def __init__(
        self,
        workspace: Workspace,
        namespace: MutableMapping[str, Any],
        journal: Journal,
        notebook: Callable[[], Path | None] = lambda: None,
    ) -> None:
        self.workspace = workspace
        self.namespace = namespace
        self.journal = journal
        self.notebook = notebook
        self._spans: list[_Span] = []
        #: The runs that have ended, compared with the notebook again when it changes.
        self.marked_runs = MarkedRuns(journal, notebook)
        #: What writes to the active run.
        self.logs = Logs(lambda: self.workspace, namespace)

    @command("start", needs="session")
    def start(
        self,
        *,
        name: str | None = None,
        experiment: Annotated[str | None, Option(metavar="E")] = None,
        nested: bool = False,
        autolog: bool = False,
        system_metrics: bool = False,
    ) -> Message:
        """Begin a run that spans cells; every cell executed until `end` is journaled to it.

        Args:
            name: The run's name.
            experiment: The experiment that it goes to.
            nested: Make it a child of the run that is active.
            autolog: Let MLflow log what is trained until the run ends.
            system_metrics: Measure processor, memory, disk, network and GPU until it ends.

        Returns:
            The run.

        Raises:
            ConflictError: A run is active already.

        Example:
            %mlops start --name sweep
        """
        more: dict[str, Any] = {"autolog": autolog, "system_metrics": system_metrics}
        run = self.begin(name, experiment=experiment, nested=nested, **more)
        self._spans.append(_Span(run, len(self.journal), len(self.journal)))
        return Message(f"run {run.name} ({run.run_id[:8]}) has begun", _run_json(run))

    def begin(
        self,
        name: str | None,
        *,
        experiment: str | None = None,
        nested: bool = False,
        tags: Mapping[str, str] | None = None,
        autolog: bool = False,
        system_metrics: bool = False,
    ) -> ActiveRun:
        """Open a run that knows its notebook, cell, commit and environment.

        Args:
            name: The run's name.
            experiment: Where it goes.
            nested: Whether it may begin inside another.
            tags: More tags.
            autolog: Whether MLflow logs what is trained.
            system_metrics: Whether the machine is measured.

        Returns:
            The run.
        """
        known = run_tags(self.workspace.root, notebook=self.notebook())
        return active.begin(
            self.workspace.tracking,
            name,
            experiment=experiment,
            nested=nested,
            tags=known | dict(tags or {}),
            autolog=autolog,
            system_metrics=system_metrics,
        )

    @command("end", needs="session")
    def end(self, *, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> Message:
        """End the run that `start` began.

        Args:
            status: How it ended: FINISHED, FAILED or KILLED.

        Returns:
            The run.

        Raises:
            ConflictError: No run is active.

        Example:
            %mlops end
        """
        run = active.end(status)
        return Message(f"run {run.name} ({run.run_id[:8]}) is {status}", _run_json(run) | {"status": status})

    def close(self, run: ActiveRun, error: BaseException | None = None) -> bool:
        """End one run, and those that began inside it and are open still.

        Args:
            run: The run.
            error: What ended it; None when it went well.

        Returns:
            Whether it was open.

        Raises:
            StoreError: The store does not answer; in this process the runs are closed all the same.
        """
        if not _is_open(run):
            return False
        problem: MlopsError | None = None
        while _is_open(run):
            last = active.open_runs()[-1].run_id == run.run_id
            try:
                if error is not None and last:
                    active.fail(error)
                else:
                    active.end("FINISHED" if error is None else "FAILED")
            except Exception as raised:
                problem = problem or translate(raised)
        if problem is not None:
            raise problem
        return True

    def cell_ended(self) -> None:
        """Keep the journal with the runs that span cells; a run that has ended gets the cell that ended it, too.

        What the cell has logged is on its way to MLflow when this returns, and there, where the store is well.

        Raises:
            StoreError: The store does not answer.
        """
        problem: MlopsError | None = None
        for span in tuple(self._spans):
            if span.ended is None and not _is_open(span.run):
                span.ended = len(self.journal)
            try:
                self._keep_cells(span)
            except MlopsError as error:
                problem = problem or error  # tried again after the next cell
        self.marked_runs.look_again()
        self.workspace.tracking.queue.cell_ended()
        if problem is not None:
            raise problem

    def _keep_cells(self, span: _Span) -> None:
        cells = self.journal.since(span.kept)[: None if span.ended is None else span.ended - span.kept]
        for cell in cells:
            last = span.ended is not None and cell is cells[-1]
            span.run.tracking.queue.cell(span.run.run_id, cell.to_json(), last=last)
            span.kept += 1
        if span.ended is not None:
            self.marked_runs.ended(span.run, span.begun, span.ended)
            self._spans.remove(span)

    def keep_cell(self, run: ActiveRun) -> None:
        """Keep the cell that was executed last as the one that made a run, and mark it if the document differs."""
        begun = max(0, len(self.journal) - 1)
        for cell in self.journal.since(begun):
            run.tracking.queue.cell(run.run_id, cell.to_json(), last=True)
        self.marked_runs.ended(run, begun, len(self.journal))

    @command("snapshot", needs="session")
    def snapshot(self, name: str | None = None, *, message: Annotated[str, Option("-m", metavar="MSG")] = "") -> Any:
        """Capture variables, cell history, notebook and environment.

        What can't be captured is named, with the reason. The active run is tagged with the snapshot.

        Args:
            name: What to call it.
            message: What it is.

        Returns:
            The snapshot.

        Example:
            %mlops snapshot before-tuning -m "clean data, default model"
        """
        return self.take_snapshot(name, message, active.active_run())

    def take_snapshot(self, name: str | None, message: str, run: ActiveRun | None) -> Any:
        """Capture the notebook's state for a run, which may have ended.

        Args:
            name: What to call it.
            message: What it is.
            run: The run that it belongs to, if any; it is tagged with the snapshot.

        Returns:
            The snapshot.
        """
        taken = self.workspace.snapshots.take(
            user_variables(self.namespace),
            name=name,
            message=message,
            cells=self.journal.to_json(),
            notebook=self.notebook(),
            environment=environment.capture(),
            git=environment.git_state(self.workspace.root),
            run_id=run.run_id if run else None,
            actor=self.workspace.actor.name,
        )
        if run is not None:
            run.tracking.set_tags(run.run_id, {SNAPSHOT: taken.snapshot})
        return taken

    @command("restore", needs="session")
    def restore(
        self,
        snapshot: Annotated[str, Completes("snapshot")],
        *,
        only: Annotated[list[str], Option(metavar="NAME")] = [],  # noqa: B006 - read as a declaration
        prefix: Annotated[str, Option("--as", metavar="PREFIX")] = "",
    ) -> Restored:
        """Bring the namespace back: variables from a snapshot, or from the snapshot of a run or a model.

        What can't come back is named, with the reason. Names that the snapshot does not have are left as they are.

        Args:
            snapshot: A snapshot (id, name, @last, -N back), a run, or a model.
            only: Bring back only these names.
            prefix: Bring the names back with this in front, beside the present ones.

        Returns:
            What is back and what is not.

        Raises:
            NotFoundError: There is no such snapshot, or it has no such name.
            UsageError: The prefix makes no names.

        Example:
            %mlops restore before-tuning --only X --only y
        """
        if prefix and not prefix.isidentifier():
            raise UsageError(f"--as {prefix}: no variable's name begins like that", "try --as old_")
        loaded = self.workspace.snapshots.load(self._snapshot_ref(snapshot), only=only, namespace=self.namespace)
        before = set(user_variables(self.namespace))
        values = {prefix + name: value for name, value in loaded.values.items()}
        self.namespace.update(values)
        self.marked_runs.bring(values)
        return Restored(
            snapshot=loaded.manifest.id,
            restored=tuple(sorted(values)),
            missing=tuple(dict(item) for item in loaded.missing_json()),
            kept=tuple(sorted(before - set(values))) if not only and not prefix else (),
            warnings=tuple(loaded.warnings),
        )

    def _snapshot_ref(self, ref: str) -> str:
        """Find the snapshot that a name means, which may be a run's or a model's."""
        try:
            return self.workspace.snapshots.resolve(ref).id
        except NotFoundError as error:
            if type(error) is not NotFoundError or ref == "@last" or ref.startswith("-"):
                raise
            missing = error
        run = self._run_named(ref)
        if run is None:
            raise missing
        snapshot: str | None = run.tags.get(SNAPSHOT)
        if snapshot is None:
            what = f"run {run.name} ({run.run_id[:8]})"
            raise ConflictError(
                f"{ref!r} means {what}, which has no snapshot",
                self._with_snapshot(ref)
                or "with %%mlops run --snapshot, or %mlops snapshot inside a run, it would have",
            )
        return snapshot

    def _with_snapshot(self, ref: str) -> str:
        """Name other versions of the same model that were made with a snapshot, or nothing."""
        model = ref.partition("/")[0].partition("@")[0]
        have = []
        for version in Versions(self.workspace.tracking).all(model):
            with suppress(NotFoundError):
                if version.run_id and SNAPSHOT in self.workspace.runs.get(version.run_id).tags:
                    have.append(version.ref)
        return (
            f"{', '.join(have[:5])} has one"
            if len(have) == 1
            else f"these have one: {', '.join(have[:5])}"
            if have
            else ""
        )

    def _run_named(self, ref: str) -> Run | None:
        for resolve in (self.workspace.runs.resolve, self._run_of_model):
            try:
                return resolve(ref)
            except MlopsError as error:
                if error.http_status not in (400, 404, 422):
                    raise
        return None

    def _run_of_model(self, ref: str) -> Run:
        version = Versions(self.workspace.tracking).resolve(ref)
        if version.run_id is None:
            raise NotFoundError(f"{version.model}/{version.version} was made from no run", "name a snapshot or a run")
        return self.workspace.runs.get(version.run_id)


def _is_open(run: ActiveRun) -> bool:
    return any(known.run_id == run.run_id for known in active.open_runs())


def _run_json(run: ActiveRun) -> dict[str, Any]:
    return {"run_id": run.run_id, "name": run.name}


#: Verb → command, of those that need the live namespace.
SESSION_COMMANDS = collect({"": Session, "logs": Logs})
#: Verb → command, all of them.
COMMANDS = dict(sorted((WORKSPACE_COMMANDS | SESSION_COMMANDS | HELP).items()))
