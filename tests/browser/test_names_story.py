from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from browser.lab import Screen
from browser.project import HOSTILE


def nothing_was_executed(screen: Screen) -> bool:
    """Tell whether no name became an element with a script in it."""
    return not screen.page.evaluate("() => 'hacked' in window || !!document.querySelector('[onerror]')")


def test_names_stay_text_in_the_sidebar(screen: Screen) -> None:
    """Markup in the names of runs, parameters, snapshots and variables is shown to the letter."""
    screen.open()
    screen.open_sidebar()
    snapshot = screen.row("Snapshots", HOSTILE)
    snapshot.get_by_role("button", name=HOSTILE).click()
    expect(snapshot.get_by_role("definition").filter(has_text=HOSTILE)).to_be_visible()
    screen.section("Runs").get_by_role("button", name=HOSTILE).click()
    expect(screen.section("Runs").get_by_role("heading", name=HOSTILE)).to_be_visible()
    expect(screen.section("Runs").get_by_role("row", name="label")).to_contain_text(HOSTILE)
    assert nothing_was_executed(screen)


def test_names_stay_text_in_results(screen: Screen, notebook: Callable[..., str]) -> None:
    """Markup in a run's name is shown to the letter in a notebook's result."""
    screen.open(notebook("%load_ext mlops_jupyter\n%mlops runs"))
    screen.run_cell(0)
    expect(screen.output(0).get_by_role("cell", name=HOSTILE).first).to_be_visible()
    assert nothing_was_executed(screen)
