"""The room's door to the rest: the commands on pipelines."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from mlops_jupyter.commands import Option, command
from mlops_jupyter.config import Policy, project_of
from mlops_jupyter.display import Table
from mlops_jupyter.errors import DefinitionError, NotFoundError, UsageError, ValueRefused
from mlops_jupyter.pipelines import checks, definition, events
from mlops_jupyter.pipelines.attempt import Services, Tracker, result_outputs
from mlops_jupyter.pipelines.definition import Definition
from mlops_jupyter.pipelines.masking import SHORTEST
from mlops_jupyter.pipelines.parameters import given
from mlops_jupyter.pipelines.plan import Planner
from mlops_jupyter.pipelines.registration import Registry
from mlops_jupyter.pipelines.results import GraphResult, PipelineResult, PlannedStep, PlanResult
from mlops_jupyter.pipelines.run import Options, PipelineRun
from mlops_jupyter.store import ObjectStore


class Pipelines:
    """Pipelines of one workspace.

    Args:
        root: The workspace's folder.
        state: The folder of its state; made by ``prepare``.
        store: Objects and records.
        tracker: The tracking store; None to track nothing.
        registry: The registry; None where models can't be registered.
        prepare: Makes the state's folder; called before anything is written.
        notify: Takes progress events.
        place: The object store as a URL, for kernels; None for the folder in the state's.
        policy_for: Gives the promotion policy of a model and an alias.
        named: Whether somebody has named the workspace, rather than that it was found.
    """

    def __init__(
        self,
        root: Path,
        state: Path,
        store: ObjectStore,
        tracker: Tracker | None = None,
        registry: Registry | None = None,
        prepare: Callable[[], None] = lambda: None,
        notify: Callable[[Mapping[str, Any]], None] = lambda event: None,
        place: str | None = None,
        policy_for: Callable[[str, str], Policy | None] = lambda model, alias: None,
        named: bool = True,
    ) -> None:
        self._root = root
        self._state = state
        self._store = store
        self._tracker = tracker
        self._registry = registry
        self._prepare = prepare
        self._notify = notify
        self._place = place
        self._policy_for = policy_for
        self._named = named

    @command("pipeline run", long=True)
    def run(
        self,
        file: Path,
        *,
        params: Annotated[dict[str, Any] | None, Option("-p", "--param", metavar="K=V")] = None,
        executor: Literal["local"] = "local",
        workers: int | None = None,
        force: bool = False,
        keep_going: bool = False,
    ) -> PipelineResult:
        """Run a pipeline: what is cached is not run, and what failed before is where it goes on.

        Args:
            file: The pipeline file.
            params: Value of a parameter of the pipeline.
            executor: Where the steps run.
            workers: How many steps run at once; as many as there are cores by default.
            force: Run every step, cached or not.
            keep_going: After a failure, still run the steps that don't depend on it.

        Returns:
            The state of the run and of each step.

        Raises:
            DefinitionError: The file, or a notebook that it names, is wrong.
            UsageError: A parameter is unknown, or of another type.

        Example:
            mlops pipeline run pipeline.yaml -p seed=7
        """
        if workers is not None and workers < 1:
            raise UsageError(f"--workers {workers} is no number of workers", "give 1 or more")
        planner = self._planner(file, params or {}, force)
        secrets = _secrets(planner.definition)
        _check_kernels(planner.definition)
        # A plan refuses what can be refused before anything runs: inputs that are missing, say.
        planner.plan()
        self._prepare()
        services = self._services()
        self._close_abandoned(services)
        return PipelineRun(planner, services, secrets, Options(workers, keep_going)).execute()

    @command("pipeline plan")
    def plan(
        self,
        file: Path,
        *,
        params: Annotated[dict[str, Any] | None, Option("-p", "--param", metavar="K=V")] = None,
        force: bool = False,
    ) -> PlanResult:
        """Say which steps of a pipeline would run, and why.

        Args:
            file: The pipeline file.
            params: Value of a parameter of the pipeline.
            force: As if every step were to run.

        Returns:
            Action and reason for each step.

        Raises:
            DefinitionError: The file, or a notebook that it names, is wrong.
            UsageError: A parameter is unknown, or of another type.

        Example:
            mlops pipeline plan pipeline.yaml
        """
        planner = self._planner(file, params or {}, force)
        steps = []
        for name, decision in planner.plan().items():
            instance = planner.instances[name]
            record = (decision.found.record if decision.found else None) or {}
            cached = record if decision.action == "cached" else {}
            steps.append(
                PlannedStep(
                    name,
                    instance.step.name,
                    instance.matrix,
                    decision.action,
                    decision.reason,
                    cached.get("run_id"),
                    result_outputs(cached.get("outputs", {})),
                )
            )
        return PlanResult(planner.definition.name, str(planner.definition.file), steps)

    @command("pipeline show")
    def show(self, file: Path) -> GraphResult:
        """Show the graph of a pipeline.

        Args:
            file: The pipeline file.

        Returns:
            Parameters, steps and edges.

        Raises:
            DefinitionError: The file, or a notebook that it names, is wrong.

        Example:
            mlops pipeline show pipeline.yaml
        """
        found = definition.load(file)
        steps = [
            {
                "name": step.name,
                "notebook": os.path.relpath(step.notebook.path, found.folder.resolve()),
                "needs": step.upstream(),
                "matrix": list(step.matrix) if isinstance(step.matrix, tuple) else step.matrix or {},
            }
            for step in found.steps.values()
        ]
        edges = [(up, step.name) for step in found.steps.values() for up in step.upstream()]
        return GraphResult(found.name, str(found.file), found.params, steps, edges)

    @command("pipeline history")
    def history(self, file: Path | None = None) -> Table:
        """List past runs of pipelines, newest first.

        Args:
            file: Only runs of this pipeline file.

        Returns:
            One row a run.

        Example:
            mlops pipeline history
        """
        wanted = str(Path(file).absolute()) if file else None
        rows = [
            _row(found)
            for folder in reversed(self._run_folders())
            if (found := events.state_of(folder)) is not None and wanted in (None, found.meta.get("file"))
        ]
        columns = {
            "run": "run",
            "pipeline": "pipeline",
            "state": "state",
            "started": "started",
            "seconds": "seconds",
            "steps": "steps",
            "cached": "cached",
            "failed": "failed",
        }
        return Table(rows, columns, empty=f"no runs yet in {self._root}: `mlops pipeline run FILE` makes one")

    def _planner(self, file: Path, params: Mapping[str, Any], force: bool) -> Planner:
        file = Path(file)  # Python's callers may write a text
        self._check_project(file)
        found = definition.load(file)
        values = given(found.params, params, found.name)
        checks.check_given(found, values)
        planner = Planner(found, values, self._store, force)
        instances = Counter(instance.step.name for instance in planner.instances.values())
        checks.check_promotions(found, instances, self._policy_for)
        return planner

    def _check_project(self, file: Path) -> None:
        """Refuse a pipeline of another project, unless this workspace was named: its cache and its gates are not here.

        Raises:
            UsageError: It lies in another workspace than the one that was found.
        """
        own = project_of(file)
        if not self._named and own is not None and own != self._root.resolve():
            raise UsageError(
                f"{file.name} lies in the workspace {own}, and the one found from here is {self._root}",
                f"say which: --workspace {own} (in a notebook: %env MLOPS_WORKSPACE={own})",
            )

    def _services(self) -> Services:
        return Services(
            self._root,
            self._state,
            self._place or str(self._state / "objects"),
            self._tracker,
            self._registry,
            self._notify,
        )

    def _run_folders(self) -> list[Path]:
        place = self._state / "pipelines"
        if not place.is_dir():
            return []
        return sorted(folder for folder in place.iterdir() if folder.name != "locks")

    def _close_abandoned(self, services: Services) -> None:
        """End, in MLflow too, what a process that was killed has left open."""

        def finish(run_id: str) -> None:
            # Somebody may have deleted the run since (MLflow refuses the value then); that must not stop a new one.
            with contextlib.suppress(NotFoundError, ValueRefused):
                if services.tracker is not None:
                    services.tracker.finish(run_id, "KILLED")

        for folder in self._run_folders():
            events.close_abandoned(folder, finish)


def _secrets(found: Definition) -> dict[str, str]:
    values: dict[str, str] = {}
    for step in found.steps.values():
        for name in step.secrets:
            value = os.environ.get(name, "")
            if len(value) < SHORTEST:
                what = "is not set" if not value else "is too short to be masked"
                raise DefinitionError(
                    f"{found.file.name}: secret {name} of step {step.name!r} {what}",
                    f"export {name}=… (at least {SHORTEST} characters) before the run",
                )
            values[name] = value
    return values


def _check_kernels(found: Definition) -> None:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    manager = KernelSpecManager()
    for name in {step.notebook.kernel: step for step in found.steps.values()}:
        try:
            manager.get_kernel_spec(name)
        except NoSuchKernel:
            user = next(s for s in found.steps.values() if s.notebook.kernel == name)
            raise DefinitionError(
                f"{user.notebook.path.name} asks for kernel {name!r}, which is not installed",
                "`jupyter kernelspec list` shows what is; choose one in the notebook and save it",
            ) from None


def _row(found: events.RunState) -> dict[str, Any]:
    return {
        "run": found.run,
        "pipeline": found.meta.get("pipeline"),
        "file": found.meta.get("file"),
        "state": found.state,
        "started": found.started,
        "seconds": found.seconds,
        "steps": len(found.meta.get("steps", found.steps)),
        "cached": found.count("cached"),
        "failed": found.count("failed", "timed_out"),
    }
