"""Appending a line to a file, without letting other threads in between."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def _write_function() -> Callable[[int, bytes, int], int]:
    """Give ``write`` of the C library, called without letting go of the interpreter's lock.

    ``os.write`` lets go of it, and while another thread computes (ours, that delivers, IPython's, that keeps the
    history, or the user's) it takes milliseconds to get it back: five hundred microseconds an entry where this takes
    three.
    """
    function = ctypes.PyDLL(None, use_errno=True).write
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    function.restype = ctypes.c_ssize_t
    return function


_write = _write_function()


def append_line(handle: int, line: bytes, path: Path) -> None:
    """Append a line to a file; it is safe from any signal when this returns.

    Args:
        handle: The file, opened to be appended to, by nobody else.
        line: What to append.
        path: The file's path, to be told.

    Raises:
        OSError: The disk is full, or the file can't be written; nothing of the line is kept.
    """
    done = _write(handle, line, len(line))
    if done == len(line):
        return
    number = ctypes.get_errno() if done < 0 else errno.ENOSPC
    if done > 0:
        with suppress(OSError):
            os.ftruncate(handle, os.lseek(handle, 0, os.SEEK_END) - done)
    raise OSError(number, os.strerror(number), str(path))
