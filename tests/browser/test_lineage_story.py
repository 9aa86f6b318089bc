from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from browser.lab import Lab, Screen

pytestmark = pytest.mark.usefixtures("passing_runs")


def test_a_run_knows_how_its_notebook_stood_in_the_editor(
    screen: Screen, lab: Lab, notebook: Callable[..., str]
) -> None:
    """Cells executed in another order, and edited without being saved, are marked by the live document."""
    path = notebook("%load_ext mlops_jupyter\n%mlops start --name marked", "first = 1", "second = 2", "%mlops end")
    screen.open(path)
    for at in (0, 2, 1):
        screen.run_cell(at)
    screen.cell(2).locator(".cm-content").click()
    screen.page.keyboard.press("End")
    screen.page.keyboard.type("22")
    expect(screen.cell(2)).to_contain_text("second = 222")
    screen.run_cell(3)
    workspace = lab.workspace()
    run = workspace.runs.resolve("marked")
    told = json.loads(workspace.runs.text(run, "mlops/lineage.json") or "{}")
    assert told["document"] == "live"
    assert [mark["kind"] for mark in told["marks"]] == ["edited", "out of order"]
    assert run.tags["mlops.marks"] == "edited, out of order"


def test_a_page_that_was_loaded_anew_goes_on_telling(screen: Screen, lab: Lab, notebook: Callable[..., str]) -> None:
    """The kernel's comm is found again, and cells that stand as they ran are not marked."""
    path = notebook("%load_ext mlops_jupyter\n%mlops start --name reloaded", "first = 1", "%mlops end")
    screen.open(path)
    screen.run_cell(0)
    screen.page.reload()
    screen.open(path)
    screen.run_cell(1)
    screen.run_cell(2)
    workspace = lab.workspace()
    told = json.loads(workspace.runs.text(workspace.runs.resolve("reloaded"), "mlops/lineage.json") or "{}")
    assert told == {"document": "live", "marks": []}
