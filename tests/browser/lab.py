"""JupyterLab as a process of its own, and the way a person uses it in a browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pytest
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

import mlops_jupyter

HERE = Path(__file__).parent
THEMES = ("JupyterLab Light", "JupyterLab Dark")
both_themes = pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
# What stands beside a cell that has run.
_RUN = re.compile(r"\[\d+\]")
_READY = """() => {
  const context = window.jupyterapp.shell.currentWidget?.sessionContext;
  const kernel = context?.isReady && context.session?.kernel;
  return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
TOKEN = "the-token-of-the-browser-tests"


@dataclass
class Lab:
    """A running JupyterLab.

    Args:
        root: The server's root folder.
        url: Its base URL.
        settings: The folder of the user's settings.
        log: The file of what it says.
        facts: What the preparation made: ids by their names.
    """

    root: Path
    url: str
    settings: Path
    log: Path
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def started(cls, place: Path) -> Iterator[Lab]:
        """Start JupyterLab in a folder, with nobody's settings; end it, and its kernels, on leaving."""
        folders = {name: place / name for name in ("churn", "config", "data", "runtime", "settings", "workspaces")}
        for folder in folders.values():
            folder.mkdir()
        _install(folders["config"], folders["data"])
        port = _free_port()
        lab = cls(folders["churn"], f"http://127.0.0.1:{port}/", folders["settings"], place / "server.log")
        lab.configure("@jupyterlab/apputils-extension:notification", fetchNews="false")
        # Only the server's events can bring the sidebar up to date within a test.
        lab.configure("@mlops-jupyter/lab:sidebar", refreshSeconds=3600)
        lab.configure("@mlops-jupyter/lab:service", kernelSeconds=3)
        with lab.log.open("w") as log, _serving(_words(port, folders), folders, log) as process:
            lab._await(process)
            yield lab

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert process.poll() is None, f"JupyterLab has ended:\n{self.said}"
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}api", timeout=5):
                return
            time.sleep(0.1)
        raise AssertionError(f"JupyterLab does not answer:\n{self.said}")

    @property
    def said(self) -> str:
        """The end of what the server has said."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-60:])

    def faults(self, since: int) -> list[str]:
        """Give the errors about us that the server has logged since its log had a size."""
        said = self.log.read_text("utf-8", "replace")[since:]
        records = re.split(r"^(?=\[[A-Z] \d{4}-)", said, flags=re.MULTILINE)
        return [record for record in records if record.startswith("[E ") and "mlops" in record]

    def configure(self, plugin: str, **values: Any) -> None:
        """Set the user's settings of a plugin."""
        package, _, name = plugin.partition(":")
        file = self.settings / package / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), "utf-8")

    def prepare(self) -> None:
        """Fill the root folder, in a process of its own."""
        self.facts = json.loads(self.python(HERE / "project.py", str(self.root)))

    def python(self, *words: str | Path) -> str:
        """Run another Python process in the root folder, and give what it prints."""
        done = subprocess.run(
            [sys.executable, *map(str, words)], cwd=self.root, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def execute(self, code: str) -> None:
        """Execute code in another process, in the root folder."""
        self.python("-c", f"import sys; sys.path.insert(0, {str(HERE)!r})\n{code}")

    def workspace(self) -> mlops_jupyter.Workspace:
        """Open the workspace in this process, to see what is in the store."""
        return mlops_jupyter.Workspace.open(self.root)

    def aliases(self, model: str) -> dict[str, int]:
        """Ask MLflow itself which versions a model's aliases name."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{self.root}/.mlops/mlflow.db")
        return {alias: int(version) for alias, version in client.get_registered_model(model).aliases.items()}


def _install(config: Path, data: Path) -> None:
    """Do for a checkout what installing the wheel does: enable the server extension, link the front end."""
    package = Path(mlops_jupyter.__file__).parent
    enabled = config / "jupyter_server_config.d" / "mlops_jupyter.json"
    if not (Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d" / enabled.name).is_file():
        enabled.parent.mkdir()
        shutil.copy(package.parent / "jupyter-config" / "server-config" / enabled.name, enabled)
    if not package.is_relative_to(sysconfig.get_path("purelib")):
        linked = data / "labextensions" / "@mlops-jupyter" / "lab"
        linked.parent.mkdir(parents=True)
        linked.symlink_to(package / "labextension", target_is_directory=True)


def _words(port: int, folders: dict[str, Path]) -> list[str]:
    options = {
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folders["churn"],
        "IdentityProvider.token": TOKEN,
        "LabApp.expose_app_in_browser": True,
        "LabApp.user_settings_dir": folders["settings"],
        "LabApp.workspaces_dir": folders["workspaces"],
        "LabApp.news_url": "None",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.extension_manager": "readonly",
    }
    settings = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *settings]


@contextlib.contextmanager
def _serving(words: list[str], folders: dict[str, Path], log: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    places = {f"JUPYTER_{name.upper()}_DIR": str(folders[name]) for name in ("config", "data", "runtime")}
    # Else a copy of the front end that was installed earlier would stand before the one linked above.
    variables = {**os.environ, **places, "JUPYTER_PREFER_ENV_PATH": "0"}
    process = subprocess.Popen(words, cwd=folders["churn"], env=variables, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Screen:
    """JupyterLab in the browser, used as a person does.

    Args:
        lab: The server.
        page: An empty page.
        picture: Where to keep a picture of the page, if the story fails.
    """

    def __init__(self, lab: Lab, page: Page, picture: Path) -> None:
        self.lab = lab
        self.page = page
        self._picture = picture
        self._told: list[str] = []
        self.own_errors: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._note(f"{error}\n{error.stack}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note(f"{message.type}: {message.text} ({message.location.get('url')})", message.type == "error")

    def _note(self, text: str, error: bool = True) -> None:
        self._told.append(text)
        if error and "mlops" in text.lower():
            self.own_errors.append(text)

    def expected(self, part: str) -> None:
        """Forget the errors that have a part in them: the story is about them."""
        self.own_errors = [error for error in self.own_errors if part not in error]

    def describe(self, *, with_page: bool) -> list[tuple[str, str]]:
        """Give what is on the page, and what page and server have said, as titled sections of a report."""
        try:
            self.page.screenshot(path=self._picture)
            seen = self.page.locator("body").aria_snapshot(timeout=5_000) if with_page else "(see above)"
        except Exception as error:
            seen = f"(the page can't be read: {error})"
        return [
            ("page", f"{self.page.url}\npicture: {self._picture}\n{seen}"),
            ("console", "\n".join(self._told) or "(nothing)"),
            ("server", self.lab.said),
        ]

    # -----------------------------------------------------------------------------------------------------------------
    # JupyterLab

    def open(self, notebook: str | None = None) -> None:
        """Open JupyterLab, with a notebook whose kernel is ready, or with none."""
        tree = f"/tree/{quote(notebook)}" if notebook else ""
        self.page.goto(f"{self.lab.url}lab{tree}?reset&token={TOKEN}")
        expect(self.page.get_by_role("tab", name="MLOps", exact=True)).to_be_visible()
        if notebook:
            self.await_kernel()

    def bring_up(self, notebook: str) -> None:
        """Open one more notebook, as the file browser does, and wait for its kernel."""
        command = "path => window.jupyterapp.commands.execute('docmanager:open', {path})"
        self.page.evaluate(command, notebook)
        self.await_kernel()

    def await_kernel(self) -> None:
        """Wait until the current notebook has a kernel that answers; JupyterLab drops cells that are run before."""
        self.page.wait_for_function(_READY, timeout=90_000)

    def cell(self, at: int) -> Locator:
        """Give a code cell of the current notebook."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").nth(at)

    def prompt(self, at: int) -> Locator:
        """Give what stands beside a cell: a number once it has run, a star while it runs."""
        return self.cell(at).locator(".jp-InputPrompt")

    def run_cell(self, at: int, *, wait: bool = True) -> None:
        """Click into a cell and press Shift and Enter; wait until it has run, or only until it runs."""
        editor = self.cell(at).get_by_role("textbox")
        editor.click()
        expect(editor).to_be_focused()
        before = self.prompt(at).inner_text()
        self.page.keyboard.press("Shift+Enter")
        expect(self.prompt(at)).not_to_have_text(before)
        expect(self.prompt(at)).to_have_text(_RUN if wait else "[*]:", timeout=90_000)

    def output(self, at: int) -> Locator:
        """Give what a cell has put out."""
        return self.cell(at).locator(".jp-Cell-outputArea")

    # -----------------------------------------------------------------------------------------------------------------
    # The sidebar

    @property
    def panel(self) -> Locator:
        """The sidebar."""
        return self.page.get_by_role("region", name="MLOps", exact=True)

    def open_sidebar(self) -> None:
        """Click the tab, and wait for the first answers."""
        self.page.get_by_role("tab", name="MLOps", exact=True).click()
        expect(self.panel).to_be_visible()
        expect(self.panel.get_by_text("Loading…")).to_have_count(0)

    def section(self, name: str) -> Locator:
        """Give a section of the sidebar."""
        return self.panel.get_by_role("region", name=name, exact=True)

    def row(self, section: str, text: str) -> Locator:
        """Give the row of a section that says something."""
        return self.section(section).get_by_role("listitem").filter(has_text=text)
