"""Objects, functions and classes of a notebook come back as they were."""

from __future__ import annotations

import collections
import queue
import sys
import threading
import types
from pathlib import Path

import pytest

from mlops_jupyter.errors import MlopsError, NotFoundError
from mlops_jupyter.snapshots import Placeholder, user_variables


def test_one_list_under_two_names_stays_one(back):
    """What two names share is shared after a restore."""
    shared = [1]
    values = back({"a": shared, "b": {"inside": shared}, "c": (shared, 2)})
    assert values["a"] is values["b"]["inside"] is values["c"][0]


def test_equal_lists_stay_two(take):
    """Values that are only equal do not travel together."""
    manifest = take({"a": [1], "b": [1], "c": "text", "d": ("text", 1)}).manifest
    assert len(manifest.components) == 4


def test_tuple_of_a_list_joins_and_tuple_of_numbers_does_not(take):
    """A shared tuple matters only where something inside could change."""
    hard, soft = (1, ("x", 2.5)), (1, [2])
    namespace = {"a": hard, "b": [hard], "c": soft, "d": [soft]}
    groups = [one.variables for one in take(namespace).manifest.components]
    assert groups == [("a",), ("b",), ("c", "d")]


def test_cycle_comes_back_as_a_cycle(back):
    """A list that holds itself, and two objects that hold each other."""
    ring: list[object] = []
    ring.append(ring)
    left, right = types.SimpleNamespace(), types.SimpleNamespace()
    left.other, right.other = right, left
    values = back({"ring": ring, "left": left, "right": right})
    assert values["ring"][0] is values["ring"]
    assert values["left"].other.other is values["left"]
    assert values["right"] is values["left"].other


def test_function_reads_and_writes_the_live_namespace(run, again):
    """A restored function's globals are the namespace that it was restored into."""
    namespace = run("k = 1\ndef bump(by=2):\n    global k\n    k += by\n    return helper(k)\n")
    run("def helper(x): return x * 10", namespace=namespace)
    home = {"__name__": "__main__"}
    again(namespace, into=home)
    assert home["bump"]() == 30
    assert home["k"] == 3
    home["k"] = 5
    assert home["bump"](0) == 50
    assert home["bump"].__globals__ is home


def test_globals_of_a_function_do_not_join_components(run, take):
    """A function does not drag the variables along that it reads."""
    namespace = run("big = [1]\ndef f(): return big\ng = lambda: f()\n")
    groups = [one.variables for one in take(namespace).manifest.components]
    assert groups == [("big",), ("f",), ("g",)]


def test_defaults_and_attributes_of_a_function_join(run, back):
    """A mutable default is shared with the variable that it came from."""
    namespace = run("seen = []\ndef note(x, *, into=seen): into.append(x)\nnote.kept = seen\n")
    values = back(namespace)
    values["note"](4)
    assert values["seen"] == [4]
    assert values["note"].kept is values["seen"]


def test_closures_that_share_a_variable_share_it_again(run, back):
    """Two functions over one counter still count together."""
    namespace = run(
        "def make():\n"
        "    n = 0\n"
        "    def up():\n"
        "        nonlocal n\n"
        "        n += 1\n"
        "    def now(): return n\n"
        "    return up, now\n"
        "up, now = make()\n"
        "up()\n"
    )
    values = back(namespace)
    values["up"]()
    assert values["now"]() == 2


def test_recursive_decorated_and_cached_functions_work(run, back):
    """Recursion in a closure, decorators with state, caches and partials come back working."""
    values = back(
        run(
            "import functools\n"
            "def counted(f):\n"
            "    @functools.wraps(f)\n"
            "    def wrapper(*a):\n"
            "        wrapper.calls += 1\n"
            "        return f(*a)\n"
            "    wrapper.calls = 0\n"
            "    return wrapper\n"
            "@counted\n"
            "def double(x): return 2 * x\n"
            "double(1)\n"
            "def outer():\n"
            "    def fact(n): return 1 if n < 2 else n * fact(n - 1)\n"
            "    return fact\n"
            "fact = outer()\n"
            "@functools.lru_cache(maxsize=7)\n"
            "def slow(x): return x + 1\n"
            "slow(1)\n"
            "part = functools.partial(double, 4)\n"
        )
    )
    assert values["double"](3) == 6
    assert values["double"].calls == 2
    assert values["fact"](5) == 120
    assert values["slow"](2) == 3
    assert values["slow"].cache_parameters()["maxsize"] == 7
    assert values["part"]() == 8
    assert values["part"].func is values["double"]


