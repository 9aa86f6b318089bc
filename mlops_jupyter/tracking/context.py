"""Where code runs: which notebook, which cell, which commit, which environment.

The kernel's door tells what it knows through :data:`current`; elsewhere the notebook is found by what Jupyter, our
papermill engine or papermill's command line leave in the environment of the process. MLflow asks
:class:`NotebookContext` (entry point ``mlflow.run_context_provider``) whenever a run begins, so a plain
``mlflow.start_run()`` in a notebook is tagged as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_jupyter.tracking.lineage import Document
from mlops_jupyter.tracking.records import CELL, ENVIRONMENT, GIT_COMMIT, GIT_DIRTY, NOTEBOOK

NOTEBOOK_VARIABLE = "MLOPS_NOTEBOOK"


@dataclass
class Current:
    """What the kernel's door knows of the code that runs now.

    Args:
        notebook: The notebook's file; None when there is none or nobody knows.
        cell: The id of the cell that runs.
        root: The workspace's folder.
        active: Whether the extension is loaded.
        document: The notebook as it stands in the editor, where the editor tells.
    """

    notebook: Path | None = None
    cell: str | None = None
    root: Path | None = None
    active: bool = False
    document: Document | None = None


current = Current()


def find_notebook(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Find the notebook that this process runs.

    Args:
        environ: The environment.

    Returns:
        Its path, or None where nothing tells: plain IPython and scripts.
    """
    for name in (NOTEBOOK_VARIABLE, "JPY_SESSION_NAME"):
        path = environ.get(name, "")
        if path.endswith((".ipynb", ".py", ".md")):
            return Path(path)
    return _papermill_notebook() if "ipykernel" in sys.modules else None


def _papermill_notebook() -> Path | None:
    # Papermill hands the notebook's name to nobody; on its command line it is the first word that is a notebook.
    import psutil

    try:
        parent = psutil.Process(os.getppid())
        words, folder = parent.cmdline(), parent.cwd()
    except psutil.Error:
        return None
    if not any(Path(word).name == "papermill" for word in words[:3]):
        return None
    notebooks = [word for word in words if word.endswith(".ipynb")]
    return Path(folder, notebooks[0]) if notebooks else None


def run_tags(root: Path, *, notebook: Path | None = None, cell: str | None = None) -> dict[str, str]:
    """Give the tags that say where a run's code came from.

    Args:
        root: The workspace's folder.
        notebook: The notebook, when it is known better than :data:`current` has it.
        cell: The cell, likewise.

    Returns:
        ``mlops.notebook``, ``mlops.cell``, ``mlops.git.*`` and ``mlops.env``, those that are known.
    """
    from mlops_jupyter import environment

    notebook = notebook or current.notebook
    tags = {ENVIRONMENT: environment.digest(environment.capture())}
    git = environment.git_state(notebook.parent if notebook and notebook.parent.is_dir() else root)
    if git:
        tags |= {GIT_COMMIT: git["commit"], GIT_DIRTY: str(git["dirty"]).lower()}
    if notebook is not None:
        tags |= {NOTEBOOK: relative(notebook, root), "mlflow.source.name": str(notebook)}
        tags["mlflow.source.type"] = "NOTEBOOK"
    if cell or current.cell:
        tags[CELL] = str(cell or current.cell)
    return tags


def relative(path: Path, root: Path) -> str:
    """Give a path as seen from the workspace, with forward slashes; as it is when it lies elsewhere."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.as_posix()


class NotebookContext:
    """Tells MLflow about the notebook that a run begins in (``mlflow.run_context_provider``)."""

    def in_context(self) -> bool:
        """Tell whether this process runs a notebook that we know."""
        return current.active or NOTEBOOK_VARIABLE in os.environ

    def tags(self) -> dict[str, str]:
        """Give the tags of the code that runs now."""
        named = os.environ.get("MLOPS_WORKSPACE")
        root = current.root or (Path(named) if named else Path.cwd())
        notebook = current.notebook or find_notebook()
        return run_tags(root, notebook=notebook)
