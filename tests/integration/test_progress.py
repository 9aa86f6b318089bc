"""Progress as it reaches people: on a real terminal, in a real kernel, and in the notebook that is saved."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Notebook, environment, mlops

_BIN = Path(sys.executable).parent

# What takes its time to be captured, as large or slow objects do.
SLOW = """
import time
class Slow:
    def __reduce__(self):
        time.sleep(0.4)
        return (Slow, ())
"""
COUNTED = """
import sys, time
from mlops_jupyter.progress import Progress
from mlops_jupyter.working import working
with Progress(sys.stderr) as progress, progress.watching():
    with working("quick", 10):
        pass
    with working("rows of \\x1b[2Ja table", 10, "rows") as work:
        for _ in range(8):
            time.sleep(0.25)
            work.advance()
print("done")
"""


def on_a_terminal(*words: str, cwd: Path, columns: int = 80, **more: str) -> tuple[int, str, str]:
    """Run a program whose standard error is a terminal; give its exit code, its standard output and what was drawn."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    program = subprocess.Popen(
        words, cwd=cwd, env=environment(**more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=its
    )
    os.close(its)
    drawn = bytearray()
    try:
        while piece := _read(ours):
            drawn += piece
        out, _ = program.communicate(timeout=60)
    finally:
        os.close(ours)
        program.kill()
        program.wait()
    return program.returncode, out.decode(), drawn.decode("utf-8", "replace")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how a terminal says that everybody has gone
        return b""


def left_on(drawn: str) -> str:
    """Give what can be seen in the end, of what was drawn on last lines and wiped."""
    return "".join(line.split("\r\x1b[K")[-1] for line in drawn.replace("\r\n", "\n").split("\n"))


@pytest.fixture
def slow_store() -> Iterator[str]:
    """Give the address of a tracking store that takes its time to say nothing: not MLflow, but as slow as one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    ended.wait(1.5)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


# ---------------------------------------------------------------------------------------------------------------------
# The shell


def test_a_verb_that_waits_says_so_on_the_terminal_and_leaves_nothing(slow_store, tmp_path):
    """After a second the verb and the seconds stand on the last line; in the end only the answer is left."""
    words = (str(_BIN / "mlops"), "runs")
    code, _, drawn = on_a_terminal(*words, cwd=tmp_path, MLFLOW_TRACKING_URI=slow_store)
    assert code == 3
    assert re.search(r"mlops runs  \d+ s|delivery of what was logged  \d+ s", drawn)
    assert left_on(drawn).startswith("mlops: ")
    assert "  1 s" not in left_on(drawn)


def test_nothing_is_drawn_with_json_or_without_a_terminal(slow_store, tmp_path):
    """With --json standard error stays empty on a terminal too, and a log file gets no bars."""
    words = (str(_BIN / "mlops"), "--json", "runs")
    code, out, drawn = on_a_terminal(*words, cwd=tmp_path, MLFLOW_TRACKING_URI=slow_store)
    assert code == 3
    assert "error" in json.loads(out)
    assert drawn == ""
    done = mlops("runs", cwd=tmp_path, MLFLOW_TRACKING_URI=slow_store)
    assert "\x1b" not in done.err
    assert "mlops runs  " not in done.err


@pytest.mark.parametrize("columns", [100, 40, 10])
def test_a_bar_fills_on_a_terminal_of_any_width(tmp_path, columns):
    """Known work has a bar that grows, within the width, after a second and at most ten times a second."""
    began = time.monotonic()
    code, out, drawn = on_a_terminal(sys.executable, "-c", COUNTED, cwd=tmp_path, columns=columns)
    took = time.monotonic() - began
    assert (code, out) == (0, "done\n")
    lines = [line for line in drawn.split("\r\x1b[K") if line.strip()]
    assert 0 < len(lines) <= 11 * took
    assert all(len(line) < columns and line.isprintable() for line in lines)
    assert not any("quick" in line for line in lines)
    assert left_on(drawn) == ""
    if columns == 100:
        assert "rows of \\x1b[2Ja table  [" in lines[0]
        shares = [int(found[1]) for line in lines if (found := re.search(r"(\d+) %", line))]
        assert shares == sorted(shares)
        assert 20 <= shares[0] <= 60 < shares[-1]


# ---------------------------------------------------------------------------------------------------------------------
# The notebook


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """Give a kernel that has carried out a verb, so that later ones are quick."""
    notebook = Notebook(tmp_path_factory.mktemp("notebook"))
    try:
        notebook.good("%mlops status")
        notebook.good(SLOW)
        yield notebook
    finally:
        notebook.close()


def displays(notebook: Notebook, code: str) -> list[tuple[float, str, dict[str, Any]]]:
    """Execute a cell; give what it displays by id: after how many seconds, whether anew or as an update, and what."""
    sent, began, found = notebook.begin(code), time.monotonic(), []
    while True:
        message = notebook._client.get_iopub_msg(timeout=60)
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != sent:
            continue
        assert kind != "error", content
        if kind == "status" and content["execution_state"] == "idle":
            return found
        if kind.endswith("display_data") and content["transient"].get("display_id"):
            found.append((time.monotonic() - began, kind, content))


def test_a_slow_verb_shows_progress_in_its_cell_and_takes_it_away(kernel):
    """One output, after a second, with an accessible bar; updated five times a second at most; empty in the end."""
    shown = displays(kernel, "slow = Slow(), Slow(), Slow()\n%mlops snapshot")
    kinds = [kind for _, kind, _ in shown]
    assert kinds == ["display_data"] + ["update_display_data"] * (len(shown) - 1)
    assert len({content["transient"]["display_id"] for _, _, content in shown}) == 1
    assert shown[0][0] > 0.9
    assert 3 <= len(shown) <= 2 + 5.5 * (shown[-1][0] - shown[0][0])
    for _, _, content in shown[:-1]:
        assert re.search(r'<progress aria-label="[^"<>]+"', content["data"]["text/html"])
        assert re.search(r"\d+ s$", content["data"]["text/plain"])
    assert set(shown[-1][2]["data"].values()) == {""}


def test_known_work_has_a_value_and_its_name_stays_text(kernel):
    """The bar has a value that grows; a name that is markup is shown as text; Python's own calls are watched too."""
    code = (
        "from mlops_jupyter.working import working\n"
        "with working('<script>\\n\"x\"', 10, 'rows') as work:\n"
        "    for _ in range(8): time.sleep(0.2); work.advance()"
    )
    shown = [content["data"]["text/html"] for _, _, content in displays(kernel, code)]
    values = [float(found[1]) for text in shown[:-1] if (found := re.search(r'value="([\d.]+)" max="1"', text))]
    assert len(values) == len(shown) - 1
    assert values == sorted(values)
    assert values[0] < values[-1]
    assert all("<script" not in text and "&lt;script&gt; &quot;x&quot;" in text for text in shown[:-1])


