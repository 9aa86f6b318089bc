# ruff: noqa: F811, F401 - a fixture is imported, and then named as a parameter
"""Processes that are killed or meet one another: nothing is lost, nothing is done twice, nothing is left running."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from test_pipeline_failures import gone
from test_pipeline_support import HEAD, project, say, states

ORCHESTRATOR = """
import sys
sys.path[:0] = [{tests!r}, {repository!r}]
from pathlib import Path
from test_pipeline_support import Project
project = Project(Path({folder!r}))
result = project.run({options})
print(result.state, [s.state for s in result.steps])
"""


def start(project, options=""):
    """Run the pipeline in a process of its own."""
    here = Path(__file__).parent
    code = ORCHESTRATOR.format(
        tests=str(here), repository=str(here.parents[1]), folder=str(project.folder), options=options
    )
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(project, word, seconds=60):
    """Wait until a step has said a word."""
    deadline = time.monotonic() + seconds
    while not project.count(word):
        assert time.monotonic() < deadline, f"no step said {word}"
        time.sleep(0.05)


@pytest.fixture
def chain(project):
    """Two steps that end, and one that hangs unless a file is there."""
    project.write(
        "steps:\n  a: {notebook: a.ipynb, outputs: [x]}\n"
        "  b: {notebook: b.ipynb, params: {x: '${steps.a.outputs.x}'}, outputs: [y]}\n"
        "  c: {notebook: c.ipynb, params: {y: '${steps.b.outputs.y}'}, outputs: [z]}\n"
    )
    project.notebook("a.ipynb", HEAD, "output('x', 1)", say("a"))
    project.notebook("b.ipynb", HEAD, "output('y', x + 1)", say("b"), parameters="x = 0")
    project.notebook(
        "c.ipynb",
        HEAD,
        "import os, subprocess, time",
        "child = subprocess.Popen(['sleep', '300'])\nopen('pids', 'w').write(f'{os.getpid()} {child.pid}')",
        say("c"),
        "while not os.path.exists('go'): time.sleep(0.05)",
        "child.kill(); child.wait(); output('z', y + 1)",
        parameters="y = 0",
    )
    return project


def pids(project):
    """Give the kernel of the hanging step, and what it has started."""
    return [int(pid) for pid in (project.folder / "pids").read_text().split()]


def test_a_killed_orchestrator_leaves_nothing_and_the_rerun_repeats_nothing(chain):
    """SIGKILL in the middle: kernels and their children end, the next run goes on where it was."""
    process = start(chain)
    wait_for(chain, "c")
    process.kill()
    process.communicate()
    assert all(gone(pid) for pid in pids(chain))
    (chain.folder / "go").touch()
    result = chain.run()
    assert states(result) == {"a": "cached", "b": "cached", "c": "succeeded"}
    assert (chain.count("a"), chain.count("b"), chain.count("c")) == (1, 1, 2)
    left = chain.room.history().rows[-1]
    assert (left["state"], left["cached"]) == ("cancelled", 0)
    # The stand-in of this process has heard of the runs that the other one left open.
    assert sum(run["status"] == "KILLED" for run in chain.tracker.runs.values()) == 2


def test_an_interrupt_ends_kernels_and_is_told(chain):
    """Ctrl-C: the kernel's group is gone, the run is cancelled, KeyboardInterrupt goes on."""
    process = start(chain)
    wait_for(chain, "c")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT or process.returncode == 130, said
    assert "KeyboardInterrupt" in said
    assert all(gone(pid) for pid in pids(chain))
    (row,) = chain.room.history().rows
    assert row["state"] == "cancelled"


def test_two_orchestrators_do_each_step_once(chain):
    """Two processes on one pipeline at once: both succeed, and no step runs twice."""
    (chain.folder / "go").touch()
    both = [start(chain), start(chain)]
    said = [process.communicate(timeout=120) for process in both]
    assert all(out.startswith("succeeded") for out, _ in said), said
    assert [chain.count(word) for word in "abc"] == [1, 1, 1]
