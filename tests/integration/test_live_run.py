"""What the notebook shows of a run while it goes on, in a real kernel, with what a front end makes of its messages."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Executed, Notebook, free_port, python, write_notebook

VIEW = "application/vnd.jupyter.widget-view+json"
# Two metrics, and long enough to be seen twice, or once.
TRAINING = """import time, mlops_jupyter
for epoch in range(25):
    mlops_jupyter.log_metric("loss", 1 / (epoch + 1), epoch)
    mlops_jupyter.log_metric("accuracy", epoch / 25, epoch)
    time.sleep(0.1)
"""
BRIEFLY = TRAINING.replace("range(25)", "range(15)")
MOMENT = "import time; time.sleep(1.4)\n"


class FrontEnd(Notebook):
    """A notebook as a front end has it: outputs that are updated in place, and the widgets that are open."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.outputs: dict[str, list[dict[str, Any]]] = {}
        self.widgets: dict[str, dict[str, Any]] = {}
        #: What was shown at any time: mime bundles, and what widgets were changed to.
        self.bundles: list[dict[str, Any]] = []
        self.changes: list[str] = []
        #: Whether a cell makes widgets of its own.
        self.has_widgets = False
        self.shows: list[tuple[str, dict[str, Any]]] = []
        self._places: dict[str, list[tuple[str, int]]] = {}
        super().__init__(folder, **more)

    def _idle(self, sent: str, done: Executed, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            message = self._client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            self._take(message)
            if message["parent_header"].get("msg_id") != sent:
                continue
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return
            if message["msg_type"] == "stream":
                done.text += content["text"]
            if message["msg_type"] == "error":
                done.ename = content["ename"]

    def _take(self, message: dict[str, Any]) -> None:
        kind, content, cell = message["msg_type"], message["content"], message["parent_header"].get("msg_id", "")
        place = content.get("transient", {}).get("display_id")
        outputs = self.outputs.setdefault(cell, [])
        if kind.endswith("display_data"):
            self.shows.append((kind, content["data"]))
        if kind in ("display_data", "execute_result"):
            if place:
                self._places.setdefault(place, []).append((cell, len(outputs)))
            outputs.append(content["data"])
            self.bundles.append(content["data"])
        elif kind == "update_display_data":
            for at, number in self._places.get(place, []):
                self.outputs[at][number] = content["data"]
            self.bundles.append(content["data"])
        elif kind == "clear_output":
            outputs.clear()
            self._places.clear()
        elif kind.startswith("comm_") and (kind, content.get("target_name")) != ("comm_open", "mlops.document"):
            self._comm(kind, content, message["parent_header"])

    def _comm(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        if parent and self.has_widgets:
            return
        assert parent == {}, "a program that executes notebooks would keep the widget's state for ever"
        if kind == "comm_open":
            self.widgets[content["comm_id"]] = content["data"]["state"]
        elif kind == "comm_msg":
            self.widgets[content["comm_id"]] |= content["data"]["state"]
            self.changes.append(str(content["data"]["state"].get("value")))
        else:
            del self.widgets[content["comm_id"]]

    def seen(self, code: str, cell: str | None = None) -> list[dict[str, Any]]:
        """Execute a cell that must not fail, and give what stands below it when it has ended."""
        sent = self.begin(code, cell)
        done = self.finish(sent)
        assert done.status == "ok", done
        return self.outputs[sent]

    def nothing_is_left(self) -> bool:
        """Tell whether no widget is open, in the kernel or here, and no thread shows anything."""
        assert self.widgets == {}
        instances = "len(__import__('ipywidgets').widgets.widget._instances)"
        threads = "[t.name for t in __import__('threading').enumerate() if t.name == 'mlops-live-run']"
        assert self.value(f"({instances}, {threads})") == [0, []]
        return True


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontEnd]:
    notebook = FrontEnd(tmp_path_factory.mktemp("live"))
    notebook.good("%mlops init")
    notebook.good("%%mlops run\n1")
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(kernel: FrontEnd) -> Iterator[FrontEnd]:
    """Give the module's kernel as a front end that has seen nothing yet."""
    kernel.bundles.clear()
    kernel.changes.clear()
    kernel.shows.clear()
    kernel.has_widgets = False
    yield kernel
    kernel.run("import mlflow\nwhile mlflow.active_run(): get_ipython().run_line_magic('mlops', 'end')")


def is_live(bundle: dict[str, Any]) -> bool:
    return VIEW in bundle


def summary(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the one output, which is static."""
    (only,) = outputs
    assert set(only) == {"text/html", "text/plain"}
    return only


# ---------------------------------------------------------------------------------------------------------------------
# A cell's run


def test_a_run_is_seen_while_it_goes_on(notebook):
    """A widget shows the run and its curves, and changes; a static picture stands beside it, for a notebook on disk."""
    notebook.seen(f"%%mlops run --name watched\n{TRAINING}")
    first = notebook.bundles[0]
    assert set(first) == {VIEW, "text/html", "text/plain"}
    assert "run watched (" in first["text/plain"]
    assert re.search(r"RUNNING for \d s, 1 cell, backlog \d", first["text/plain"])
    assert "as of " in first["text/plain"]
    assert first["text/html"].count("<svg") == 2
    assert any("RUNNING for " in change for change in notebook.changes)
    assert any(change.count("<svg") == 2 for change in notebook.changes)
    assert [is_live(bundle) for bundle in notebook.bundles] == [True, False]


def test_a_static_picture_is_all_that_stays(notebook):
    """When the run has ended, its summary with curves from the store takes the widget's place; nothing is left open."""
    only = summary(notebook.seen(f"%%mlops run --name ended --param depth=3\n{TRAINING}"))
    assert "run ended (" in only["text/plain"]
    assert "FINISHED in " in only["text/plain"]
    assert "loss by step: ended from 1 at 0 to 0.04 at 24" in only["text/plain"]
    assert "RUNNING" not in only["text/html"]
    assert "depth" in only["text/html"]
    assert only["text/html"].count("<svg") == 2
    assert notebook.nothing_is_left()


def test_a_short_run_shows_its_summary_only(notebook):
    """A run that is over within a second is shown once, when it has ended, without a picture or a widget."""
    code = "import mlops_jupyter\nfor step in range(3): mlops_jupyter.log_metric('a', step, step)"
    only = summary(notebook.seen(f"%%mlops run --name short\n{code}"))
    assert "FINISHED" in only["text/plain"]
    assert "<svg" not in only["text/html"]
    assert (len(notebook.bundles), notebook.changes) == (1, [])


def test_points_that_others_log_are_in_the_last_picture(notebook):
    """What plain MLflow logs is not seen live, but is drawn when the run has ended."""
    code = "import mlflow\nfor step in range(3): mlflow.log_metric('plain', step, step=step)\n"
    only = summary(notebook.seen(f"%%mlops run\n{code}{MOMENT}"))
    assert "plain by step" in only["text/plain"]
    assert "plain" not in notebook.bundles[0]["text/plain"]


@pytest.mark.parametrize(
    ("body", "status"),
    [("1 / 0", "FAILED"), ("%mlops end --status KILLED", "KILLED"), ("pass", "FINISHED")],
    ids=["raises", "ends its run itself", "never logs"],
)
def test_however_a_run_ends_it_is_shown_once(notebook, body, status):
    """A cell that raises, one that ends its run itself, and one that never logs leave one static picture each."""
    sent = notebook.begin(f"%%mlops run --name once\n{MOMENT}{body}")
    assert notebook.finish(sent).status == ("error" if status == "FAILED" else "ok")
    told = [bundle["text/plain"] for bundle in notebook.outputs[sent] if "once (" in bundle["text/plain"]]
    assert sum(f"{status} in 1." in text for text in told) == 1, told
    assert not any(is_live(bundle) or "RUNNING" in bundle["text/plain"] for bundle in notebook.outputs[sent])
    assert notebook.nothing_is_left()


def test_an_interrupted_run_leaves_a_picture(notebook):
    """A kernel that is interrupted leaves the summary of a run that FAILED, with the curves so far."""
    sent = notebook.begin(f"%%mlops run --name interrupted\n{BRIEFLY}time.sleep(100)")
    while not any(map(is_live, notebook.bundles)):
        notebook._take(notebook._client.get_iopub_msg(timeout=30))
    notebook.interrupt()
    assert notebook.finish(sent).ename == "KeyboardInterrupt"
    only = summary(notebook.outputs[sent])
    assert "FAILED" in only["text/plain"]
    assert "loss by step" in only["text/plain"]
    assert notebook.nothing_is_left()


def test_who_clears_the_output_still_sees_what_came_of_the_run(notebook):
    """`clear_output` takes the live view away for good, and the summary is shown where the cell ends."""
    clear = "from IPython.display import clear_output\nclear_output()\nprint('anew')\n"
    only = summary(notebook.seen(f"%%mlops run --name cleared\n{MOMENT}{clear}{MOMENT}"))
    assert [is_live(bundle) for bundle in notebook.bundles] == [True, False]
    assert "run cleared (" in only["text/plain"]
    assert notebook.nothing_is_left()


def test_an_output_widget_that_clears_itself_leaves_the_live_view(notebook):
    """`clear_output` within an Output widget is the widget's own affair, however often a cell does it."""
    clear = (
        "import ipywidgets\nfrom IPython.display import clear_output\nout = ipywidgets.Output()\n"
        "with out:\n    clear_output(wait=True)\n    print('anew')\n"
    )
    notebook.has_widgets = True
    sent = notebook.begin(
        f"%%mlops run --name captured\n{MOMENT}{clear}{MOMENT}out.layout.close()\nout.close()\ndel out"
    )
    assert notebook.finish(sent).status == "ok"
    assert [is_live(bundle) for bundle in notebook.bundles] == [True, False]
    place = [bundle for kind, bundle in notebook.shows if kind == "update_display_data"]
    assert "run captured (" in place[-1]["text/plain"]


def test_hostile_names_stay_text(notebook):
    """Names of runs and metrics that are markup, very long or full of control characters are text, live and after."""
    name, metric = "<script>alert(1)</script>", "a/<b>" + "x" * 200
    begin = (
        f"import mlops_jupyter\nfor i in range(3): mlops_jupyter.log_metric('{metric}'.replace('<b>', 'b '), i, i)\n"
    )
    notebook.seen(f"%%mlops run --name '{name}\x1b[2J'\n{begin}{MOMENT}")
    assert len(notebook.bundles) == 2
    for bundle in notebook.bundles:
        assert "<script>" not in bundle["text/html"]
        assert "&lt;script&gt;" in bundle["text/html"]
        assert "\x1b" not in bundle["text/html"] + bundle["text/plain"]
        assert len(max(bundle["text/plain"].splitlines(), key=len)) < 1000


def test_a_view_that_fails_is_logged_once_and_ends(notebook):
    """An error of the view is told in the log, once; cell and run go on, and the summary is shown."""
    notebook.good(
        "import mlops_jupyter.kernel.live_output as output\nreal = output.Panel.update\n"
        "def fails(self, head, body): raise RuntimeError('the picture is torn')\noutput.Panel.update = fails"
    )
    sent = notebook.begin(f"%%mlops run --name torn\n{MOMENT}{MOMENT}kept = 'kept'")
    done = notebook.finish(sent)
    notebook.good("output.Panel.update = real")
    assert (done.status, notebook.value("kept")) == ("ok", "kept")
    assert done.text.count("is not shown live") == 1
    assert "run torn (" in summary(notebook.outputs[sent])["text/plain"]
    assert notebook.nothing_is_left()


def test_a_fork_shows_nothing_of_its_own(notebook):
    """Processes forked off in the middle log to the run, end, and leave the one view alone."""
    code = (
        "import multiprocessing, mlops_jupyter\n"
        "def work(n): mlops_jupyter.log_metric('forked', n, n)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: pool.map(work, range(6))\n"
    )
    only = summary(notebook.seen(f"%%mlops run --name forking\n{MOMENT}{code}"))
    assert "forked by step: forking from 0 at 0 to 5 at 5" in only["text/plain"]
    assert [is_live(bundle) for bundle in notebook.bundles] == [True, False]
    assert notebook.nothing_is_left()


def test_captured_output_is_left_alone(notebook):
    """Under `%%capture` nothing is shown, live or after; what is captured has the summary once."""
    assert notebook.seen(f"%%capture taken\n%%mlops run --name captured\n{MOMENT}") == []
    assert notebook.value("[str(output.data['text/plain'])[:14] for output in taken.outputs]") == ["✓ run captured"]


# ---------------------------------------------------------------------------------------------------------------------
# A run that spans cells


def test_a_run_that_spans_cells_is_seen_where_it_began(notebook):
    """The place of `start` shows the run while other cells are executed, and what it came to when it has ended."""
    begun = notebook.seen("%mlops start --name spanning")
    assert "has begun" in summary(begun)["text/plain"]
    assert notebook.seen(TRAINING) == []
    assert is_live(begun[0])
    notebook.seen(MOMENT)
    assert any("2 cells, backlog" in change for change in notebook.changes)
    (ended,) = notebook.seen("%mlops end")
    assert "is FINISHED" in ended["text/plain"]
    only = summary(begun)
    assert "run spanning (" in only["text/plain"]
    assert ", 4 cells" in only["text/plain"]
    assert "loss by step" in only["text/plain"]
    assert notebook.nothing_is_left()


def test_a_short_span_is_shown_as_it_always_was(notebook):
    """A run that spans cells and is over within a second leaves the lines of `start` and `end`."""
    begun = notebook.seen("%mlops start --name brief")
    ended = notebook.seen("%mlops end")
    assert "has begun" in summary(begun)["text/plain"]
    assert "is FINISHED" in summary(ended)["text/plain"]


def test_a_line_that_is_kept_or_hidden_stays_so(notebook):
    """`r = %mlops start` gives the result, and the run is shown below; `%mlops start;` shows nothing at all."""
    begun = notebook.seen("r = %mlops start --name kept")
    assert "RUNNING" in summary(begun)["text/plain"]
    assert "has begun" in notebook.value("r.text")
    notebook.seen("%mlops end")
    assert "FINISHED" in summary(begun)["text/plain"]
    assert notebook.seen("%mlops start --name hidden;") == []
    assert notebook.seen(MOMENT) == []
    notebook.seen("%mlops end")
    assert notebook.nothing_is_left()


def test_a_run_inside_a_run_has_its_own_view(notebook):
    """A nested run is shown in its own cell, its parent where it began, and each keeps its own metrics."""
    begun = notebook.seen("%mlops start --name parent")
    child = summary(notebook.seen(f"%%mlops run --name child --nested\n{BRIEFLY}"))
    assert "run child (" in child["text/plain"]
    assert "loss by step" in child["text/plain"]
    notebook.seen("%mlops end")
    assert "run parent (" in summary(begun)["text/plain"]
    assert "loss" not in begun[0]["text/plain"]
    assert notebook.nothing_is_left()


def test_a_span_whose_place_is_gone_is_shown_where_it_ends(notebook):
    """When the cell of `start` was executed again, what the run came to is shown in the cell that ended it."""
    notebook.seen("%mlops start --name lost", cell="again")
    notebook.seen(MOMENT)
    notebook.seen("pass", cell="again")
    ended = notebook.seen("%mlops end")
    assert ["is FINISHED" in bundle["text/plain"] for bundle in ended] == [True, False]
    assert "run lost (" in ended[1]["text/plain"]
    assert notebook.nothing_is_left()


# ---------------------------------------------------------------------------------------------------------------------
# Where there is no front end, or no store


def test_papermill_saves_static_pictures(tmp_path):
    """A notebook that papermill has executed holds curves as SVG in HTML, and nothing of a widget."""
    write_notebook(
        tmp_path / "in.ipynb",
        "%load_ext mlops_jupyter",
        f"%%mlops run --name single\n{BRIEFLY}",
        "%mlops start --name spanning",
        BRIEFLY,
        "%mlops end",
    )
    python("import papermill; papermill.execute_notebook('in.ipynb', 'out.ipynb', progress_bar=False)", tmp_path)
    text = (tmp_path / "out.ipynb").read_text("utf-8")
    assert "widget" not in text
    cells = json.loads(text)["cells"]
    for cell, name in ((1, "single"), (2, "spanning")):
        (output,) = cells[cell]["outputs"]
        assert f"run {name} (" in "".join(output["data"]["text/plain"])
        assert "RUNNING" not in "".join(output["data"]["text/plain"])
        assert "".join(output["data"]["text/html"]).count("<svg") == 2
    assert [len(cell["outputs"]) for cell in cells] == [0, 1, 1, 0, 1]


def test_a_terminal_shows_summaries_only(tmp_path):
    """IPython in a terminal says once what came of the run, and imports no widgets for it."""
    said = python(
        "import sys\nfrom IPython.terminal.interactiveshell import TerminalInteractiveShell as Shell\n"
        "shell = Shell.instance()\nshell.run_cell('%load_ext mlops_jupyter')\n"
        f"shell.run_cell({f'%%mlops run --name plain{chr(10)}{BRIEFLY}'!r})\n"
        "print('mlops_jupyter.kernel.live_run' in sys.modules, shell.events.callbacks['post_run_cell'] != [])",
        tmp_path,
    )
    assert said.count("run plain (") == 1
    assert "RUNNING" not in said
    assert "widget" not in said


def test_a_store_that_is_away_is_told_while_the_run_goes_on(tmp_path):
    """While the store does not answer, the view says so and how much waits; the last picture has the curves seen."""
    notebook = FrontEnd(tmp_path, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    try:
        only = summary(notebook.seen(f"%%mlops run --name waiting\n{BRIEFLY}"))
        told = "\n".join([*notebook.changes, *(bundle["text/plain"] for bundle in notebook.bundles)])
        assert "the tracking store is away" in told
        assert "logged entries wait for it, and are safe" in only["text/plain"]
        assert "loss by step: waiting from 1 at 0" in only["text/plain"]
        assert notebook.nothing_is_left()
    finally:
        notebook.close()
