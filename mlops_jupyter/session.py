"""A session: a workspace, a live namespace, and the journal of the cells that made it. No IPython here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from mlops_jupyter import environment, expressions
from mlops_jupyter.commands import Command, Completes, Option, collect, command, describe, find, overview
from mlops_jupyter.display import Block, Code, Grid, Message, Note, Shown
from mlops_jupyter.errors import ConflictError, MlopsError, NotFoundError, ValueRefused
from mlops_jupyter.journal import Journal
from mlops_jupyter.snapshots.variables import user_variables
from mlops_jupyter.tracking import active
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.context import run_tags
from mlops_jupyter.tracking.records import SNAPSHOT, Run
from mlops_jupyter.tracking.runs import CELL_SOURCE
from mlops_jupyter.workspace import COMMANDS as WORKSPACE_COMMANDS
from mlops_jupyter.workspace import Workspace

CELLS = "mlops/cells.json"
Role = Literal["train", "test", "holdout"]


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
    """A run that spans cells: which one, and where in the journal it began."""

    run: ActiveRun
    begun: int


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
        self._span: _Span | None = None

    @command("start", needs="session")
    def start(
        self,
        *,
        name: str | None = None,
        experiment: Annotated[str | None, Option(metavar="E")] = None,
        nested: bool = False,
    ) -> Message:
        """Begin a run that spans cells; every cell executed until `end` is journaled to it.

        Args:
            name: The run's name.
            experiment: The experiment that it goes to.
            nested: Make it a child of the run that is active.

        Returns:
            The run.

        Raises:
            ConflictError: A run is active already.

        Example:
            %mlops start --name sweep
        """
        run = self.begin(name, experiment=experiment, nested=nested)
        self._span = _Span(run, len(self.journal))
        return Message(f"run {run.name} ({run.run_id[:8]}) has begun", _run_json(run))

    def begin(
        self,
        name: str | None,
        *,
        experiment: str | None = None,
        nested: bool = False,
        tags: Mapping[str, str] | None = None,
    ) -> ActiveRun:
        """Open a run that knows its notebook, cell, commit and environment.

        Args:
            name: The run's name.
            experiment: Where it goes.
            nested: Whether it may begin inside another.
            tags: More tags.

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
        span, self._span = self._span, None
        if span is not None:
            self._keep_cells(span)
        run = active.end(status)
        return Message(f"run {run.name} ({run.run_id[:8]}) is {status}", _run_json(run) | {"status": status})

    def _keep_cells(self, span: _Span) -> None:
        cells = self.journal.since(span.begun)
        tracking, run_id = span.run.tracking, span.run.run_id
        tracking.put_text(run_id, json.dumps([cell.to_json() for cell in cells], indent=1), CELLS)
        tracking.put_text(run_id, "\n\n".join(cell.source for cell in cells), CELL_SOURCE)

    @command("log param", needs="session")
    def log_param(self, pairs: Annotated[list[str], Option(metavar="NAME=EXPR")]) -> Message:
        """Write parameters to the active run; a bare word that is no variable is text.

        Args:
            pairs: NAME=EXPR, where EXPR is Python evaluated in the notebook.

        Returns:
            Names and values.

        Raises:
            ConflictError: No run is active, or a parameter has another value already.
            ValueRefused: A value is no str, number, bool or None.

        Example:
            %mlops log param depth=3 optimizer=adamw
        """
        return self._log(pairs, active.log_param, words=True)

    @command("log metric", needs="session")
    def log_metric(self, pairs: list[str], *, step: Annotated[int | None, Option(metavar="N")] = None) -> Message:
        """Write numbers of metrics to the active run.

        Args:
            pairs: NAME=EXPR, where EXPR is Python evaluated in the notebook.
            step: The step that they belong to.

        Returns:
            Names and values.

        Raises:
            ConflictError: No run is active.
            ValueRefused: A value is no number.

        Example:
            %mlops log metric loss=loss.item() "acc=score(y, p)" --step 3
        """

        def write(name: str, value: Any) -> None:
            active.log_metric(name, value, step)

        return self._log(pairs, write, words=False)

    @command("log tag", needs="session")
    def log_tag(self, pairs: list[str]) -> Message:
        """Write tags to the active run; a bare word that is no variable is text.

        Args:
            pairs: NAME=EXPR, where EXPR is Python evaluated in the notebook.

        Returns:
            Names and values.

        Raises:
            ConflictError: No run is active.
            ValueRefused: A value is no str, number, bool or None.

        Example:
            %mlops log tag stage=baseline
        """

        def write(name: str, value: Any) -> None:
            if not isinstance(value, str | int | float | bool | None):
                raise ValueRefused(f"tag {name!r} is a {type(value).__name__}", "a tag is a str, number, bool or None")
            active.log_tag(name, value)

        return self._log(pairs, write, words=True)

    def _log(self, pairs: Sequence[str], write: Callable[[str, Any], None], *, words: bool) -> Message:
        active.require_run()
        values = {}
        # All are evaluated before any is written: a typo in the second must not leave half a line behind.
        for pair in pairs:
            name, expression = expressions.split(pair)
            values[name] = expressions.evaluate(name, expression, self.namespace, words=words)
        for name, value in values.items():
            write(name, value)
        shown = {name: _plain(value) for name, value in values.items()}
        return Message(", ".join(f"{name} = {value}" for name, value in shown.items()), shown)

    @command("log model", needs="session")
    def log_model(
        self,
        var: str,
        *,
        name: str = "model",
        register: Annotated[str | None, Option(metavar="REGISTERED"), Completes("model")] = None,
    ) -> Message:
        """Keep a model with the active run: signature, input example and pinned requirements included.

        Args:
            var: The variable that holds it.
            name: Its name in the run.
            register: Also make a version of this registered model.

        Returns:
            The model's name, id and version.

        Raises:
            ConflictError: No run is active.
            ValueRefused: The variable holds no model.

        Example:
            %mlops log model clf --register churn
        """
        model = expressions.variable(var, self.namespace)
        logged = active.log_model(model, name)
        data: dict[str, Any] = {"name": name, "model_id": logged.model_id, "format": logged.format}
        text = f"{var} is kept as {name} ({logged.format})"
        if register is not None:
            run = active.require_run()
            version = self.workspace.registry.register_model(register, model_id=logged.model_id, run_id=run.run_id)
            data |= {"model": register, "version": version}
            text += f", registered as {register}/{version}"
        return Message(text, data)

    @command("log data", needs="session")
    def log_data(
        self,
        var: str,
        *,
        name: Annotated[str | None, Option(metavar="N")] = None,
        role: Role | None = None,
    ) -> Message:
        """Note which data the active run reads, with a digest over all of its content.

        Args:
            var: The variable that holds it.
            name: Its name; the variable's when left out.
            role: train, test or holdout.

        Returns:
            Name and digest.

        Raises:
            ConflictError: No run is active.
            ValueRefused: The variable holds no data.

        Example:
            %mlops log data X_train --role train
        """
        digest = active.log_data(expressions.variable(var, self.namespace), name or var, role)
        return Message(f"{name or var} is {digest[:12]}…", {"name": name or var, "digest": digest, "role": role})

    @command("log figure", needs="session")
    def log_figure(self, var: str) -> Message:
        """Keep a matplotlib or plotly figure with the active run.

        Args:
            var: The variable that holds it.

        Returns:
            The artifact's name.

        Raises:
            ConflictError: No run is active.
            ValueRefused: The variable holds no figure.

        Example:
            %mlops log figure fig
        """
        figure = expressions.variable(var, self.namespace)
        figure = getattr(figure, "figure", figure)
        library = type(figure).__module__.partition(".")[0]
        if library not in ("matplotlib", "plotly"):
            raise ValueRefused(f"{var} is a {type(figure).__name__}, no figure", "give a matplotlib or plotly figure")
        artifact = f"{var}.png" if library == "matplotlib" else f"{var}.html"
        run = active.require_run()
        run.tracking.client.log_figure(run.run_id, figure, artifact)
        return Message(f"{var} is kept as {artifact}", {"artifact": artifact})

    @command("log artifact", needs="session")
    def log_artifact(self, path: Path) -> Message:
        """Keep a file or a folder with the active run.

        Args:
            path: The file or folder.

        Returns:
            The artifact's name.

        Raises:
            ConflictError: No run is active.
            UsageError: There is no such file.

        Example:
            %mlops log artifact report.html
        """
        active.log_artifact(path)
        return Message(f"{path.name} is kept", {"artifact": path.name})

    @command("log text", needs="session")
    def log_text(self, pairs: list[str]) -> Message:
        """Keep texts as files with the active run.

        Args:
            pairs: NAME=EXPR; NAME is the file's name, EXPR Python evaluated in the notebook.

        Returns:
            The artifacts' names.

        Raises:
            ConflictError: No run is active.
            ValueRefused: A value is no text.

        Example:
            %mlops log text report.txt=summary
        """
        run = active.require_run()

        def write(name: str, value: Any) -> None:
            if not isinstance(value, str):
                raise ValueRefused(f"{name} is a {type(value).__name__}, no text", f"write {name}=str(…)")
            run.tracking.put_text(run.run_id, value, name)

        return self._log(pairs, write, words=True)

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
        run = active.active_run()
        notebook = self.notebook()
        taken = self.workspace.snapshots.take(
            user_variables(self.namespace),
            name=name,
            message=message,
            cells=self.journal.to_json(),
            notebook=notebook,
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

        Example:
            %mlops restore before-tuning --only X --only y
        """
        loaded = self.workspace.snapshots.load(self._snapshot_ref(snapshot), only=only, namespace=self.namespace)
        before = set(user_variables(self.namespace))
        values = {prefix + name: value for name, value in loaded.values.items()}
        self.namespace.update(values)
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
            raise ConflictError(f"run {run.name} has no snapshot", "take one inside the run, or use --snapshot")
        return snapshot

    def _run_named(self, ref: str) -> Run | None:
        for resolve in (self.workspace.runs.resolve, self._run_of_model):
            try:
                return resolve(ref)
            except MlopsError as error:
                if error.http_status not in (400, 404, 422):
                    raise
        return None

    def _run_of_model(self, ref: str) -> Run:
        details = self.workspace.registry.show(ref)
        return self.workspace.runs.get(details.facts["run_id"])


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _run_json(run: ActiveRun) -> dict[str, Any]:
    return {"run_id": run.run_id, "name": run.name}


class Handbook:
    """The verb ``help``, for one door.

    Args:
        commands: What the door has.
        prefix: What is typed before a verb there.
    """

    def __init__(self, commands: Mapping[str, Command], prefix: str) -> None:
        self._commands = commands
        self._prefix = prefix

    @command("help")
    def help(self, verb: Annotated[list[str], Completes("verb")] = []) -> Guide:  # noqa: B006
        """Show what there is, or one verb's use with an example.

        Args:
            verb: The verb; all of them when left out.

        Returns:
            The text.

        Raises:
            NotFoundError: There is no such verb.

        Example:
            mlops help promote
        """
        if not verb:
            return Guide("", overview(self._commands, self._prefix), tuple(self._commands))
        words = " ".join(verb).split()
        below = [name for name in self._commands if name.startswith(" ".join(words) + " ")]
        if below and " ".join(words) not in self._commands:
            group = {name: self._commands[name] for name in below}
            return Guide(" ".join(words), overview(group, self._prefix), tuple(below))
        found, rest = find(self._commands, words)
        if rest:
            raise NotFoundError(f"there is no verb {' '.join(words)!r}", f"`help {found.verb}` shows its use")
        return Guide(found.verb, describe(found, self._prefix), (found.verb,))


@dataclass(frozen=True, repr=False)
class Guide(Shown):
    """A help text."""

    verb: str
    text: str
    verbs: tuple[str, ...]

    def to_json(self) -> Any:
        """Give the text and the verbs that it speaks of."""
        return {"verb": self.verb or None, "text": self.text, "verbs": list(self.verbs)}

    def blocks(self) -> Sequence[Block]:
        """Give the text as it is."""
        return [Code(self.text)]

    def __str__(self) -> str:
        """Give the text."""
        return self.text


#: Verb → command, of those that need the live namespace.
SESSION_COMMANDS = collect({"": Session})
HELP = collect({"": Handbook})
#: Verb → command, all of them.
COMMANDS = dict(sorted((WORKSPACE_COMMANDS | SESSION_COMMANDS | HELP).items()))