CLASSES = """
import abc, dataclasses, enum, functools, typing
class Base:
    made = 0
    def __init__(self, x): self.x = x; type(self).made += 1
    @property
    def twice(self): return 2 * self.x
    @classmethod
    def of(cls, x): return cls(x)
    @staticmethod
    def plain(): return 'plain'
    @functools.cached_property
    def cached(self): return self.x + 100
class Child(Base):
    def __init__(self, x):
        super().__init__(x)
class Slots:
    __slots__ = ('a', 'b')
@dataclasses.dataclass
class Point:
    x: int
    y: int = 2
    tags: list = dataclasses.field(default_factory=list)
class Colour(enum.Enum):
    RED = 1
    BLUE = 'b'
    @property
    def low(self): return self.name.lower()
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Square(Shape):
    def area(self): return 4
class Pair(typing.NamedTuple):
    left: int
    right: str = 'r'
class Bag(dict): pass
child = Child(5); slots = Slots(); slots.a = 1; point = Point(1); colour = Colour.RED
square = Square(); pair = Pair(1); bag = Bag(k=1); bag.note = 'n'
"""


def test_classes_of_a_notebook_come_back_working(run, back):
    """Inheritance, slots, dataclasses, enums, abstract classes, named tuples, dicts of a kind."""
    values = back(run(CLASSES))
    assert values["child"].twice == 10
    assert values["child"].cached == 105
    assert values["Child"].of(1).plain() == "plain"
    assert issubclass(values["Child"], values["Base"])
    assert values["Child"].made == 2
    assert values["slots"].a == 1
    assert not hasattr(values["slots"], "b")
    assert values["point"] == values["Point"](1, 2, [])
    assert values["Point"](1).tags is not values["Point"](1).tags
    assert values["colour"] is values["Colour"].RED is values["Colour"](1)
    assert values["colour"].low == "red"
    with pytest.raises(TypeError, match="abstract"):
        values["Shape"]()
    assert values["square"].area() == 4
    assert values["pair"] == (1, "r")
    assert isinstance(values["pair"], values["Pair"])
    assert (values["bag"], values["bag"].note) == ({"k": 1}, "n")


def test_dataclass_can_be_subclassed_after_restore(run, back):
    """The sentinels inside a dataclass are Python's own again."""
    import dataclasses

    point = back(run(CLASSES))["Point"]
    fields = dataclasses.fields(point)
    assert fields[0].default is dataclasses.MISSING
    derived = dataclasses.dataclass(type("Derived", (point,), {"__annotations__": {"z": int}, "z": 1}))
    assert derived(1).z == 1


def test_instances_in_many_variables_have_the_restored_class(run, back):
    """The class variable is the class of every instance, wherever that is."""
    namespace = run(
        "class Node:\n    def __init__(self, v): self.v = v\na = Node(1); b = [Node(2)]; c = {'k': Node(3)}\n"
    )
    values = back(namespace)
    kinds = {type(values["a"]), type(values["b"][0]), type(values["c"]["k"]), values["Node"]}
    assert len(kinds) == 1
    assert kinds != {namespace["Node"]} or values["Node"] is namespace["Node"]


def test_components_that_were_split_still_get_one_class(run, again):
    """One class serves all, even where a variable that can't be written split its component."""
    namespace = run(
        "class Node: pass\n"
        "class Bad(Node):\n    def __reduce__(self): raise ValueError('no')\n"
        "a = Node(); bad = Bad(); b = Node()\n"
    )
    loaded = again(namespace)
    assert type(loaded.values["a"]) is type(loaded.values["b"]) is loaded.values["Node"]
    assert [lack.name for lack in loaded.missing] == ["bad"]
    assert "no" in loaded.missing[0].reason


