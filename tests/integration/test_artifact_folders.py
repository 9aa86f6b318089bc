"""Files and folders as artifacts, on each kind of store: links are followed, and what can't be kept is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_jupyter import Workspace, log_data
from mlops_jupyter.errors import UsageError, ValueRefused
from mlops_jupyter.tracking.log import log_artifact


def folder(place: Path, name: str = "data") -> Path:
    """Make a folder with a file in it."""
    made = place / name
    made.mkdir()
    (made / "a.txt").write_text("a")
    return made


def kept(workspace: Workspace, run_id: str, path: str = "") -> list[str]:
    """Name the files among a run's artifacts."""
    workspace.tracking.queue.settle(insist=True)
    found: list[str] = []
    client = workspace.tracking.client
    for item in client.list_artifacts(workspace.tracking.store_id(run_id), path):
        found += kept(workspace, run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


def test_links_are_kept_as_what_they_lead_to(workspace: Workspace, tmp_path: Path) -> None:
    """Files and folders that links lead to are among the artifacts, folders by way of linked folders too."""
    data, shared, deep = (folder(tmp_path, name) for name in ("data", "shared", "deep"))
    (data / "in").mkdir()
    (data / "in" / "linked").symlink_to(shared)
    (data / "b.txt").symlink_to(shared / "a.txt")
    (shared / "further").symlink_to(deep)
    with workspace.run("one") as run:
        log_artifact(data)
    found = [name for name in kept(workspace, run.run_id) if name.startswith("data/")]
    assert found == ["data/a.txt", "data/b.txt", "data/in/linked/a.txt", "data/in/linked/further/a.txt"]


def loop(data: Path) -> None:
    (data / "up").symlink_to("..")


def dangling(data: Path) -> None:
    (data / "gone").symlink_to("nowhere")


def pipe(data: Path) -> None:
    os.mkfifo(data / "pipe")


def no_text(data: Path) -> None:
    (Path(os.fsdecode(os.fsencode(data) + b"/\xff"))).touch()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [(loop, "up"), (dangling, "gone"), (pipe, "pipe"), (no_text, "udcff")],
)
def test_what_can_not_be_kept_is_refused_and_named(
    workspace: Workspace, tmp_path: Path, spoil: Callable[[Path], None], named: str
) -> None:
    """A loop of links, a link to nothing, a pipe and a name that is no text are told before anything is copied."""
    data = folder(tmp_path)
    spoil(data)
    with workspace.run("one") as run:
        with pytest.raises(ValueRefused, match=named) as refused:
            log_artifact(data)
        assert len(str(refused.value).splitlines()) == 2
        if spoil is pipe:
            with pytest.raises(ValueRefused, match="named pipe"):
                log_artifact(data / "pipe")
            for path in (data, data / "pipe"):
                with pytest.raises(ValueRefused, match="named pipe"):
                    log_data(path, "d")
        else:
            assert log_data(data, "d")
    assert not [name for name in kept(workspace, run.run_id) if name.startswith("data/")]


def test_a_link_to_the_workspaces_state_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """Whoever links to a folder that holds the artifacts would copy them into themselves."""
    outside = folder(tmp_path.parent, f"{tmp_path.name}-data")
    (outside / "all").symlink_to(tmp_path)
    with workspace.run("one"), pytest.raises(UsageError, match="own state"):
        log_artifact(outside)
