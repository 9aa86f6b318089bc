"""What axe finds in a part of the page."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(page: Page, selector: str) -> list[str]:
    """Give axe's violations in the elements of a selector, a line each; fail where there is no such element."""
    assert page.locator(selector).count(), f"nothing on the page is {selector}"
    found = Axe().run(page, context=[[selector]]).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html']} {node.get('failureSummary', '')}"
        for rule in found
        for node in rule["nodes"]
    ]