def test_variables_that_go_only_one_by_one_are_kept_and_told(run, again, monkeypatch):
    """Where a component can't be written as one, each variable is, with one class for all."""
    from mlops_jupyter.snapshots import capture

    encode = capture._Capture.encode

    def one_by_one(self, names):
        if len(names) > 1:
            raise RuntimeError("not together")
        return encode(self, names)

    monkeypatch.setattr(capture._Capture, "encode", one_by_one)
    namespace = run("class Node:\n    items = []\na = Node(); b = Node(); c = 1\n")
    loaded = again(namespace)
    assert type(loaded.values["a"]) is type(loaded.values["b"]) is loaded.values["Node"]
    assert loaded.values["a"].items is loaded.values["Node"].items
    told = {lack.name: lack.reason for lack in loaded.missing}
    assert told.keys() == {"Node", "a", "b"}
    assert all("shares" in reason for reason in told.values())


def test_functions_of_a_copied_namespace_are_bound_to_the_live_one(run, take, room):
    """A caller may hand over the user's variables alone."""
    taken = take(user_variables(run("k = 1\ndef f(): return k\n")))
    home = {"k": 7}
    assert room.load(taken.snapshot, only=["f"], namespace=home).values["f"]() == 7


def test_unchanged_class_of_the_same_kernel_is_used_again(run, again):
    """Objects made since the snapshot stay instances of the class."""
    namespace = run("class Node:\n    def hi(self): return 1\nnode = Node()\n")
    loaded = again(namespace, only=["node"])
    assert type(loaded.values["node"]) is namespace["Node"]


def test_changed_class_of_the_same_kernel_comes_back_as_it_was(run, take, room):
    """A class attribute changed since is restored, and the live class is left alone."""
    namespace = run("class Node:\n    limit = 1\n    def hi(self): return 1\nnode = Node()\n")
    taken = take(namespace)
    namespace["Node"].limit = 2
    loaded = room.load(taken.snapshot, namespace={})
    assert loaded.values["Node"].limit == 1
    assert namespace["Node"].limit == 2
    assert type(loaded.values["node"]) is loaded.values["Node"]


def test_list_of_a_class_is_shared_with_its_variable(run, back):
    """A mutable class attribute is the object that a variable names."""
    values = back(run("shared = []\nclass Node:\n    items = shared\nnode = Node()\n"))
    assert values["Node"].items is values["shared"] is values["node"].items


def test_generators_and_locks_are_missing_by_name_and_others_survive(again, take):
    """What nobody can keep is named at both times; all else comes back."""
    namespace = {
        "generator": (i for i in range(3)),
        "lock": threading.Lock(),
        "thread": threading.Thread(target=print),
        "number": 3,
        "items": [1, 2],
    }
    taken = take(namespace)
    listed = {row["name"]: row for row in taken.to_json()["missing"]}
    assert set(listed) == {"generator", "lock", "thread"}
    assert listed["generator"]["type"] == "generator"
    assert listed["lock"]["reason"]
    loaded = again(namespace)
    assert {"number": 3, "items": [1, 2]}.items() <= loaded.values.items()
    assert {lack.name for lack in loaded.missing} == set(listed)
    assert "lock" not in loaded.values


def test_part_that_cannot_be_kept_becomes_a_loud_placeholder(again):
    """The object around a lock comes back; touching the lock's place says what stood there."""
    shared = [1]
    namespace = {"box": {"lock": threading.Lock(), "data": shared}, "shared": shared}
    loaded = again(namespace)
    assert loaded.values["box"]["data"] is loaded.values["shared"]
    held = loaded.values["box"]["lock"]
    assert "lock" in repr(held)
    for touch in (
        lambda: held.acquire(),
        lambda: held.__enter__(),
        lambda: bool(held),
        lambda: held(),
    ):
        with pytest.raises(NotFoundError, match="lock"):
            touch()
    (lack,) = loaded.missing
    assert (lack.name, lack.type) == ("box", "_thread.lock")
    assert "placeholder" in lack.reason


def test_queue_comes_back_around_its_locks(again):
    """Methods of what could not be kept are placeholders as well, and cost nothing more."""
    waiting = queue.Queue()
    waiting.put("work")
    loaded = again({"waiting": waiting, "append": [].append})
    assert list(loaded.values["waiting"].queue) == ["work"]
    assert loaded.values["append"](1) is None
    assert {lack.name for lack in loaded.missing} == {"waiting"}
    with pytest.raises(NotFoundError, match="lock"):
        loaded.values["waiting"].get()


def test_generator_in_two_places_is_missing_in_one_and_marked_in_the_other(again):
    """The name is missing; the list that holds the generator too has a placeholder for it."""
    generator = (i for i in range(3))
    loaded = again({"generator": generator, "box": [generator, 1], "n": 1})
    assert isinstance(loaded.values["box"][0], Placeholder)
    assert loaded.values.keys() == {"box", "n"}
    assert {lack.name for lack in loaded.missing} == {"generator", "box"}


