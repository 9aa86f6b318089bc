from __future__ import annotations

from playwright.sync_api import Locator, expect

from browser.lab import Lab, Screen


def ask(screen: Screen, version: int, alias: str) -> Locator:
    """Click Promote in a version's row, and fill in the alias; give the dialog."""
    row = screen.row("Models", f"churnv{version}")
    row.get_by_role("button", name="Promote", exact=True).click()
    dialog = screen.page.get_by_role("dialog", name=f"Promote churn/{version}")
    dialog.get_by_label("Alias").fill(alias)
    return dialog


def test_button_is_described_by_its_row(screen: Screen) -> None:
    """All buttons are called Promote; the row's name, which says of what, is their description."""
    screen.open()
    screen.open_sidebar()
    button = screen.row("Models", "churnv2").get_by_role("button", name="Promote", exact=True)
    expect(button).to_have_accessible_description("churn v2")


def test_promote(screen: Screen, lab: Lab) -> None:
    """Promote moves the alias in MLflow, and the row shows it."""
    screen.open()
    screen.open_sidebar()
    dialog = ask(screen, 1, "champion")
    dialog.get_by_label("Message").fill("better on the holdout")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    row = screen.row("Models", "churnv1")
    expect(row.get_by_text("champion", exact=True)).to_be_visible()
    expect(row.get_by_role("status")).to_contain_text("promoted")
    expect(screen.row("Models", "churnv2")).to_contain_text("no alias")
    assert lab.aliases("churn")["champion"] == 1
    [decided] = [row for row in lab.workspace().registry.audit("churn") if row["kind"] == "promotion.decided"]
    assert decided["message"] == "better on the holdout"


def test_cancel_moves_nothing(screen: Screen, lab: Lab) -> None:
    """Cancel, and Escape, leave every alias where it is."""
    screen.open()
    screen.open_sidebar()
    before = lab.aliases("churn")
    dialog = ask(screen, 1, "staging")
    dialog.get_by_role("button", name="Cancel", exact=True).click()
    expect(dialog).to_have_count(0)
    dialog = ask(screen, 2, "staging")
    screen.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    screen.panel.get_by_role("button", name="Refresh").click()
    expect(screen.panel.get_by_text("staging")).to_have_count(0)
    assert lab.aliases("churn") == before


def test_refusal_shows_each_reason(screen: Screen, lab: Lab) -> None:
    """A version that fails the policy's gates stays where it is, and each gate says why."""
    screen.open()
    screen.open_sidebar()
    ask(screen, 2, "champion").get_by_role("button", name="Promote", exact=True).click()
    outcome = screen.row("Models", "churnv2").get_by_role("status")
    expect(outcome).to_contain_text("refused as champion")
    gates = outcome.get_by_role("list", name="Gates").get_by_role("listitem")
    expect(gates).to_have_count(2)
    expect(gates.nth(0)).to_contain_text("0.7 < min 0.75")
    expect(gates.nth(1)).to_contain_text("0.9 > max 0.5")
    assert lab.aliases("churn").get("champion") != 2


def test_promotion_that_waits(screen: Screen, lab: Lab) -> None:
    """Where the policy asks for approvals, the row says that the promotion waits, and the header counts it."""
    screen.open()
    screen.open_sidebar()
    ask(screen, 1, "reviewed").get_by_role("button", name="Promote", exact=True).click()
    row = screen.row("Models", "churnv1")
    expect(row.get_by_role("status")).to_contain_text("waits for approval")
    expect(screen.panel.get_by_text("1 open request")).to_be_visible()
    assert "reviewed" not in lab.aliases("churn")


def test_alias_that_is_none(screen: Screen) -> None:
    """What can't be an alias is refused in words, in the row."""
    screen.open()
    screen.open_sidebar()
    ask(screen, 1, "v7").get_by_role("button", name="Promote", exact=True).click()
    expect(screen.row("Models", "churnv1").get_by_role("alert")).to_contain_text("alias")
    screen.expected("/mlops/api/promote")


def test_version_details(screen: Screen) -> None:
    """A version that is opened shows the metrics and parameters of its run, and the gates as they are now."""
    screen.open()
    screen.open_sidebar()
    row = screen.row("Models", "churnv1")
    row.get_by_role("button", expanded=False).first.click()
    expect(row.get_by_role("table", name="Metrics").get_by_role("row", name="auc")).to_have_text("auc0.9")
    expect(row.get_by_role("table", name="Parameters").get_by_role("row", name="depth")).to_have_text("depth3")
    expect(row.get_by_role("list", name="Gates")).to_contain_text("passed")
