"""One attempt at a step: an MLflow run, a kernel, and what is kept of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from mlops_jupyter import environment
from mlops_jupyter.digest import digest_of
from mlops_jupyter.pipelines.cache import REGISTERED
from mlops_jupyter.pipelines.events import EventLog
from mlops_jupyter.pipelines.execute import Cancellation, Order, Outcome, run_notebook
from mlops_jupyter.pipelines.plan import Decision, Instance, Planner, Published
from mlops_jupyter.pipelines.registration import Registered, Registry, register
from mlops_jupyter.pipelines.results import StepResult
from mlops_jupyter.pipelines.watchdog import Watchdog
from mlops_jupyter.tracking.context import relative
from mlops_jupyter.tracking.records import CACHE_SOURCE, ENVIRONMENT, GIT_COMMIT, GIT_DIRTY, NOTEBOOK

_LONGEST_PARAM = 500
Status = Literal["FINISHED", "FAILED", "KILLED"]
_STATUS: Mapping[str, Status] = {"succeeded": "FINISHED", "cancelled": "KILLED"}


class Tracker(Protocol):
    """What a pipeline asks of the tracking store."""

    def begin(
        self,
        name: str | None,
        *,
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> str:
        """Begin a run and give its id."""

    def finish(self, run_id: str, status: Status) -> None:
        """End a run."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""

    def put_artifact(self, run_id: str, path: Path, folder: str = "") -> None:
        """Keep a file as an artifact of a run."""

    def child_environment(self, run_id: str | None) -> dict[str, str]:
        """Give the environment variables that make a child process log to a run."""


@dataclass
class Services:
    """What a run is carried out with.

    Args:
        root: The workspace's folder.
        state: The folder of its state.
        store: The object store as a path or URL, for kernels.
        tracker: The tracking store; None to track nothing.
        registry: The registry; None where models can't be registered.
        notify: Takes progress events.
    """

    root: Path
    state: Path
    store: str
    tracker: Tracker | None = None
    registry: Registry | None = None
    notify: Callable[[Mapping[str, Any]], None] = field(default=lambda event: None)

    @cached_property
    def git(self) -> dict[str, str]:
        """The tags that say which commit the workspace is at."""
        state = environment.git_state(self.root)
        if not state:
            return {}
        return {GIT_COMMIT: state["commit"], GIT_DIRTY: str(state["dirty"]).lower()}

    def begin(
        self,
        name: str,
        parent: str | None,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        log: EventLog,
    ) -> str | None:
        """Begin an MLflow run, and note in the log that it is open."""
        if self.tracker is None:
            return None
        shown = {key: _shown(value) for key, value in params.items()}
        run_id = self.tracker.begin(name, parent=parent, tags=tags, params=shown)
        log.append({"event": "begun", "run_id": run_id})
        return run_id

    def finish(self, run_id: str | None, status: str, log: EventLog) -> None:
        """End an MLflow run, and note in the log that it is closed."""
        if self.tracker is not None and run_id is not None:
            self.tracker.finish(run_id, status)  # type: ignore[arg-type]
            log.append({"event": "finished", "run_id": run_id})

    def tags(self, planner: Planner, instance: Instance, log: EventLog) -> dict[str, str]:
        """Give the tags of an instance's MLflow run."""
        return {
            "mlops.pipeline": planner.definition.name,
            "mlops.pipeline_run": log.run,
            "mlops.step": instance.name,
            NOTEBOOK: relative(instance.step.notebook.path, self.root),
            **self.git,
        }

    def note_cached(
        self,
        planner: Planner,
        instance: Instance,
        record: Mapping[str, Any],
        parent: str | None,
        log: EventLog,
    ) -> None:
        """Show a reused step among its siblings in MLflow: a finished run that names its source."""
        source = record.get("run_id")
        if self.tracker is None or not source:
            return
        tags = {
            "mlops.pipeline": planner.definition.name,
            "mlops.pipeline_run": log.run,
            "mlops.step": instance.name,
            "mlops.cache.key": record["key"],
            CACHE_SOURCE: source,
        }
        self.finish(self.begin(instance.name, parent, tags, {}, log), "FINISHED", log)

    def settle(self, entry: Entry) -> Registered | None:
        """Write a step's record, and register and promote what it asks for; before, the record is marked as open.

        Args:
            entry: The record, and where it belongs.

        Returns:
            What became of the registration; None where nothing is to be registered. Where a gate refused, or the
            registry did not answer, the record keeps its mark: the next run asks again, and need not run the step.
        """
        cache, registration = entry.planner.cache, entry.instance.step.register
        label, record = entry.planner.label(entry.instance), dict(entry.record)
        registered = None
        if registration is not None:
            key, before = cache.publish(entry.base, label, record | {REGISTERED: False})
            why = message(entry.planner, record["pipeline_run"])
            registered = register(self.registry, registration, record["outputs"], record["run_id"], why)
            if registered.state == "unfit":
                cache.withdraw(key, before if before and before.get(REGISTERED) is not False else None)
            if registered.state != "done":
                return registered
            record[REGISTERED] = True
        key, _ = cache.publish(entry.base, label, record)
        if self.tracker is not None and record["run_id"] is not None:
            self.tracker.set_tags(record["run_id"], {"mlops.cache.key": key})
        return registered


