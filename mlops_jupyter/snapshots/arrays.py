"""Which arrays of a namespace look into the same memory, and what is to be stored of it.

A scan shows every array to :class:`Memory`. Byte ranges that overlap are one *region*; what lies in
one region shares memory and has to come back sharing it. A region is stored as

* the array or bytearray that owns all of it, where a variable reaches that (the others become views
  of it);
* a piece of bytes as long as the region, where only views are reachable: of a large array that
  nothing but two small slices keep alive, the slices' range is stored;
* nothing of its own, where one array alone looks into it: then the array is written by value,
  without gaps.

The scan keeps every object alive that it saw, so no address can come to mean something else before
the capture ends.
"""

from __future__ import annotations

import bisect
import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(eq=False)
class Piece:
    """Memory that several arrays look into and that no reachable object owns as a whole."""

    start: int
    end: int

    def bytes(self) -> Array:
        """Give the memory as a read-only array of bytes; nothing is copied."""
        import numpy as np

        # Overlapping ranges lie in one allocation, which the arrays seen keep alive.
        raw = (ctypes.c_char * (self.end - self.start)).from_address(self.start)
        flat: Array = np.frombuffer(memoryview(raw).cast("B"), np.uint8)
        flat.flags.writeable = False
        return flat


@dataclass
class Region:
    """One stretch of memory and who was seen to look into it."""

    start: int
    end: int
    variables: set[int] = field(default_factory=set)
    looks: int = 0
    root: Any = None

    def holds(self, start: int, end: int) -> bool:
        """Tell whether a range lies in it."""
        return self.start <= start and end <= self.end


class Memory:
    """The regions of one namespace."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int, int, Any]] = []
        self._regions: list[Region] = []
        self._starts: list[int] = []

    def see(self, array: Array, variable: int) -> None:
        """Note an array.

        Args:
            array: A plain numpy array without objects in it.
            variable: Which variable it was reached from.
        """
        start, end = bounds(array)
        if start < end:
            owner = array if owns(array) and spread(array) == array.nbytes else None
            self._seen.append((start, end, variable, owner))

    def see_buffer(self, exporter: Any, variable: int) -> None:
        """Note a bytearray (or an ``array.array``), which arrays may have been laid over.

        Args:
            exporter: The object.
            variable: Which variable it was reached from.
        """
        import numpy as np

        if len(exporter):
            start, end = bounds(np.frombuffer(exporter, np.uint8))
            self._seen.append((start, end, variable, exporter))

    def settle(self, join: Callable[[int, int], None]) -> None:
        """Make the regions of all that was seen.

        Args:
            join: Called with two variables that share memory.
        """
        for start, end, variable, owner in sorted(self._seen, key=lambda seen: seen[:3]):
            last = self._regions[-1] if self._regions else None
            if last is None or start >= last.end:
                last = Region(start, end)
                self._regions.append(last)
            last.end = max(last.end, end)
            last.looks += 1
            for other in last.variables:
                join(other, variable)
            last.variables = {variable}
            if owner is not None and (start, end) == (last.start, last.end):
                last.root = owner
        for region in self._regions:
            if region.root is not None and bounds_of(region.root) != (region.start, region.end):
                region.root = None
            if region.root is None and region.looks > 1:
                region.root = Piece(region.start, region.end)
        self._starts = [region.start for region in self._regions]

    def root_of(self, array: Array) -> tuple[Any, int] | None:
        """Tell what an array is a view of.

        Args:
            array: A plain numpy array without objects in it.

        Returns:
            The root of its region (an array, a bytearray or a :class:`Piece`) and the offset in it
            of the array's first element, in bytes; None when the array is to be written by value.
        """
        start, end = bounds(array)
        place = bisect.bisect_right(self._starts, start) - 1
        region = self._regions[place] if place >= 0 else None
        if region is None or start == end or not region.holds(start, end):
            return None
        if region.root is None and array.nbytes > end - start:
            # A broadcast array says the same few bytes over and over.
            region.root = Piece(region.start, region.end)
        if region.root is None or region.root is array:
            return None
        return region.root, address(array) - region.start


def address(array: Array) -> int:
    """Give the address of an array's first element."""
    return int(array.__array_interface__["data"][0])


def bounds(array: Array) -> tuple[int, int]:
    """Give the first address of an array's memory and the one past its last."""
    start = end = address(array)
    if not array.nbytes:
        return start, start
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            start += (length - 1) * stride
        else:
            end += (length - 1) * stride
    return start, end + array.itemsize


def bounds_of(root: Any) -> tuple[int, int]:
    """Give the bounds of an array or of an object that exports its memory."""
    import numpy as np

    return bounds(root if isinstance(root, np.ndarray) else np.frombuffer(root, np.uint8))


def spread(array: Array) -> int:
    """Give how many bytes lie between an array's first and last."""
    start, end = bounds(array)
    return end - start


def owns(array: Array) -> bool:
    """Tell whether an array owns its memory and lies in it without gaps."""
    return array.base is None and bool(array.flags.c_contiguous or array.flags.f_contiguous)


def object_owner(array: Array) -> Array | None:
    """Give the array of objects that another looks into.

    Args:
        array: An array of objects.

    Returns:
        The owner of its memory, if that is a plain array of objects; None for an owner itself and
        for anything else.
    """
    import numpy as np

    owner: Any = array
    # numpy's own as_strided puts an object between a view and its base that is no array.
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    if owner is array or type(owner) is not np.ndarray or owner.dtype != array.dtype:
        return None
    return owner if owns(owner) else None
