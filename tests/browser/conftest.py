"""A real JupyterLab and a real Chromium for the stories of this folder.

Server and browser are started once for the whole folder, and are gone when its last test has ended: while Playwright
runs, so does its event loop, which tests of other folders could not bear.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "surfaces"))

from driving import write_notebook

from browser.lab import THEMES, Lab, Screen

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the stories of this folder, and give each the time that a slow machine needs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Say of a story that failed what was on the page, and what the page and the server had to say."""
    report = yield
    screen = getattr(item, "funcargs", {}).get("screen")
    if screen is not None and report.when == "call" and report.failed:
        report.sections += screen.describe(with_page="Aria snapshot" not in report.longreprtext)
    return report


@pytest.fixture(scope="package")
def executable() -> str:
    """Give the browser's program; without one, continuous integration fails and a person's run skips."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        hint = "no Chromium: apt-get install chromium fonts-dejavu-core"
        if os.environ.get("CI"):
            pytest.fail(hint)
        pytest.skip(hint)
    return found


@pytest.fixture(scope="package")
def lab(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give a JupyterLab whose root folder is a prepared workspace."""
    with Lab.started(tmp_path_factory.mktemp("lab")) as lab:
        lab.prepare()
        yield lab


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Give Playwright, for this folder's tests alone (pytest-playwright's own lasts for the whole session)."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright, executable: str) -> Iterator[Browser]:
    """Give the system's Chromium; none is downloaded."""
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
    browser = playwright.chromium.launch(executable_path=executable, args=flags)
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Give a fresh profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def theme() -> str:
    """Name the theme; a story for both asks for it by ``both_themes``."""
    return THEMES[0]


@pytest.fixture
def screen(lab: Lab, context: BrowserContext, theme: str, tmp_path: Path) -> Iterator[Screen]:
    """Give JupyterLab in the browser; an error of ours in the page's console or the server's log fails the test."""
    lab.configure("@jupyterlab/apputils-extension:themes", theme=theme)
    screen = Screen(lab, context.new_page(), tmp_path / "page.png")
    before = len(lab.log.read_text("utf-8", "replace"))
    yield screen
    assert not screen.own_errors, screen.own_errors
    assert not lab.faults(before), lab.faults(before)


@pytest.fixture
def passing_runs(lab: Lab) -> Iterator[None]:
    """Take away the runs that a test makes: the sidebar shows the newest ones first, and other tests look there."""
    workspace = lab.workspace()
    before = {run.run_id for run in workspace.runs.find(limit=1000)}
    yield
    for run in workspace.runs.find(limit=1000):
        if run.run_id not in before:
            workspace.tracking.client.delete_run(run.run_id)


@pytest.fixture
def page(screen: Screen) -> Page:
    """Give the page of JupyterLab in the browser."""
    return screen.page


@pytest.fixture
def notebook(lab: Lab, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Write a notebook of this story's own, and give its path relative to the server's root."""

    def write(*cells: str, folder: str = "") -> str:
        path = Path(folder, re.sub(r"\W+", "-", request.node.name).strip("-") + ".ipynb")
        write_notebook(lab.root / path, *cells)
        return path.as_posix()

    return write
