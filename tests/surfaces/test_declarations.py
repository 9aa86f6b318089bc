"""Every command, in every door, as its declaration has it: nothing here lists verbs by hand."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from driving import Notebook, Server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prepared import Prepared

from mlops_jupyter import cli
from mlops_jupyter.arguments import find, parse_body, parse_words
from mlops_jupyter.commands import Command, Parameter, metavar
from mlops_jupyter.errors import UsageError
from mlops_jupyter.kernel.desk import COMMANDS as KERNEL
from mlops_jupyter.server.handlers import COMMANDS as SERVED
from mlops_jupyter.server.handlers import ROUTES
from mlops_jupyter.session import SESSION_COMMANDS, Handbook

EVERY = {**KERNEL, **cli.COMMANDS}
# Commands that have a shape of their own or never end: they have tests of their own.
_OWN_TESTS = {"demo", "serve"}
SHARED = [verb for verb, command in cli.COMMANDS.items() if command.needs == "workspace" and verb not in _OWN_TESTS]


def of(commands: Mapping[str, Command]) -> Any:
    return pytest.mark.parametrize("command", commands.values(), ids=list(commands))


# ---------------------------------------------------------------------------------------------------------------------
# Declarations and help


@of(EVERY)
def test_command_says_what_it_does_and_what_each_argument_is(command: Command):
    """A command has a one-line summary, and a description of each of its arguments."""
    assert re.fullmatch(r"[A-Z].*\.", command.summary), command.summary
    silent = [parameter.name for parameter in command.parameters if not parameter.help]
    assert not silent, f"{command.verb}: no help for {silent}"


def example_words(command: Command) -> list[list[str]]:
    """Give the words after `mlops` of each line of an example; the body of a cell magic and comments are no words."""
    lines: list[list[str]] = []
    for line in command.example.splitlines():
        match = re.match(r"(%{0,2})mlops\s+(.*)", line)
        if match:
            lines.append(shlex.split(match[2], comments=True))
            if match[1] == "%%":
                break
    return lines


@of(EVERY)
def test_example_parses(command: Command):
    """An example can be copied: its words find this command, and every argument is accepted."""
    lines = example_words(command)
    assert lines, f"{command.verb} has no example"
    called = []
    for words in lines:
        found, rest = find(EVERY, words)
        parse_words(found, rest)
        called.append(found.verb)
    assert command.verb in called


@pytest.mark.parametrize(
    ("commands", "prefix"),
    [(KERNEL, "%mlops"), (cli.COMMANDS, "mlops"), (SERVED, "mlops")],
    ids=["magic", "shell", "rest"],
)
def test_help_of_a_door_tells_every_command_and_argument(commands, prefix):
    """The overview of a door has every verb of it, and a verb's own help has usage, arguments and example."""
    book = Handbook(commands, prefix)
    overview = book.help().text
    for verb, command in commands.items():
        assert re.search(rf"^\s+{re.escape(verb)}\s+{re.escape(command.summary)}$", overview, re.M), verb
        told = book.help([verb])
        assert told.verbs == (verb,)
        assert told.text.startswith(f"{prefix} {verb}")
        for parameter in command.parameters:
            label = parameter.flags[-1] if parameter.flags else metavar(parameter)
            assert label in told.text
            assert parameter.help in told.text
        assert "Example:" in told.text


def test_workspace_commands_are_in_all_doors_and_session_commands_in_the_notebook_alone():
    """What needs no live namespace is in every door; what needs it is a magic only, `help` everywhere."""
    for verb, command in EVERY.items():
        assert verb in KERNEL
        assert (verb in cli.COMMANDS) == (command.needs == "workspace")
        local = command.needs == "session" or command.doors == "local"
        assert (command.route is None) == local
        assert local or ROUTES[command.route] is SERVED[verb]
    assert set(SESSION_COMMANDS) | {"run"} <= set(KERNEL)


