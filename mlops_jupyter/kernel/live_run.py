"""What a person sees of a run while it goes on, in the notebook.

One output a run. A second after the run has begun, a thread of its own puts a widget there: the run, how long it takes,
how many cells it has, what waits for the store, and the curves of its liveliest metrics. The points come from memory,
where the queue keeps them as they are accepted. Beside the widget stands a static picture, for a notebook that is saved
in the middle, or whose kernel dies; it is made anew ever more seldom. When the run has ended, the summary takes the
place of both, with curves from the store, and no widget is left. A run that is over within the second is shown as if
there were none of this, and a place without a kernel, as a terminal, shows summaries only.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from mlops_jupyter.display import Block, Shown, show_value
from mlops_jupyter.errors import translate
from mlops_jupyter.kernel.live_output import Panel, Place, import_widgets
from mlops_jupyter.kernel.live_picture import LivePicture, Part
from mlops_jupyter.tracking import context
from mlops_jupyter.tracking.active import ActiveRun

#: How long a run goes on before anything live is shown, and how often that changes, in seconds.
EVERY = 1.0
# Between cells a run is looked at now and then: a thread that a cell has left behind may log.
_IDLE = 5.0
# The static picture is made anew after so long, then after twice as long and so on; after the second at the latest.
_SAVED, _SAVED_AT_MOST = 10.0, 300.0
# Counting the backlog reads what waits: a large one takes its time, and is counted so many times as seldom. Where more
# than so many points have come since the last look, it grows faster than it is counted.
_SELDOM, _TOO_FAST = 50.0, 2000
_logger = logging.getLogger("mlops_jupyter")


def watch(run: ActiveRun, shell: Any, cells: Callable[[], int] = lambda: 1) -> LiveRun | None:
    """Show a run that has just begun, where that can be.

    Args:
        run: The run.
        shell: IPython's shell.
        cells: Tells how many cells the run has by now.

    Returns:
        What shows it; None where outputs can't be replaced.
    """
    try:
        place = Place.here(shell, context.current.cell)
        return LiveRun(run, shell, place, cells) if place is not None else None
    except Exception as problem:  # a run must not fail because it can't be looked at
        log_problem(run, problem)
        return None


class LiveRun:
    """Shows one run while it goes on. An error of the view's own is logged, and ends the view and nothing else.

    Args:
        run: The run.
        shell: IPython's shell.
        place: Where it is shown.
        cells: Tells how many cells the run has by now.
    """

    def __init__(self, run: ActiveRun, shell: Any, place: Place, cells: Callable[[], int]) -> None:
        self.run = run
        self.began = time.perf_counter()
        self.cells = cells
        #: Whether it was ever shown as one that goes on.
        self.is_live = False
        self._shell = shell
        self._place = place
        self._points = run.tracking.queue.watch(run.run_id)
        self._picture = LivePicture(run.name, run.run_id, _now())
        self._body: Sequence[Block] = ()
        self._panel: Panel | None = None
        self._save_at, self._count_at = 0.0, 0.0
        self._saved = "", ""
        self._is_cell_running = True
        self._is_ended = False
        self._pid = os.getpid()
        # Held while anything is shown: what the thread shows must not take the place of the summary.
        self._turn = threading.Lock()
        self._over, self._news = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="mlops-live-run", daemon=True)
        self._thread.start()

    # What happens in the notebook

    def show_first(self, shown: Shown | None = None) -> None:
        """Take the place among the outputs of the cell that runs now: once it has ended, there is none to be had.

        Args:
            shown: What to show; by default the run as it is now, if nothing is shown yet.
        """
        with self._turn:
            if shown is not None or not self._place.is_shown:
                self._look()
                self._place.show(shown or self._picture.saved(_now()))
                self.is_live = shown is None

    def cell_begins(self, parent: Any, cell: str | None) -> None:
        """Note that another cell begins while the run goes on.

        Args:
            parent: The message that asked for it.
            cell: Its id in the notebook, if anyone knows.
        """
        with self._turn:
            self._place.cell_begins(parent, cell)
        self._is_cell_running = True
        self._news.set()

    def cell_ended(self) -> None:
        """Note that a cell has ended, and the run goes on."""
        self._is_cell_running = False

    def stop(self) -> None:
        """Change nothing any more: the run ends."""
        self._over.set()
        self._news.set()

    def end(self, summary: Shown | None = None) -> bool:
        """Show what came of the run in the place of what was live, and take the widget away.

        Args:
            summary: What to show; by default what was seen last.

        Returns:
            Whether it is shown there; else somebody else has to. The second time nothing is.
        """
        if self._is_ended or os.getpid() != self._pid:  # on the screen is what a fork's parent shows
            return False
        self._is_ended = True
        self.stop()
        self._thread.join(5.0)
        try:
            with self._turn:
                self._place.leave()
                if self.is_live and self._place.is_there:
                    self._place.show(summary or self._picture.saved(_now()))
                    return summary is not None
        except Exception as problem:
            log_problem(self.run, problem)
        finally:
            self._close()
        return False

    def liveliest(self) -> list[str]:
        """Give the names of the metrics that were seen, those with the most points first."""
        with self._turn:
            return self._picture.curves.liveliest()

    def pictures(self) -> Sequence[Block]:
        """Give the curves as far as they were seen, for a store that can't be asked."""
        with self._turn:
            self._look()
            return self._picture.curves.pictures()

    # What the thread does

    def _go_on(self) -> None:
        try:
            while not self._over.wait(EVERY) and not self._place.is_cleared:
                if self._panel is None:
                    import_widgets()
                with self._turn:
                    if not self._over.is_set() and not self._place.is_cleared:
                        self._update()
                if not self._is_cell_running:
                    self._news.wait(_IDLE)
                self._news.clear()
        except Exception as problem:
            log_problem(self.run, problem)
        finally:
            if not self._over.is_set():
                self._close()

    def _update(self) -> None:
        if self._look() or self._panel is None:
            self._body = self._picture.curves.blocks()
        head, body = (Part(blocks)._repr_html_() for blocks in (self._picture.head(), self._body))
        if self._panel is None:
            self._panel = Panel(self._shell, head, body)
        self._panel.update(head, body)
        elapsed = time.perf_counter() - self.began
        # While no cell runs, a notebook may be saved at any time, and hardly anything changes.
        if elapsed >= self._save_at if self._is_cell_running else self._saved != (head, body):
            self._save_at = elapsed + min(max(elapsed, _SAVED), _SAVED_AT_MOST)
            self._saved = head, body
            self._place.show(self._picture.saved(_now()), self._panel)
            self.is_live = True

    def _look(self) -> bool:
        """Take what is new into the picture, and tell whether there are new points."""
        picture, points = self._picture, [self._points.popleft() for _ in range(len(self._points))]
        picture.curves.add(points)
        now = time.perf_counter()
        picture.seconds = now - self.began if self._is_cell_running else None
        picture.cells = self.cells()
        queue = self.run.tracking.queue
        picture.is_away = not queue.is_well
        if len(points) > _TOO_FAST:
            picture.waiting = None
        elif now >= self._count_at:
            picture.waiting = queue.backlog().entries
            self._count_at = now + (time.perf_counter() - now) * _SELDOM
        return bool(points)

    def _close(self) -> None:
        panel, self._panel = self._panel, None
        if panel is not None:
            panel.close()


def log_problem(run: ActiveRun, problem: Exception) -> None:
    """Say why a run is not shown."""
    ours = translate(problem)
    _logger.warning("run %s (%s) is not shown live: %s", run.name, run.run_id[:8], ours.message, exc_info=problem)


def _now() -> str:
    return show_value(datetime.now().astimezone())
