"""How long MLflow may try to reach a server while it works for us, and what its errors become."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, ParamSpec, TypeVar

from mlops_jupyter.errors import translate

P = ParamSpec("P")
R = TypeVar("R")


class _Impatience(threading.local):
    """Lets MLflow give up on a server within seconds while a call of ours goes on: left alone, it tries for minutes.

    MLflow asks variables of the environment at each request. Set there, they would hold for what the user's code
    asks of MLflow at that moment as well, and for processes that it starts; so the question is answered here, in this
    thread only.
    """

    _WANTED: ClassVar = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 1,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": 15,
        # It prints where a run can be seen whenever one ends, into whatever cell is running by then.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": True,
        # It draws a bar for each file that it reads, into cells and shells that have not asked for any.
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": False,
    }
    _taught: ClassVar[set[str]] = set()

    calls = 0
    timeout: float | None = None

    def __enter__(self) -> None:
        self.calls += 1
        if "mlflow.environment_variables" in sys.modules and len(self._taught) < len(self._WANTED):
            self._teach(sys.modules["mlflow.environment_variables"])

    def __exit__(self, *problem: object) -> None:
        self.calls -= 1

    @contextmanager
    def for_seconds(self, timeout: float) -> Iterator[None]:
        """Let MLflow wait no longer than this for an answer, and ask once."""
        before, self.timeout = self.timeout, timeout
        try:
            with self:
                yield
        finally:
            self.timeout = before

    def _teach(self, variables: Any) -> None:
        for name, wanted in self._WANTED.items():
            variable = getattr(variables, name, None)
            if name not in self._taught and variable is not None:
                variable.get = functools.partial(self._answer, variable, variable.get, wanted)
            self._taught.add(name)

    def _answer(self, variable: Any, ask: Callable[[], Any], wanted: int) -> Any:
        if self.timeout is not None and not isinstance(wanted, bool):
            return max(int(self.timeout), 1) if "TIMEOUT" in variable.name else 0
        return wanted if self.calls and not variable.is_set() else ask()


impatient = _Impatience()


def answers(method: Callable[P, R]) -> Callable[P, R]:
    """Make a method raise our errors in the place of MLflow's and the database's, and soon."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with impatient:
                return method(*args, **kwargs)
        except Exception as error:
            ours = translate(error)
            if ours is error:
                raise
            raise ours from error

    return call
