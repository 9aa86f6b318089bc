"""What can be said of a pipeline only when all of it is known: references, cycles, parameters of notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mlops_jupyter.config import Policy
from mlops_jupyter.errors import DefinitionError
from mlops_jupyter.pipelines import yaml_lines
from mlops_jupyter.pipelines.definition import Definition, Step
from mlops_jupyter.pipelines.expressions import Reference, references, whole_reference
from mlops_jupyter.pipelines.parameters import fits, nearest
from mlops_jupyter.pipelines.yaml_lines import Located, Place


def check(definition: Definition, document: Located) -> None:
    """Refuse a definition whose parts don't fit together.

    Args:
        definition: What was read.
        document: Where it stands in the file.

    Raises:
        DefinitionError: The first thing that is wrong, with its line and a hint.
    """
    for step in definition.steps.values():
        _check_references(definition, step, document)
        _check_registration(step, document)
        _check_parameters(definition, step, document)
    _check_cycles(definition, document)


def _check_references(definition: Definition, step: Step, document: Located) -> None:
    where: Place = ("steps", step.name)
    for need in step.needs:
        if need not in definition.steps:
            raise document.wrong(
                (*where, "needs"),
                f"step {step.name!r} needs {need!r}, which is no step",
                nearest(need, definition.steps),
            )
    for name, value in step.params.items():
        for reference in references(value):
            _check_one(definition, step, reference, document, (*where, "params", name))
            _check_embedded(definition, value, reference, document, (*where, "params", name))
    rest: list[tuple[str, Any]] = [("env", step.env), ("inputs", list(step.inputs))]
    for key, value in rest:
        for reference in references(value):
            _check_one(definition, step, reference, document, (*where, key))
    for reference in step.when.references.values() if step.when else ():
        _check_one(definition, step, reference, document, (*where, "when"))
    _check_axes(definition, step, document)


def _check_one(definition: Definition, step: Step, reference: Reference, document: Located, place: Place) -> None:
    if reference.kind == "params":
        _known(reference.name, definition.params, f"{reference}: no such parameter", document, place)
    elif reference.kind == "matrix":
        axes = _axes(step)
        if not axes:
            raise document.wrong(
                place,
                f"{reference}: step {step.name!r} has no matrix",
                "give it one, with that key",
            )
        _known(reference.name, axes, f"{reference}: no such key of the matrix", document, place)
    else:
        _known(reference.step, definition.steps, f"{reference}: no such step", document, place)
        declared = definition.steps[reference.step].outputs
        if declared is not None:
            what = f"{reference}: step {reference.step!r} has no output {reference.name!r}"
            _known(reference.name, declared, what, document, place)


def _known(name: str, known: Any, message: str, document: Located, place: Place) -> None:
    if name not in known:
        raise document.wrong(place, message, nearest(name, known))


def _check_embedded(definition: Definition, value: Any, reference: Reference, document: Located, place: Place) -> None:
    """A list or mapping can't be part of a text; where that is known already, it is said now."""
    if not isinstance(value, str) or whole_reference(value):
        return
    target = definition.params.get(reference.name) if reference.kind == "params" else None
    fanned = reference.kind == "steps" and definition.steps[reference.step].matrix is not None
    if isinstance(target, list | dict) or fanned:
        kind = "list" if fanned or isinstance(target, list) else "mapping"
        raise document.wrong(
            place,
            f"{reference} is a {kind} and can't stand inside other text",
            f'give it alone: "{reference}"',
        )


def _check_axes(definition: Definition, step: Step, document: Located) -> None:
    place: Place = ("steps", step.name, "matrix")
    for reference in references(step.matrix if isinstance(step.matrix, dict) else []):
        if reference.kind != "params":
            raise document.wrong(
                place,
                f"{reference}: a matrix is laid out before anything runs",
                "use ${params.NAME}",
            )
        _check_one(definition, step, reference, document, place)
        if not isinstance(definition.params[reference.name], list):
            raise document.wrong(place, f"{reference} is no list", "give the parameter a list of values")
    if isinstance(step.matrix, tuple):
        first = set(step.matrix[0])
        for n, setting in enumerate(step.matrix):
            if set(setting) != first:
                raise document.wrong(
                    (*place, n),
                    "the settings of a matrix have different keys",
                    "give each the same",
                )
            if any(True for _ in references(setting)):
                raise document.wrong((*place, n), "a setting can't hold a reference", "write a value")


