"""The one handler of all verbs: who asks, what for, in which workspace, and the answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from mlops_jupyter.actor import Actor, os_actor
from mlops_jupyter.arguments import parse_body
from mlops_jupyter.commands import Command
from mlops_jupyter.config import find_workspace
from mlops_jupyter.display import Shown, document_of
from mlops_jupyter.errors import DeniedError, MlopsError, NotFoundError, UsageError, translate
from mlops_jupyter.session import HELP, SESSION_COMMANDS, Handbook
from mlops_jupyter.uris import sqlite_path
from mlops_jupyter.workspace import COMMANDS as WORKSPACE_COMMANDS
from mlops_jupyter.workspace import Workspace

if TYPE_CHECKING:
    from mlops_jupyter.server.app import Services

COMMANDS: Mapping[str, Command] = WORKSPACE_COMMANDS | HELP
ROUTES = {command.route: command for command in COMMANDS.values() if command.route}


class _Door(APIHandler):  # type: ignore[misc]
    """What both handlers share: errors in our form."""

    auth_resource = "mlops"

    def initialize(self, services: Services) -> None:
        """Take what the handlers share."""
        self.services = services

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with ``{"error": {"message", "hint"}}``, whatever went wrong."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, web.HTTPError):
            text = error.log_message or error.reason or self._reason or "refused"
            ours = MlopsError(str(text), _HINTS.get(status_code, "check the request"))
        else:
            ours = translate(error or Exception("no more is known"))
        self.finish_with(status_code, ours.to_json())

    def finish_with(self, status: int, document: Any) -> None:
        """Answer with a JSON document."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(document, allow_nan=False))


_HINTS = {
    401: "log in, or send the server's token",
    403: "log in, or send the server's token; a browser's request needs the _xsrf cookie's value too",
    404: "`mlops help` lists what there is",
    405: "use POST for verbs and GET for jobs",
}


_SERVERS = ("http://", "https://", "postgresql", "mysql", "mssql", "databricks")


