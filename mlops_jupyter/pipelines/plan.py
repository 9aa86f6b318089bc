"""Which steps would run, and why: the matrix laid out, the order found, each step's key compared with the records.

How it works. :func:`expand` turns steps into instances, one for each setting of a step's matrix, in an order in which
everything comes after what it needs. :meth:`Planner.decide` takes an instance whose upstream outputs are known and
gives ``cached``, ``skipped`` or ``run``, with the reason in a sentence. The key that it looks up is made of what the
result depends on and of nothing else: code cells, typed parameters over the notebook's defaults, the *content* of
upstream outputs, input files, environment, kernel, declared environment variables. Paths, times and ids are no part of
it, and so a step whose upstream ran again with an equal result is still cached (early cut-off).

A plan asks that question of all instances without running any. Below one that would run, the outputs are not known yet;
such an instance is told as ``run``, because of the one above, although it may turn out cached when the time comes. The
executor asks the same planner, instance by instance, when the outputs are there.
"""

from __future__ import annotations

import glob
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import DefinitionError
from mlops_jupyter.pipelines import expressions, kernels
from mlops_jupyter.pipelines.cache import SCHEMA, Cache, Found, digest_path, what_changed
from mlops_jupyter.pipelines.definition import Definition, Step
from mlops_jupyter.pipelines.expressions import BadExpression, Reference
from mlops_jupyter.pipelines.notebooks import UNKNOWN
from mlops_jupyter.pipelines.parameters import lossy
from mlops_jupyter.store import ObjectStore

#: Instance → output → its entry, for instances whose outputs are known. A skipped instance has None.
Published = Mapping[str, Mapping[str, Any] | None]
_MOST_INSTANCES = 100_000


@dataclass(frozen=True)
class Instance:
    """A step with one setting of its matrix.

    Args:
        name: ``train[depth=3]``, or the step's name.
        step: The step.
        matrix: The setting.
        upstream: Names of the instances that come first.
    """

    name: str
    step: Step
    matrix: Mapping[str, Any]
    upstream: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """What is to be done about an instance.

    Args:
        action: ``run``, ``cached`` or ``skipped``.
        reason: Why, in words.
        parts: What its key is made of; empty where that is not known yet.
        found: What the cache said; None where it was not asked.
        forced: Whether it runs whatever the cache says, because that was asked for.
    """

    action: Literal["run", "cached", "skipped"]
    reason: str
    parts: Mapping[str, Any]
    found: Found | None = None
    forced: bool = False


def expand(definition: Definition, params: Mapping[str, Any]) -> dict[str, Instance]:
    """Lay out the matrices and put the instances in order.

    Args:
        definition: The pipeline.
        params: Its parameters.

    Returns:
        Name → instance; each comes after everything that it needs.

    Raises:
        DefinitionError: A matrix holds the same setting twice.
    """
    graph = {name: step.upstream() for name, step in definition.steps.items()}
    names: dict[str, tuple[str, ...]] = {}
    instances: dict[str, Instance] = {}
    for step_name in _ordered(graph):
        step = definition.steps[step_name]
        above = tuple(itertools.chain.from_iterable(names[up] for up in graph[step_name]))
        own = []
        for setting in settings(step, params):
            name = instance_name(step_name, setting)
            if name in instances:
                raise DefinitionError(
                    f"{definition.file.name}: the matrix of step {step_name!r} has {name} twice",
                    "give each setting once",
                )
            instances[name] = Instance(name, step, setting, above)
            own.append(name)
        names[step_name] = tuple(own)
    return instances


def _ordered(graph: Mapping[str, list[str]]) -> Iterator[str]:
    """Give the steps in an order that respects the graph and, where it leaves a choice, the file."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    position = {name: n for n, name in enumerate(graph)}
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=position.__getitem__)
        yield from ready
        sorter.done(*ready)


def settings(step: Step, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the settings of a step's matrix; one empty setting where it has none."""
    if step.matrix is None:
        return [{}]
    if isinstance(step.matrix, tuple):
        return [dict(setting) for setting in step.matrix]
    axes = expressions.resolve(step.matrix, lambda reference: params[reference.name])
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            raise DefinitionError(f"matrix key {axis!r} of step {step.name!r} has no list of values", "give it some")
    if math.prod(map(len, axes.values())) > _MOST_INSTANCES:
        raise DefinitionError(
            f"the matrix of step {step.name!r} has more than {_MOST_INSTANCES} settings", "give fewer values"
        )
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def instance_name(step: str, setting: Mapping[str, Any]) -> str:
    """Give the name of a step's instance: ``train[depth=3,rate=0.1]``."""
    if not setting:
        return step
    shown = (
        f"{key}={value if isinstance(value, str) else json.dumps(value, sort_keys=True)}"
        for key, value in setting.items()
    )
    return f"{step}[{','.join(shown)}]"


