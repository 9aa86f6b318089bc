"""What a step's result depends on besides its code: the interpreter that its kernel would start, and what is installed.

A kernel is a name that stands for a command line. Where that command starts this very interpreter, its environment is
ours. Any other interpreter is asked; one that does not answer goes by its command line alone.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_jupyter import environment

# jupyter_client starts our own interpreter for these, whatever PATH says.
_OURS = frozenset({"python", f"python{sys.version_info[0]}", "python{}.{}".format(*sys.version_info)})


@dataclass(frozen=True)
class Kernel:
    """What would run a notebook.

    Args:
        version: The version of its language; empty where nobody says.
        environment: The digest of what is installed for it.
    """

    version: str
    environment: str


def describe(name: str, language: str) -> Kernel:
    """Describe what a kernel would run.

    Args:
        name: The kernel's name.
        language: Its language.

    Returns:
        Version and environment: of this process where the kernel is not installed, which a run refuses anyway.
    """
    argv, environ = _specification(name)
    command = argv[0] if argv else "python"
    found = shutil.which(command) or command
    if command in _OURS or os.path.normpath(found) == os.path.normpath(sys.executable):
        return Kernel(platform.python_version(), environment.digest(environment.capture()))
    if language == "python":
        told = environment.capture_of(found, environ)
        if told is not None:
            return Kernel(str(told["python"]), environment.digest(told))
    return Kernel(_version(found), environment.digest({"argv": list(argv)}))


def _specification(name: str) -> tuple[Sequence[str], Mapping[str, str]]:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        return (), {}
    return spec.argv, spec.env


@functools.cache
def _version(command: str) -> str:
    try:
        done = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ""
    return (done.stdout or done.stderr).strip().partition("\n")[0]
