"""Door 1, the notebook: ``%mlops``, ``%%mlops run``, the recorder of cells, and the sidebar's way into the kernel."""

from __future__ import annotations

from typing import Any

from mlops_jupyter.kernel.extension import Extension

_loaded: dict[int, Extension] = {}


def load(shell: Any) -> Extension:
    """Add the door to an IPython shell, once.

    Args:
        shell: The shell.

    Returns:
        The extension that serves it.
    """
    extension = _loaded.get(id(shell))
    if extension is None:
        extension = _loaded[id(shell)] = Extension(shell)
        extension.install()
    return extension


def unload(shell: Any) -> None:
    """Take the door away from an IPython shell.

    Args:
        shell: The shell.
    """
    extension = _loaded.pop(id(shell), None)
    if extension is not None:
        extension.uninstall()
