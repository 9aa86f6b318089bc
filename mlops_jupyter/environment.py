"""The environment that code ran in: interpreter, platform and every installed distribution."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def capture() -> Mapping[str, Any]:
    """Describe the environment of this process.

    Returns:
        ``python`` (version), ``implementation``, ``platform`` and ``packages`` (normalised name → version); read again
        when something was installed.
    """
    return _captured(_stamps(sys.path))


def providers() -> Mapping[str, list[str]]:
    """Tell which installed distributions each importable name comes from.

    Returns:
        Top-level module → names of distributions; read again when something was installed.
    """
    return _provided(_stamps(sys.path))


@functools.lru_cache(maxsize=4)
def _provided(stamps: Any) -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()


def capture_of(interpreter: str, environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Describe the environment of another Python interpreter, which is asked.

    Args:
        interpreter: Path of the interpreter.
        environ: Environment variables that it would run with, on top of this process's.

    Returns:
        What :func:`capture` says there, read again when something was installed; None where it does not answer.
    """
    import inspect

    which = (interpreter, tuple(sorted(environ.items())))
    known = _ANSWERS.get(which)
    if known is not None and _stamps(known[0]) == known[1]:
        return known[2]
    try:
        done = subprocess.run(
            [interpreter, "-c", _ASK.format(inspect.getsource(_describe))],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environ},
        )
        path, answer = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    _ANSWERS[which] = (path, _stamps(path), answer)
    return answer  # type: ignore[no-any-return]


_ANSWERS: dict[Any, tuple[list[str], Any, Mapping[str, Any]]] = {}


def _stamps(path: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Give when the folders that modules are found in changed: to install a distribution adds a folder there."""
    found = []
    for place in path:
        with contextlib.suppress(OSError):
            found.append((place, os.stat(place or ".").st_mtime_ns))  # noqa: PTH116 - called for every step
    return tuple(found)


@functools.lru_cache(maxsize=4)
def _captured(stamps: Any) -> Mapping[str, Any]:
    return _describe()


def _describe() -> dict[str, Any]:
    # Sent to other interpreters as source: only what every Python has, imports inside.
    import platform
    import re
    from importlib.metadata import distributions

    packages: dict[str, str] = {}
    for distribution in distributions():
        # importlib's own reading of these files takes twenty times as long.
        head, _, _ = (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "").partition("\n\n")
        name, version = (re.search(rf"^{field}:[ \t]*(\S+)", head, re.MULTILINE) for field in ("Name", "Version"))
        if name and version:
            # The first on the path is the one that an import finds.
            packages.setdefault(re.sub(r"[-_.]+", "-", name[1]).lower(), version[1])
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": "-".join((platform.system(), platform.machine())),
        "packages": dict(sorted(packages.items())),
    }


_ASK = """from __future__ import annotations
import json, sys
sys.path[:] = [place for place in sys.path if place]
{}
print(json.dumps([sys.path, _describe()]))
"""


def digest(environment: Mapping[str, Any]) -> str:
    """Give the digest that two equal environments share.

    Args:
        environment: What :func:`capture` gave.

    Returns:
        32 hexadecimal digits.
    """
    from mlops_jupyter.digest import digest_of

    return digest_of({key: environment[key] for key in sorted(environment)})


def git_state(folder: Path) -> dict[str, Any]:
    """Ask git which commit a folder is at.

    Args:
        folder: Anywhere in a work tree.

    Returns:
        ``commit`` and ``dirty``; empty outside of git, or before the first commit.
    """

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "--no-optional-locks", "-C", str(folder), *words],
                capture_output=True,
                text=True,
                timeout=10,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    if not commit:
        return {}
    changes = ask("status", "--porcelain", "--untracked-files=normal")
    return {"commit": commit.strip(), "dirty": bool(changes) if changes is not None else True}


def git_root(folder: Path) -> Path | None:
    """Give the root of the work tree that a folder lies in, or None."""
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            return place
    return None