@dataclass(frozen=True)
class Entry:
    """A step's record, and where it belongs.

    Args:
        planner: The pipeline.
        instance: The step's instance.
        base: The base key.
        record: The record.
    """

    planner: Planner
    instance: Instance
    base: str
    record: Mapping[str, Any]


def message(planner: Planner, run: str) -> str:
    """Say, for the ledger, which execution of a pipeline asks for something."""
    return f"pipeline {planner.definition.name}, run {run}"


@dataclass(frozen=True)
class Done:
    """How an attempt ended.

    Args:
        result: What became of the step.
        outputs: The entries that it published.
        final: Whether another attempt would end alike (a gate refused).
    """

    result: StepResult
    outputs: Mapping[str, Any]
    final: bool = False


class Attempt:
    """One execution of an instance.

    Args:
        planner: The pipeline.
        instance: What to run.
        decision: Why, and under which key.
        services: What it is carried out with.
        log: The run's log.
        number: Which attempt it is, from 1.
    """

    def __init__(
        self,
        planner: Planner,
        instance: Instance,
        decision: Decision,
        services: Services,
        log: EventLog,
        number: int,
    ) -> None:
        self._planner = planner
        self._instance = instance
        self._decision = decision
        self._services = services
        self._log = log
        self._number = number

    def carry_out(
        self,
        running: StepResult,
        published: Published,
        secrets: Mapping[str, str],
        parent: str | None,
        cancellation: Cancellation,
        watchdog: Watchdog,
    ) -> Done:
        """Run the notebook and keep what came of it.

        Args:
            running: The instance's result so far.
            published: What is upstream.
            secrets: All secrets of the run.
            parent: The MLflow run of the pipeline run.
            cancellation: Ends it early.
            watchdog: Ends the kernel should this process be killed.

        Returns:
            How it ended.
        """
        values = self._planner.values(self._instance, published)
        run_id = self._begin(values, parent)
        status: Status = "FAILED"
        try:
            order = self._order(values, published, secrets, run_id)
            began_ns = time.time_ns()
            outcome = run_notebook(order, cancellation, watchdog)
            result = replace(
                running,
                state=outcome.state,
                reason=running.reason if outcome.state == "succeeded" else outcome.reason,
                run_id=run_id,
                seconds=round(outcome.seconds, 3),
                outputs=result_outputs(outcome.outputs),
                notebook=str(order.executed),
                error=outcome.error,
            )
            self._keep_notebook(run_id, order)
            done = Done(result, outcome.outputs)
            if result.state == "succeeded":
                done = self._published(done, outcome, published, began_ns)
            status = _STATUS.get(done.result.state, "FAILED")
            return done
        finally:
            self._services.finish(run_id, status, self._log)

    def _begin(self, values: Mapping[str, Any], parent: str | None) -> str | None:
        tags = self._services.tags(self._planner, self._instance, self._log)
        tags |= {"mlops.attempt": str(self._number), ENVIRONMENT: self._decision.parts["environment"]}
        return self._services.begin(self._instance.name, parent, tags, values, self._log)

    def _order(
        self,
        values: Mapping[str, Any],
        published: Published,
        secrets: Mapping[str, str],
        run_id: str | None,
    ) -> Order:
        definition, step, services = self._planner.definition, self._instance.step, self._services
        tracked = services.tracker.child_environment(run_id) if services.tracker else {}
        return Order(
            name=self._instance.name,
            notebook=step.notebook,
            params=values,
            folder=self._log.folder / folder_name(self._instance.name) / str(self._number),
            cwd=definition.folder,
            environment={**tracked, **self._planner.env(self._instance, published)},
            secrets={name: secrets[name] for name in step.secrets},
            timeout=step.timeout,
            local=(definition.folder.resolve(), services.root.resolve()),
            declared=step.outputs,
            required=definition.required_outputs(step.name),
            store=services.store,
            files=services.state / "files",
        )

    def _keep_notebook(self, run_id: str | None, order: Order) -> None:
        if self._services.tracker is not None and run_id is not None and order.executed.exists():
            self._services.tracker.put_artifact(run_id, order.executed, "notebook")

    def _published(self, done: Done, outcome: Outcome, published: Published, began_ns: int) -> Done:
        """Write the record, and register what is to be."""
        found, planner, services = self._decision.found, self._planner, self._services
        assert found is not None
        record = self._record(done.result, outcome, published, began_ns)
        if record is not None:
            entry = Entry(planner, self._instance, found.base, record)
            registered = services.settle(entry)
        elif self._instance.step.register is not None:
            why = message(planner, self._log.run)
            registered = register(
                services.registry, self._instance.step.register, done.outputs, done.result.run_id, why
            )
        else:
            return done
        if registered is None:
            return done
        if registered.state == "done":
            return replace(done, result=replace(done.result, reason=f"{done.result.reason}; {registered.said}"))
        failed = replace(done.result, state="failed", reason=registered.said, error=registered.said)
        return replace(done, result=failed, final=True)

    def _record(
        self, result: StepResult, outcome: Outcome, published: Published, began_ns: int
    ) -> dict[str, Any] | None:
        """Make the step's record; None where what it would stand for is not certain."""
        doubt = self._doubt(outcome, published, began_ns)
        if doubt:
            self._log.append({"event": "note", "name": result.name, "text": f"not cached: {doubt}"})
            return None
        modules = self._planner.cache.modules(outcome.modules or ())
        return {
            "parts": dict(self._decision.parts),
            "modules": modules,
            "outputs": dict(outcome.outputs),
            "run_id": result.run_id,
            "pipeline_run": self._log.run,
            "seconds": result.seconds,
            "notebook": result.notebook,
        }

    def _doubt(self, outcome: Outcome, published: Published, began_ns: int) -> str:
        """Say why the result may not belong to the key, if so: something was edited while the step ran."""
        if outcome.modules is None:
            return "what it imported is not known"
        folder = self._planner.definition.folder
        for name in outcome.modules:
            file = folder / name
            if not file.exists() or file.stat().st_mtime_ns >= began_ns:
                return f"local module {name} changed while it ran"
        if self._planner.inputs(self._instance, published) != self._decision.parts["inputs"]:
            return "an input file changed while it ran"
        return ""


def result_outputs(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Give name → value or reference of what was published."""
    return {name: e["value"] if "value" in e else e["ref"] for name, e in entries.items()}


def _shown(value: Any) -> Any:
    """Give a parameter as MLflow takes it: stores limit how long it may be."""
    text = value if isinstance(value, str) else json.dumps(value)
    short = text if len(text) <= _LONGEST_PARAM else text[: _LONGEST_PARAM - 1] + "…"
    return value if isinstance(value, bool | int | float | None) else short


def folder_name(instance: str) -> str:
    """Give the name of an instance's folder: readable, and no two alike."""
    slug = re.sub(r"[^A-Za-z0-9_.=-]+", "-", instance).strip("-.")[:80]
    return slug if slug == instance else f"{slug}-{digest_of(instance)[:8]}"
