"""Read ``pipeline.yaml`` into frozen records, and refuse what is wrong before anything runs.

:func:`load` reads the file with its lines, turns each step into a :class:`Step`, reads the notebooks, and hands the
whole to ``checks`` for what can be said only of all steps together: references, cycles, parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import DefinitionError, ValueRefused
from mlops_jupyter.pipelines import expressions, notebooks, yaml_lines
from mlops_jupyter.pipelines.notebooks import Notebook
from mlops_jupyter.pipelines.parameters import nearest
from mlops_jupyter.pipelines.yaml_lines import Located
from mlops_jupyter.tracking.versions import check_alias, check_model_name

STEP_KEYS = [
    *("notebook", "params", "outputs", "inputs", "needs", "matrix", "when", "retries", "timeout"),
    *("resources", "cache", "env", "secrets", "register"),
]
_REFERRING = ("params", "env", "inputs", "when", "matrix")
_STEP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_PIPELINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_YEAR = 366 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


@dataclass(frozen=True)
class Registration:
    """What ``register:`` asks for.

    Args:
        name: The registered model's name.
        output: The output whose model becomes a version.
        promote: The alias to move to it, through the gates; None to leave it at the version.
    """

    name: str
    output: str
    promote: str | None = None


@dataclass(frozen=True)
class Step:
    """A step, as the file says it; references are not filled in yet.

    Args:
        name: Its name in the file.
        notebook: What was read of its notebook.
        params: Parameter → JSON value, possibly with references.
        outputs: The names that it publishes; None where the file does not say.
        inputs: Files and patterns that it reads, relative to the pipeline's folder.
        needs: Steps that come first although no value flows.
        matrix: Axes, or a list of settings; None for a step that runs once.
        when: The condition to run at all.
        retries: How often a failed attempt is repeated.
        timeout: Seconds of wall-clock time for an attempt.
        resources: What it asks of a machine; kept for executors that look at it.
        cache: False to run it every time.
        env: Environment variable → value.
        secrets: Environment variables taken from the caller, masked in everything that is kept.
        register: What to register and promote when it has succeeded.
    """

    name: str
    notebook: Notebook
    params: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] | None = None
    inputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    matrix: Mapping[str, Any] | tuple[Mapping[str, Any], ...] | None = None
    when: expressions.Condition | None = None
    retries: int = 0
    timeout: float | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    cache: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    register: Registration | None = None

    def references(self) -> list[expressions.Reference]:
        """Give everything that the step refers to, wherever in it."""
        found = list(expressions.references([self.params, self.env, list(self.inputs)]))
        return found + (list(self.when.references.values()) if self.when else [])

    def upstream(self) -> list[str]:
        """Give the names of the steps that come first, each once, in the order of mention."""
        named = [r.step for r in self.references() if r.kind == "steps"]
        return list(dict.fromkeys([*named, *self.needs]))


@dataclass(frozen=True)
class Definition:
    """A pipeline file that was read and checked.

    Args:
        name: The pipeline's name.
        file: The file, absolute.
        params: Its parameters and their defaults.
        steps: Name → step, in the file's order.
        text: The file's text.
    """

    name: str
    file: Path
    params: Mapping[str, Any]
    steps: Mapping[str, Step]
    text: str

    @property
    def folder(self) -> Path:
        """The folder that its paths are relative to, and that its kernels run in."""
        return self.file.parent

    def required_outputs(self, step: str) -> tuple[str, ...]:
        """Give the outputs that a step must publish: those it declares, else those that are asked of it."""
        own = self.steps[step]
        asked = {r.name for other in self.steps.values() for r in other.references() if r.step == step}
        if own.register:
            asked.add(own.register.output)
        return own.outputs if own.outputs is not None else tuple(sorted(asked))


def load(path: Path | str) -> Definition:
    """Read and check a pipeline file.

    Args:
        path: ``pipeline.yaml``.

    Returns:
        The definition.

    Raises:
        DefinitionError: Something in it, or in a notebook that it names, is wrong; file, line and a hint are given.
    """
    from mlops_jupyter.pipelines import checks

    file = Path(path).absolute()
    try:
        document = yaml_lines.read(file)
        definition = _Reader(document).definition()
        checks.check(definition, document)
    except (ValueError, RecursionError) as error:
        # A path with a NUL in it, a number of thousands of digits, a notebook nested a thousand deep.
        raise DefinitionError(f"{file.name} can't be read: {error}", "correct the file, or the notebook") from error
    return definition


class _Reader:
    """Turns one located document into records, key by key."""

    def __init__(self, document: Located) -> None:
        self.document = document
        self._notebooks: dict[Path, Notebook] = {}

    def definition(self) -> Definition:
        top = self.document.value
        if not isinstance(top, dict):
            raise self.document.wrong((), "a pipeline is a mapping", "begin with name: and steps:")
        self._known(top, ["name", "params", "steps"], (), "")
        name = top.get("name", self.document.file.stem)
        if not isinstance(name, str) or not _PIPELINE_NAME.fullmatch(name):
            raise self.document.wrong(("name",), f"{name!r} is no name for a pipeline", "use letters, digits, - and _")
        params = self._mapping(top, (), "params")
        self._names(params, ("params",), _VARIABLE, "parameter")
        if any(True for _ in self._each_reference(params, ("params",))):
            raise self.document.wrong(
                ("params",), "a pipeline's own parameters can't refer to anything", "write values"
            )
        steps = self._mapping(top, (), "steps")
        if not steps:
            raise self.document.wrong(("steps",), "there are no steps", "add one below steps:")
        self._names(steps, ("steps",), _STEP_NAME, "step")
        read = {step: self._step(step, body) for step, body in steps.items()}
        return Definition(name, self.document.file, params, read, self.document.text)

    def _each_reference(self, value: Any, where: yaml_lines.Place) -> list[expressions.Reference]:
        try:
            return list(expressions.references(value))
        except expressions.BadExpression as error:
            raise self.document.wrong(where, str(error), error.hint) from None

    def _known(self, body: Mapping[str, Any], keys: list[str], where: yaml_lines.Place, of: str) -> None:
        for key in body:
            if key not in keys:
                inside = f" in {of}" if of else ""
                raise self.document.wrong((*where, key), f"unknown key {key!r}{inside}", nearest(key, keys))

    def _names(self, body: Mapping[str, Any], where: yaml_lines.Place, shape: re.Pattern[str], what: str) -> None:
        for name in body:
            if not shape.fullmatch(name):
                raise self.document.wrong(
                    (*where, name),
                    f"{name!r} is no name for a {what}",
                    "begin with a letter, then letters, digits and _",
                )

    def _mapping(self, body: Mapping[str, Any], where: yaml_lines.Place, key: str) -> dict[str, Any]:
        value = body.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.document.wrong((*where, key), f"{key} is no mapping", f"write {key}: {{NAME: value}}")
        return value

    def _step(self, name: str, body: Any) -> Step:
        where: yaml_lines.Place = ("steps", name)
        if not isinstance(body, dict):
            raise self.document.wrong(where, f"step {name!r} is no mapping", "give it a notebook: line")
        self._known(body, STEP_KEYS, where, f"step {name!r}")
        if "notebook" not in body:
            raise self.document.wrong(where, f"step {name!r} has no notebook", "add notebook: FILE.ipynb")
        values: dict[str, Any] = {}
        for key, value in body.items():
            # `key:` with nothing behind it says nothing.
            if value is not None or key == "notebook":
                found = self._each_reference(value, (*where, key))
                self._expect(
                    not found or key in _REFERRING,
                    (*where, key),
                    f"{key} can't refer to anything",
                    f"references go into {', '.join(_REFERRING)}",
                )
                values[key] = _FIELDS[key](self, value, (*where, key))
        return Step(name, **values)

    def notebook(self, value: Any, where: yaml_lines.Place) -> Notebook:
        if not isinstance(value, str) or not value:
            raise self.document.wrong(where, f"notebook {value!r} is no path", "name a file")
        path = (self.document.file.parent / value).resolve()
        if path.suffix not in notebooks.SUFFIXES:
            raise self.document.wrong(where, f"{value!r} is no notebook", f"use one of {' '.join(notebooks.SUFFIXES)}")
        if path not in self._notebooks:
            try:
                self._notebooks[path] = notebooks.read(path)
            except (OSError, UnicodeDecodeError) as error:
                hint = nearest(value, (p.name for p in path.parent.glob("*.ipynb")), "check the path")
                raise self.document.wrong(where, f"notebook {value!r} can't be read", hint) from error
            except DefinitionError as error:
                raise self.document.wrong(where, error.message, error.hint) from error
        return self._notebooks[path]

    def params(self, value: Any, where: yaml_lines.Place) -> Mapping[str, Any]:
        self._expect(isinstance(value, dict), where, "params is no mapping", "write params: {x: 1}")
        self._names(value, where, _VARIABLE, "parameter")
        return dict(value)

    def outputs(self, value: Any, where: yaml_lines.Place) -> tuple[str, ...]:
        names = self.texts(value, where)
        for name in names:
            good = _STEP_NAME.fullmatch(name)
            self._expect(good, where, f"{name!r} is no name for an output", "use letters, digits, _")
        twice = next((n for n in names if names.count(n) > 1), None)
        self._expect(twice is None, where, f"output {twice!r} is declared twice", "keep one")
        return names

    def texts(self, value: Any, where: yaml_lines.Place) -> tuple[str, ...]:
        value = [value] if isinstance(value, str) else value
        good = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
        self._expect(good, where, f"{where[-1]} is no list of texts", f"write {where[-1]}: [a, b]")
        return tuple(value)

    def matrix(self, value: Any, where: yaml_lines.Place) -> Any:
        hint = "write matrix: {depth: [3, 5]} or a list of mappings"
        self._expect(isinstance(value, dict | list) and value, where, "matrix has no settings", hint)
        if isinstance(value, list):
            good = all(isinstance(item, dict) and item for item in value)
            self._expect(good, where, "a matrix as a list holds mappings", hint)
            for item in value:
                self._names(item, where, _VARIABLE, "key of a matrix")
            return tuple(value)
        self._names(value, where, _VARIABLE, "key of a matrix")
        for axis, settings in value.items():
            listed = bool(settings) if isinstance(settings, list) else expressions.whole_reference(settings)
            self._expect(listed, (*where, axis), f"matrix key {axis!r} has no list of values", hint)
        return dict(value)

    def when(self, value: Any, where: yaml_lines.Place) -> expressions.Condition:
        text = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
        self._expect(isinstance(text, str), where, "when is no condition", "write a text in quotes")
        try:
            return expressions.parse_condition(str(text))
        except expressions.BadExpression as error:
            raise self.document.wrong(where, str(error), error.hint) from None

    def retries(self, value: Any, where: yaml_lines.Place) -> int:
        good = type(value) is int and 0 <= value <= 100
        self._expect(good, where, f"retries: {value!r} is no count", "give a whole number from 0 to 100")
        return int(value)

    def timeout(self, value: Any, where: yaml_lines.Place) -> float:
        match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
        seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
        self._expect(seconds > 0, where, f"timeout: {value!r} is no time", "write 30s, 10m, 1h, or seconds")
        self._expect(seconds <= _YEAR, where, f"timeout: {value!r} is longer than a year", "leave it out")
        return seconds

    def resources(self, value: Any, where: yaml_lines.Place) -> Mapping[str, Any]:
        self._expect(isinstance(value, dict), where, "resources is no mapping", "write {cores: 2}")
        self._known(value, ["cores", "memory", "gpu"], where, "resources")
        for key, amount in value.items():
            number = type(amount) in (int, float) and amount >= 0
            sized = key == "memory" and isinstance(amount, str)
            sized = sized and re.fullmatch(r"\d+(\.\d+)?\s*[kKMGT]i?B?", amount) is not None
            self._expect(number or sized, (*where, key), f"{key}: {amount!r} is no amount", "write 2, or 4GB")
        return dict(value)

    def cache(self, value: Any, where: yaml_lines.Place) -> bool:
        self._expect(isinstance(value, bool), where, f"cache: {value!r}", "write true or false")
        return bool(value)

    def env(self, value: Any, where: yaml_lines.Place) -> Mapping[str, str]:
        self._expect(isinstance(value, dict), where, "env is no mapping", "write env: {NAME: value}")
        self._names(value, where, _VARIABLE, "environment variable")
        for name, item in value.items():
            good = isinstance(item, str | int | float) and not isinstance(item, bool)
            self._expect(good, (*where, name), f"{name}: {item!r} is no text", "put it in quotes")
            self._expect("\0" not in str(item), (*where, name), f"{name} holds a NUL", "leave it out")
        return {name: str(item) for name, item in value.items()}

    def secrets(self, value: Any, where: yaml_lines.Place) -> tuple[str, ...]:
        names = self.texts(value, where)
        for name in names:
            good = _VARIABLE.fullmatch(name)
            self._expect(good, where, f"{name!r} is no environment variable", "give its name only")
        return names

    def register(self, value: Any, where: yaml_lines.Place) -> Registration:
        hint = "write register: {name: MODEL, output: OUTPUT, promote: ALIAS}"
        self._expect(isinstance(value, dict), where, "register is no mapping", hint)
        self._known(value, ["name", "output", "promote"], where, "register")
        for key in ("name", "output"):
            self._expect(value.get(key), where, f"register has no {key}", hint)
        for key, text in value.items():
            good = isinstance(text, str) or (text is None and key == "promote")
            self._expect(good, (*where, key), f"{key}: {text!r} is no name", hint)
        for key, check in (("name", check_model_name), ("promote", check_alias)):
            try:
                check(value.get(key) or "model")
            except ValueRefused as error:
                raise self.document.wrong((*where, key), error.message, error.hint) from None
        return Registration(value["name"], value["output"], value.get("promote"))

    def _expect(self, good: Any, where: yaml_lines.Place, message: str, hint: str) -> None:
        if not good:
            raise self.document.wrong(where, f"{message} (step {where[1]!r})", hint)


_FIELDS: dict[str, Callable[[_Reader, Any, yaml_lines.Place], Any]] = {
    key: getattr(_Reader, "texts" if key in ("inputs", "needs") else key) for key in STEP_KEYS
}
