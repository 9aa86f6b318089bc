"""The README's notebook, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from jupyter_client.manager import start_new_kernel

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_first_notebook_runs_as_pasted(folder: Path) -> None:
    """Every cell of "A first notebook" succeeds, the kernel's restart included."""
    section = README.split("## A first notebook")[1].split("\n## ")[0]
    before, after = section.split("Restart the kernel")
    manager, client = start_new_kernel(cwd=str(folder))
    said: list[str] = []

    def listen(message: dict) -> None:  # type: ignore[type-arg]
        content = message["content"]
        said.append(
            content.get("text") or content.get("data", {}).get("text/plain", "") or str(content.get("evalue", ""))
        )

    def run(text: str) -> None:
        for cell in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
            reply = client.execute_interactive(cell, timeout=180, output_hook=listen, allow_stdin=False)
            assert reply["content"]["status"] == "ok", f"{cell}\n{said[-3:]}"

    try:
        run(before)
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
        run(after)
        client.execute_interactive("print(clf.score(X, y) > 0.9, y[:3].size)", timeout=60, output_hook=listen)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    text = "\n".join(said)
    assert "True 3" in text
    assert "churn/1 is now churn@champion" in text


def test_each_command_stands_once() -> None:
    """The two commands that are pasted are between markers, so that CI runs the very same."""
    for name in ("demo", "test"):
        block = README.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
        (line,) = [line for line in block.splitlines() if line and not line.startswith("```")]
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
