from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, expect

from browser.lab import Screen

COMMANDS = (
    "Open the MLOps Sidebar",
    "Promote a Model Version…",
    "Refresh the MLOps Sidebar",
    "Restore a Snapshot…",
    "Run a Pipeline…",
    "Snapshot the Current Notebook",
)


def search(screen: Screen, words: str) -> Locator:
    """Open the command palette, type, and give what it offers."""
    screen.page.keyboard.press("Control+Shift+C")
    palette = screen.page.locator(".lm-CommandPalette")
    palette.get_by_role("textbox").or_(palette.get_by_role("searchbox")).first.fill(words)
    return palette.get_by_role("menuitem")


def test_palette_has_the_commands(screen: Screen, notebook: Callable[..., str]) -> None:
    """With a notebook open, every command can be found in the palette by its name."""
    screen.open(notebook("1 + 1"))
    for command in COMMANDS:
        expect(search(screen, command).filter(has_text=command)).to_be_visible()
        screen.page.keyboard.press("Escape")


def test_palette_opens_the_sidebar(screen: Screen) -> None:
    """The palette's command brings the sidebar up."""
    screen.open()
    search(screen, "Open the MLOps").filter(has_text="Open the MLOps Sidebar").click()
    expect(screen.row("Runs", "baseline")).to_be_visible()


def test_palette_promotes(screen: Screen) -> None:
    """From the palette, the dialog also asks which version."""
    screen.open()
    search(screen, "Promote").filter(has_text="Promote a Model Version").click()
    dialog = screen.page.get_by_role("dialog", name="Promote a model version")
    expect(dialog.get_by_label("Version").get_by_role("option", name="churn/1")).to_be_attached()
    dialog.get_by_role("button", name="Cancel").click()
