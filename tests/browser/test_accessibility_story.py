from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from browser.axe import violations
from browser.lab import Screen, both_themes

PANEL = ".jp-mlops-Sidebar"


@both_themes
def test_panel(screen: Screen, notebook: Callable[..., str]) -> None:
    """Axe finds nothing in the panel: with rows, with details, with a refused promotion, in the dialog."""
    screen.open(notebook("1 + 1"))
    screen.open_sidebar()
    expect(screen.row("Pipelines", "pipeline.yaml")).to_be_visible()
    assert violations(screen.page, PANEL) == []

    version = screen.row("Models", "churnv2")
    version.get_by_role("button", name="Promote", exact=True).click()
    dialog = screen.page.get_by_role("dialog", name="Promote churn/2")
    assert violations(screen.page, ".jp-mlops-Form") == []
    dialog.get_by_label("Alias").fill("champion")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(version.get_by_role("status")).to_contain_text("refused")
    for row in screen.section("Snapshots").get_by_role("button", expanded=False).all()[1:3]:
        row.click()
    screen.row("Models", "churnv1").get_by_role("button", expanded=False).first.click()
    screen.section("Runs").get_by_role("button", name="baseline").click()
    expect(screen.section("Runs").get_by_role("table", name="Metrics")).to_be_visible()
    expect(screen.section("Models").get_by_role("table", name="Metrics")).to_be_visible()
    assert violations(screen.page, PANEL) == []


def test_keyboard(screen: Screen) -> None:
    """Rows open, and sections fold, by keyboard alone."""
    screen.open()
    screen.open_sidebar()
    fold = screen.section("Runs").get_by_role("button", name="Fold")
    fold.press("Enter")
    expect(screen.row("Runs", "baseline")).to_be_hidden()
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.press("Enter")
    screen.section("Runs").get_by_role("button", name="baseline").press("Enter")
    expect(screen.section("Runs").get_by_role("button", name="All runs")).to_be_focused()