class Planner:
    """Decides about the instances of one pipeline with one set of parameters.

    Args:
        definition: The pipeline.
        params: Its parameters, the call's values in place.
        store: Where the records lie.
        force: Whether everything runs.
    """

    def __init__(
        self,
        definition: Definition,
        params: Mapping[str, Any],
        store: ObjectStore,
        force: bool = False,
    ) -> None:
        self.definition = definition
        self.params = params
        self.instances = expand(definition, params)
        self.cache = Cache(store, definition.folder)
        self._force = force
        self._of_step: dict[str, list[str]] = {name: [] for name in definition.steps}
        for instance in self.instances.values():
            self._of_step[instance.step.name].append(instance.name)

    def label(self, instance: Instance) -> str:
        """Give the name that the last record of an instance goes by."""
        return f"{self.definition.name}/{instance.name}"

    def decide(self, instance: Instance, published: Published) -> Decision:
        """Decide about an instance whose upstream outputs are known.

        Args:
            instance: Which one.
            published: The outputs of at least everything upstream of it.

        Returns:
            What to do, and why.

        Raises:
            DefinitionError: A pattern of its inputs matches nothing, or a reference can't be filled in.
        """
        why = self._skipped(instance, published)
        if why:
            return Decision("skipped", why, {})
        parts = self.parts(instance, published)
        required = self.definition.required_outputs(instance.step.name)
        found = self.cache.look_up(parts, required, self.label(instance))
        if self._force:
            return Decision("run", "--force", parts, found, forced=True)
        if not instance.step.cache:
            return Decision("run", "cache: false", parts, found)
        if found.record:
            run = found.record.get("run_id") or found.record["pipeline_run"]
            text = f"same code, parameters and inputs as run {run[:8] if found.record.get('run_id') else run}"
            unfinished = ", whose model is still to be registered" if found.unregistered else ""
            return Decision("cached", text + unfinished, parts, found)
        if found.newest is None:
            return Decision("run", "never run", parts, found)
        modules = self.cache.modules(found.newest["modules"])
        return Decision("run", what_changed(parts, modules, found.newest), parts, found)

    def plan(self) -> dict[str, Decision]:
        """Decide about all instances, none of which is run.

        Returns:
            Instance → decision, in order. What lies below an instance that would run is told as ``run``.
        """
        published: dict[str, Mapping[str, Any] | None] = {}
        decisions: dict[str, Decision] = {}
        for name, instance in self.instances.items():
            running = [up for up in instance.upstream if decisions[up].action == "run"]
            if running and self._undecided(instance, running):
                decision = Decision("run", f"depends on {_first(running)}, which will run", {})
            else:
                decision = self.decide(instance, published)
            decisions[name] = decision
            if decision.action == "cached" and decision.found and decision.found.record:
                published[name] = decision.found.record["outputs"]
            elif decision.action == "skipped":
                published[name] = None
            else:
                published[name] = {}
        return decisions

    def _undecided(self, instance: Instance, running: list[str]) -> bool:
        flowing = {reference.step for reference in instance.step.references()}
        # Where no value flows, a step above can still write a file that this one reads.
        return bool(instance.step.inputs) or any(self.instances[name].step.name in flowing for name in running)

    def _skipped(self, instance: Instance, published: Published) -> str:
        for up in instance.step.upstream():
            if all(published.get(name, ...) is None for name in self._of_step[up]):
                return f"{up} was skipped"
        condition = instance.step.when
        if condition is None:
            return ""
        look_up = self._look_up(instance, published, identity=False)
        holds = self._filled(instance, lambda: condition.holds(look_up))
        return "" if holds else f"when: {condition.text} does not hold"

    def values(self, instance: Instance, published: Published) -> dict[str, Any]:
        """Give the parameters that an instance's notebook gets, references filled in."""
        values: dict[str, Any] = self._resolved(instance, instance.step.params, published, identity=False)
        return values

    def env(self, instance: Instance, published: Published) -> dict[str, str]:
        """Give the environment variables that an instance declares, references filled in."""
        values = self._resolved(instance, instance.step.env, published, identity=False)
        return {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}

    def parts(self, instance: Instance, published: Published) -> dict[str, Any]:
        """Give everything that an instance's result depends on and that is known before it runs.

        Args:
            instance: Which one.
            published: The outputs of what is upstream.

        Returns:
            JSON values: the parts of its key.
        """
        step, notebook = instance.step, instance.step.notebook
        kernel = kernels.describe(notebook.kernel, notebook.language)
        defaults = {
            name: parameter.default
            for name, parameter in (notebook.parameters or {}).items()
            if parameter.default is not UNKNOWN and not lossy(parameter.default)
        }
        params = self._resolved(instance, step.params, published, identity=True)
        env = self._resolved(instance, step.env, published, identity=True)
        return {
            "schema": SCHEMA,
            "cells": list(notebook.digests),
            "params": {**defaults, **params},
            "inputs": self.inputs(instance, published),
            "environment": kernel.environment,
            "kernel": {"name": notebook.kernel, "language": notebook.language, "version": kernel.version},
            # Values of variables may be private: their digests tell as well whether they changed.
            "env": {name: digest_of(value) for name, value in env.items()},
            "secrets": sorted(step.secrets),
            "register": vars(step.register) if step.register else None,
        }

    def inputs(self, instance: Instance, published: Published) -> dict[str, str]:
        """Give name → digest of the files that an instance declares to read.

        Raises:
            DefinitionError: A pattern matches nothing.
        """
        found: dict[str, str] = {}
        for pattern in instance.step.inputs:
            filled = self._resolved(instance, pattern, published, identity=False)
            texts = filled if isinstance(filled, list) else [filled]
            for text in texts:
                found |= self._files(instance, pattern, text)
        return dict(sorted(found.items()))

    def _files(self, instance: Instance, pattern: str, text: Any) -> dict[str, str]:
        folder = self.definition.folder
        # Not Path.glob: it refuses absolute patterns, which a parameter may well hold.
        paths = [folder / found for found in glob.glob(str(text), root_dir=folder, recursive=True)]  # noqa: PTH207
        odd = next((path for path in paths if path.exists() and not (path.is_file() or path.is_dir())), None)
        if odd is not None:
            raise DefinitionError(
                f"{self.definition.file.name}: step {instance.step.name!r}: input {str(odd)!r} is no file",
                "a device or pipe has no content that could be compared",
            )
        files = {_name(path, folder): digest_path(path) for path in paths}
        if files or expressions.whole_reference(pattern):
            # A reference may name something that is no file (`builtin`); its text is in the parameters anyway.
            return files
        raise DefinitionError(
            f"{self.definition.file.name}: step {instance.step.name!r}: input {text!r} matches no file",
            "check the path, which is relative to the pipeline file",
        )

    def _resolved(self, instance: Instance, value: Any, published: Published, *, identity: bool) -> Any:
        look_up = self._look_up(instance, published, identity=identity)
        return self._filled(instance, lambda: expressions.resolve(value, look_up))

    def _filled(self, instance: Instance, fill: Any) -> Any:
        try:
            return fill()
        except BadExpression as error:
            where = f"{self.definition.file.name}: {instance.name}"
            raise DefinitionError(f"{where}: {error}", error.hint) from error

    def _look_up(self, instance: Instance, published: Published, *, identity: bool) -> expressions.Lookup:
        read = _identity if identity else _value

        def look_up(reference: Reference) -> Any:
            if reference.kind == "params":
                return self.params[reference.name]
            if reference.kind == "matrix":
                return instance.matrix[reference.name]
            # A matrix step hands over a list, of those of its instances that were not skipped.
            known = [(name, published.get(name)) for name in self._of_step[reference.step]]
            entries = [_entry(name, outputs, reference) for name, outputs in known if outputs is not None]
            fanned = self.definition.steps[reference.step].matrix is not None
            return [read(entry) for entry in entries] if fanned else read(entries[0])

        return look_up


def _entry(name: str, outputs: Mapping[str, Any], reference: Reference) -> Mapping[str, Any]:
    if reference.name not in outputs:
        raise BadExpression(
            f"{name} published no output {reference.name!r}",
            "publish it with output(…) in its notebook",
        )
    entry: Mapping[str, Any] = outputs[reference.name]
    return entry


def _value(entry: Mapping[str, Any]) -> Any:
    return entry["value"] if "value" in entry else entry["ref"]


def _identity(entry: Mapping[str, Any]) -> Any:
    return f"output:{entry['digest']}" if "digest" in entry else entry["value"]


def _name(path: Path, folder: Path) -> str:
    # Where the folder lies is no part of a key; how a file lies in it is, since the code names it so.
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
