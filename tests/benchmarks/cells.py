"""Cells of a notebook, beside what they are without us: loading, recording, and logging from a loop."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from measure import Found, Pair, Round, Seconds

sys.path.insert(0, str(Path(__file__).parents[1] / "surfaces"))

from driving import Notebook

_LOOP = """
import time
taken = []
until = time.perf_counter() + 3
while len(taken) < {least} or time.perf_counter() < until:
    step = len(taken)
    loss = 1 / (step + 1)
    began = time.perf_counter()
    {call}
    taken.append(time.perf_counter() - began)
"""
_OURS = _LOOP.format(least=2_000, call="%mlops log metric loss=loss --step {step}")
_PEERS = "import mlflow\nmlflow.set_tracking_uri('sqlite:///peer.db')\nwith mlflow.start_run():" + _LOOP.format(
    least=1, call="mlflow.log_metric('loss', loss, step=step)"
).replace("\n", "\n    ")
_PASS = """
import statistics, time
def cells(count):
    shell, taken = get_ipython(), []
    for _ in range(count):
        began = time.perf_counter()
        shell.run_cell("pass", store_history=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
"""
_BEFORE, _BLOCKS, _BLOCK = 200, 5, 100
_HEAVY = ("mlflow", "pandas", "numpy")


@contextmanager
def _notebook(folder: Path, load: bool = True) -> Iterator[Notebook]:
    place = Path(tempfile.mkdtemp(dir=folder))
    notebook = Notebook(place, load=load, IPYTHONDIR=str(place / "ipython"))
    try:
        yield notebook
    finally:
        notebook.close()


def magic(folder: Path) -> Round:
    """One `%mlops log metric` in a cell's loop against `mlflow.log_metric` in the same kernel."""
    middle = "__import__('statistics').median(taken)"

    def carry_out() -> Sequence[Found]:
        with _notebook(folder) as notebook:
            notebook.good("%mlops start")
            notebook.good(_OURS)
            ours = notebook.value(middle)
            notebook.good("%mlops end")
            notebook.good(_PEERS)
            return [Found(ours, notebook.value(middle))]

    return carry_out


def recording(folder: Path) -> Round:
    """What a cell that does nothing takes longer where it is recorded, and what it takes where it is not.

    Measured inside the kernels, whose messages take more than either.
    """

    def carry_out() -> Sequence[Found]:
        with _notebook(folder) as recorded, _notebook(folder, load=False) as bare:
            recorded.good("%mlops start")
            for notebook in (recorded, bare):
                notebook.good(_PASS)
                notebook.value(f"cells({_BEFORE})")
            pairs = [(recorded.value(f"cells({_BLOCK})"), bare.value(f"cells({_BLOCK})")) for _ in range(_BLOCKS)]
            recorded.good("%mlops end")
            (kept,) = recorded.folder.glob(".mlops/artifacts/**/mlops/cells.json")
            sources = [cell["source"] for cell in json.loads(kept.read_text("utf-8"))]
        assert sources.count("pass") == _BEFORE + _BLOCKS * _BLOCK
        ours, peer = (statistics.median(times) for times in zip(*pairs, strict=True))
        return [Found(ours - peer, peer)]

    return carry_out


def loading(folder: Path) -> Round:
    """`%load_ext mlops_jupyter` against `import mlflow`, each in a new process that has started already."""
    shell = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()"
    light = f"assert not set({_HEAVY}) & set(sys.modules), 'something heavy was imported'"

    def timed(code: str, after: str = "pass") -> Callable[[], Seconds]:
        lines = f"{shell}; import sys, time; a = time.perf_counter(); {code}; print(time.perf_counter() - a); {after}"

        def work() -> Seconds:
            environment = os.environ | {"IPYTHONDIR": str(folder)}
            done = subprocess.run(
                [sys.executable, "-c", lines], check=True, capture_output=True, env=environment, text=True
            )
            return Seconds(done.stdout.split()[-1])

        return work

    return Pair(timed("s.run_line_magic('load_ext', 'mlops_jupyter')", light), timed("import mlflow"))
