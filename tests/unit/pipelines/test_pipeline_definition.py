"""What a pipeline file may say, and how what it may not say is refused: file, line, hint."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.errors import DefinitionError, UsageError
from mlops_jupyter.pipelines import checks, notebooks, parameters, yaml_lines
from mlops_jupyter.pipelines.definition import load


def write_notebook(path, *sources, tagged=True, metadata=None):
    """Write a notebook whose first cell holds the parameters."""
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {"tags": ["parameters"] if tagged and n == 0 else []},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for n, source in enumerate(sources)
    ]
    document = {"cells": cells, "metadata": metadata or {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document))


@pytest.fixture
def folder(tmp_path):
    """Give a folder with a good, a bare and a broken notebook."""
    write_notebook(tmp_path / "a.ipynb", "x = 1\ntext: str = 'a'\nrate = 0.5\nmany = []\nfree = None", "x + 1")
    write_notebook(tmp_path / "bare.ipynb", "print(1)", tagged=False)
    (tmp_path / "broken.ipynb").write_text("{not json")
    return tmp_path


def read(folder, text):
    """Read a text as the folder's pipeline file."""
    file = folder / "pipeline.yaml"
    file.write_text(text)
    return load(file)


def a_step(*lines):
    """One step in block style: line 3 is its name, line 4 its notebook, the rest follow."""
    return "\n".join(["name: p", "steps:", "  one:", "    notebook: a.ipynb", *(f"    {line}" for line in lines)])


