"""The environment that code ran in: interpreter, platform and every installed distribution."""

from __future__ import annotations

import functools
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@functools.cache
def capture() -> Mapping[str, Any]:
    """Describe the environment of this process.

    Returns:
        ``python`` (version), ``implementation``, ``platform`` and ``packages`` (normalised name → version), read once.
    """
    from importlib.metadata import distributions

    packages: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            # The first on the path is the one that an import finds.
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "packages": dict(sorted(packages.items())),
    }


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
