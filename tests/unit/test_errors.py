"""Errors: two lines, an exit code and a status, from one mapping."""

from __future__ import annotations

import errno
import inspect
import pickle
import sqlite3

import pytest

from mlops_jupyter import errors
from mlops_jupyter.errors import AmbiguousError, InternalError, MlopsError, StoreError, translate

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MlopsError)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_in_the_docstring_is_the_tree(kind: type[MlopsError]) -> None:
    """Every error stands in the module's docstring with its exit code and status."""
    line = next(
        line for line in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in f" {line.strip('│├└─ ')} "
    )
    assert line.split(kind.__name__)[1].split()[:2] == [str(kind.exit_code), str(kind.http_status)]


def test_an_error_is_two_lines_whatever_is_in_it() -> None:
    """A message with line breaks stays one line."""
    assert str(MlopsError("a\n  b", "c\nd")) == "a b\nc d"


@pytest.mark.parametrize("error", [MlopsError("a", "b"), AmbiguousError("a", ["x", "y"])])
def test_errors_cross_processes(error: MlopsError) -> None:
    """Message and hint survive pickling."""
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.message, back.hint) == (type(error), error.message, error.hint)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoreError),
        (OSError(errno.EROFS, "Read-only file system", "/x"), StoreError),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), StoreError),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), errors.NotFoundError),
        (sqlite3.OperationalError("database is locked"), StoreError),
        (sqlite3.OperationalError("attempt to write a readonly database"), StoreError),
        (sqlite3.OperationalError("database or disk is full"), StoreError),
        (ValueError("what?"), InternalError),
    ],
)
def test_foreign_errors_become_ours(error: Exception, kind: type[MlopsError]) -> None:
    """What the machine says is told as what a person can do."""
    ours = translate(error)
    assert type(ours) is kind
    assert ours.message
    assert ours.hint


def test_mlflows_errors_become_ours() -> None:
    """MLflow's codes are mapped, so that a missing run is 404 and a dead server is 503."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

    found = {
        code: translate(MlflowException("x", code)).http_status
        for code in (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE, INTERNAL_ERROR)
    }
    assert list(found.values()) == [404, 422, 503]


def test_an_error_of_ours_stays_what_it_is() -> None:
    """Translating twice changes nothing."""
    error = StoreError("a", "b")
    assert translate(error) is error
