"""Imports of other threads, while MLflow is switching autologging on.

MLflow's finder takes the lock of MLflow's import hooks for each import of anything, and Python calls it with the import
lock held. Whoever switches autologging on holds these two the other way round, and both threads wait for ever.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# How long the import of a library waits for its hooks, in seconds; all other imports wait meanwhile.
_MOMENT = 0.05


class Finding:
    """Takes the place of ``ImportHookFinder.find_spec``.

    Args:
        hooks: MLflow's module of import hooks.
    """

    def __init__(self, hooks: Any) -> None:
        self._hooks = hooks
        self._missed: set[str] = set()

    def find_spec(self, find: Callable[..., Any]) -> Callable[..., Any]:
        """Give one that takes no lock for what has no hooks, and does not wait for ever for what has.

        Args:
            find: The one that was there.
        """
        hooks = self._hooks

        def find_spec(finder: Any, fullname: str, path: Any = None, target: Any = None) -> Any:
            if fullname not in hooks._post_import_hooks and fullname not in hooks._import_error_hooks:
                return None
            if not hooks._post_import_hooks_lock.acquire(timeout=_MOMENT):
                self._missed.add(fullname)
                return None
            try:
                return find(finder, fullname, path, target)
            finally:
                hooks._post_import_hooks_lock.release()

        return find_spec

    def catch_up(self) -> None:
        """Carry out the hooks of what was imported past them."""
        while self._missed:
            name = next(iter(self._missed))
            self._hooks.notify_module_loaded(importlib.import_module(name))
            self._missed.discard(name)  # only now: who interrupts this wants it carried out the next time
