"""What a failure of the store means: that it will say the same again, or that it is away."""

from __future__ import annotations

import re

from mlops_jupyter.errors import DeniedError, MlopsError
from mlops_jupyter.tracking.queue.local_ids import Waiting

_DATABASE_AWAY = re.compile(r"OperationalError|InterfaceError|PendingRollback|\.InternalError|\.DatabaseError")


def is_for_good(error: BaseException) -> bool:
    """Tell whether the store will say the same however often it is asked.

    Args:
        error: What MLflow, or what is below it, has raised.
    """
    if isinstance(error, MlopsError):
        # A token may be renewed, and a run that another process has begun may be created yet.
        return error.exit_code == 2 and not isinstance(error, DeniedError | Waiting)
    if str(error).startswith("API request to "):
        return False  # no answer of MLflow's: a proxy's before it, which may know better in a moment
    code = str(getattr(error, "error_code", ""))
    if code == "INTERNAL_ERROR" and _is_of_a_value(error):
        return True
    if code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"):
        return True
    # A broken connection to a database arrives as a bad request, too.
    return code == "BAD_REQUEST" and not _DATABASE_AWAY.search(str(error))


def _is_of_a_value(error: BaseException) -> bool:
    """Tell whether a database's driver has refused a value, without asking the database: PostgreSQL's a NUL, say."""
    raised = getattr(error.__cause__, "orig", error.__cause__)
    return isinstance(raised, ValueError | TypeError | OverflowError)


def is_away(error: BaseException) -> bool:
    """Tell whether it is that nobody has answered, or that something of this machine can't be read just now.

    Args:
        error: What MLflow, or what is below it, has raised.
    """
    # That a folder of the store's can't be written from here will be so tomorrow.
    is_here = isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError)
    return isinstance(error, OSError) and not is_here and getattr(error, "response", None) is None
