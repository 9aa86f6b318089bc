from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from browser.axe import violations
from browser.lab import Screen, both_themes


@both_themes
def test_results_in_a_notebook(screen: Screen, notebook: Callable[..., str]) -> None:
    """Results are tables in the notebook, readable in either theme and by assistive technology."""
    screen.open(
        notebook(
            "%load_ext mlops_jupyter\n%mlops runs --limit 3",
            "%mlops compare baseline hasty",
            "%mlops model churn/2",
            "%mlops promote churn/2 --to champion",
        )
    )
    for at in range(4):
        screen.run_cell(at)
        expect(screen.output(at).get_by_role("table").first).to_be_visible()
    expect(screen.output(0).get_by_role("columnheader", name="name")).to_be_visible()
    expect(screen.output(1).get_by_role("row", name="criterion")).to_contain_text("gini")
    expect(screen.output(3)).to_contain_text("does not become")
    assert violations(screen.page, ".mlops-result") == []
