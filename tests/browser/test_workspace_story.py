from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from browser.lab import Lab, Screen


def test_current_notebook_decides(screen: Screen, notebook: Callable[..., str]) -> None:
    """The sidebar names the workspace of the notebook in front, and follows from one to another."""
    ours, theirs = notebook("1 + 1"), notebook("2 + 2", folder="neighbour")
    screen.open(ours)
    screen.open_sidebar()
    name = screen.panel.get_by_role("heading", level=2)
    expect(name).to_have_text("churn")
    expect(screen.row("Runs", "baseline")).to_be_visible()
    screen.bring_up(theirs)
    expect(name).to_have_text("neighbour")
    expect(screen.section("Runs")).to_contain_text("No runs yet")
    expect(screen.section("Models")).to_contain_text("No models yet")
    screen.page.get_by_role("main").get_by_role("tab", name=ours).first.click()
    expect(name).to_have_text("churn")
    expect(screen.row("Runs", "baseline")).to_be_visible()


def test_broken_settings_are_told(screen: Screen, lab: Lab, notebook: Callable[..., str]) -> None:
    """Where mlops.toml can't be read, the sidebar says what is wrong with it, and recovers."""
    path = notebook("1 + 1", folder="broken")
    file = lab.root / "broken" / "mlops.toml"
    file.write_text("[tracking\n")
    screen.open(path)
    screen.page.get_by_role("tab", name="MLOps", exact=True).click()
    expect(screen.panel.get_by_role("alert").first).to_contain_text("mlops.toml")
    screen.expected("/mlops/api/")
    file.write_text('[tracking]\nexperiment = "mended"\n')
    screen.panel.get_by_role("button", name="Refresh").click()
    expect(screen.panel.get_by_role("heading", level=2)).to_have_text("broken")
    expect(screen.panel.get_by_role("alert")).to_have_count(0)
