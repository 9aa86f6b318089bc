"""A workspace: opens one project and introduces its rooms to one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from mlops_jupyter import config as configuration
from mlops_jupyter import demo as demo_project
from mlops_jupyter.actor import Actor, os_actor
from mlops_jupyter.commands import Option, collect, command
from mlops_jupyter.config import FILE, STATE, Config
from mlops_jupyter.data.room import Data
from mlops_jupyter.demo import DemoResult
from mlops_jupyter.display import Block, Heading, Message, Note, Pairs, Shown
from mlops_jupyter.errors import UsageError, translate
from mlops_jupyter.files import write_whole
from mlops_jupyter.pipelines.room import Pipelines
from mlops_jupyter.registry.ledger import Ledger
from mlops_jupyter.registry.room import Registry
from mlops_jupyter.snapshots.room import Snapshots
from mlops_jupyter.store import ObjectStore, make_state
from mlops_jupyter.tracking import active, log
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.context import run_tags
from mlops_jupyter.tracking.neptune.room import Neptune
from mlops_jupyter.tracking.runs import Runs
from mlops_jupyter.uris import check_tracking_uri

Notify = Callable[[Mapping[str, Any]], None]


def _ignore(event: Mapping[str, Any]) -> None:
    """Take no notice of an event."""


@dataclass(frozen=True, repr=False)
class Status(Shown):
    """Where things stand."""

    facts: Mapping[str, Any]

    def to_json(self) -> Any:
        """Give the facts."""
        return dict(self.facts)

    def blocks(self) -> list[Block]:
        """Give the facts, those that are empty left out."""
        facts = self.facts
        latest, run = facts["latest_snapshot"], facts["active_run"]
        shown = {
            "workspace": f"{facts['workspace']} ({facts['why']})",
            "tracking": f"{facts['tracking']} ({facts['tracking_why']})",
            "experiment": facts["experiment"],
            "you": facts["actor"],
            "active run": f"{run['name']} ({run['run_id'][:8]})" if run else "none",
            "latest snapshot": (latest["name"] or latest["snapshot"]) if latest else "none",
            "open requests": facts["open_requests"],
        }
        if facts["backlog"]:
            shown["backlog"] = f"{facts['backlog']} logged entries on their way to the tracking store"
        blocks: list[Block] = [Heading("mlops"), Pairs(shown)]
        blocks += [Note(problem, "bad") for problem in facts["problems"]]
        if (rejected := facts["rejected"]) is not None:
            said = f"{rejected['entries']} logged entries were refused by the store, the last one because: "
            blocks.append(Note(f"{said}{rejected['reason']}; they are in {rejected['folder']}", "bad"))
        return blocks


# How long a store that was away a moment ago may take to show that it is back, in seconds.
_MOMENT = 1.0


class Workspace:
    """One project: its settings, and the rooms that work on it.

    Args:
        config: The settings.
        actor: Who works here.
        notify: Told of progress; events are JSON values.
    """

    def __init__(self, config: Config, actor: Actor | None = None, notify: Notify = _ignore) -> None:
        if not isinstance(config, Config):
            raise UsageError("a Workspace is made of settings", f"Workspace.open({str(config)!r}) opens a folder")
        self.config = config
        self.actor = actor or os_actor()
        self._notify = notify
        self.tracking = Tracking(config, self.prepare)
        self.runs = Runs(self.tracking)
        # Who is known by a token or an identity asks over the network.
        self.data = Data(self.tracking, self.runs, config.root, inside=self.actor.via != "os")
        self.neptune = Neptune(self.tracking, self.prepare, notify)
        self.ledger = Ledger(config.state, self.prepare, self.actor)
        self.registry = Registry(config, self.tracking, self.runs, self.ledger, self.actor)

    @cached_property
    def store(self) -> ObjectStore:
        """The object store, opened when it is first needed.

        Raises:
            StoreError: Nothing serves its URL.
        """
        return ObjectStore.open(self.config.store_url or self.config.state / "objects")

    @cached_property
    def snapshots(self) -> Snapshots:
        """The room of snapshots."""
        return Snapshots(self.store, self.prepare, self.config.root)

    @cached_property
    def pipelines(self) -> Pipelines:
        """The room of pipelines."""
        return Pipelines(
            self.config.root,
            self.config.state,
            self.store,
            self.tracking,
            self.registry,
            self.prepare,
            self._notify,
            self.config.store_url,
            self.config.policy_for,
            self.config.is_named,
        )

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        *,
        start: Path | None = None,
        beside: Path | None = None,
        actor: Actor | None = None,
        notify: Notify = _ignore,
    ) -> Workspace:
        """Open a workspace.

        Args:
            path: Its folder; found by walking up when None.
            start: Where to begin to walk up; the working directory when None.
            beside: A folder to walk up from when nothing is found from there.
            actor: Who works here; the account that runs the process when None.
            notify: Told of progress.

        Returns:
            The workspace. Nothing is written, and MLflow is not imported, before it is needed; it is where a process
            has died that was logging, because what it had logged is brought to MLflow first, for some seconds at most.

        Raises:
            ConfigError: ``mlops.toml`` is wrong.
            NotFoundError: The folder does not exist.
        """
        opened = cls(configuration.load(path, start=start, beside=beside), actor, notify)
        opened.tracking.recover()
        return opened

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.config.root

    def prepare(self) -> None:
        """Make ``.mlops/``, which git leaves alone, before the first write.

        Raises:
            StoreError: The folder can't be written.
        """
        make_state(self.config.state)

    @command("status")
    def status(self) -> Status:
        """Say where things stand: workspace, store, experiment, active run, latest snapshot, what waits.

        Returns:
            The facts, and which rule found the workspace.

        Example:
            mlops status
        """
        run = active.active_run()
        problems: list[str] = []
        self._ask(problems, self.tracking.check_reachable)
        if not problems and not self.tracking.queue.is_well:
            self.tracking.queue.settle(_MOMENT, insist=True, everything=False)  # it is there again, and just not known
        backlog = self.tracking.queue.backlog()
        if backlog.problem and not problems:
            problems.append(backlog.problem)
        facts = {
            "workspace": str(self.root),
            "name": self.root.name,
            "why": self.config.why,
            "tracking": self.tracking.shown_uri,
            "tracking_why": self.config.tracking_why,
            "experiment": self.config.experiment,
            "actor": self.actor.name,
            "active_run": {"run_id": run.run_id, "name": run.name} if run else None,
            "latest_snapshot": self._ask(problems, self._latest_snapshot),
            "backlog": backlog.entries,
            "rejected": backlog.rejected,
            "open_requests": self._ask(problems, self.registry.open_requests) or 0,
            "alerts": 0,
            "problems": problems,
        }
        return Status(facts)

    def _ask(self, problems: list[str], question: Callable[[], Any]) -> Any:
        # Status is what people look at when something is broken: one broken part must not hide the rest.
        try:
            return question()
        except Exception as error:
            ours = translate(error)
            problems.append(f"{ours.message}: {ours.hint}")
            return None

    def _latest_snapshot(self) -> dict[str, Any] | None:
        latest = self.snapshots.latest()
        if latest is None:
            return None
        return {"snapshot": latest.id, "name": latest.name, "created": latest.created}

    @command("init")
    def init(
        self,
        dir: Path | None = None,
        *,
        experiment: Annotated[str | None, Option(metavar="E")] = None,
        tracking_uri: Annotated[str | None, Option(metavar="U")] = None,
    ) -> Message:
        """Write mlops.toml and make the store; running it twice changes nothing.

        Args:
            dir: The project's folder; this workspace's when left out.
            experiment: The experiment that runs go to.
            tracking_uri: An MLflow server or database, in place of the embedded one.

        Returns:
            What was made.

        Raises:
            UsageError: The folder is a file, or what was asked for differs from what mlops.toml says.
            StoreError: The folder can't be written.

        Example:
            mlops init --experiment churn
        """
        root = (dir or self.root).resolve()
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file", "name a folder")
        file = root / FILE
        if tracking_uri is not None:
            check_tracking_uri(tracking_uri)
        try:
            str(root).encode()
        except UnicodeEncodeError:
            raise UsageError(f"{str(root)!r} is no name that a database can take", "rename the folder") from None
        try:
            root.mkdir(parents=True, exist_ok=True)
            made = not file.exists()
            if made:
                write_whole(file, _settings(experiment, tracking_uri).encode())
        except OSError as error:
            raise translate(error) from error
        opened = Workspace.open(root, actor=self.actor)
        if not made:
            _same(root, experiment, tracking_uri)
        opened.prepare()
        opened.tracking.create()
        data = {"workspace": str(root), "created": made, "tracking": opened.tracking.shown_uri}
        text = f"{file} is written, the store is {opened.tracking.shown_uri}" if made else f"{file} is there already"
        return Message(text, data)

    @command("demo", doors="local", long=True)
    def demo(
        self,
        dir: Path = Path("mlops-demo"),
        *,
        params: Annotated[dict[str, Any], Option("-p", "--param", metavar="K=V")] = {},  # noqa: B006
    ) -> DemoResult:
        """Copy an example project and run its whole pipeline: data in, gated model out.

        A second time on the same folder, what has not changed is not run again.

        Args:
            dir: Where to; mlops-demo when left out.
            params: data=FILE for a CSV of yours, target=COLUMN for what is to be told, seed=N.

        Returns:
            The steps, the runs, the model and why it was promoted, and where to look.

        Raises:
            UsageError: The folder holds another project, or the data is no file.

        Example:
            mlops demo mlops-demo
        """
        folder = dir.absolute()
        values = demo_project.parameters(params)
        demo_project.copy_example(folder)
        project = Workspace.open(folder, actor=self.actor, notify=self._notify)
        result = project.pipelines.run(folder / demo_project.PIPELINE, params=values)
        steps = [step for step in result.to_json()["steps"] if step["run_id"]]
        runs = [project.runs.get(step["run_id"]).row() | {"name": step["name"]} for step in steps]
        made = project.registry.made_by(demo_project.NAME, [step["run_id"] for step in steps]) if result.ok else None
        model = project.registry.show(made.ref).to_json() if made else None
        return DemoResult(folder, result, runs, model, project.tracking.shown_uri, values)

    @contextmanager
    def run(
        self,
        name: str | None = None,
        *,
        experiment: str | None = None,
        nested: bool = False,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        autolog: bool = False,
        system_metrics: bool = False,
    ) -> Iterator[ActiveRun]:
        """Run a block inside an MLflow run: FINISHED when it ends, FAILED with the traceback when it raises.

        Args:
            name: The run's name.
            experiment: Where it goes; the workspace's own when None.
            nested: Whether it may begin inside another, as its child.
            params: Parameters to begin with.
            tags: Tags to begin with.
            autolog: Whether MLflow logs what is trained, by this thread and by those that it starts, until it ends.
            system_metrics: Whether processor, memory, disk, network and GPU are measured until it ends.

        Yields:
            The run, with its ``run_id`` and ``name``.

        Raises:
            ConflictError: A run is active in this thread already, and ``nested`` was not said.
        """
        every = run_tags(self.root) | {key: str(value) for key, value in (tags or {}).items()}
        more: dict[str, Any] = {"autolog": autolog, "system_metrics": system_metrics}
        with active.opened(self.tracking, name, experiment=experiment, nested=nested, tags=every, **more) as run:
            for key, value in (params or {}).items():
                log.log_param(key, value)
            yield run


def _settings(experiment: str | None, tracking_uri: str | None) -> str:
    import json

    # A TOML basic string and a JSON string are written alike, but for DEL.
    def line(key: str, value: str | None, example: str) -> str:
        return f"{key} = {json.dumps(value)}" if value else f"# {key} = {example}"

    return f"""# Settings of mlops-jupyter; state lies beside this file, in {STATE}/.

[tracking]
{line("experiment", experiment, '"churn"')}
{line("uri", tracking_uri, '"http://tracking.example:5000"')}

# [[promotion]]
# models = "*"
# alias = "champion"
# gates = [{{metric = "auc", min = 0.75}}, {{beats = "champion", metric = "auc"}}]
"""


def _same(root: Path, experiment: str | None, tracking_uri: str | None) -> None:
    said = configuration.stated(root)
    for key, asked in (("experiment", experiment), ("uri", tracking_uri)):
        if asked is not None and asked != said[key]:
            raise UsageError(
                f"{FILE} says [tracking] {key} = {said[key]!r} already, not {asked!r}"
                if said[key]
                else f"{FILE} is there already, and says no [tracking] {key}",
                f"edit {root / FILE}, or leave the option out",
            )


#: Verb → command, of those that need no live namespace.
COMMANDS = collect(
    {
        "": Workspace,
        "runs": Runs,
        "data": Data,
        "neptune": Neptune,
        "registry": Registry,
        "snapshots": Snapshots,
        "pipelines": Pipelines,
    }
)