WRONG = {
    "unknown top key": ("nme: p\nsteps: {}", 1, "unknown key 'nme'", "did you mean 'name'?"),
    "unknown step key": (
        "steps:\n  one:\n    notebok: a.ipynb",
        3,
        "unknown key 'notebok' in step 'one'",
        "did you mean 'notebook'?",
    ),
    "no steps": ("name: p", 1, "there are no steps", "add one"),
    "empty file": ("", 1, "the file is empty", "name"),
    "not yaml": ("steps:\n  one: [", 2, "not valid YAML", "quotes"),
    "two documents": ("steps: {}\n---\nsteps: {}", 2, "not valid YAML", ""),
    "duplicate key": ("name: a\nname: b", 2, "key 'name' stands here twice", "keep one"),
    "duplicate step": (
        "steps:\n  a: {notebook: a.ipynb}\n  a: {notebook: a.ipynb}",
        3,
        "key 'a' stands here twice",
        "",
    ),
    "bad step name": ("steps:\n  a b: {notebook: a.ipynb}", 2, "'a b' is no name for a step", "letter"),
    "bad pipeline name": ("name: ../x\nsteps: {}", 1, "'../x' is no name for a pipeline", "letters"),
    "missing notebook": ("steps:\n  one:\n    notebook: aa.ipynb", 3, "can't be read", "did you mean 'a.ipynb'?"),
    "no notebook": ("steps:\n  one: {params: {}}", 2, "step 'one' has no notebook", "notebook:"),
    "broken notebook": ("steps:\n  one: {notebook: broken.ipynb}", 2, "is no notebook", "save"),
    "no file type": ("steps:\n  one: {notebook: a.txt}", 2, "'a.txt' is no notebook", ".ipynb"),
    "no parameters cell": (
        "steps:\n  one:\n    notebook: bare.ipynb\n    params: {x: 1}",
        4,
        "no cell tagged 'parameters'",
        "tag the cell",
    ),
    "unknown parameter": (a_step("params:", "  y: 1"), 6, "a.ipynb has no parameter 'y'", "assign y"),
    "parameter of another type": (a_step("params:", "  text: 1"), 6, "'text' of a.ipynb is str, and 1 is not", "type"),
    "truth for a number": (a_step("params:", "  x: true"), 6, "'x' of a.ipynb is int", "type"),
    "unknown pipeline parameter": (
        "params: {seed: 1}\n" + a_step("params: {x: '${params.sed}'}"),
        6,
        "no such parameter",
        "did you mean 'seed'?",
    ),
    "unknown step in a reference": (a_step("params: {x: '${steps.won.outputs.x}'}"), 5, "no such step", "'one'"),
    "unknown output": (
        "steps:\n  a: {notebook: a.ipynb, outputs: [table]}\n  b:\n    notebook: a.ipynb\n    params:\n"
        "      x: ${steps.a.outputs.tabel}",
        6,
        "step 'a' has no output 'tabel'",
        "did you mean 'table'?",
    ),
    "no matrix": (a_step("params: {x: '${matrix.d}'}"), 5, "step 'one' has no matrix", "give it one"),
    "unknown matrix key": (
        a_step("params: {x: '${matrix.d}'}", "matrix: {depth: [1]}"),
        5,
        "no such key of the matrix",
        "depth",
    ),
    "no reference": (a_step("params: {x: '${seed}'}"), 5, "${seed} is no reference", "$${"),
    "reference not closed": (a_step("params: {x: '${params.x'}"), 5, "not closed", "}"),
    "reference where none may be": (a_step("secrets: ['${params.x}']"), 5, "secrets can't refer", "params, env"),
    "list inside text": (
        "params: {l: [1]}\n" + a_step("params: {text: 'a${params.l}'}"),
        6,
        "can't stand inside other text",
        "alone",
    ),
    "cycle": (
        "steps:\n  a: {notebook: a.ipynb, needs: [b]}\n  b: {notebook: a.ipynb, needs: [c]}\n"
        "  c: {notebook: a.ipynb, needs: [a]}",
        None,
        "steps wait for one another: ",
        "cut one edge",
    ),
    "unknown need": (a_step("needs: [two]"), 5, "needs 'two', which is no step", ""),
    "a date": (a_step("params:", "  free: 2024-01-01"), 6, "would become another type", "in quotes"),
    "yes": (a_step("params:", "  free: yes"), 6, "'yes' would become another type", "in quotes"),
    "octal": (a_step("params:", "  free: 010"), 6, "'010' would become another type", "in quotes"),
    "sexagesimal": (a_step("params:", "  free: 12:30"), 6, "'12:30' would become another type", "in quotes"),
    "not a number": (a_step("params:", "  free: .nan"), 6, "no finite number", ""),
    "infinity": (a_step("params:", "  free: -.inf"), 6, "no finite number", ""),
    "too large": (a_step("params:", "  free: 1e999"), 6, "no finite number", ""),
    "number as key": (a_step("params:", "  free: {1: a}"), 6, "key '1' is no text", "quotes"),
    "python object": (a_step("params:", "  free: !!python/object/apply:os.system [ls]"), 6, "is not taken", ""),
    "tuple": (a_step("params:", "  free: !!python/tuple [1, 2]"), 6, "is not taken", ""),
    "set": (a_step("params:", "  free: !!set {a}"), 6, "is not taken", ""),
    "binary": (a_step("params:", "  free: !!binary aGk="), 6, "would become another type", ""),
    "endless alias": ("steps: &a\n  one: *a", None, "refers to itself", ""),
    "negative retries": (a_step("retries: -1"), 5, "retries: -1 is no count", "0 to 100"),
    "truth as retries": (a_step("retries: true"), 5, "no count", ""),
    "bad timeout": (a_step("timeout: soon"), 5, "'soon' is no time", "10m"),
    "zero timeout": (a_step("timeout: 0"), 5, "is no time", ""),
    "bad resource": (a_step("resources: {coers: 2}"), 5, "unknown key 'coers'", "did you mean 'cores'?"),
    "bad memory": (a_step("resources: {memory: lots}"), 5, "'lots' is no amount", "4GB"),
    "bad cache": (a_step("cache: 1"), 5, "cache: 1", "true or false"),
    "bad env": (a_step("env: {A: [1]}"), 5, "is no text", "quotes"),
    "bad secret": (a_step("secrets: [a-b]"), 5, "no environment variable", ""),
    "output twice": (a_step("outputs: [a, a]"), 5, "output 'a' is declared twice", "keep one"),
    "bad output": (a_step("outputs: [a b]"), 5, "no name for an output", ""),
    "register without output": (a_step("register: {name: m}"), 5, "register has no output", "OUTPUT"),
    "register of no output": (
        a_step("outputs: [model]", "register: {name: m, output: modle}"),
        6,
        "has no output 'modle'",
        "did you mean 'model'?",
    ),
    "empty matrix": (a_step("matrix: {depth: []}"), 5, "no list of values", "matrix:"),
    "uneven matrix": (a_step("matrix:", "  - {a: 1}", "  - {b: 1}"), 7, "different keys", ""),
    "matrix of outputs": (a_step("matrix: {a: '${steps.one.outputs.x}'}"), 5, "laid out before", "params"),
    "bad condition": (a_step("when: __import__('os')"), 5, "no comparison", "=="),
    "condition with a typo": (a_step("when: ${params.mode} ="), 5, "can't be read", "=="),
    "steps no mapping": ("steps: [a]", 1, "steps is no mapping", ""),
    "a list": ("- a", 1, "a pipeline is a mapping", ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_with_its_line_and_a_hint(folder, case):
    """Every mistake is one error that names file and line and says what to do."""
    text, line, message, hint = WRONG[case]
    with pytest.raises(DefinitionError) as caught:
        read(folder, text)
    said = caught.value
    assert said.message.startswith("pipeline.yaml:" if line is None else f"pipeline.yaml:{line}: "), said
    assert message in said.message, said
    assert hint in said.hint, said
    assert said.hint


def test_a_cycle_is_told_by_the_names_on_it(folder):
    """The error walks around the cycle."""
    with pytest.raises(DefinitionError) as caught:
        read(folder, WRONG["cycle"][0])
    names = caught.value.message.partition("one another: ")[2].split(" → ")
    assert names[0] == names[-1]
    assert set(names) == {"a", "b", "c"}


def test_everything_that_a_step_may_say(folder):
    """All keys of the contract are read as what they mean."""
    found = read(
        folder,
        "name: all\nparams: {seed: 7, mode: full}\nsteps:\n  first: {notebook: a.ipynb, outputs: [t]}\n"
        "  one:\n    notebook: a.ipynb\n    params: {x: '${params.seed}', rate: 2, text: 's${params.seed}'}\n"
        "    outputs: [m]\n    inputs: data.csv\n    needs: first\n    matrix: {a: [1, 2], b: [x]}\n"
        "    when: ${params.mode} == 'full' and not ${matrix.a} in [3, 4]\n    retries: 2\n    timeout: 10m\n"
        "    resources: {cores: 2, memory: 4GB, gpu: 1}\n    cache: false\n    env: {A: 1}\n    secrets: [TOKEN]\n"
        "    register: {name: m, output: m, promote: champion}\n",
    )
    step = found.steps["one"]
    assert (step.timeout, step.retries, step.cache, step.env) == (600.0, 2, False, {"A": "1"})
    assert step.inputs == ("data.csv",)
    assert step.upstream() == ["first"]
    assert step.register is not None
    assert step.register.promote == "champion"
    assert found.required_outputs("first") == ("t",)


def test_outputs_that_are_not_declared_are_those_that_are_asked_for(folder):
    """Without `outputs:` a step must publish what others refer to and what it registers."""
    found = read(
        folder,
        "steps:\n  a: {notebook: a.ipynb, register: {name: m, output: best}}\n"
        "  b: {notebook: a.ipynb, params: {free: '${steps.a.outputs.model}'}}\n",
    )
    assert found.required_outputs("a") == ("best", "model")


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("1_000", 1000), ("'yes'", "yes"), ("~", None), ("0x10", 16), ("-.5", -0.5)]
)
def test_plain_scalars_are_what_they_look_like(tmp_path, text, value):
    """Numbers that YAML 1.1 would take for text are numbers; what is quoted is text."""
    found = yaml_lines.parse(f"a: {text}", tmp_path / "f.yaml").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_merge_keys_and_anchors_are_written_out(tmp_path):
    """`<<` brings in another mapping's keys; a mapping's own win."""
    found = yaml_lines.parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", tmp_path / "f.yaml")
    assert found.value["b"] == {"x": 1, "y": 3}
    assert found.line(("b", "y")) == 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner),
    max_leaves=8,
)


