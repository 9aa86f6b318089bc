"""Files: written whole, aside, synced and renamed; and what a folder holds, links followed."""

from __future__ import annotations

import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.working import pieces

# What following a link says where the link leads to nothing.
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# SQLite's WAL needs shared memory between processes, which these do not give.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs"}


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Args:
        path: The file; its folder is made when missing.
        data: The whole content.

    Raises:
        OSError: The file could not be written; then nothing has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with aside.open("wb") as file:
            for piece in pieces(data):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Without this a rename may be lost with the power, although the file's bytes are safe.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def on_network(folder: Path) -> bool:
    """Tell whether a folder lies on a network file system, where SQLite's WAL can't be used.

    Args:
        folder: The folder, absolute.

    Returns:
        Whether it does; False where the system does not say.
    """
    if sys.platform != "linux":
        return False
    best, kind = "", ""
    for line in Path("/proc/mounts").read_text("utf-8", "replace").splitlines():
        _, mount, name, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if folder.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, name
    return kind in _NETWORK


# ---------------------------------------------------------------------------------------------------------------------
# What a folder holds


class Entry(NamedTuple):
    """Something that a folder holds, at any depth.

    Args:
        name: Where it is, from the folder on, with slashes.
        path: The same, from where the folder was named.
        kind: ``file``, also where a link leads to one; ``folder`` for one that a link leads to, whose entries follow;
            ``loop`` for a link to a folder that it lies in itself; ``nothing`` for a link to what is not there.
        leads: Of a loop, how many folders up it leads; of a link to nothing, its text.
    """

    name: str
    path: Path
    kind: Literal["file", "folder", "loop", "nothing"]
    leads: str = ""


def is_folder(path: Path) -> bool:
    """Tell a folder from a file.

    Args:
        path: What is there; links are followed.

    Returns:
        Whether it is a folder.

    Raises:
        ValueRefused: It is neither, but a pipe, say, which may never come to an end.
        OSError: It is not there, or can't be looked at.
    """
    mode = path.stat().st_mode
    _require_content(path, mode)
    return stat.S_ISDIR(mode)


def contents(folder: Path) -> Iterator[Entry]:
    """Give what a folder holds, in the order of the names.

    Args:
        folder: The folder.

    Yields:
        Its files and links; other folders inside are told by what they hold.

    Raises:
        ValueRefused: Something inside is neither a file nor a folder.
        OSError: Something can't be looked at.
    """
    waiting = _held(folder, "", (os.path.realpath(folder),))
    while waiting:
        found, name, branch = waiting.pop()
        path, is_link = Path(found), found.is_symlink()
        try:
            mode = found.stat().st_mode
        except OSError as error:
            if not is_link or error.errno not in _NOTHING:
                raise
            yield Entry(name, path, "nothing", str(path.readlink()))
            continue
        _require_content(path, mode)
        if not stat.S_ISDIR(mode):
            yield Entry(name, path, "file")
            continue
        real = os.path.realpath(found) if is_link else os.path.join(branch[-1], found.name)  # noqa: PTH118
        up = _levels_up(real, branch) if is_link else None
        if up is not None:
            yield Entry(name, path, "loop", str(up))
            continue
        if is_link:
            yield Entry(name, path, "folder")
        waiting += _held(path, f"{name}/", (*branch, real))


def linked_folders(path: Path) -> list[Entry]:
    """Look through what is to be copied, before anything is.

    Args:
        path: A file or folder.

    Returns:
        The folders inside that links lead to, which not everything that copies looks into.

    Raises:
        ValueRefused: It is neither a file nor a folder, or holds what is neither; a link in it leads to nothing, or
            back to a folder that it lies in; or a name is no text.
        OSError: It is not there, or can't be looked at.
    """
    _require_text(path.name)
    found = list(contents(path)) if is_folder(path) else []
    for entry in found:
        _require_text(entry.name)
        if entry.kind == "loop":
            raise ValueRefused(
                f"{str(entry.path)!r} is a link back to a folder that it lies in, and would be copied without end",
                "take the link away, or name what is beside it",
            )
        if entry.kind == "nothing":
            raise ValueRefused(f"{str(entry.path)!r} is a link to nothing", "mend the link, or take it away")
    return [entry for entry in found if entry.kind == "folder"]


def _require_text(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueRefused(f"the name {name!r} is no UTF-8", "give the file a name that is text") from error


def _held(folder: Path, prefix: str, branch: tuple[str, ...]) -> list[tuple[os.DirEntry[str], str, tuple[str, ...]]]:
    with os.scandir(folder) as found:
        return [(each, prefix + each.name, branch) for each in sorted(found, key=lambda each: each.name, reverse=True)]


def _levels_up(real: str, branch: tuple[str, ...]) -> int | None:
    """Tell how many folders up a link leads that leads to one on its own branch, or above it; None for any other."""
    for passed, folder in enumerate(reversed(branch)):
        if folder == real or folder.startswith(os.path.join(real, "")):  # noqa: PTH118
            return passed + len(Path(folder).parts) - len(Path(real).parts)
    return None


def _require_content(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    what = "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise ValueRefused(f"{str(path)!r} is {what}, no file or folder", "write what it gives to a file, and give that")
