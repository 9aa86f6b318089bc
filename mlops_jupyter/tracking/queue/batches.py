"""What goes to the store in one call: entries of one run, merged, none of which overtakes another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_jupyter.tracking.queue.entries import CLOSED, CREATING, METRIC, OPEN, PARAM, STORE, TAG, Entry

#: MLflow's limits for one ``log_batch``.
MOST, MOST_PARAMS, MOST_TAGS = 1000, 100, 100
_VALUES = (METRIC, PARAM, TAG)


class Batch:
    """Entries of one run that go to the store in one call."""

    def __init__(self, run: str, entries: Iterable[Entry] = ()) -> None:
        self.run = run
        self.entries = list(entries)
        #: How often it failed.
        self.failures = 0
        self._named: dict[tuple[str, str], Entry] = {}
        self._counts = dict.fromkeys(_VALUES, 0)

    def takes(self, entry: Entry) -> bool:
        """Tell whether one more fits in; a second value of a param does not, so that the first one holds."""
        if len(self.entries) >= MOST or (entry.kind != METRIC and (entry.kind, entry.values[0]) in self._named):
            return False
        limit = {METRIC: MOST, PARAM: MOST_PARAMS, TAG: MOST_TAGS}[entry.kind]
        return self._counts[entry.kind] < limit

    def drop(self, entries: Sequence[Entry]) -> None:
        """Take entries out that are not to be sent again."""
        self.entries = [entry for entry in self.entries if not any(entry is one for one in entries)]

    def add(self, entry: Entry) -> None:
        """Put one more in."""
        self.entries.append(entry)
        self._counts[entry.kind] += 1
        if entry.kind != METRIC:
            self._named[entry.kind, entry.values[0]] = entry


def batches(entries: Iterable[Entry]) -> list[Batch]:
    """Merge entries into as few calls as MLflow allows; of one run, nothing overtakes anything.

    Args:
        entries: In the order in which they were accepted.
    """
    made: list[Batch] = []
    filling: dict[str, Batch] = {}
    for entry in entries:
        if entry.kind in (STORE, OPEN, CLOSED, CREATING):
            continue
        if entry.kind not in _VALUES:
            filling.pop(entry.run, None)
            made.append(Batch(entry.run, [entry]))
            continue
        batch = filling.get(entry.run)
        if batch is None or not batch.takes(entry):
            batch = filling[entry.run] = Batch(entry.run)
            made.append(batch)
        batch.add(entry)
    return made
