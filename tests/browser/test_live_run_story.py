from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from browser.axe import violations
from browser.lab import Screen, both_themes

pytestmark = pytest.mark.usefixtures("passing_runs")

TRAINING = """%%mlops run --name watched --param depth=3
import time, mlops_jupyter
for epoch in range(150):
    mlops_jupyter.log_metric("loss", 1 / (epoch + 1), epoch)
    mlops_jupyter.log_metric("accuracy", 1 - 1 / (epoch + 1), epoch)
    time.sleep(0.02)"""


@both_themes
def test_a_run_is_watched(screen: Screen, notebook: Callable[..., str]) -> None:
    """Curves appear while a cell runs, change, and stay as a picture when it has ended, without any widget."""
    screen.open(notebook("%load_ext mlops_jupyter\n%mlops status", TRAINING))
    screen.run_cell(0)
    screen.run_cell(1, wait=False)
    output = screen.output(1)
    live = output.locator(".jupyter-widgets .mlops-result")
    curves = output.get_by_role("img", name="loss by step").first
    expect(live.first).to_contain_text("RUNNING for", timeout=15_000)
    expect(curves).to_be_visible()
    assert violations(screen.page, ".jupyter-widgets") == []
    first = live.first.inner_text()
    expect(live.first).not_to_have_text(first)
    expect(live).to_have_count(2)  # a head and a body, once
    expect(output).to_contain_text("FINISHED in", timeout=30_000)
    expect(output.locator(".jupyter-widgets")).to_have_count(0)
    expect(output.locator(".mlops-result")).to_have_count(1)
    expect(curves).to_be_visible()
    assert violations(screen.page, ".mlops-result") == []
