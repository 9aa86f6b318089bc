"""Of any graph of containers and arrays, what comes back is what was captured, sharing too."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_jupyter.snapshots import Snapshots
from mlops_jupyter.store import MemoryFolder, ObjectStore

KINDS = ["list", "dict", "tuple", "set", "array", "view", "objects", "bytearray", "leaf"]
step = st.tuples(
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 50), max_size=4),
    st.tuples(st.integers(-3, 5), st.integers(-3, 9), st.sampled_from([-2, -1, 1, 2])),
)
programs = st.lists(step, min_size=1, max_size=25)


def build(program: list[Any], edits: list[tuple[int, int]]) -> dict[str, Any]:
    """Make a namespace: each step makes a value from earlier ones; edits close cycles."""
    values: list[Any] = [0]
    for number, (kind, sources, cut) in enumerate(program):
        picked = [values[source % len(values)] for source in sources]
        values.append(make(kind, picked, cut, number))
    containers = [value for value in values if type(value) is list]
    for where, what in edits if containers else ():
        containers[where % len(containers)].append(values[what % len(values)])
    return {f"v{number}": value for number, value in enumerate(values)}


def make(kind: str, picked: list[Any], cut: tuple[int, int, int], number: int) -> Any:
    """Make one value."""
    if kind == "list":
        return list(picked)
    if kind == "dict":
        return dict(enumerate(picked))
    if kind == "tuple":
        return tuple(picked)
    if kind == "set":
        return {item for item in picked if type(item) in (int, str)}
    if kind == "array":
        return np.arange(number, number + 12.0).reshape(3, 4) * 1.0
    if kind == "bytearray":
        return bytearray(range(number % 7 + 8))
    if kind == "objects":
        made = np.empty(len(picked), dtype=object)
        for place, item in enumerate(picked):
            made[place] = item
        return made
    if kind == "view":
        for item in picked:
            if type(item) is np.ndarray and item.ndim:
                return item[slice(*cut)]
            if type(item) is bytearray:
                return np.frombuffer(item, np.uint8)[slice(*cut)]
    return f"leaf {number}"


def shape_of(namespace: dict[str, Any]) -> Any:
    """Say all that can be told of a namespace: contents, which objects are one, which memory is."""
    numbers: dict[int, int] = {}
    arrays: list[np.ndarray] = []
    kept: list[Any] = []

    def told(value: Any) -> Any:
        if type(value) in (int, str):
            return value
        if id(value) in numbers:
            return ("again", numbers[id(value)])
        if type(value) is tuple:
            return ("tuple", [told(item) for item in value])
        numbers[id(value)] = len(numbers)
        kept.append(value)
        if type(value) is np.ndarray:
            arrays.append(value)
            head = (value.dtype.str, value.shape, value.flags.writeable)
            if value.dtype == object:
                return (head, [told(item) for item in value])
            return (head, value.tolist())
        if type(value) is bytearray:
            arrays.append(np.frombuffer(value, np.uint8))
            return ("bytearray", bytes(value))
        if type(value) is dict:
            return ("dict", [(key, told(item)) for key, item in value.items()])
        return (
            type(value).__name__,
            [told(item) for item in (sorted(value, key=str) if type(value) is set else value)],
        )

    seen = {name: told(value) for name, value in namespace.items()}
    sharing = [[bool(np.shares_memory(one, other)) for other in arrays[:place]] for place, one in enumerate(arrays)]
    return seen, sharing


def write(namespace: dict[str, Any]) -> None:
    """Write through every array and list, so that sharing shows in what the others hold."""
    for number, value in enumerate(namespace.values()):
        if type(value) is np.ndarray and value.size and value.flags.writeable:
            value.flat[0] = number if value.dtype == object else number % 200
        elif type(value) is list:
            value.append(number)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(programs, st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=5))
def test_restore_of_capture_is_the_namespace(program, edits):
    """Contents, identity and shared memory are equal, and stay equal under the same writes."""
    namespace = build(program, edits)
    room = Snapshots(ObjectStore(MemoryFolder()), lambda: None, pathlib.Path())
    taken = room.take(namespace, environment={}, git={})
    loaded = room.load(taken.snapshot, namespace={})
    assert loaded.missing == ()
    assert shape_of(loaded.values) == shape_of(namespace)
    write(namespace)
    write(loaded.values)
    assert shape_of(loaded.values) == shape_of(namespace)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(programs, st.integers(0, 25))
def test_each_variable_alone_is_what_it_is_in_company(program, which):
    """Loading one name gives the value that loading all gives."""
    namespace = build(program, [])
    name = f"v{which % len(namespace)}"
    room = Snapshots(ObjectStore(MemoryFolder()), lambda: None, pathlib.Path())
    taken = room.take(namespace, environment={}, git={})
    loaded = room.load(taken.snapshot, only=[name], namespace={})
    assert list(loaded.values) == [name]
    assert shape_of(loaded.values) == shape_of({name: namespace[name]})


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text())
def test_any_reference_finds_a_snapshot_or_is_refused(ref, name):
    """No text makes finding or naming raise anything but the errors of this package."""
    from mlops_jupyter.errors import MlopsError

    room = Snapshots(ObjectStore(MemoryFolder()), lambda: None, pathlib.Path())
    try:
        room.take({}, name=name, environment={}, git={})
    except MlopsError:
        room.take({}, environment={}, git={})
    else:
        assert room.resolve(name.strip()).name == name.strip()
    with contextlib.suppress(MlopsError):
        assert room.resolve(ref).id
