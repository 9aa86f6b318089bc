"""Programs that the tests run in a workspace of their own, to whatever end they come."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from driving import environment

from mlops_jupyter import Workspace

#: A program that dies with a run open.
DIED = "import os, mlops_jupyter\nrun = mlops_jupyter.run('dead')\nrun.__enter__()\nos.kill(os.getpid(), 9)"


def program(place: Path, code: str) -> str:
    """Run a program in a workspace, to its end, whatever that is."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment(), capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


def settings(place: Path, uri: str | None, experiment: str = "faults") -> Workspace:
    line = f'uri = "{uri}"\n' if uri else ""
    (place / "mlops.toml").write_text(f'[tracking]\nexperiment = "{experiment}-{os.getpid()}"\n{line}')
    return Workspace.open(place)


def opened(place: Path, uri: str) -> Workspace:
    """Open a workspace on a server, with an experiment that is called like its folder."""
    return settings(place, uri, place.name)


def died_with_ten_points(place: Path) -> Path:
    """Run a program that logs ten points, delivers none of them and is killed; give its journal."""
    program(
        place,
        "import os, mlops_jupyter\nrun = mlops_jupyter.run('dead')\nrun.__enter__()\n"
        "from mlops_jupyter.tracking.queue import courier\ncourier.Courier.wake = lambda *_, **__: None\n"
        "for i in range(10): mlops_jupyter.log_metric('n', i, i)\nos.kill(os.getpid(), 9)",
    )
    (journal,) = (place / ".mlops" / "queue").glob("*.jsonl")
    return journal