# ---------------------------------------------------------------------------------------------------------------------
# Words and JSON mean the same

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
_WORD = st.from_regex(r"[A-Za-z0-9_./@ ü=*-]{1,12}", fullmatch=True)
_KEY = st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True)


def values_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Give JSON values that a parameter accepts."""
    if parameter.choices:
        return st.sampled_from(parameter.choices)
    one = _WORD.filter(lambda word: not word.startswith("-")) if parameter.positional else _TEXT
    items = _TEXT if parameter.literal_values else _TEXT | st.integers() | st.booleans()
    kinds: dict[type, st.SearchStrategy[Any]] = {
        str: one,
        int: st.integers(-(10**17), 10**17) if not parameter.positional else st.integers(0, 10**17),
        float: st.floats(allow_nan=False, min_value=0 if parameter.positional else None),
        bool: st.just(True),
        Path: _WORD.filter(lambda word: not word.startswith("-")),
        list: st.lists(one, min_size=1, max_size=3),
        dict: st.dictionaries(_KEY, items, min_size=1, max_size=3),
    }
    return kinds[parameter.kind]


def words_of(parameter: Parameter, value: Any) -> list[str]:
    """Spell a value as a shell's words."""
    items = value if isinstance(value, list) else [value]
    if isinstance(value, dict):
        items = [f"{key}={item}" for key, item in value.items()]
    if parameter.positional:
        return [str(item) for item in items]
    if parameter.kind is bool:
        return [parameter.flags[-1]]
    return [f"{parameter.flags[-1]}={item}" for item in items]


@of({verb: command for verb, command in EVERY.items() if command.parameters})
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_words_and_json_give_equal_arguments(command: Command, data: st.DataObject):
    """The same values give the same arguments, whether they come as a shell's words or in a JSON body."""
    given_values = {
        parameter.name: data.draw(values_of(parameter), parameter.name)
        for parameter in command.parameters
        if parameter.required or data.draw(st.booleans())
    }
    words = [
        word
        for parameter in command.parameters
        if parameter.name in given_values
        for word in words_of(parameter, given_values[parameter.name])
    ]
    base = Path("/base")
    from_words = parse_words(command, words, base)
    assert from_words == parse_body(command, given_values, base)
    assert set(from_words) == set(given_values)


#: Kind → JSON values that are not of it.
_NOT_OF_KIND: dict[type, list[Any]] = {
    str: [True, [], {}, ["text"], "a\x00b"],
    int: ["many", "1.5", 1.5, True, [1], {}, ""],
    float: ["many", True, [1.5], {}],
    bool: ["yes", "", 1, 0, [], {}],
    Path: [True, [], {}, "", "a\x00b"],
    list: [True, {}, [True], [[]], [None], ["a\x00b"]],
    dict: ["no equals sign", "=value", 1, True, ["word"], [1]],
}


@of({verb: command for verb, command in EVERY.items() if command.parameters})
def test_a_value_of_another_type_is_refused(command: Command):
    """A value that is not of a parameter's type is refused by name, with the usage as the hint; nothing is guessed."""
    for parameter in command.parameters:
        fitting = {p.name: "1" for p in command.parameters if p.required and not p.choices}
        fitting |= {p.name: p.choices[0] for p in command.parameters if p.required and p.choices}
        for value in [*_NOT_OF_KIND[parameter.kind], *(["no choice"] if parameter.choices else [])]:
            with pytest.raises(UsageError) as refused:
                parse_body(command, fitting | {parameter.name: value})
            label = parameter.flags[-1] if parameter.flags else metavar(parameter)
            assert label in refused.value.message, value
            assert refused.value.hint == f"usage: {command.usage()}"


