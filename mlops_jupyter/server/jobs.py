"""Jobs: work of more than a moment, which goes on after the request has been answered."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_jupyter.display import Shown, document_of
from mlops_jupyter.errors import translate

# Finished jobs are remembered until there are this many newer ones.
_KEPT = 200
_AT_ONCE = 4


@dataclass
class Job:
    """One piece of work.

    Args:
        id: Its name.
        verb: What it carries out.
        workspace: Where.
        actor: Who asked.
        state: ``running``, ``done`` or ``failed``.
        answer: ``ok`` and ``result``, or ``error``.
    """

    id: str
    verb: str
    workspace: str
    actor: str
    state: str = "running"
    answer: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give all that a client asks for."""
        head = {"job": self.id, "verb": self.verb, "workspace": self.workspace, "state": self.state}
        return head | {"ok": None, "result": None, "error": None} | self.answer


class Jobs:
    """The jobs of one server.

    Args:
        emit: Takes an event, from any thread.
    """

    def __init__(self, emit: Callable[[Mapping[str, Any]], None]) -> None:
        self._emit = emit
        self._turns = threading.Semaphore(_AT_ONCE)
        self._jobs: dict[str, Job] = {}

    def submit(self, verb: str, workspace: str, actor: str, work: Callable[[], Shown]) -> Job:
        """Begin a job.

        Args:
            verb: What it carries out.
            workspace: Where.
            actor: Who asked.
            work: Carries it out.

        Returns:
            The job, running.
        """
        job = Job(uuid.uuid4().hex[:12], verb, workspace, actor)
        for old in list(self._jobs)[: max(0, len(self._jobs) - _KEPT)]:
            if self._jobs[old].state != "running":
                del self._jobs[old]
        self._jobs[job.id] = job
        self._tell(job)
        # A daemon: a server that is told to stop does not wait for a pipeline; its steps' kernels end with it, and what
        # was finished is in the cache.
        threading.Thread(target=self._carry_out, args=(job, work), name=f"mlops-job-{job.id}", daemon=True).start()
        return job

    def _carry_out(self, job: Job, work: Callable[[], Shown]) -> None:
        try:
            with self._turns:
                result = work()
            job.answer = {"ok": result.ok, "result": document_of(result)}
            job.state = "done"
        except BaseException as error:
            job.answer = {"ok": False, **translate(error).to_json()}
            job.state = "failed"
        self._tell(job)

    def _tell(self, job: Job) -> None:
        event = {"topic": "job", "job": job.id, "verb": job.verb, "state": job.state}
        self._emit({"workspace": job.workspace, **event})

    def get(self, job_id: str) -> Job | None:
        """Give a job, or None when it is unknown or long past."""
        return self._jobs.get(job_id)
