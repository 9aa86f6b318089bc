"""What a folder holds: links followed, loops ended, and what is neither a file nor a folder refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlops_jupyter.digest import digest_file, digest_of
from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.files import contents, is_folder, linked_folders


def folder(place: Path, name: str = "data") -> Path:
    """Make a folder with a file in it."""
    made = place / name
    made.mkdir()
    (made / "a.txt").write_text("a")
    return made


def test_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    """A folder of links to files and folders is told by their content, as if it held them."""
    plain, linked, other = (folder(tmp_path, name) for name in ("plain", "linked", "other"))
    for name, text in (("one", "1"), ("two", "2")):
        (tmp_path / "blobs" / name).mkdir(parents=True)
        (tmp_path / "blobs" / name / "rows.csv").write_text(text)
    (plain / "part").mkdir()
    (plain / "part" / "rows.csv").write_text("1")
    (plain / "x.csv").write_text("1")
    for made, blob in ((linked, "one"), (other, "two")):
        (made / "part").symlink_to(tmp_path / "blobs" / blob)
        (made / "x.csv").symlink_to(tmp_path / "blobs" / blob / "rows.csv")
    assert digest_file(linked) == digest_file(plain)
    assert digest_file(other) != digest_file(linked)
    (linked / "x.csv").unlink()
    assert digest_file(other) != digest_file(linked) != digest_file(plain)


def test_a_link_to_nothing_counts_as_such(tmp_path: Path) -> None:
    """Where a link would lead is all that there is of it; without it the folder is another."""
    one, two, none = (folder(tmp_path, name) for name in ("one", "two", "none"))
    (one / "gone").symlink_to("nowhere")
    (two / "gone").symlink_to("elsewhere")
    assert len({digest_file(each) for each in (one, two, none)}) == 3
    (none / "self").symlink_to("self")
    assert digest_file(none) not in (digest_file(one), digest_file(two))


@pytest.mark.parametrize(
    ("link", "target", "up"),
    [("up", "..", "1"), ("here", ".", "0"), ("in/top", "../..", "2"), ("round/back", "../in", "0")],
)
def test_loops_of_links_end(tmp_path: Path, link: str, target: str, up: str) -> None:
    """A link back to a folder on the way, or above it, is told by how far up it leads, wherever the folder is."""
    found = []
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        made = folder(tmp_path / place)
        (made / "in").mkdir()
        (made / "round").symlink_to("in")
        (made / link).symlink_to(target)
        assert up in {entry.leads for entry in contents(made) if entry.kind == "loop"}
        assert not [entry for entry in contents(made) if entry.name.startswith(f"{link}/")]
        found.append(digest_file(made))
    assert found[0] == found[1]
    assert found[0] != digest_file(folder(tmp_path))


def test_names_that_are_no_text_count(tmp_path: Path) -> None:
    """A name is bytes; what is no UTF-8 is told as well."""
    found = set()
    for number, name in enumerate((b"\xff", b"\xfe", b"a")):
        made = folder(tmp_path, str(number))
        with open(os.path.join(os.fsencode(made), name), "w") as file:  # noqa: PTH118, PTH123
            file.write("x")
        found.add(digest_file(made))
    assert len(found) == 3


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    """Folders and files are in one order, that of each part of the path, and none is left out."""
    for name in ("b/x", "b.txt", "a/c/d", "a/b", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [entry.name for entry in contents(tmp_path)] == ["a/b", "a/c/d", "b/x", "b.txt", "c"]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("where", ["named", "inside", "linked"])
def test_what_has_no_end_is_refused(tmp_path: Path, kind: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a pipe, a socket or a device: it is named, and what to do is said."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    made = folder(tmp_path)
    special = made / "special" if where == "inside" else tmp_path / "special"
    if kind == "pipe":
        os.mkfifo(special)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(os.path.relpath(special))
    else:
        special.symlink_to("/dev/zero")
    if where == "linked":
        (made / "in").symlink_to(special)
    path = special if where == "named" else made
    for look in (digest_of, digest_file, linked_folders):
        with pytest.raises(ValueRefused, match="special" if where != "linked" else "in") as refused:
            look(path)
        assert refused.value.hint


def test_what_is_not_there_is_no_folder(tmp_path: Path) -> None:
    """A path without anything behind it is told as the operating system tells it."""
    with pytest.raises(FileNotFoundError):
        is_folder(tmp_path / "nothing")
    assert is_folder(tmp_path)
