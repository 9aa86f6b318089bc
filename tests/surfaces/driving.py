"""Drivers of the real doors: a kernel, a Jupyter server and the shell's program, each a process of its own."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

TOKEN = "the-token-of-this-test"
_BIN = Path(sys.executable).parent
# A pipeline without its name, whose notebook `write_step` writes.
ONE_STEP = """params: {depth: 3}
steps:
  train:
    notebook: train.ipynb
    params: {depth: "${params.depth}"}
    outputs: [doubled]
"""


def until(question: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Ask until the answer is true, and give it; fail when that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s")


def environment(**more: str) -> dict[str, str]:
    """Give the environment of the tests, and what is added to it."""
    return {**os.environ, **more}


# ---------------------------------------------------------------------------------------------------------------------
# The notebook


@dataclass
class Executed:
    """What executing a cell has shown."""

    status: str
    text: str = ""
    html: str = ""
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    shown: list[dict[str, Any]] = field(default_factory=list)

    @property
    def told(self) -> list[str]:
        """The lines of an error, without colours."""
        import re

        return re.sub(r"\x1b\[[0-9;]*m", "", self.traceback).strip().splitlines()


class Notebook:
    """A real kernel, as a notebook in a folder drives it."""

    def __init__(self, folder: Path, name: str | None = "work.ipynb", load: bool = True, **more: str) -> None:
        variables = environment(**more)
        if name is not None:
            variables["JPY_SESSION_NAME"] = str(folder / name)
        self.folder = folder
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=str(folder), env=variables, stderr=subprocess.DEVNULL)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=120)
        if load:
            assert self.run("%load_ext mlops_jupyter").status == "ok"

    def begin(self, code: str, cell: str | None = None, silent: bool = False, **expressions: str) -> str:
        """Send a cell to be executed; its id in the notebook travels as a front end sends it."""
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": expressions,
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = self._client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def finish(self, sent: str, timeout: float = 120) -> Executed:
        """Wait for a cell's end."""
        done = Executed("")
        self._idle(sent, done, timeout)
        reply = self._reply(sent, timeout)
        done.status = reply["content"]["status"]
        return done

    def _idle(self, sent: str, done: Executed, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            message = self._client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != sent:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                return
            if kind == "stream":
                done.text += content["text"]
            elif kind in ("execute_result", "display_data"):
                done.shown.append(content["data"])
                done.text += content["data"].get("text/plain", "") + "\n"
                done.html += content["data"].get("text/html", "")
            elif kind == "error":
                done.ename, done.evalue = content["ename"], content["evalue"]
                done.traceback = "\n".join(content["traceback"])

    def _reply(self, sent: str, timeout: float) -> Any:
        while True:
            reply = self._client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == sent:
                return reply

    def run(self, code: str, cell: str | None = None, timeout: float = 120) -> Executed:
        """Execute a cell."""
        return self.finish(self.begin(code, cell), timeout)

    def good(self, code: str, cell: str | None = None) -> Executed:
        """Execute a cell that must not fail."""
        done = self.run(code, cell)
        assert done.status == "ok", f"{code}\n{done.text}\n{done.traceback}"
        return done

    def paged(self, code: str) -> str:
        """Execute a cell, and give what it opens in the pager."""
        sent = self.begin(code)
        self._idle(sent, Executed(""), 120)
        return "".join(page["data"]["text/plain"] for page in self._reply(sent, 120)["content"].get("payload", []))

    def value(self, expression: str) -> Any:
        """Give the value of an expression, if JSON has it; no cell is executed."""
        sent = self.begin("", silent=True, value=f"__import__('json').dumps({expression})")
        self._idle(sent, Executed(""), 120)
        found = self._reply(sent, 120)["content"]["user_expressions"]["value"]
        assert found["status"] == "ok", found
        return json.loads(ast.literal_eval(found["data"]["text/plain"]))

    def complete(self, code: str) -> list[str]:
        """Press Tab at the end of the code."""
        return list(self._client.complete(code, len(code), reply=True, timeout=60)["content"]["matches"])

    def interrupt(self) -> None:
        """Interrupt the cell."""
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        """Restart the kernel, and load the extension again."""
        self._manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=120)
        self.good("%load_ext mlops_jupyter")

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        if (context := self._manager.context) is not None:
            context.destroy(linger=0)


