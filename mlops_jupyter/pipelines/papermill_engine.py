"""What the entry point ``mlops`` of ``papermill.engine`` names, without importing papermill.

``papermill --engine mlops in.ipynb out.ipynb`` works for anyone, with papermill's own options. Papermill loads every
engine while it is being imported itself, so this class must not need papermill to exist; the engine behind it, in
``engine``, is made of papermill's classes and imported when it is first used.
"""

from __future__ import annotations

from typing import Any


class MlopsEngine:
    """Papermill's engine ``mlops``."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute a notebook.

        Args:
            nb: The notebook, parameters injected.
            kernel_name: Which kernel.
            kwargs: As papermill has it.

        Returns:
            The executed notebook; ``metadata.mlops.outcome`` says how it ended.

        Raises:
            DeadKernelError: The kernel died.
            CellTimeoutError: A cell took longer than ``execution_timeout``.
        """
        from mlops_jupyter.pipelines.engine import NotebookEngine

        return NotebookEngine.execute_notebook(nb, kernel_name, **kwargs)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> Any:
        """Give the name of the kernel that a notebook asks for."""
        from papermill.utils import nb_kernel_name

        return nb_kernel_name(nb, name)

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> Any:
        """Give the language that a notebook is written in."""
        from papermill.utils import nb_language

        return nb_language(nb, language)
