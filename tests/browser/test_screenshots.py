from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import write_notebook
from playwright.sync_api import Browser, expect

from browser.lab import THEMES, Lab, Screen

pytestmark = pytest.mark.skipif("MLOPS_SCREENSHOTS" not in os.environ, reason="set MLOPS_SCREENSHOTS=1 to take them")

PICTURES = Path(__file__).parents[2] / "docs" / "screenshots"
MOST = 250_000

CELLS = (
    """%load_ext mlops_jupyter
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier
X, y = load_breast_cancer(return_X_y=True, as_frame=True)""",
    """%%mlops run --name baseline --param depth=3
clf = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X[:400], y[:400])
%mlops log metric auc=roc_auc_score(y[400:],clf.predict_proba(X[400:])[:,1])
%mlops log model clf --register churn""",
    "%mlops runs",
)

BEFORE = """
from pathlib import Path
from project import PIPELINE, fitted
from driving import write_notebook
from mlops_jupyter import Workspace, log_metric, log_model
root = Path.cwd()
(root / "mlops.toml").write_text('[tracking]\\nexperiment = "churn"\\n')
(root / "pipeline.yaml").write_text(PIPELINE)
step = "from mlops_jupyter import output\\noutput('doubled', 2 * depth)"
write_notebook(root / "train.ipynb", step, parameters="depth = 1")
workspace = Workspace.open(root)
workspace.pipelines.run(root / "pipeline.yaml")
for name, depth, auc in (("stump", 1, 0.871), ("shallow", 2, 0.9112)):
    with workspace.run(name, params={"depth": depth}):
        log_metric("auc", auc)
        log_model(fitted(depth)[0], register="churn")
workspace.registry.promote("churn/2", to="champion", message="the first that works")
"""


@pytest.fixture
def project() -> Iterator[Lab]:
    """Give a JupyterLab in a folder with a name that looks well."""
    place = Path(tempfile.gettempdir()) / "projects"
    place.mkdir()
    try:
        with Lab.started(place) as lab:
            lab.execute(BEFORE)
            write_notebook(lab.root / "churn.ipynb", *CELLS)
            yield lab
    finally:
        shutil.rmtree(place)


def test_screenshots(project: Lab, browser: Browser, tmp_path: Path) -> None:
    """The README's pictures: the sidebar beside a notebook whose cell ran as an MLflow run, in both themes."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    screen = Screen(project, page, tmp_path / "page.png")
    screen.open("churn.ipynb")
    screen.open_sidebar()
    for at in range(len(CELLS)):
        screen.run_cell(at)
    screen.section("Snapshots").get_by_role("button", name="Snapshot", exact=True).click()
    expect(screen.section("Snapshots").get_by_role("status")).to_contain_text("Took")
    expect(screen.row("Runs", "baseline")).to_be_visible()
    page.get_by_role("button", name="Hide notification").click()
    page.keyboard.press("Control+S")
    expect(page.get_by_role("main").get_by_role("tab", name="churn.ipynb")).not_to_have_class(
        re.compile("jp-mod-dirty")
    )
    for passing in (page.get_by_role("button", name="Hide notification"), page.get_by_text("Saving completed")):
        expect(passing).to_have_count(0, timeout=15_000)
    for theme, name in zip(THEMES, ("light", "dark"), strict=True):
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        expect(page.locator(f"body[data-jp-theme-name='{theme}']")).to_be_attached()
        page.mouse.move(640, 5)
        picture = PICTURES / f"sidebar-{name}.png"
        page.screenshot(path=picture, animations="disabled")
        assert picture.stat().st_size < MOST
    page.close()
    assert not screen.own_errors, screen.own_errors
