"""Installs routes, events and jobs in a Jupyter server."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop, PeriodicCallback

from mlops_jupyter.server.events import SCHEMA_FILE, SCHEMA_ID, Watcher
from mlops_jupyter.server.handlers import JobHandler, VerbHandler
from mlops_jupyter.server.jobs import Jobs

_LOOK_EVERY_MS = 1000


@dataclass(frozen=True)
class Services:
    """What the handlers share.

    Args:
        root: The server's root folder.
        pool: Where blocking work is done.
        jobs: Work of more than a moment.
        watcher: Watches workspaces for changes.
        emit: Takes an event, from any thread.
    """

    root: Path
    pool: ThreadPoolExecutor
    jobs: Jobs
    watcher: Watcher
    emit: Any


def install(serverapp: Any) -> None:
    """Add the door to a Jupyter server.

    Args:
        serverapp: The ``ServerApp``.
    """
    loop = IOLoop.current()
    logger = serverapp.event_logger
    if SCHEMA_ID not in logger.schemas.schema_ids:
        logger.register_event_schema(SCHEMA_FILE)

    def emit(event: Mapping[str, Any]) -> None:
        loop.add_callback(logger.emit, schema_id=SCHEMA_ID, data=dict(event))

    watcher = Watcher(emit)
    services = Services(
        root=Path(serverapp.root_dir).resolve(),
        pool=ThreadPoolExecutor(max_workers=8, thread_name_prefix="mlops-request"),
        jobs=Jobs(emit),
        watcher=watcher,
        emit=emit,
    )
    PeriodicCallback(watcher.look, _LOOK_EVERY_MS).start()
    base = url_path_join(serverapp.web_app.settings["base_url"], "mlops", "api")
    options = {"services": services}
    serverapp.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, r"jobs/([0-9a-f]+)"), JobHandler, options),
            (url_path_join(base, r"(.*)"), VerbHandler, options),
        ],
    )