@of({verb: command for verb, command in EVERY.items() if any(p.required for p in command.parameters)})
def test_missing_argument_is_refused_alike(command: Command):
    """Without a required argument neither words nor a body are accepted, and the usage is told."""
    for parse, nothing in ((parse_words, []), (parse_body, {})):
        with pytest.raises(UsageError) as refused:
            parse(command, nothing)  # type: ignore[operator]
        assert refused.value.hint == f"usage: {command.usage()}"


@of(EVERY)
def test_unknown_argument_is_refused_alike(command: Command):
    """An argument that a command does not have is refused in both forms."""
    with pytest.raises(UsageError):
        parse_words(command, ["--no-such-option=1"])
    with pytest.raises(UsageError):
        parse_body(command, {"no_such_option": 1})


# ---------------------------------------------------------------------------------------------------------------------
# Every command through every door

#: What a parameter names → what stands for it in the prepared workspace. Keyed by ``Completes``, else by its name.
SAMPLES: dict[str, Callable[[Prepared, str], Any]] = {
    "run": lambda made, verb: "tuned",
    "runs": lambda made, verb: ["base", "tuned"],
    "dir": lambda made, verb: "exports",
    "snapshot": lambda made, verb: "first",
    "snapshots": lambda made, verb: ["first"],
    "model": lambda made, verb: "churn/2",
    "models": lambda made, verb: ["churn/2"],
    "alias": lambda made, verb: "champion",
    "verb": lambda made, verb: "promote",
    "name": lambda made, verb: "churn",
    "id": lambda made, verb: made.requests[verb == "reject"],
    "message": lambda made, verb: "because",
    "pipeline": lambda made, verb: "pipeline.yaml",
    "file": lambda made, verb: "data.csv" if verb.startswith("data") else "pipeline.yaml",
    "step": lambda made, verb: "train",
    "reference": lambda made, verb: "data.csv",
    "current": lambda made, verb: "data.csv",
    "schema": lambda made, verb: "schema.json",
    "input": lambda made, verb: "data.csv",
    "output": lambda made, verb: "scored.csv",
    "url": lambda made, verb: "shared",
    "a": lambda made, verb: "first" if verb == "diff" else "data.csv",
    "b": lambda made, verb: "first" if verb == "diff" else "data.csv",
}
# Where the only sensible value for all doors is one of the choices.
_CHOSEN = {"pipeline export": "github-actions"}


def sample(command: Command, parameter: Parameter, made: Prepared) -> Any:
    """Give the value that stands for a parameter."""
    if parameter.choices:
        return _CHOSEN.get(command.verb, parameter.choices[0])
    key = parameter.completes or parameter.name
    if parameter.kind is list and f"{key}s" in SAMPLES:
        key = f"{key}s"
    if key not in SAMPLES:
        pytest.fail(f"{command.verb}: nothing in SAMPLES stands for its required parameter {parameter.name!r} ({key})")
    return SAMPLES[key](made, command.verb)


def arguments_for(command: Command, made: Prepared) -> dict[str, Any]:
    """Give the arguments of a command: those it must have, and those that name something."""
    return {p.name: sample(command, p, made) for p in command.parameters if p.required or p.completes}


def command_line(command: Command, body: Mapping[str, Any]) -> list[str]:
    """Spell arguments as words."""
    words = command.verb.split()
    for parameter in command.parameters:
        if parameter.name in body:
            words += words_of(parameter, body[parameter.name])
    return words


