from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, expect

from browser.lab import Lab, Screen


def press(screen: Screen) -> Locator:
    """Click Snapshot, and give what the section says of it."""
    section = screen.section("Snapshots")
    section.get_by_role("button", name="Snapshot", exact=True).click()
    took = section.get_by_role("status").filter(has_text="Took")
    expect(took).to_be_visible(timeout=60_000)
    return took


def test_without_a_notebook_says_so(screen: Screen) -> None:
    """Without a notebook there is nothing to take a snapshot of, and the button's description says so."""
    screen.open()
    screen.open_sidebar()
    button = screen.section("Snapshots").get_by_role("button", name="Snapshot", exact=True)
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description(
        "To take or restore a snapshot, open a notebook and start its kernel."
    )


def test_snapshot(screen: Screen, lab: Lab, notebook: Callable[..., str]) -> None:
    """Snapshot captures the notebook's variables; it is in the store and in the list, and shows what it holds."""
    path = notebook("depth = 5\nlabels = ['stays', 'leaves']")
    screen.open(path)
    screen.open_sidebar()
    screen.run_cell(0)
    expect(press(screen)).to_contain_text("with 2 variables")
    [taken] = [row for row in lab.workspace().snapshots.list().rows if row["notebook"] == path]
    assert taken["variables"] == 2
    row = screen.row("Snapshots", taken["snapshot"][:8])
    row.get_by_role("button", name=taken["snapshot"][:8]).click()
    variables = row.get_by_role("table", name="Variables")
    expect(variables.get_by_role("row", name="labels")).to_contain_text("list of 2")
    expect(variables.get_by_role("row", name="depth")).to_contain_text("5")


def test_snapshot_names_what_is_missing(screen: Screen, notebook: Callable[..., str]) -> None:
    """A variable that can't be captured is named, with the reason."""
    screen.open(notebook("import threading\nlock, depth = threading.Lock(), 5"))
    screen.open_sidebar()
    screen.run_cell(0)
    missing = press(screen).get_by_role("table", name="Missing").get_by_role("row", name="lock")
    expect(missing.get_by_role("cell")).not_to_be_empty()


def test_restore(screen: Screen, lab: Lab, notebook: Callable[..., str]) -> None:
    """Restore, once confirmed, brings a variable back that was changed since."""
    path = notebook("depth = 5", "depth = 8", "print('depth is', depth)")
    screen.open(path)
    screen.open_sidebar()
    screen.run_cell(0)
    press(screen)
    [taken] = [row for row in lab.workspace().snapshots.list().rows if row["notebook"] == path]
    screen.run_cell(1)
    button = screen.row("Snapshots", taken["snapshot"][:8]).get_by_role("button", name="Restore", exact=True)
    button.click()
    dialog = screen.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    screen.run_cell(2)
    expect(screen.output(2)).to_contain_text("depth is 8")
    button.click()
    expect(dialog).to_contain_text(path)
    dialog.get_by_role("button", name="Restore", exact=True).click()
    expect(screen.section("Snapshots").get_by_role("status")).to_contain_text("Restored depth.")
    screen.run_cell(2)
    expect(screen.output(2)).to_contain_text("depth is 5")


def test_busy_kernel_is_said_so(screen: Screen, lab: Lab, notebook: Callable[..., str]) -> None:
    """While a cell runs, Snapshot says that the kernel is busy, then that nothing was sent; later it works again."""
    (lab.root / "go").unlink(missing_ok=True)
    wait = "import pathlib, time\ndepth = 5\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.05)"
    screen.open(notebook(wait))
    screen.open_sidebar()
    screen.run_cell(0, wait=False)
    section = screen.section("Snapshots")
    section.get_by_role("button", name="Snapshot", exact=True).click()
    expect(section.get_by_role("status")).to_contain_text("The kernel is busy; waiting for it…")
    expect(section.get_by_role("alert")).to_contain_text("nothing was sent to it")
    (lab.root / "go").touch()
    expect(screen.prompt(0)).to_have_text("[1]:")
    press(screen)