@given(JSON)
def test_json_comes_through_yaml_as_it_was(value):
    """JSON is YAML: every JSON value is read as itself, types included."""
    from pathlib import Path

    text = json.dumps({"value": value})
    found = yaml_lines.parse(text, Path("f.yaml")).value["value"]
    assert json.dumps(found) == json.dumps(value)
    assert not parameters.lossy(found)


@pytest.mark.parametrize("value", [(1,), {1: 2}, float("nan"), {"a": [float("inf")]}, b"x", {1, 2}, "\ud800", object()])
def test_lossy_values_are_told(value):
    """What JSON or source text would not keep exactly is refused, wherever it is nested."""
    assert parameters.lossy([value])


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [("n", 5, True), ("n", "5", False), ("n", 5.0, False), ("n", True, False), ("r", 1, True), ("f", [1], True)],
)
def test_given_parameters_are_checked_against_defaults(name, value, good):
    """An int may stand for a float; nothing else changes its type; null says nothing of a type."""
    defaults = {"n": 3, "r": 0.5, "f": None}
    if good:
        assert parameters.given(defaults, {name: value}, "p")[name] == value
    else:
        with pytest.raises(UsageError, match="is a whole number"):
            parameters.given(defaults, {name: value}, "p")


def test_an_unknown_parameter_is_refused_with_the_nearest(folder):
    """`-p sed=1` is told that there is `seed`."""
    with pytest.raises(UsageError) as caught:
        parameters.given({"seed": 1}, {"sed": 1}, "p")
    assert caught.value.hint == "did you mean 'seed'?"


