"""Files that are written whole: aside, synced and renamed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from mlops_jupyter.working import pieces


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
