"""The demo: an example project that a newcomer runs first, and its summary."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_jupyter.config import STATE
from mlops_jupyter.display import Block, Grid, Heading, Note, Pairs, Shown, show_value
from mlops_jupyter.errors import InternalError, UsageError, translate
from mlops_jupyter.files import write_whole
from mlops_jupyter.uris import sqlite_uri

PIPELINE = "pipeline.yaml"
NAME = "demo"
ALIAS = "champion"
_NAMED = re.compile(rf"^name:\s*(['\"]?){NAME}\1\s*(#.*)?$", re.MULTILINE)


@dataclass(frozen=True, repr=False)
class DemoResult(Shown):
    """How the demo's pipeline ended, and where to look.

    Args:
        folder: The project.
        pipeline: The pipeline's result.
        runs: The runs that its steps made, now or when they were cached.
        model: The version that these steps made, if one did, with its aliases.
        tracking: The URI of the store that the runs are in; None for the project's own.
        params: What the pipeline was given.
    """

    folder: Path
    pipeline: Shown
    runs: Sequence[Mapping[str, Any]]
    model: Mapping[str, Any] | None
    tracking: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:  # type: ignore[override]
        """Whether the pipeline succeeded."""
        return self.pipeline.ok

    def to_json(self) -> Any:
        """Give the pipeline's document, the folder and the model."""
        document = dict(self.pipeline.to_json())
        return document | {"folder": str(self.folder), "model": dict(self.model) if self.model else None}

    def blocks(self) -> Sequence[Block]:
        """Give the steps, the runs, the model, and where to look; of a failure only what failed."""
        blocks: list[Block] = list(self.pipeline.blocks())
        if not self.ok:
            return blocks
        steps = self.pipeline.to_json()["steps"]
        if all(step["state"] == "cached" for step in steps):
            blocks.append(Note("every step was cached: nothing has changed, so nothing was run", "good"))
        if self.runs:
            columns = {"name": "run", "run_id": "id", "metrics": "metrics"}
            shown = [
                {"name": row["name"], "run_id": row["run_id"][:8], "metrics": _few(row["metrics"])} for row in self.runs
            ]
            blocks.append(Grid(columns, shown, "Runs"))
        if self.model:
            blocks += _model(self.model)
        folder = _shell_path(self.folder)
        mlops = f"{_tool('mlops')} --workspace {folder}"
        look = {
            "notebooks and sidebar": f"{_tool('jupyter')} lab {folder}",
            "MLflow": self._mlflow(),
            "what would run now": f"{mlops} pipeline plan {folder}/{PIPELINE}{self._given()}",
            "who promoted what": f"{mlops} audit",
        }
        return [*blocks, Heading("Where to look"), Pairs(look)]

    def _given(self) -> str:
        return "".join(f" -p {shlex.quote(f'{key}={value}')}" for key, value in self.params.items())

    def _mlflow(self) -> str:
        uri = self.tracking or sqlite_uri(self.folder / STATE / "mlflow.db")
        if uri.startswith(("http://", "https://")):
            return uri
        return f"{_tool('mlflow')} ui --backend-store-uri {shlex.quote(uri)}"


def _few(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {show_value(value)}" for name, value in list(metrics.items())[:3])


def _model(model: Mapping[str, Any]) -> list[Block]:
    held = ALIAS in model["aliases"]
    facts = {"best model": f"{model['model']}/{model['version']}", "run": model["run_id"]}
    facts |= {"alias": ALIAS} if held else {}
    gates = [gate for gate in model["gates"] if gate.get("alias", ALIAS) == ALIAS]
    blocks: list[Block] = [Heading("Model"), Pairs(facts)]
    if not held:
        return [*blocks, Note(f"it is not {ALIAS} now: it waits for approval, or another was promoted since")]
    for gate in gates:
        if gate["passed"]:
            blocks.append(Note(f"promoted because {gate['gate']} holds: {gate['reason']}", "good"))
        else:
            blocks.append(Note(f"{gate['gate']} does not hold now: {gate['reason']}", "bad"))
    return blocks


def _tool(name: str) -> str:
    """Give a command as it can be pasted: with its path where the environment is not activated."""
    beside = Path(sys.executable).parent / name
    found = shutil.which(name)
    return name if found and Path(found).parent == beside.parent else _shell_path(beside)


def _shell_path(folder: Path) -> str:
    try:
        shown = folder.relative_to(Path.cwd())
    except ValueError:
        shown = folder
    return shlex.quote(str(shown))


def example_folder() -> Path:
    """Find the example project: in the wheel, or in the checkout that this package is used from.

    Raises:
        InternalError: It is in neither.
    """
    package = Path(__file__).parent
    for place in (package / "examples" / "demo", package.parent / "examples" / "demo"):
        if (place / PIPELINE).is_file():
            return place
    raise InternalError("the example project is missing from this installation", "install mlops-jupyter again")


def copy_example(folder: Path) -> None:
    """Copy the example project; files that are there already stay as they are.

    Args:
        folder: Where to; made when missing.

    Raises:
        UsageError: The folder holds another project.
        StoreError: It can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a new folder, or an empty one")
    source = example_folder()
    names = {file.name for file in source.iterdir()}
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    # What a crash in the middle of a write has left is nobody's.
    files = {name for name in there if name != STATE and not (name.startswith(".") and name.endswith(".part"))}
    ours = _is_demo(folder / PIPELINE) if PIPELINE in files else files <= names
    if not ours:
        raise UsageError(f"{folder} has other files in it", "name a new folder, or an empty one")
    try:
        # The pipeline comes last: a folder that a crash left half copied is told by its absence, and copied again.
        for file in sorted(source.iterdir(), key=lambda path: path.name == PIPELINE):
            if file.is_file() and file.name not in there:
                write_whole(folder / file.name, file.read_bytes())
    except OSError as error:
        raise translate(error) from error


def _is_demo(pipeline: Path) -> bool:
    try:
        return _NAMED.search(pipeline.read_text("utf-8-sig")) is not None
    except (OSError, ValueError):
        return False


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Make a relative ``data`` absolute: notebooks run in the project's folder, not where the command was typed.

    Raises:
        UsageError: ``data`` names no file.
    """
    params = dict(given)
    data = params.get("data")
    if data is not None and data != "builtin":
        path = Path(str(data)).expanduser().absolute()
        if not path.is_file():
            raise UsageError(f"data={data}: there is no such file", "give the path of a CSV file")
        params["data"] = str(path)
    return params
