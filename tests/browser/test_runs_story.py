from __future__ import annotations

from playwright.sync_api import expect

from browser.lab import Screen
from browser.project import CELL


def test_tab_lists_runs(screen: Screen) -> None:
    """The tab MLOps opens the sidebar, which lists the workspace's runs."""
    screen.open()
    screen.open_sidebar()
    row = screen.row("Runs", "baseline")
    expect(row).to_contain_text("finished")
    expect(row).to_contain_text("auc 0.9")


def test_run_details(screen: Screen) -> None:
    """A run that is clicked shows its parameters, metrics and cell, and there is a way back."""
    screen.open()
    screen.open_sidebar()
    runs = screen.section("Runs")
    runs.get_by_role("button", name="baseline").click()
    expect(runs.get_by_role("heading", name="baseline")).to_be_visible()
    metrics = runs.get_by_role("table", name="Metrics")
    expect(metrics.get_by_role("row", name="auc")).to_have_text("auc0.9")
    params = runs.get_by_role("table", name="Parameters")
    expect(params.get_by_role("row", name="criterion")).to_have_text("criteriongini")
    expect(runs.get_by_role("group", name="Cell source")).to_have_text(CELL)
    runs.get_by_role("button", name="All runs").click()
    expect(runs.get_by_role("button", name="baseline")).to_be_focused()