class Doors:
    """The three doors, each on a copy of the prepared workspace of its own, under the same name."""

    def __init__(self, made: Prepared, server: Server, notebook: Notebook) -> None:
        self._server = server
        self._notebook = notebook
        self._made = made
        self.places = {door: server.root / door / "work" for door in ("shell", "magic", "rest")}
        for place in self.places.values():
            shutil.copytree(made.root, place)
            (place / "data.csv").write_text("x,y\n1,2\n3,4\n")
        notebook.good(f"import os; os.chdir({str(self.places['magic'])!r})")
        notebook.good(
            "import shlex\n"
            "from mlops_jupyter.display import document_of\n"
            "def door(words):\n"
            "    try:\n"
            "        found = get_ipython().run_line_magic('mlops', shlex.join(words))\n"
            "        return {'ok': found.ok, 'result': document_of(found)}\n"
            "    except Exception as error:\n"
            "        return error.error.to_json()\n"
        )

    def through_all(self, command: Command, read: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Carry a command out through each of its doors."""
        body = arguments_for(command, self._made)
        words = command_line(command, body)
        answers = {"magic": self._notebook.value(f"door({words!r})")}
        monkeypatch.chdir(self.places["shell"])
        code = cli.main([*words, "--json"])
        document = json.loads(read())
        answers["shell"] = document if code > 1 or "error" in document else {"ok": code == 0, "result": document}
        if command.route is not None:
            answers["rest"] = self._rest(command, body)
        return {door: self._plain(answer, self.places[door]) for door, answer in answers.items()}

    def _rest(self, command: Command, body: Mapping[str, Any]) -> Any:
        # The notebook is what the sidebar tells, so that the workspace is found as in the other doors.
        place = {"notebook": "rest/work/any.ipynb"} if command.verb != "help" else {}
        status, answer = self._server.post(command.route or "", {**body, **place})
        if status == 202:
            job = self._server.job(answer["job"])
            answer = {"error": job["error"]} if job["error"] else {"ok": job["ok"], "result": job["result"]}
        return answer

    def _plain(self, answer: Any, place: Path) -> Any:
        """Take out of an answer what differs between any two calls: times, new ids, the place, the way in."""
        text = json.dumps(answer, sort_keys=True).replace(str(place), "<place>").replace("%mlops", "mlops")
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(\+00:00|Z)", "<time>", text)
        text = re.sub(r"\b[0-9a-f]{64}\b", "<hash>", text)
        text = re.sub(r'"(seconds|started|bytes)": [\d.e-]+', r'"\1": "<measured>"', text)
        text = re.sub(r'"via": "\w+"', '"via": "<door>"', text)
        text = re.sub(r"\b\d{8}[-T]\d{6}[-\w]*", "<run>", text)
        known = {*self._made.runs.values(), *self._made.requests, self._made.snapshot}
        # What the copies share stays to be compared; an id that was made up just now can't be the same.
        text = re.sub(r"\b(m-)?[0-9a-f]{10,32}\b", lambda m: m[0] if m[0] in known or m[1] else "<id>", text)
        return json.loads(text)


@pytest.fixture(scope="module")
def doors(prepared: Prepared, server: Server, tmp_path_factory) -> Iterator[Doors]:
    """Give the three doors."""
    notebook = Notebook(tmp_path_factory.mktemp("kernel"), name=None)
    yield Doors(prepared, server, notebook)
    notebook.close()


@pytest.mark.parametrize("verb", SHARED)
def test_a_command_answers_the_same_through_each_door(verb, doors: Doors, capfd, monkeypatch):
    """Shell, magic and REST give the same JSON for the same arguments."""
    answers = doors.through_all(cli.COMMANDS[verb], lambda: capfd.readouterr().out, monkeypatch)
    assert answers["magic"] == answers["shell"]
    assert answers.get("rest", answers["shell"]) == answers["shell"]
    assert answers["shell"].get("ok", False), answers["shell"]


def test_every_required_parameter_has_a_sample(prepared: Prepared):
    """A new command can't stay out of the test above: each required argument needs a value that stands for it."""
    for verb in SHARED:
        command = cli.COMMANDS[verb]
        body = arguments_for(command, prepared)
        assert parse_body(command, body) == parse_words(command, command_line(command, body)[len(verb.split()) :])


# ---------------------------------------------------------------------------------------------------------------------
# Hostile bodies

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\x00",
    "a\nb",
    "\ud800",
    "'; DROP TABLE runs; --",
    "naïve ☃ 𝒳",
    "x" * 10_000,
    "../..",
    "/",
    "~",
    "-1",
    "@",
    "%",
    [],
    [None],
    [[]],
    ["\x00"],
    {},
    {"": ""},
    {"a": {"b": []}},
]


