"""Jupyter as the place where machine learning is done and operated: experiments, notebook state, models, pipelines.

Everything public is named here and imported when it is first touched, so that ``import mlops_jupyter`` and
``%load_ext mlops_jupyter`` load neither MLflow nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_jupyter._version import __version__
from mlops_jupyter.tracking import quiet_environment

if TYPE_CHECKING:
    from mlops_jupyter.functions import log_model, run
    from mlops_jupyter.pipelines.outputs import load, output
    from mlops_jupyter.tracking.log import log_data, log_metric, log_param
    from mlops_jupyter.workspace import Workspace

# MLflow reads these when it is imported, which may be in the user's next line.
quiet_environment()

_PUBLIC = {
    "Workspace": "mlops_jupyter.workspace",
    "load": "mlops_jupyter.pipelines.outputs",
    "log_data": "mlops_jupyter.tracking.log",
    "log_metric": "mlops_jupyter.tracking.log",
    "log_model": "mlops_jupyter.functions",
    "log_param": "mlops_jupyter.tracking.log",
    "output": "mlops_jupyter.pipelines.outputs",
    "run": "mlops_jupyter.functions",
}

__all__ = [
    "Workspace",
    "__version__",
    "load",
    "log_data",
    "log_metric",
    "log_model",
    "log_param",
    "output",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first touched."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = found  # a loop calls it a million times
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*globals(), *_PUBLIC})


def load_ipython_extension(ipython: Any) -> None:
    """Add ``%mlops`` and ``%%mlops`` to IPython (``%load_ext mlops_jupyter``)."""
    from mlops_jupyter.kernel import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take the magics and the recorder away again."""
    from mlops_jupyter.kernel import unload

    unload(ipython)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Name the server extension to Jupyter Server."""
    return [{"module": "mlops_jupyter.server"}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Name the built front end to JupyterLab, for development installs."""
    return [{"src": "labextension", "dest": "@mlops-jupyter/lab"}]