def test_a_given_value_must_fit_the_notebook_it_ends_in(folder):
    """A pipeline's parameter without a type of its own is held against the parameters cell."""
    found = read(folder, "params: {p: null}\n" + a_step("params: {free: 1}") + "\n  two: {notebook: a.ipynb}")
    checks.check_given(found, {"p": "x"})
    found = read(folder, "params: {p: 1}\nsteps:\n  one: {notebook: a.ipynb, params: {x: '${params.p}'}}\n")
    with pytest.raises(DefinitionError, match=r"'x' of a\.ipynb is int"):
        checks.check_given(found, {"p": "text"})


def test_a_text_notebook_is_read_with_jupytext(folder):
    """A jupytext .py has cells, a parameters cell, and the same digests each time it is read."""
    (folder / "t.py").write_text('# %% tags=["parameters"]\nx = 1\n\n# %% [markdown]\n# Title\n\n# %%\nprint(x)\n')
    text = "steps:\n  one: {notebook: t.py, params: {x: 2}}\n"
    step = read(folder, text).steps["one"]
    assert [cell.source for cell in step.notebook.cells] == ["x = 1", "print(x)"]
    assert step.notebook.digests == read(folder, text).steps["one"].notebook.digests


def test_a_notebook_of_an_old_format_is_read(folder):
    """Format 3 had worksheets; its cells count like others."""
    old = {
        "metadata": {"name": ""},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [{"cells": [{"cell_type": "code", "input": ["1+1"], "outputs": [], "language": "python"}]}],
    }
    (folder / "old.ipynb").write_text(json.dumps(old))
    step = read(folder, "steps:\n  one: {notebook: old.ipynb}\n").steps["one"]
    assert [cell.source for cell in step.notebook.cells] == ["1+1"]


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": []},
        {"metadata": {"kernelspec": "python3"}},
        {"metadata": {"language_info": []}},
        {"nbformat": "4"},
        {"nbformat": None},
        {"nbformat": 3, "worksheets": 7},
        {"cells": [{"cell_type": "code", "metadata": [1], "source": ""}]},
        {"cells": [{"cell_type": "code", "metadata": {"tags": 1}, "source": ""}]},
        {"cells": [{"cell_type": "code", "metadata": {}, "source": 1}]},
        {"cells": [{"cell_type": "code", "metadata": {}, "source": [1]}]},
    ],
)
def test_a_notebook_of_another_shape_is_refused(tmp_path, change):
    """Whatever JSON somebody has in a file that ends in .ipynb, the answer is a sentence."""
    document = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5} | change
    (tmp_path / "a.ipynb").write_text(json.dumps(document))
    with pytest.raises(DefinitionError, match=r"a\.ipynb is no notebook"):
        notebooks.read(tmp_path / "a.ipynb")


def test_null_in_a_notebook_is_like_nothing(tmp_path):
    """Some writers leave null where they have nothing to say; such a notebook can be run."""
    cell = {"cell_type": "code", "metadata": None, "source": "1", "outputs": [], "execution_count": None}
    document = {"cells": [cell], "metadata": {"kernelspec": None}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "a.ipynb").write_text(json.dumps(document))
    found = notebooks.read(tmp_path / "a.ipynb")
    assert (found.kernel, found.document["metadata"], "metadata" in found.document["cells"][0]) == (
        "python3",
        {},
        False,
    )