def is_good_answer(status: int, answer: Any) -> bool:
    """Tell whether an answer is none of a defect's, and has the contract's form."""
    if status in (200, 202):
        return True
    told = answer.get("error", {}) if isinstance(answer, dict) else {}
    lines = [told.get("message", ""), told.get("hint", "")]
    formed = list(answer) == ["error"] and set(told) == {"message", "hint"} and lines[0] and "\n" not in "".join(lines)
    return status in (400, 403, 404, 409, 422) and bool(formed)


@of(ROUTES)
def test_route_never_fails_on_a_hostile_body(command: Command, server: Server, fresh: str, prepared: Prepared):
    """Whatever a body holds, a route answers or refuses in our form, and never with a 500."""
    place = {"workspace": fresh} if command.verb != "help" else {}
    wrong = []
    for parameter in command.parameters:
        for value in HOSTILE:
            body = arguments_for(command, prepared) | {parameter.name: value} | place
            status, answer = server.post(command.route or "", body)
            if not is_good_answer(status, answer):
                wrong.append((parameter.name, repr(value)[:30], status, answer))
    status, answer = server.post(command.route or "", {"no such key": 1})
    assert status == 400, answer
    assert not wrong, "\n".join(map(str, wrong))


@pytest.fixture(scope="module")
def fresh(server: Server, prepared: Prepared) -> str:
    """Give a copy of the prepared workspace, as the server names it."""
    shutil.copytree(prepared.root, server.root / "hostile" / "work")
    return "hostile/work"


@pytest.mark.parametrize("raw", [b"{", b"[]", b"null", b'"text"', b"1", b"\xff\xfe", b"[" * 20_000, b'{"a":' * 5_000])
def test_body_that_is_no_object_is_a_bad_request(raw, server: Server):
    """A body that is no JSON object is refused with 400 at every route."""
    for route in ROUTES:
        status, answer = server.post(route, raw=raw)
        assert (status, is_good_answer(status, answer)) == (400, True), (route, answer)


# Nothing, and no text, name no workspace at all: that is the root's.
_NO_WORKSPACE = [value for value in HOSTILE if value not in (None, "", " ")]


@pytest.mark.parametrize("value", _NO_WORKSPACE, ids=lambda value: repr(value)[:20])
def test_hostile_workspace_is_refused_at_every_route(value, server: Server):
    """A workspace that is no folder below the server's root is refused, whatever it is made of."""
    for route, command in ROUTES.items():
        if command.verb != "help":
            status, answer = server.post(route, {"workspace": value})
            assert status >= 400, (route, answer)
            assert is_good_answer(status, answer), (route, status, answer)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@of({verb: command for verb, command in EVERY.items() if command.parameters})
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_json_is_parsed_or_refused(command: Command, data: st.DataObject):
    """Of any JSON object, a body either becomes arguments of the declared types or is refused as a usage error."""
    names = st.sampled_from([parameter.name for parameter in command.parameters])
    body = data.draw(st.dictionaries(names, _JSON))
    try:
        arguments = parse_body(command, body, Path("/base"))
    except UsageError:
        return
    for parameter in command.parameters:
        if parameter.name in arguments:
            assert isinstance(arguments[parameter.name], parameter.kind)


@pytest.mark.parametrize("verb", sorted({*SESSION_COMMANDS, "run", "demo", "serve"}))
def test_verbs_of_the_live_namespace_have_no_route(verb, server: Server):
    """What needs the live namespace, and what is local, is not found over REST."""
    assert verb.replace(" ", "/") not in ROUTES
    status, answer = server.post(verb)
    assert (status, is_good_answer(status, answer)) == (404, True), answer
