"""Snapshots: the state of a notebook, kept whole, to be looked at, compared and brought back.

Words of this room:

snapshot
    What a notebook was at one moment: its variables, the cells that had run, its document, its
    environment.
component
    Variables that share mutable memory (an array and its view, a frame over an array, one list
    under two names). They are written in one stream and come back together, sharing what they
    shared.
stream, buffer
    A component's objects as a pickle, and the large pieces of memory that stand beside it. Both are
    objects of the store, named by their content: what two snapshots have in common is stored once.
home
    The dict that is the globals of the notebook's functions. It is never written: functions that
    come back are bound to the live one, so that their ``global`` reads and writes work.
placeholder
    What stands where an object inside another could not be kept. Touching it says so.
missing
    What could not be kept, or could not be brought back, by name, with the reason; told at both
    times.
manifest
    The versioned JSON document that describes a snapshot; listing, showing and comparing read
    nothing else. It is signed under its user's secret, for unpickling runs code.

The room's door is :class:`~mlops_jupyter.snapshots.room.Snapshots`. Nothing heavy is imported
before a snapshot is taken or loaded.
"""

from __future__ import annotations

from mlops_jupyter.snapshots.manifest import Manifest, Missing, Variable
from mlops_jupyter.snapshots.placeholder import Placeholder
from mlops_jupyter.snapshots.restore import Loaded
from mlops_jupyter.snapshots.results import SnapshotDetails, SnapshotTaken
from mlops_jupyter.snapshots.room import Snapshots
from mlops_jupyter.snapshots.variables import user_variables

__all__ = [
    "Loaded",
    "Manifest",
    "Missing",
    "Placeholder",
    "SnapshotDetails",
    "SnapshotTaken",
    "Snapshots",
    "Variable",
    "user_variables",
]
