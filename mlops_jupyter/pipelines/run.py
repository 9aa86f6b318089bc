"""One walk through the graph: what is ready is carried out, in parallel, until nothing is left or something failed.

One thread schedules; each step is carried out by a worker thread that decides about it, and where it has to run, holds
the lock of its key, starts a kernel and waits. A step's record is written right after its success, before anything else
starts from it: so a run that failed, was interrupted or was killed is continued by simply running it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from mlops_jupyter.errors import MlopsError, translate
from mlops_jupyter.locks import held
from mlops_jupyter.pipelines import events
from mlops_jupyter.pipelines.attempt import Attempt, Entry, Services, result_outputs
from mlops_jupyter.pipelines.cache import Found
from mlops_jupyter.pipelines.execute import Cancellation
from mlops_jupyter.pipelines.plan import Decision, Instance, Planner
from mlops_jupyter.pipelines.registration import Registered
from mlops_jupyter.pipelines.results import GOOD, PipelineResult, State, StepResult
from mlops_jupyter.pipelines.watchdog import Watchdog

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Options:
    """How a run is to be carried out.

    Args:
        workers: How many steps at once; as many as there are cores when None.
        keep_going: Whether steps that don't depend on a failed one still run.
    """

    workers: int | None = None
    keep_going: bool = False


class PipelineRun:
    """One run of a pipeline on this machine.

    Args:
        planner: The pipeline with its parameters.
        services: What it is carried out with.
        secrets: Name → value of the secrets that its steps take.
        options: How it is to be carried out.
    """

    def __init__(
        self,
        planner: Planner,
        services: Services,
        secrets: Mapping[str, str],
        options: Options = Options(),
    ) -> None:
        self.planner = planner
        self.services = services
        self.options = options
        self._secrets = secrets
        self._cancellation = Cancellation()
        self._published: dict[str, Mapping[str, Any] | None] = {}
        self._results: dict[str, StepResult] = {
            name: StepResult(name, instance.step.name, instance.matrix) for name, instance in planner.instances.items()
        }
        self._halted = ""
        self._parent: str | None = None

    def execute(self) -> PipelineResult:
        """Carry it out.

        Returns:
            What became of every step.

        Raises:
            KeyboardInterrupt: It was interrupted; kernels and everything they had started are gone by then.
            StoreError: The tracking store does not answer.
        """
        began = time.monotonic()
        definition = self.planner.definition
        folder = self.services.state / "pipelines" / events.new_run_id()
        self._log = events.EventLog(folder, self._meta())
        state = "failed"
        try:
            self._log.append({"event": "run", "state": "running"})
            self._begin_parent()
            with Watchdog() as self._watchdog:
                self._walk()
            good = all(result.state in GOOD for result in self._results.values())
            state = "succeeded" if good else "failed"
        except KeyboardInterrupt:
            state = "cancelled"
            raise
        finally:
            seconds = time.monotonic() - began
            self._finish(state, seconds)
        results = [self._results[name] for name in self.planner.instances]
        return PipelineResult(
            folder.name,
            definition.name,
            str(definition.file),
            state,
            results,
            seconds,
            self._parent,
        )

    def _meta(self) -> dict[str, Any]:
        definition = self.planner.definition
        return {
            "pipeline": definition.name,
            "file": str(definition.file),
            "params": dict(self.planner.params),
            "definition": definition.text,
            "steps": list(self.planner.instances),
            "pid": os.getpid(),
        }

    def _begin_parent(self) -> None:
        definition = self.planner.definition
        tags = {"mlops.pipeline": definition.name, "mlops.pipeline_run": self._log.run}
        self._parent = self.services.begin(
            definition.name, None, {**tags, **self.services.git}, self.planner.params, self._log
        )

    def _finish(self, state: str, seconds: float) -> None:
        status = {"succeeded": "FINISHED", "cancelled": "KILLED"}.get(state, "FAILED")
        whole = False
        try:
            try:
                self.services.finish(self._parent, status, self._log)
            finally:
                self._log.append({"event": "run", "state": state, "seconds": round(seconds, 3)})
            whole = True
        finally:
            self._log.close(whole=whole)
            self._tell(None, state, seconds)

    def _walk(self) -> None:
        workers = self.options.workers or os.cpu_count() or 1
        pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="mlops-step")
        try:
            self._schedule(pool)
        except BaseException:
            # Kernels first: a worker thread ends when its kernel does.
            self._cancellation.cancel()
            pool.shutdown(wait=True, cancel_futures=True)
            self._cancel_rest("interrupted")
            raise
        pool.shutdown(wait=True)

    def _schedule(self, pool: ThreadPoolExecutor) -> None:
        waiting = {name: set(i.upstream) for name, i in self.planner.instances.items()}
        below: dict[str, list[str]] = {name: [] for name in waiting}
        for name, upstream in waiting.items():
            for up in upstream:
                below[up].append(name)
        ready = [name for name, upstream in waiting.items() if not upstream]
        futures: dict[Future[StepResult], str] = {}
        while ready or futures:
            for name in ready:
                if self._may_start(name):
                    futures[pool.submit(self._carry_out, self.planner.instances[name])] = name
                else:
                    # What was settled without running counts as done for what is below it.
                    futures[_known(self._results[name])] = name
            ready = []
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                name = futures.pop(future)
                self._record(future.result())
                for follower in below[name]:
                    waiting[follower].discard(name)
                    if not waiting[follower]:
                        ready.append(follower)

    def _may_start(self, name: str) -> bool:
        """Tell whether an instance whose upstream is settled is to be looked at; settle it where not."""
        above = [self._results[up] for up in self.planner.instances[name].upstream]
        broken = next((up for up in above if up.state not in (*GOOD, "cancelled")), None)
        result = self._results[name]
        if broken is not None:
            reason = f"{broken.name} {broken.state.replace('_', ' ')}"
            self._results[name] = replace(result, state="upstream_failed", reason=reason)
        elif self._halted:
            self._results[name] = self._not_started(name)
        else:
            return True
        return False

    def _not_started(self, name: str) -> StepResult:
        reason = f"not started: {self._halted} failed (--keep-going runs the others)"
        return replace(self._results[name], state="cancelled", reason=reason)

    def _cancel_rest(self, reason: str) -> None:
        for result in list(self._results.values()):
            if result.state in ("pending", "running"):
                self._record(replace(result, state="cancelled", reason=reason))

    def _record(self, result: StepResult) -> None:
        self._results[result.name] = result
        self._log.append({"event": "step", **result.to_json()})
        self._tell(result.name, result.state, result.seconds)

    def _tell(self, step: str | None, state: str, seconds: float | None) -> None:
        done = sum(r.state not in ("pending", "running") for r in self._results.values())
        self.services.notify(
            {
                "topic": "pipelines",
                "run": self._log.run,
                "pipeline": self.planner.definition.name,
                "step": step,
                "state": state,
                "seconds": seconds,
                "done": done,
                "total": len(self._results),
            }
        )

    # ------------------------------------------------------------------------------------------------------------------
    # In a worker thread

    def _carry_out(self, instance: Instance) -> StepResult:
        if self._halted:
            return self._not_started(instance.name)
        result = self._settled(instance)
        # Said here and not by the scheduler, so that the next one in the queue knows.
        if result.state in ("failed", "timed_out") and not self.options.keep_going:
            self._halted = self._halted or result.name
        return result

    def _settled(self, instance: Instance) -> StepResult:
        result = self._results[instance.name]
        try:
            decision = self.planner.decide(instance, self._published)
            if decision.action == "run" or (decision.found and decision.found.unregistered):
                return self._locked(instance, decision)
            return self._without_running(instance, decision)
        except Exception as error:
            told = error if isinstance(error, MlopsError) else translate(error)
            return replace(result, state="failed", reason=told.message, error=str(told))

    def _without_running(self, instance: Instance, decision: Decision) -> StepResult:
        record = decision.found.record if decision.found and decision.action == "cached" else None
        state: State = "skipped" if record is None else "cached"
        result = replace(self._results[instance.name], state=state, reason=decision.reason)
        if record is None:
            self._published[instance.name] = None
            return result
        if decision.found and decision.found.unregistered:
            late = self._registered_late(instance, decision.found)
            if late.state != "done":
                failed = replace(result, state="failed", reason=late.said, error=late.said)
                return replace(failed, run_id=record.get("run_id"), notebook=record.get("notebook"))
            result = replace(result, reason=f"{decision.reason}; {late.said}")
        self._published[instance.name] = record["outputs"]
        self.services.note_cached(self.planner, instance, record, self._parent, self._log)
        return replace(
            result,
            run_id=record.get("run_id"),
            seconds=0.0,
            outputs=result_outputs(record["outputs"]),
            notebook=record.get("notebook"),
        )

    def _registered_late(self, instance: Instance, found: Found) -> Registered:
        """Register and promote the model of a step that a crash cut short just before, or that a gate refused."""
        assert found.record is not None
        late = self.services.settle(Entry(self.planner, instance, found.base, found.record))
        assert late is not None
        status = "FINISHED" if late.state == "done" else "FAILED"
        self.services.finish(found.record.get("run_id"), status, self._log)
        return late

    def _locked(self, instance: Instance, decision: Decision) -> StepResult:
        assert decision.found is not None
        lock = self.services.state / "pipelines" / "locks" / f"{decision.found.base}.lock"
        with held(lock, self._cancellation.wait) as waited:
            if self._cancellation.cancelled:  # the lock may not be ours then
                return replace(self._results[instance.name], state="cancelled", reason="interrupted")
            if decision.action == "cached" or (waited and not decision.forced):
                # Whoever held the lock has probably done this very step.
                decision = self.planner.decide(instance, self._published)
                if decision.action != "run":
                    return self._without_running(instance, decision)
            return self._attempts(instance, decision)

    def _attempts(self, instance: Instance, decision: Decision) -> StepResult:
        result = self._results[instance.name]
        for number in range(1, instance.step.retries + 2):
            if self._cancellation.cancelled:
                return replace(result, state="cancelled", reason="interrupted")
            running = replace(result, state="running", reason=decision.reason, attempt=number)
            self._record(running)
            attempt = Attempt(self.planner, instance, decision, self.services, self._log, number)
            done = attempt.carry_out(
                running,
                self._published,
                self._secrets,
                self._parent,
                self._cancellation,
                self._watchdog,
            )
            if done.result.state == "succeeded":
                self._published[instance.name] = done.outputs
            if done.result.state in ("succeeded", "cancelled") or done.final:
                return done.result
            if number <= instance.step.retries:
                self._record(replace(done.result, reason=f"{done.result.reason}; trying again"))
                self._cancellation.wait(min(_FIRST_PAUSE * 2 ** (number - 1), _LONGEST_PAUSE))
        return done.result


def _known(result: StepResult) -> Future[StepResult]:
    future: Future[StepResult] = Future()
    future.set_result(result)
    return future
