"""Write the README's section on performance: `python tests/benchmarks/readme.py FILE`.

FILE is what `python tests/benchmarks/tracking.py --json` has printed; it is committed as results.json, and a test holds
the two together, so that neither is edited by hand alone.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- performance -->", "<!-- /performance -->"
_DURABLE = (
    "`log_metric` returns when the operating system has the number: a killed kernel, a crash or a store that is away "
    "loses none, and when the disk is full, that call says so. A machine that loses its power can lose what the "
    "database did not have yet; MLflow's own `log_metric` waits for the disk at each call, and would not. What the "
    "embedded store has is on the disk either way."
)


def section(found: Mapping[str, Any]) -> str:
    """Write what stands between the markers.

    Args:
        found: What was measured, with machine and versions.
    """
    paragraphs = (_circumstances(found), _DURABLE)
    return "\n\n".join([table(found), *(textwrap.fill(text, 120, break_on_hyphens=False) for text in paragraphs)])


def table(found: Mapping[str, Any]) -> str:
    """Write the table alone.

    Args:
        found: What was measured.
    """
    lines = ["| what | ours | peer | the peer is | times less |", "|---|---|---|---|---|"]
    for row in found["rows"]:
        peer = shown(row["peer"], row["unit"]) if row["peer"] is not None else ""
        ratio = figures(row["ratio"]) if row["ratio"] is not None else ""
        lines.append(f"| {row['what']} | {shown(row['ours'], row['unit'])} | {peer} | {row['against']} | {ratio} |")
    return "\n".join(lines)


def _circumstances(found: Mapping[str, Any]) -> str:
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"Measured on {found['measured']} by `python tests/benchmarks/tracking.py`: medians of several rounds, ours "
        f"and the peer's in turns, on {machine['cpu']}, {machine['cores']} cores, {machine['memory']} of memory, "
        f"{machine['system']}, with {versions}."
    )


def shown(number: float, unit: str) -> str:
    """Give a number in the unit that fits it.

    Args:
        number: The number.
        unit: ``s`` for seconds, or ``MB``.
    """
    if unit != "s":
        return f"{figures(number)} {unit}"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if number * factor >= 0.9995:
            return f"{figures(number * factor)} {name}"
    return f"{figures(number * 1e6)} µs"


def figures(number: float) -> str:
    """Give a number with three figures: 0.123, 12.3, 12,300."""
    return f"{float(f'{number:.3g}'):,.10g}"


def rewritten(text: str, found: Mapping[str, Any]) -> str:
    """Put the section in the place of the one that is there.

    Args:
        text: The README.
        found: What was measured.

    Returns:
        The README with the new section.

    Raises:
        ValueError: It has no place for it, or two.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the README needs {BEGIN} and {END}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{section(found)}\n{END}{rest.split(END)[1]}"


def main(file: str) -> None:
    """Write the README anew from a file."""
    README.write_text(rewritten(README.read_text("utf-8"), json.loads(Path(file).read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