def _axes(step: Step) -> list[str]:
    if step.matrix is None:
        return []
    return list(step.matrix[0] if isinstance(step.matrix, tuple) else step.matrix)


def _check_registration(step: Step, document: Located) -> None:
    if step.register and step.outputs is not None and step.register.output not in step.outputs:
        raise document.wrong(
            ("steps", step.name, "register", "output"),
            f"register: step {step.name!r} has no output {step.register.output!r}",
            nearest(step.register.output, step.outputs),
        )


def _check_parameters(definition: Definition, step: Step, document: Located) -> None:
    if not step.params:
        return
    where: Place = ("steps", step.name, "params")
    known = step.notebook.parameters
    notebook = step.notebook.path.name
    if known is None:
        raise document.wrong(
            where,
            f"step {step.name!r} has parameters, but {notebook} has no cell tagged 'parameters'",
            "tag the cell that holds the defaults with 'parameters'",
        )
    if not step.notebook.names_known:
        return
    for name, value in step.params.items():
        if name not in known:
            raise document.wrong(
                (*where, name),
                f"{notebook} has no parameter {name!r} (step {step.name!r})",
                nearest(name, known, f"assign {name} in its cell tagged 'parameters'"),
            )
        settled, settled_value = _settled(value, definition.params)
        if settled and not fits(settled_value, known[name]):
            raise document.wrong(
                (*where, name),
                f"parameter {name!r} of {notebook} is {known[name].type}, and {settled_value!r} is not",
                "give a value of that type, or change the default in the parameters cell",
            )


def _settled(value: Any, params: Mapping[str, Any]) -> tuple[bool, Any]:
    """Give a value that is known before anything runs, or tell that it is not."""
    reference = whole_reference(value)
    if reference and reference.kind == "params":
        return True, params[reference.name]
    return not any(True for _ in references(value)), value


def check_given(definition: Definition, params: Mapping[str, Any]) -> None:
    """Refuse parameters of a call that don't fit the notebooks they end up in.

    Args:
        definition: The pipeline.
        params: Its parameters with the call's values in place.

    Raises:
        DefinitionError: A value is of another type than the parameters cell says.
    """
    for step in definition.steps.values():
        known = step.notebook.parameters or {}
        for name, value in step.params.items():
            settled, settled_value = _settled(value, params)
            if settled and name in known and not fits(settled_value, known[name]):
                raise DefinitionError(
                    f"parameter {name!r} of {step.notebook.path.name} is {known[name].type}, "
                    f"and {settled_value!r} is not",
                    f"give step {step.name!r} a value of that type",
                )


def check_promotions(
    definition: Definition, instances: Counter[str], policy_for: Callable[[str, str], Policy | None]
) -> None:
    """Refuse a matrix step that promotes each of its models where no gate lets the best of them win.

    Args:
        definition: The pipeline.
        instances: Step → how many settings its matrix has.
        policy_for: Gives the promotion policy of a model and an alias.

    Raises:
        DefinitionError: Whichever setting ended last would hold the alias.
    """
    for step in definition.steps.values():
        asked = step.register
        if asked is None or asked.promote is None or instances[step.name] < 2:
            continue
        policy = policy_for(asked.name, asked.promote) or Policy()
        # With approvals, each of them is a request of its own, and people decide.
        if not policy.approvals.count and not any(gate.beats == asked.promote for gate in policy.gates):
            raise yaml_lines.read(definition.file).wrong(
                ("steps", step.name, "register", "promote"),
                f"step {step.name!r} promotes every setting of its matrix to {asked.promote}, "
                "so the last to end would hold it",
                f'promote in a step below that chooses, or give its policy a gate {{beats = "{asked.promote}", …}}',
            )


def _check_cycles(definition: Definition, document: Located) -> None:
    graph = {name: step.upstream() for name, step in definition.steps.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = error.args[1]
        raise document.wrong(
            ("steps", names[0]), f"steps wait for one another: {' → '.join(names)}", "cut one edge"
        ) from None
