"""The errors of this package, and the one mapping from an error to an answer.

Every error carries a ``message`` (what is wrong) and a ``hint`` (what to do), and knows the exit code of the shell and
the status of HTTP that tell the same::

    MlopsError                     2   400
    ├── UsageError                 2   400   the words of a request are off
    ├── ConfigError                2   422   mlops.toml is not as it should be (file, line)
    ├── DefinitionError            2   422   a pipeline file is not as it should be (file, line)
    ├── ValueRefused               2   422   a value that can't be kept as what it was given for
    ├── NotFoundError              2   404   nothing has that name
    │   └── AmbiguousError         2   409   more than one thing has that name
    ├── ConflictError              2   409   the request does not fit the present state
    ├── DeniedError                2   403   not allowed
    ├── StoreError                 3   503   a store is unreachable, locked, read-only or full
    ├── ExecutionError             1   422   user code that was run for us has failed
    ├── IntegrityError             1   409   stored bytes are not what they were
    └── InternalError              1   500   a defect of ours
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence


class MlopsError(Exception):
    """Something went wrong that a user can understand and act on.

    Args:
        message: One line that says what is wrong.
        hint: One line that says what to do.
    """

    exit_code = 2
    http_status = 400

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = _one_line(message)
        self.hint = _one_line(hint)

    def __str__(self) -> str:
        """Give the two lines that a user sees."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error cross a process boundary whole."""
        return _rebuild, (type(self), self.message, self.hint, self.__dict__)

    def to_json(self) -> dict[str, dict[str, str]]:
        """Give the document that ``--json`` and REST answer with."""
        return {"error": {"message": self.message, "hint": self.hint}}


class UsageError(MlopsError):
    """The words of a request are not what the verb takes."""


class ConfigError(MlopsError):
    """``mlops.toml`` can't be read, or says something that has no meaning."""

    http_status = 422


class DefinitionError(MlopsError):
    """A pipeline file can't be read, or describes no pipeline."""

    http_status = 422


class ValueRefused(MlopsError):
    """A value that can't be kept as what it was given for (a metric that is text, say)."""

    http_status = 422


class NotFoundError(MlopsError):
    """Nothing goes by the name that was given."""

    http_status = 404


class AmbiguousError(NotFoundError):
    """More than one thing goes by the name that was given.

    Args:
        message: One line that says what is wrong.
        candidates: The things that the name could mean.
    """

    http_status = 409

    def __init__(self, message: str, candidates: Sequence[str]) -> None:
        shown = ", ".join(candidates[:8]) + (", …" if len(candidates) > 8 else "")
        super().__init__(message, f"say which one: {shown}")
        self.candidates = tuple(candidates)

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error cross a process boundary whole."""
        return type(self), (self.message, self.candidates)


class ConflictError(MlopsError):
    """The request does not fit the present state of things."""

    http_status = 409


class DeniedError(MlopsError):
    """The caller may not do this."""

    http_status = 403


class StoreError(MlopsError):
    """A store (tracking, registry, objects, ledger) is unreachable, locked, read-only or full."""

    exit_code = 3
    http_status = 503


class ExecutionError(MlopsError):
    """Code of the user's, run on their behalf, has failed."""

    exit_code = 1
    http_status = 422


class IntegrityError(MlopsError):
    """Bytes that were stored are not the bytes that are there now."""

    exit_code = 1
    http_status = 409


class InternalError(MlopsError):
    """A defect of ours: an exception that nobody foresaw."""

    exit_code = 1
    http_status = 500


def _rebuild(kind: type[MlopsError], message: str, hint: str, state: dict[str, object]) -> MlopsError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.message, error.hint = message, hint
    error.__dict__.update(state)
    return error


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", str(text)).strip()


# What the operating system says, and what a person can do about it.
_OS_HINTS = {
    errno.ENOSPC: "the disk is full: free some space and try again",
    errno.EDQUOT: "the disk quota is used up: free some space and try again",
    errno.EROFS: "the file system is read-only: choose another place with --workspace",
    errno.EACCES: "no permission: choose another place with --workspace, or ask for access",
    errno.EPERM: "no permission: choose another place with --workspace, or ask for access",
}


def translate(error: BaseException) -> MlopsError:
    """Turn any exception into one of ours, so that every door answers alike.

    Args:
        error: What was raised; one of ours comes back as it is.

    Returns:
        The error to tell. Exceptions of the operating system, SQLite, SQLAlchemy and MLflow that mean "the store
        does not answer" become :class:`StoreError`; what nobody foresaw becomes :class:`InternalError`.
    """
    if isinstance(error, MlopsError):
        return error
    if isinstance(error, OSError):
        return _from_os(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if names & {"OperationalError", "DatabaseError"} or "OperationalError" in text or "DatabaseError" in text:
        return _from_database(text)
    if "MlflowException" in names:
        return _from_mlflow(error, text)
    return InternalError(
        f"unexpected {type(error).__name__}: {text or 'no message'}",
        "this is a defect of mlops-jupyter: --debug shows where it happened",
    )


def _from_os(error: OSError) -> MlopsError:
    where = f" ({error.filename})" if error.filename else ""
    what = error.strerror or str(error)
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
        return UsageError(f"{what}{where[:200]}", "check the path")
    if error.errno in _OS_HINTS:
        return StoreError(f"{what}{where}", _OS_HINTS[error.errno])
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"no such file or folder{where}", "check the path")
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return UsageError(f"{what}{where}", "check the path")
    return StoreError(f"{what}{where}", "check that the store can be reached, then try again")


def _from_database(text: str) -> MlopsError:
    lines = [line for line in text.strip().splitlines() if not line.startswith("(raised as a result of")]
    first = lines[0] if lines else "the database does not answer"
    if "locked" in text or "busy" in text:
        return StoreError(f"the database is locked: {first}", "another process is writing: try again in a moment")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return StoreError(f"the database can't be written: {first}", "check the permissions of .mlops/")
    if "full" in text:
        return StoreError(f"the disk is full: {first}", "free some space and try again; nothing half-written stays")
    if "disk I/O error" in text:
        # SQLite says no more than this where the file beside the database, which readers share, can't grow.
        return StoreError(f"the disk is full, or fails: {first}", "free some space, then try again")
    return StoreError(
        f"the database does not answer as it should: {first}",
        "check the file or server that `mlops status` names",
    )


def _from_mlflow(error: BaseException, text: str) -> MlopsError:
    code = str(getattr(error, "error_code", ""))
    first = text.strip().splitlines()[0] if text.strip() else "MLflow refused"
    if code == "RESOURCE_DOES_NOT_EXIST":
        return NotFoundError(first, "check the name")
    if code in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}:
        return ValueRefused(first, "MLflow refuses this value: see its message")
    if code in {"RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}:
        return ConflictError(first, "look at the present state with `mlops status`")
    if code in {"PERMISSION_DENIED", "UNAUTHENTICATED"}:
        return DeniedError(first, "ask whoever runs the tracking server")
    away = re.search(r"host='([^']+)', port=(\d+)\).*Max retries exceeded", first)
    if away:
        first = f"nobody answers at {away[1]}:{away[2]}"
    return StoreError(
        f"the tracking store did not answer: {first}",
        "check that the server or database that `mlops status` names is up",
    )
