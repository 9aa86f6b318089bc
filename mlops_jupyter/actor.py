"""Who does something: the name that the ledger records, and how it was known."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """A person or service.

    Args:
        name: The user's name.
        via: How it was known: ``os`` (the account that runs the process), ``identity`` (Jupyter's identity provider)
            or ``token`` (a bare token, so the account running the server).
    """

    name: str
    via: str = "os"


def os_actor(via: str = "os") -> Actor:
    """Give the account that runs this process, as the operating system has it.

    Environment variables such as ``USER`` are not asked: anyone can set them.
    """
    if os.name != "posix":
        import getpass

        return Actor(getpass.getuser(), via)
    import pwd

    uid = os.getuid()
    try:
        return Actor(pwd.getpwuid(uid).pw_name, via)
    except KeyError:  # an account without a name, as in containers
        return Actor(f"uid-{uid}", via)