class VerbHandler(_Door):
    """``POST /mlops/api/VERB``."""

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self, path: str) -> None:
        """Carry out a verb."""
        try:
            status, document = await self._answer(path.strip("/"))
        except Exception as error:
            ours = translate(error)
            if ours.http_status == 500:
                self.log.exception("mlops: %s", ours.message)
            status, document = ours.http_status, ours.to_json()
        self.finish_with(status, document)

    @web.authenticated
    async def get(self, path: str) -> None:
        """Refuse: verbs are posted."""
        raise web.HTTPError(405, "verbs are posted")

    async def _answer(self, path: str) -> tuple[int, Any]:
        command = ROUTES.get(path)
        if command is None:
            raise _unknown(path)
        body = self._body()
        named, notebook = body.pop("workspace", None), body.pop("notebook", None)
        if command.verb == "help":
            result: Shown = command.call(Handbook(COMMANDS, "mlops"), parse_body(command, body))
            return 200, {"ok": True, "result": document_of(result)}
        root, place = self._place(named, notebook)
        arguments = self._confined(command, parse_body(command, body, base=root), root)
        actor = self._actor()
        if command.long:
            job = self.services.jobs.submit(
                command.verb, str(root), actor.name, lambda: self._carry_out(command, root, place, actor, arguments)
            )
            return 202, {"job": job.id}
        if command.verb == "status":
            self.services.watcher.watch(root)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self.services.pool, self._carry_out, command, root, place, actor, arguments)
        return 200, {"ok": result.ok, "result": document_of(result)}

    def _carry_out(
        self, command: Command, root: Path, place: Mapping[str, Path], actor: Actor, arguments: Mapping[str, Any]
    ) -> Shown:
        def notify(event: Mapping[str, Any]) -> None:
            self.services.emit({"workspace": str(root), **event})

        workspace = Workspace.open(**place, actor=actor, notify=notify)
        result: Shown = command.call(workspace, arguments)
        return result

    def _body(self) -> dict[str, Any]:
        text = self.request.body.strip()
        try:
            body = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            raise UsageError("the body is no JSON", "send a JSON object with the arguments") from None
        if not isinstance(body, dict):
            raise UsageError("the body is no JSON object", "send an object: argument names and values")
        return body

    def _place(self, named: Any, notebook: Any) -> tuple[Path, dict[str, Path]]:
        """Find the workspace that a request is about, and how to open it so that it knows which rule found it.

        It lies under the server's root, or the request is refused.
        """
        for value, what in ((named, "workspace"), (notebook, "notebook")):
            if value is not None and (not isinstance(value, str) or not _is_text(value)):
                raise UsageError(f"{what} is no path", "send a text")
        if named:
            root = find_workspace(self._inside(Path(named), "workspace"))[0]
            return root, {"path": root}
        start = self.services.root
        if notebook:
            # JupyterLab puts a drive in front of some paths ("RTC:work/a.ipynb").
            start = self._inside(Path(re.sub(r"^[A-Za-z][\w-]*:", "", notebook).lstrip("/")), "notebook").parent
        root = self._inside(find_workspace(start=start)[0], "the workspace of this folder")
        return root, {"start": start}

    def _inside(self, path: Path, what: str) -> Path:
        root = self.services.root
        try:
            full = (root / path.expanduser()).resolve()
        except (RuntimeError, ValueError):
            raise UsageError(f"{what} {str(path)[:200]!r} is no path", "send a path below the server's root") from None
        if not full.is_relative_to(root):
            raise DeniedError(
                f"{what} {str(path)[:200]!r} is not under the server's root folder",
                "start Jupyter in the workspace's folder, or in one above it",
            )
        return full

    def _confined(self, command: Command, arguments: dict[str, Any], root: Path) -> dict[str, Any]:
        for parameter in command.parameters:
            value = arguments.get(parameter.name)
            if isinstance(value, Path):
                arguments[parameter.name] = self._inside(value, parameter.name)
            elif parameter.name == "tracking_uri" and isinstance(value, str) and not value.startswith(_SERVERS):
                # Anything else names a file, which might lie anywhere.
                file = sqlite_path(value)
                if file is None:
                    raise UsageError(f"tracking_uri {value[:200]!r} is no server", "write http://HOST:5000")
                self._inside(arguments.get("dir", root) / file, "tracking_uri")
        return arguments

    def _actor(self) -> Actor:
        user = self.current_user
        name = getattr(user, "username", None)
        # With a bare token Jupyter makes a user up, with a random id: what is known then is who runs the server.
        made_up = str(getattr(user, "name", "")).startswith("Anonymous ") and re.fullmatch(r"[0-9a-f]{32}", str(name))
        if not name or made_up:
            return os_actor("token")
        return Actor(str(name), "identity")


class JobHandler(_Door):
    """``GET /mlops/api/jobs/ID``."""

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def get(self, job_id: str) -> None:
        """Say how a job stands."""
        job = self.services.jobs.get(job_id)
        if job is None:
            raise web.HTTPError(404, f"there is no job {job_id!r}")
        self.finish_with(200, job.to_json())


def _is_text(value: str) -> bool:
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _unknown(path: str) -> MlopsError:
    verb = path.replace("/", " ")
    if verb in SESSION_COMMANDS or verb == "run":
        return NotFoundError(f"{verb!r} needs a notebook's live variables", f"type %mlops {verb} in the notebook")
    if verb.replace(" ", "/") in ROUTES:
        return NotFoundError(f"there is no route {path!r}", f"POST mlops/api/{verb.replace(' ', '/')}")
    if verb in COMMANDS:
        return NotFoundError(f"{verb!r} has no REST door", f"type mlops {verb} in a terminal")
    return NotFoundError(f"there is no verb {verb!r}", "POST mlops/api/help lists what there is")