def test_quick_work_shows_nothing(kernel):
    """A verb, and work, of less than a second leave no output of this kind."""
    assert (
        displays(kernel, "del slow\nfrom mlops_jupyter.working import working\nwith working('x', 1): time.sleep(0.3)")
        == []
    )
    assert kernel.value("[t.name for t in __import__('threading').enumerate() if t.name == 'mlops-working']") == []


def test_an_interrupted_cell_keeps_no_bar(kernel):
    """Interrupted work takes its bar away like finished work, and the next is watched as before."""
    sent = kernel.begin("with working('endless'): time.sleep(60)")
    seen = []
    while not any(content["data"]["text/html"] for content in seen):
        message = kernel._client.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") == sent and message["msg_type"].endswith("display_data"):
            seen.append(message["content"])
    kernel.interrupt()
    while seen[-1]["data"]["text/html"]:
        message = kernel._client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "update_display_data":
            seen.append(message["content"])
    assert kernel.finish(sent).status == "error"
    assert displays(kernel, "with working('again'): time.sleep(1.3)")[-1][2]["data"]["text/html"] == ""


def test_a_saved_notebook_has_nothing_of_it(tmp_path):
    """A notebook that was executed by a program has an empty output where the bar was."""
    import nbformat
    from nbclient import NotebookClient

    cells = ["%load_ext mlops_jupyter", SLOW, "slow = Slow(), Slow(), Slow()\n%mlops snapshot;"]
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        document, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    nbformat.validate(document)
    outputs = document.cells[-1].outputs
    assert outputs, "the bar has had its place"
    assert all(set(output.data.values()) <= {""} for output in outputs if output.output_type == "display_data")
    assert "progress" not in nbformat.writes(document)
