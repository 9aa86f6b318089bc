from __future__ import annotations

from playwright.sync_api import expect

from browser.lab import Lab, Screen

ELSEWHERE = """
from mlops_jupyter import Workspace, log_metric, log_model
from project import fitted
with Workspace.open().run("from-elsewhere"):
    log_metric("auc", 0.81)
    log_model(fitted(2)[0], register="elsewhere")
Workspace.open().snapshots.take({"x": 1}, name="taken-elsewhere", environment={}, git={})
"""


def test_other_processes_are_followed(screen: Screen, lab: Lab) -> None:
    """What another process logs, registers and captures appears without a reload."""
    screen.open()
    screen.open_sidebar()
    expect(screen.row("Runs", "baseline")).to_be_visible()
    lab.execute(ELSEWHERE)
    expect(screen.row("Runs", "from-elsewhere")).to_contain_text("auc 0.81")
    expect(screen.row("Models", "elsewherev1")).to_be_visible()
    expect(screen.row("Snapshots", "taken-elsewhere")).to_be_visible()


def test_hidden_sidebar_catches_up(screen: Screen, lab: Lab) -> None:
    """A sidebar that was hidden while something happened shows it when it is opened again."""
    screen.open()
    screen.open_sidebar()
    tab = screen.page.get_by_role("tab", name="MLOps", exact=True)
    tab.click()
    expect(screen.panel).to_be_hidden()
    lab.execute("from mlops_jupyter import run\nwith run('while-hidden'): pass")
    tab.click()
    expect(screen.row("Runs", "while-hidden")).to_be_visible()
