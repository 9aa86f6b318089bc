"""The README's section on performance, and the file of results that it is made of."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"
README = (ROOT / "README.md").read_text("utf-8")
RESULTS = json.loads((BENCHMARKS / "results.json").read_text("utf-8"))


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the program that writes the section; benchmarks are no package, and are imported from their folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "readme", raising=False)
    import readme

    return readme


def row(**changed: Any) -> dict[str, Any]:
    plain = {"what": "work", "ours": 0.00123, "peer": 2.5, "against": "others", "ratio": 2033.0, "unit": "s"}
    return plain | changed


def test_the_section_is_made_of_the_results(readme: ModuleType) -> None:
    """Whoever edits a number in the README, or in the file of results alone, is found out."""
    assert readme.rewritten(README, RESULTS) == README


def test_results_tell_the_kind_of_machine_and_not_which() -> None:
    """Processor, cores, memory and system are told; nothing that names the machine or a folder on it."""
    assert set(RESULTS) == {"measured", "machine", "versions", "rows"}
    assert set(RESULTS["machine"]) == {"cpu", "cores", "memory", "system"}
    assert not [value for value in RESULTS["machine"].values() if "/" in value]
    assert {"python", "mlflow", "pandas", "numpy", "mlops-jupyter"} <= set(RESULTS["versions"])


def test_each_row_tells_what_it_is_held_against() -> None:
    """A row has its name, both numbers with their unit, the aim and how often it was measured; no name comes twice."""
    for found in RESULTS["rows"]:
        assert set(found) == {"name", "what", "ours", "peer", "against", "ratio", "aim", "unit", "rounds"}
    names = [found["name"] for found in RESULTS["rows"]]
    assert len(names) == len(set(names)) >= 10


@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [
        (0.0000068123, "s", "6.81 µs"),
        (0.00012, "s", "120 µs"),
        (0.99961, "s", "1 s"),
        (0.024, "s", "24 ms"),
        (8.0, "s", "8 s"),
        (1e-8, "s", "0.01 µs"),
        (1234.5, "MB", "1,230 MB"),
    ],
)
def test_numbers_have_three_figures_and_the_unit_that_fits(
    readme: ModuleType, number: float, unit: str, shown: str
) -> None:
    """No number is written as a power of ten, and none with more figures than were measured."""
    assert readme.shown(number, unit) == shown


def test_what_is_not_compared_has_no_ratio(readme: ModuleType) -> None:
    """A row without a peer, or whose peer is there to be looked at, leaves the field empty."""
    rows = [row(), row(ratio=None), row(peer=None, ratio=None, against="")]
    assert readme.table({"rows": rows}).splitlines()[2:] == [
        "| work | 1.23 ms | 2.5 s | others | 2,030 |",
        "| work | 1.23 ms | 2.5 s | others |  |",
        "| work | 1.23 ms |  |  |  |",
    ]


def test_only_the_section_is_written_anew(readme: ModuleType) -> None:
    """What stands around the markers stays, and what stood between them goes."""
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    written = readme.rewritten(text, RESULTS)
    assert written == f"before\n{readme.BEGIN}\n{readme.section(RESULTS)}\n{readme.END}\nafter\n"
    assert readme.rewritten(written, RESULTS) == written


@pytest.mark.parametrize("text", ["", "<!-- performance -->", "<!-- performance --><!-- /performance -->" * 2])
def test_a_readme_without_one_place_for_it_is_refused(readme: ModuleType, text: str) -> None:
    """Nothing is guessed: without both markers, once each, nothing is written."""
    with pytest.raises(ValueError, match="once each"):
        readme.rewritten(text, RESULTS)
