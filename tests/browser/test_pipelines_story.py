from __future__ import annotations

from playwright.sync_api import expect

from browser.lab import Lab, Screen


def test_run_a_pipeline_again(screen: Screen, lab: Lab) -> None:
    """Run in a pipeline's row executes it in the background, tells how it ended, and adds it to its past runs."""
    screen.open()
    screen.open_sidebar()
    row = screen.row("Pipelines", "pipeline.yaml")
    past = row.get_by_role("list", name="Past runs of nightly").get_by_role("listitem")
    expect(past.first).to_contain_text("succeeded")
    before = past.count()
    row.get_by_role("button", name="Run", exact=True).click()
    expect(row.get_by_role("status").filter(has_text="succeeded")).to_be_visible(timeout=90_000)
    expect(past).to_have_count(before + 1)
    expect(past.first).to_contain_text("1 step, 1 cached")
    assert len(lab.workspace().pipelines.history()) == before + 1
