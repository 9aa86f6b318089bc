""":class:`Courier`: the thread that delivers, when it is woken; it rests while the store is away, and others wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mlops_jupyter.errors import MlopsError
from mlops_jupyter.working import working

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
# So many failures in a row are no accident: the store is away, and a run that begins does not wait for it.
_AWAY = 3
# So often the store may fail, with nothing between that comes through, while somebody insists.
_IN_VAIN = 2


class Courier:
    """Delivers in a thread of its own, and tells who waits how it went.

    Args:
        deliver: Carries out a round: whether of all journals, and whether somebody waits. Gives what keeps it from
            getting on, or None.
        moved: Tells how many batches were delivered up to now.
        patience: How long to wait for a store that gets on with nothing, in seconds.
    """

    def __init__(
        self,
        deliver: Callable[[bool, Callable[[], bool]], MlopsError | None],
        moved: Callable[[], int],
        patience: float,
    ) -> None:
        self._carry_out = deliver
        self._moved = moved
        self._patience = patience
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        #: When to deliver: 0 for never, in the time of ``time.monotonic``.
        self.wanted = 0.0
        #: Whether there is something that is waited for when a cell ends.
        self.is_urgent = False
        #: What keeps entries from being delivered; None where nothing does.
        self.problem: MlopsError | None = None
        # How often a round was asked for; up to which of these one was carried out, and one of all journals.
        self._asked = 0
        self._carried_out = {True: 0, False: 0}
        # Up to which of these one has failed: what was asked for after it had begun is tried by the next.
        self._failed = 0
        self._is_all_asked = False
        self._failures = 0
        self._waiting = 0
        self._is_trying = False

    def wake(self, seconds: float, *, urgent: bool = True) -> None:
        """Deliver in some seconds at the latest.

        Args:
            seconds: So many.
            urgent: Whether it is waited for when a cell ends.
        """
        with self._news:
            self.is_urgent = self.is_urgent or urgent
            at = time.monotonic() + seconds
            if not self.wanted or at < self.wanted:
                self.wanted = at
                self._news.notify_all()
            self._ensure_thread()

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._deliver, name="mlops-queue", daemon=True)
            self._thread.start()

    def note_failure(self, problem: MlopsError) -> None:
        """Note that the store did not answer to somebody else, so that nobody waits for it for a while."""
        with self._news:
            self.problem = problem
        self.wake(_FIRST_PAUSE)

    @property
    def is_this_thread(self) -> bool:
        """Whether it is the courier that asks."""
        return threading.current_thread() is self._thread

    def settle(self, patience: float | None = None, *, insist: bool = False, everything: bool = True) -> bool:
        """Wait until a round is carried out that begins from now on.

        Args:
            patience: How long to wait while nothing gets on, in seconds; as the store needs when None.
            insist: Try although it failed a moment ago; not every reader has to find out anew that the store is away.
            everything: Whether it is to be a round of all journals.

        Returns:
            Whether it was carried out.
        """
        with self._news:
            if self.problem is not None and not insist and self.wanted > time.monotonic():
                return False
        return bool(self._ask(self._patience if patience is None else patience, everything, self._moved))

    def _ask(self, patience: float, everything: bool, moved: Callable[[], object]) -> bool | None:
        """Wait for a round that begins from now on: whether it was carried out; None where nothing moves any more."""
        with self._news:
            self._asked += 1
            self._is_all_asked = self._is_all_asked or everything
            mine, self.problem = self._asked, None
            self.wanted = time.monotonic()
            self._ensure_thread()
            self._news.notify_all()
        with working("delivery of what was logged"), self._news:
            self._waiting += 1
            try:
                return self._wait(mine, everything, patience, moved)
            finally:
                self._waiting -= 1

    def _wait(self, mine: int, everything: bool, patience: float, moved: Callable[[], object]) -> bool | None:
        known, until = moved(), time.monotonic() + patience
        while self._carried_out[everything] < mine and self._failed < mine:
            if (present := moved()) != known:
                known, until = present, time.monotonic() + patience
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._news.wait(min(left, 0.5))
        return self._carried_out[everything] >= mine

    def insist(self, answer: Callable[[], str], progress: Callable[[], object]) -> str:
        """Try again and again until a delivery brings an answer, as long as the store gets on.

        Args:
            answer: Gives it, or nothing.
            progress: Gives something that changes whenever the store gets on, in the middle of a round, too.

        Returns:
            The answer; empty where there is none.
        """
        known, in_vain = progress(), 0
        while not (found := answer()) and in_vain < _IN_VAIN:
            if self._ask(self._patience, False, progress) is not False:
                return answer()
            before, known = known, progress()
            in_vain = 0 if known != before else in_vain + 1
        return found

    def wait_for(self, answer: Callable[[], str], patience: float) -> str:
        """Wait for something that a delivery brings, as long as the store is not known to be away.

        Args:
            answer: Gives it, or nothing.
            patience: How long to wait, in seconds.

        Returns:
            The answer; empty where there is none.
        """
        until = time.monotonic() + patience
        with self._news:
            while not (found := answer()) and time.monotonic() < until:
                if self._failures >= _AWAY and not self._is_trying:
                    break
                self._news.wait(0.01)
        return found

    def _deliver(self) -> None:
        while True:
            with self._news:
                while not self.wanted or self.wanted > time.monotonic():
                    self._news.wait(max(self.wanted - time.monotonic(), 0) if self.wanted else None)
                asked, everything, self._is_all_asked = self._asked, self._is_all_asked, False
                self.wanted, self._is_trying, self.is_urgent = 0.0, True, False
            problem = self._carry_out(everything, lambda: self._waiting > 0)
            with self._news:
                self.problem, self._is_trying = problem, False
                if problem is None:
                    self._failures, self._carried_out[False] = 0, asked
                    if everything:
                        self._carried_out[True] = asked
                else:
                    pause = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE)
                    self._failures, self._failed = self._failures + 1, asked
                    self.wanted = time.monotonic() + (pause if asked == self._asked else 0)
                self._news.notify_all()