def test_placeholder_is_named_again_by_a_later_snapshot(again, room):
    """A second snapshot does not forget what the first one lost."""
    first = again({"box": [threading.Lock()]})
    second = again(dict(first.values))
    assert [lack.type for lack in second.missing] == ["_thread.lock"]
    assert isinstance(second.values["box"][0], Placeholder)


def test_placeholder_is_told_for_the_variable_that_holds_it(again):
    """Of variables that travel together, the one with the lock is named."""
    shared = []
    loaded = again({"plain": [shared], "locked": [shared, threading.Lock()]})
    assert [lack.name for lack in loaded.missing] == ["locked"]


def test_object_that_raises_costs_only_itself(run, again):
    """The variables that it shares memory with survive, still sharing."""
    namespace = run(
        "class Bad:\n"
        "    def __init__(self, held): self.held = held\n"
        "    def __getstate__(self): raise RuntimeError('not me')\n"
        "shared = [1]\nbad = Bad(shared)\nother = {'s': shared}\n"
    )
    loaded = again(namespace)
    assert loaded.values["shared"] is loaded.values["other"]["s"]
    assert [(lack.name, lack.type) for lack in loaded.missing] == [("bad", "__main__.Bad")]
    assert "not me" in loaded.missing[0].reason


def test_chain_too_deep_costs_only_itself(again):
    """A list nested beyond the stack is named; the rest is kept."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    shared = [1]
    loaded = again({"deep": [shared, deep], "fine": 1, "shared": shared, "other": [shared]})
    assert loaded.values == {"fine": 1, "shared": [1], "other": [[1]]}
    assert loaded.values["other"][0] is loaded.values["shared"]
    assert [lack.name for lack in loaded.missing] == ["deep"]
    while deep:  # unwound by hand: freeing it at once could overflow the stack as well
        deep = deep.pop()


HOSTILE = """
class Meta(type):
    def __getattribute__(cls, name):
        if name in ('__module__', '__qualname__', '__name__'): raise RuntimeError(name)
        return super().__getattribute__(name)
class Hostile:
    def __repr__(self): raise RuntimeError('repr')
    def __len__(self): raise RuntimeError('len')
    def __eq__(self, other): raise RuntimeError('eq')
    __hash__ = None
    @property
    def __class__(self): raise RuntimeError('class')
    def __getattr__(self, name): raise RuntimeError(name)
class Masked(metaclass=Meta): pass
hostile = Hostile()
masked = Masked()
class Message(Exception):
    def __str__(self): raise RuntimeError('str')
class Raising:
    def __reduce_ex__(self, protocol): raise Message()
