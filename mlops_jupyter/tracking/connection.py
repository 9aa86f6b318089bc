""":class:`Connection`: one tracking store, opened when it is first needed."""

from __future__ import annotations

import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from mlops_jupyter.config import Config
from mlops_jupyter.errors import ConflictError, InternalError, MlopsError, StoreError, translate
from mlops_jupyter.tracking import embedded, mlflow_module
from mlops_jupyter.tracking.patience import answers, impatient
from mlops_jupyter.uris import hide_secrets, shown_uri

# Where servers of these kinds listen when their URI does not say.
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def _openable(error: Exception) -> MlopsError:
    """Tell what keeps a store from being opened; a wrong URI and a missing driver are no defects of ours."""
    if isinstance(error, ImportError):
        return StoreError(str(error), f"pip install {error.name or 'its driver'}")
    known = translate(error)
    if isinstance(known, InternalError):
        return StoreError(f"{type(error).__name__}: {error}", "correct [tracking] uri or MLFLOW_TRACKING_URI")
    return known


class Connection:
    """The workspace's MLflow store: the embedded one, or any other.

    Args:
        config: The workspace's settings.
        prepare: Makes ``.mlops/`` before the first write.
    """

    def __init__(self, config: Config, prepare: Callable[[], None]) -> None:
        self._config = config
        self._prepare = prepare
        self._client: Any = None
        self._stamp: tuple[int, int] | None = None
        self._lock = threading.Lock()
        _all.add(self)

    def forked(self) -> None:
        """Let go of what belongs to the process that this one was forked off: neither can share its connections."""
        self._client = None
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        """The tracking URI, absolute."""
        return self._config.tracking_uri or embedded.uri_of(self._config.state)

    @property
    def shown_uri(self) -> str:
        """The tracking URI as people may see it: without a password."""
        return shown_uri(self.uri)

    @property
    def config(self) -> Config:
        """The workspace's settings."""
        return self._config

    @property
    def is_embedded(self) -> bool:
        """Whether the store is the workspace's own SQLite."""
        return self._config.tracking_uri is None

    @property
    def experiment(self) -> str:
        """The experiment that runs go to when none is named."""
        return self._config.experiment

    @property
    def is_remote(self) -> bool:
        """Whether the store is a server, which may be away; what it is told goes through the queue."""
        url = urlsplit(self.uri)
        return url.hostname is not None and url.scheme.partition("+")[0] in _PORTS

    def check_reachable(self) -> None:
        """Ask in a moment, and without MLflow, whether a tracking server is there at all; nothing for other stores.

        Raises:
            StoreError: Nobody listens at its address.
        """
        if not self.is_remote:
            return
        try:
            url = urlsplit(self._asked_through or self.uri)
            known = _PORTS.get(url.scheme.partition("+")[0])
            if known is None:
                return  # a proxy of another kind: whoever speaks to it finds out
            port = url.port or known
            socket.create_connection((url.hostname, port), 1).close()
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the tracking server {self.shown_uri} does not answer: {error}",
                "start it, or correct [tracking] uri or MLFLOW_TRACKING_URI",
            ) from error

    @property
    def _asked_through(self) -> str | None:
        """The proxy that stands between here and a server, if the environment names one."""
        if not self.uri.lower().startswith("http") or not getproxies():
            return None
        # As the library that MLflow asks by sees it: which hosts go by no proxy is understood in many ways.
        from requests.utils import get_environ_proxies, select_proxy

        proxy = select_proxy(self.uri, get_environ_proxies(self.uri))
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy

    def check_driver(self) -> None:
        """Load what speaks to a database of this kind; nothing for other stores.

        Raises:
            StoreError: It is not installed, or nothing opens such a URI.
        """
        if not self.is_remote or self.uri.startswith("http"):
            return
        try:
            from sqlalchemy.engine import make_url

            make_url(self.uri).get_dialect().import_dbapi()
        except Exception as error:
            raise self._unopened(error) from error

    def _unopened(self, error: Exception) -> StoreError:
        known = _openable(error)
        said = hide_secrets(known.message.replace(self.uri, self.shown_uri))
        return StoreError(
            f"the tracking store {self.shown_uri} can't be opened: {said}",
            known.hint or "check [tracking] uri or MLFLOW_TRACKING_URI",
        )

    def exists(self) -> bool:
        """Tell whether there is a store to read: always, but for an embedded one that nothing was written to."""
        return not self.is_embedded or (self._config.state / embedded.DATABASE).exists()

    def create(self) -> None:
        """Make the embedded store, unless it is there; other stores are made by whoever runs them.

        Raises:
            StoreError: The folder can't be written, or the disk is full.
        """
        if not self.is_embedded or self.exists():
            return
        try:
            self._prepare()
            embedded.create(self._config.state)
        except OSError as error:
            raise translate(error) from error

    def connect(self) -> Any:
        """Give MLflow's client for this store (``mlflow.MlflowClient``); makes the embedded store.

        Raises:
            StoreError: The store can't be opened.
        """
        with self._lock:
            if self.is_embedded and self._client is not None and embedded.stamp(self._config.state) != self._stamp:
                raise StoreError(
                    f"the store {self.shown_uri} was deleted or replaced while this process had it open",
                    "put it back, or restart this process: what is written to it now would be lost",
                )
            if self._client is None:
                self.create()
                if self.is_embedded:
                    embedded.check(self._config.state)
                    self._stamp = embedded.stamp(self._config.state)
                mlflow = mlflow_module()
                self.check_driver()
                # MLflow tries for half an hour to open a database that is away.
                self.check_reachable()
                try:
                    self._client = mlflow.MlflowClient(self.uri, self.uri)
                    # MLflow connects lazily; a wrong address is better told here than in the middle of a run.
                    with impatient:
                        self._client.get_experiment_by_name(self.experiment)
                except Exception as error:
                    self._client = None
                    raise self._unopened(error) from error
            return self._client

    @answers
    def experiment_id(self, name: str | None = None) -> str:
        """Give an experiment's id, making the experiment when there is none of that name.

        Args:
            name: The experiment; the workspace's own when None.

        Returns:
            MLflow's id.

        Raises:
            ConflictError: The experiment was deleted and not yet purged.
        """
        name = name or self.experiment
        found = self.connect().get_experiment_by_name(name)
        if found is None:
            return self._create_experiment(name)
        if found.lifecycle_stage == "deleted":
            raise ConflictError(
                f"experiment {name!r} was deleted", "restore it in MLflow, or name another with --experiment"
            )
        experiment_id: str = found.experiment_id
        return experiment_id

    def _create_experiment(self, name: str) -> str:
        try:
            created: str = self.connect().create_experiment(name)
            return created
        except Exception:
            # Another process may have made it since we looked.
            found = self.connect().get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)


_STORES = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
_all: weakref.WeakSet[Connection] = weakref.WeakSet()


def _after_fork() -> None:
    for connection in list(_all):
        connection.forked()
    for name in _STORES:
        # MLflow keeps an engine a database in its stores' classes, whoever asked for it.
        engines = getattr(getattr(sys.modules.get(name), "SqlAlchemyStore", None), "_engine_map", {})
        for engine in list(engines.values()):
            engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