# ---------------------------------------------------------------------------------------------------------------------
# The server


def free_port() -> int:
    """Give a port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real Jupyter server with our extension alone."""

    def __init__(self, root: Path, place: Path, config: str = "", base_url: str = "/", **more: str) -> None:
        self.root = root
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}{base_url}"
        place.mkdir(parents=True, exist_ok=True)
        self.log_file = place / "server.log"
        (place / "jupyter_server_config.py").write_text(
            "c.ServerApp.jpserver_extensions = {'mlops_jupyter': True, 'jupyterlab': False, 'jupyter_lsp': False,"
            " 'jupyter_server_terminals': False, 'notebook_shim': False}\n" + config
        )
        self._log = self.log_file.open("w")
        variables = environment(
            JUPYTER_CONFIG_DIR=str(place), JUPYTER_RUNTIME_DIR=str(place / "runtime"), JUPYTER_TOKEN=TOKEN, **more
        )
        words = ["-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={self.port}"]
        words += ["--ServerApp.port_retries=0", f"--ServerApp.base_url={base_url}", f"--ServerApp.root_dir={root}"]
        self._process = subprocess.Popen(
            [sys.executable, *words], env=variables, cwd=root, stdout=self._log, stderr=self._log
        )
        try:
            until(self._answers, "the Jupyter server answers", 90)
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        with contextlib.suppress(OSError):
            return self.request("GET", "api")[0] == 200
        return False

    @property
    def log(self) -> str:
        """What the server has said."""
        return self.log_file.read_text("utf-8", "replace")

    def request(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, Any]:
        """Send a request without credentials, but for those in the headers."""
        request = urllib.request.Request(self.base + path, data=data, headers=dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, text.decode("utf-8", "replace")

    def post(
        self, verb: str, body: Any = None, *, raw: bytes | None = None, token: str | None = TOKEN, **headers: str
    ) -> tuple[int, Any]:
        """Post to a verb's route."""
        sent = {"Content-Type": "application/json"} | headers
        if token is not None:
            sent["Authorization"] = f"token {token}"
        data = raw if raw is not None else json.dumps({} if body is None else body).encode()
        return self.request("POST", "mlops/api/" + verb.replace(" ", "/"), data, sent)

    def get(self, path: str, token: str | None = TOKEN) -> tuple[int, Any]:
        """Get a path below the base URL."""
        return self.request("GET", path, headers={"Authorization": f"token {token}"} if token else {})

    def job(self, job: str) -> Any:
        """Wait for a job's end, and give its answer."""

        def ended() -> Any:
            status, found = self.get(f"mlops/api/jobs/{job}")
            assert status == 200, found
            return found if found["state"] != "running" else None

        return until(ended, f"job {job} ends", 180)

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


# ---------------------------------------------------------------------------------------------------------------------
# The shell


@dataclass
class Done:
    """How a program has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


def mlops(*words: str, cwd: Path, program: Sequence[str] = (str(_BIN / "mlops"),), **more: str) -> Done:
    """Run the shell's program."""
    done = subprocess.run(
        [*program, *words],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def python(code: str, cwd: Path, **more: str) -> str:
    """Run a Python program of its own, and give what it printed; it must not fail."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_notebook(path: Path, *cells: str, parameters: str | None = None) -> None:
    """Write a notebook of code cells; the parameters cell, if there is one, comes first."""
    sources = [*([parameters] if parameters is not None else []), *cells]
    document = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{n}",
                "metadata": {"tags": ["parameters"]} if parameters is not None and n == 0 else {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for n, source in enumerate(sources)
        ],
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3 (ipykernel)"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), "utf-8")


def write_step(folder: Path) -> None:
    """Write the notebook of the one step of ``ONE_STEP``."""
    write_notebook(
        folder / "train.ipynb", "from mlops_jupyter import output\noutput('doubled', depth * 2)", parameters="depth = 1"
    )
