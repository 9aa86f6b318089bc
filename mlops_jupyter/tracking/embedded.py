"""The embedded store: MLflow's SQLite database in ``.mlops/``, made from a template in milliseconds.

MLflow takes seconds to migrate an empty database. The template is made once per MLflow version, kept in the user's
cache folder, and copied. It has no Default experiment, because that row carries an absolute artifact path; MLflow adds
the row when the copy is first opened, with the workspace's own.
"""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from mlops_jupyter.config import STATE
from mlops_jupyter.errors import StoreError
from mlops_jupyter.files import on_network
from mlops_jupyter.tracking import mlflow_module
from mlops_jupyter.uris import sqlite_path, sqlite_uri

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"


def uri_of(state: Path) -> str:
    """Give the tracking URI of a workspace's embedded store."""
    return sqlite_uri(state / DATABASE)


def artifact_root(state: Path) -> str:
    """Give the URI below which a workspace's embedded store keeps artifacts."""
    return (state / ARTIFACTS).as_uri()


def create(state: Path) -> None:
    """Make the embedded store, unless it is there.

    Two processes may try at once: both prepare a file aside, and the first to link it in place wins.

    Args:
        state: The workspace's ``.mlops``, which exists.

    Raises:
        OSError: The folder can't be written.
    """
    database = state / DATABASE
    if database.exists():
        return
    aside = state / f".{DATABASE}.{uuid.uuid4().hex}.part"
    try:
        _fill(aside)
        if not on_network(state):
            with _connection(aside) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        _put_in_place(aside, database)
    finally:
        for left in state.glob(aside.name + "*"):
            left.unlink(missing_ok=True)


@contextmanager
def _without_stray_folder(uri: str) -> Iterator[None]:
    """Take away the folder that MLflow makes where it takes an escaped URI (``%`` or ``?`` in the path) for a path."""
    stray = Path(uri.removeprefix("sqlite:///")).parent
    if "%" not in str(stray):
        yield
        return
    new = [folder for folder in (stray, *stray.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()


def check(state: Path) -> None:
    """Refuse what is no database: MLflow would try to open it for minutes.

    Args:
        state: The workspace's ``.mlops``.

    Raises:
        StoreError: The file is damaged, or something else.
    """
    path = state / DATABASE
    try:
        # Asked of SQLite, and never read as a file: to close a file gives up all locks that this process has on it.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.1)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        if path.is_dir() or "not a database" in str(error):
            raise StoreError(
                f"{path} is no database", "put it back from a backup, or move it away to begin anew"
            ) from error


def stamp(state: Path) -> tuple[int, int] | None:
    """Tell which file the embedded store is now; None where there is none."""
    try:
        found = (state / DATABASE).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _fill(aside: Path) -> None:
    try:
        shutil.copyfile(_template(), aside)
    except (OSError, RuntimeError):
        # No home, or none that can be written, as in containers: this once it takes MLflow's own seconds.
        aside.unlink(missing_ok=True)
        _migrate(aside)


def _put_in_place(aside: Path, database: Path) -> None:
    # A link fails where the name exists; a rename would replace a database that another process writes to already.
    try:
        os.link(aside, database)
    except FileExistsError:
        return
    except OSError:  # no hard links on this file system
        if not database.exists():
            os.replace(aside, database)


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=20)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mlops-jupyter"


def _template() -> Path:
    mlflow = mlflow_module()
    path = _cache_folder() / f"mlflow-{mlflow.__version__}.db"
    if path.is_file() and _is_whole(path):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        _migrate(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _is_whole(path: Path) -> bool:
    try:
        with _connection(path) as connection:
            found: tuple[int] = connection.execute("SELECT count(*) FROM alembic_version").fetchone()
            return found == (1,)
    except sqlite3.Error:
        return False


def _migrate(path: Path) -> None:
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(sqlite_uri(path))
    try:
        _initialize_tables(engine)
    finally:
        engine.dispose()


def build_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Build MLflow's store for a SQLite URI (the entry point ``mlflow.tracking_store``).

    MLflow lets a new experiment's artifacts go below the working directory, wherever that happens to be. For a database
    in ``.mlops/`` they go beside it; any other URI is built as MLflow does.

    Args:
        store_uri: ``sqlite:///…``.
        artifact_uri: What the caller wants, if anything.

    Returns:
        MLflow's own store object.
    """
    from mlflow.tracking._tracking_service.utils import _get_sqlalchemy_store

    path = sqlite_path(store_uri)
    if artifact_uri is None and path is not None and path.name == DATABASE and path.parent.name == STATE:
        artifact_uri = artifact_root(path.parent.resolve())
    _remember_revision()
    with _without_stray_folder(store_uri):
        return _get_sqlalchemy_store(store_uri, artifact_uri)


def _remember_revision() -> None:
    """Have MLflow look for its newest schema once a process: it reads all its migrations at each opening."""
    from mlflow.store.db import utils

    find = getattr(utils, "_get_latest_schema_revision", None)
    if find is not None and not hasattr(find, "cache_info"):
        utils._get_latest_schema_revision = functools.cache(find)


def build_registry(store_uri: str) -> Any:
    """Build MLflow's model registry for a SQLite URI (the entry point ``mlflow.model_registry_store``).

    Args:
        store_uri: ``sqlite:///…``.

    Returns:
        MLflow's own store object.
    """
    from mlflow.tracking._model_registry.utils import _get_sqlalchemy_store

    with _without_stray_folder(store_uri):
        return _get_sqlalchemy_store(store_uri)
