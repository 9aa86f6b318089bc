"""The runs of a session that have ended, and whether running the notebook would still do what they did.

A run is compared with the notebook when it ends, and again whenever the notebook is found to have changed, as long as
the session lasts: the reasons why it will not reproduce come and go with what is edited.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mlops_jupyter.journal import Journal
from mlops_jupyter.tracking import context, lineage
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.lineage import Document
from mlops_jupyter.tracking.marks import Marker
from mlops_jupyter.tracking.records import MARKS
from mlops_jupyter.tracking.uses import Basis, Writers

_logger = logging.getLogger("mlops_jupyter")
_MOST_RUNS = 50
# A notebook full of pictures takes long to read, in seconds: then no more than a part of the time goes into that.
_LONG, _PART_OF_TIME = 0.1, 20


@dataclass
class _Marked:
    """A run that has ended, what it rests on, and what was told of it: the kinds of its marks, and all of them."""

    run: ActiveRun
    basis: Basis
    kinds: str = ""
    told: str = ""


class MarkedRuns:
    """Marks the runs of a session, and marks them again.

    Args:
        journal: The session's cells.
        notebook: Tells the notebook's file, if anyone knows.
    """

    def __init__(self, journal: Journal, notebook: Callable[[], Path | None]) -> None:
        self._journal = journal
        self._notebook = notebook
        self._writers = Writers(journal.since)
        self._runs: deque[_Marked] = deque(maxlen=_MOST_RUNS)
        self._document: Document | None = None
        self._marker: Marker | None = None
        self._saved = _SavedNotebook(journal)
        self._has_failed = False

    def bring(self, names: Iterable[str]) -> None:
        """Note that names were written by no cell, as a restored snapshot's are."""
        self._writers.bring(names, len(self._journal))

    def ended(self, run: ActiveRun, begun: int, ended: int) -> None:
        """Mark a run, and remember it.

        Args:
            run: The run.
            begun: Where in the journal its cells begin.
            ended: Where they end.

        Raises:
            StoreError: The disk is full, or the workspace can't be written.
        """
        marked: _Marked | None = None
        kinds, told = "", lineage.told([], None)
        try:
            self._saved.path = self._notebook()
            marked = _Marked(run, self._writers.basis(begun, ended))
            self._compare_with(context.current.document or self._saved.read(at_once=True))
            kinds, told = self._marks_of(marked)
        except Exception as problem:  # the cell has ended well, whatever is wrong with its marks
            self._note(problem)
        _write(run, kinds if kinds else None, told)
        if marked is not None:
            marked.kinds, marked.told = kinds, told
            self._runs.append(marked)

    def look_again(self) -> None:
        """Compare the runs again if the notebook has changed; raises nothing, and waits for nobody."""
        if not self._runs:
            return
        try:
            self._compare_with(context.current.document or self._saved.read())
        except Exception as problem:
            self._note(problem)

    def _compare_with(self, document: Document | None) -> None:
        """Compare the runs with a notebook, unless it is the one that they were compared with."""
        if document is None or document is self._document:
            return
        self._document, self._marker = document, Marker(document)
        for marked in self._runs:
            kinds, told = self._marks_of(marked)
            if told != marked.told:
                _write(marked.run, kinds if kinds != marked.kinds else None, told)
                marked.kinds, marked.told = kinds, told

    def _marks_of(self, marked: _Marked) -> tuple[str, str]:
        found = self._marker.marks(marked.basis) if self._marker is not None else []
        return lineage.kinds(found), lineage.told(found, self._document)

    def _note(self, problem: Exception) -> None:
        self._document = None  # compared again when the next cell begins
        level = logging.DEBUG if self._has_failed else logging.WARNING
        self._has_failed = True
        _logger.log(level, "runs could not be compared with the notebook: %s", problem, exc_info=problem)


class _SavedNotebook:
    """The notebook as it was saved last, with what was executed since.

    Args:
        journal: The session's cells.
    """

    def __init__(self, journal: Journal) -> None:
        self.path: Path | None = None
        self._journal = journal
        self._found: Document | None = None
        self._stamp: tuple[object, ...] | None = None
        self._executed = 0
        self._not_before = 0.0

    def read(self, *, at_once: bool = False) -> Document | None:
        """Give the notebook; the same object as long as there is no news.

        Args:
            at_once: Read it even if that took long, a moment ago.

        Returns:
            The notebook; None where there is none yet.
        """
        self._load(at_once)
        if self._found is not None and self._executed < len(self._journal):
            self._found = lineage.executed_since(self._found, self._journal.since(self._executed))
            self._executed = len(self._journal)
        return self._found

    def _load(self, at_once: bool) -> None:
        began = time.monotonic()
        stamp = _stamp(self.path)
        if stamp is None or stamp == self._stamp or (began < self._not_before and not at_once):
            return
        found = lineage.saved_document(self.path)
        now = time.monotonic()
        if now - began > _LONG:
            self._not_before = now + _PART_OF_TIME * (now - began)
        if found is not None:  # else somebody is writing it
            self._found, self._stamp, self._executed = found, stamp, 0


def _stamp(path: Path | None) -> tuple[object, ...] | None:
    try:
        said = path.stat() if path is not None else None
    except OSError:
        return None
    return (path, said.st_mtime_ns, said.st_size, said.st_ino) if said is not None else None


def _write(run: ActiveRun, kinds: str | None, told: str) -> None:
    """Tell the store what is to be told of a run; the tag only where it changes."""
    run.tracking.queue.text(run.run_id, lineage.LINEAGE, told)
    if kinds is not None:
        run.tracking.queue.tag(run.run_id, MARKS, kinds)
