""":class:`Spool`: files and models that wait for the store, each in a folder of its own in ``queue/files/``."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from mlops_jupyter.errors import translate


class Spool:
    """Keeps what entries speak of and is too large for a journal.

    Args:
        folder: ``.mlops/queue/files``; made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def copied(self, path: Path) -> str:
        """Take a copy of a file, or of a folder with all that is in it.

        Args:
            path: What to keep.

        Returns:
            What its folder in the spool is called.

        Raises:
            MlopsError: It can't be read, or the disk is full.
        """

        def copy(place: Path) -> None:
            if path.is_dir():
                shutil.copytree(path, place / path.name)
            else:
                shutil.copy2(path, place / path.name)

        return self._kept(copy)

    def written(self, write: Callable[[Path], None]) -> str:
        """Keep what a function writes; on the disk, power lost or not, when this returns.

        Args:
            write: Writes it into a folder, which is there and empty.

        Returns:
            What its folder in the spool is called.

        Raises:
            MlopsError: The disk is full; and whatever the function raises.
        """

        def write_through(place: Path) -> None:
            write(place)
            for path in [*place.rglob("*"), place]:
                _sync(path)

        spooled = self._kept(write_through)
        try:
            _sync(self._folder)
        except OSError as error:
            self.discard(spooled)
            raise translate(error) from error
        return spooled

    def discard(self, spooled: str) -> None:
        """Take away what no entry speaks of."""
        shutil.rmtree(self._folder / spooled, ignore_errors=True)

    def _kept(self, write: Callable[[Path], None]) -> str:
        spooled = uuid.uuid4().hex
        aside = self._folder / f".{spooled}.part"
        try:
            aside.mkdir(parents=True)
            write(aside)
            aside.rename(self._folder / spooled)
        except BaseException as error:
            shutil.rmtree(aside, ignore_errors=True)
            if isinstance(error, OSError):
                raise translate(error) from error
            raise
        return spooled


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