raising = Raising()
kept = 1
"""


def test_hostile_objects_do_not_cost_the_snapshot(run, again):
    """Objects whose every method raises are kept or named, and the rest is there."""
    namespace = run(HOSTILE)
    loaded = again(namespace)
    assert loaded.values["kept"] == 1
    lost = {lack.name for lack in loaded.missing}
    assert "raising" in lost
    assert set(user_variables(namespace)) == lost | set(loaded.values)


def test_open_file_is_opened_where_it_stood(back, tmp_path: Path):
    """A file being read goes on at its place."""
    file = tmp_path / "lines.txt"
    file.write_text("one\ntwo\nthree\n")
    with file.open() as handle:
        assert handle.readline() == "one\n"
        values = back({"handle": handle})
    with values["handle"] as found:
        assert found.readline() == "two\n"
        assert found.mode == "r"


def test_file_being_written_is_never_cut(back, tmp_path: Path):
    """Restoring a handle opened with "w" keeps what is in the file and writes on at its place."""
    file = tmp_path / "out.txt"
    with file.open("w") as handle:
        handle.write("hello")
        values = back({"handle": handle})
        assert file.read_text() == "hello"
    with values["handle"] as found:
        assert found.mode == "w"
        found.write(" there")
    assert file.read_text() == "hello there"


def test_bytes_that_wait_in_a_handle_are_in_the_file(back, tmp_path: Path):
    """What was written before the snapshot is on disk with it."""
    file = tmp_path / "out.bin"
    with file.open("wb") as handle:
        handle.write(b"waiting")
        values = back({"handle": handle})
        assert file.read_bytes() == b"waiting"
    with values["handle"] as found:
        assert found.tell() == 7


def test_file_that_is_gone_is_named_and_not_created(again, tmp_path: Path):
    """A handle whose file was deleted is missing with the reason."""
    file = tmp_path / "out.bin"
    with file.open("wb") as handle:
        handle.write(b"x")
        file.unlink()
        loaded = again({"handle": handle, "n": 1})
    assert loaded.values == {"n": 1}
    assert loaded.missing[0].name == "handle"
    assert "FileNotFoundError" in loaded.missing[0].reason
    assert not file.exists()


def test_closed_file_comes_back_closed(back, tmp_path: Path):
    """The handle that a with statement leaves behind is kept, and its file not touched."""
    file = tmp_path / "x.txt"
    with file.open("w") as handle:
        handle.write("text")
    file.unlink()
    found = back({"handle": handle})["handle"]
    assert found.closed
    assert found.name == str(file)
    assert not file.exists()


def test_standard_streams_are_the_present_ones(back):
    """A handle on stdout means the stdout of the process that restores."""
    assert back({"out": [sys.stdout]})["out"][0] is sys.stdout


def test_modules_are_imported_again_and_absent_ones_named(again, take, room):
    """Modules are kept by name, submodules included."""
    import xml as package
    import xml.etree.ElementTree

    ghost = types.ModuleType("no_such_module_anywhere")
    sys.modules[ghost.__name__] = ghost
    try:
        taken = take({"package": package, "tree": xml.etree.ElementTree, "ghost": ghost})
    finally:
        del sys.modules[ghost.__name__]
    loaded = room.load(taken.snapshot, namespace={})
    assert loaded.values == {"package": package, "tree": xml.etree.ElementTree}
    assert [lack.name for lack in loaded.missing] == ["ghost"]
    by_name = {one.name: one for one in taken.manifest.variables}
    assert "xml.etree.ElementTree" in by_name["package"].submodules


def test_standard_containers_come_back(back):
    """Deques, defaultdicts with a notebook's factory, ordered dicts, counters, sets, weak refs."""
    import weakref

    target = collections.Counter("x")
    namespace = {
        "deque": collections.deque([1, 2], maxlen=3),
        "counter": collections.Counter("aab"),
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, k=[1]),
        "target": target,
        "weak": weakref.ref(target),
        "dead": weakref.ref(collections.Counter()),
        "huge": 10**5000,
        "view": memoryview(b"ab").tobytes(),
    }
    values = back(namespace)
    assert values["deque"].maxlen == 3
    assert list(values["ordered"]) == ["b", "a"]
    assert values["default"]["new"] == []
    assert values["weak"]() is values["target"]
    assert values["dead"]() is None
    assert values["huge"] == 10**5000


def test_library_models_come_back(back):
    """A fitted model predicts the same, and a figure keeps its axes."""
    import matplotlib
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    matplotlib.use("Agg")
    from matplotlib import pyplot

    features = np.random.default_rng(0).random((50, 3))
    model = RandomForestClassifier(5, random_state=0).fit(features, features[:, 0] > 0.5)
    figure, axes = pyplot.subplots()
    axes.set_title("loss")
    try:
        values = back({"model": model, "figure": figure, "axes": axes})
        assert (values["model"].predict(features) == model.predict(features)).all()
        assert values["figure"].axes[0] is values["axes"]
        assert values["axes"].get_title() == "loss"
    finally:
        pyplot.close("all")


def test_placeholder_error_is_one_of_ours():
    """Touching a placeholder gives the two lines of every error."""
    with pytest.raises(MlopsError) as caught:
        next(Placeholder("generator", "it was running"))
    assert caught.value.hint


def test_user_variables_are_those_that_cells_made():
    """IPython's own names, hidden names and names no cell could say are left out."""
    from IPython.core.interactiveshell import _modified_open

    namespace = {
        "x": 1, "_hidden": 2, "In": [], "Out": {}, "exit": 1, "quit": 1, "get_ipython": 1,
        "open": _modified_open, "not a name": 3, 4: 5, "__name__": "__main__",
    }  # fmt: skip
    assert user_variables(namespace) == {"x": 1}
    assert user_variables({"open": "mine"}) == {"open": "mine"}
