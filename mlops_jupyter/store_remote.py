"""The folder of a store under any fsspec URL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops_jupyter.errors import MlopsError, StoreError
from mlops_jupyter.files import write_whole

# File systems in which a key appears when its upload is complete, so that no rename is needed.
_OBJECT_STORES = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "oss", "oci", "memory"])


class RemoteFolder:
    """A folder under an fsspec URL (``s3://…``, ``gs://…``, ``memory://…``).

    Args:
        url: Where it is, with fsspec's protocol in front.

    Raises:
        StoreError: No file system goes by that protocol, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"no file system for {url}: {error}",
                "install the fsspec package for that protocol, or correct [store] url in mlops.toml",
            ) from error
        self._root = root.rstrip("/")
        protocol = self._fs.protocol
        self._protocols = {protocol} if isinstance(protocol, str) else set(protocol)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn what a file system's own library raises into a StoreError; a missing file stays what it is."""
        try:
            yield
        except (MlopsError, FileNotFoundError):
            raise
        except Exception as error:
            # The path and not the URL, which may hold a password.
            where = f"{min(self._protocols)}://{self._root}"
            said = f"{type(error).__name__}: {error}"
            raise StoreError(
                f"the store at {where} does not answer: {said}", "check the network and the credentials, then try again"
            ) from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def read(self, name: str) -> bytes:
        """Give the bytes of ``name``, or raise FileNotFoundError."""
        with self._answering():
            data: bytes = self._fs.cat_file(self._path(name))
        return data

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Make ``name`` hold ``data``: all of it, or as before."""
        path = self._path(name)
        if "file" in self._protocols:
            write_whole(Path(path), data)
            return
        folder, _, base = path.rpartition("/")
        with self._answering():
            try:
                self._fs.makedirs(folder, exist_ok=True)
                if self._protocols & _OBJECT_STORES:
                    self._fs.pipe_file(path, bytes(data))
                else:
                    self._write_aside(f"{folder}/.{base}.{uuid.uuid4().hex}.part", path, bytes(data))
            except FileNotFoundError as error:
                raise StoreError(f"there is no {folder} to write into: {error}", "make the bucket or share") from error

    def _write_aside(self, aside: str, path: str, data: bytes) -> None:
        try:
            self._fs.pipe_file(aside, data)
            try:
                self._fs.mv(aside, path)
            except FileExistsError:
                # Some file systems rename to free names only.
                self._fs.rm_file(path)
                self._fs.mv(aside, path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(aside)
            raise

    def exists(self, name: str) -> bool:
        """Tell whether ``name`` is there."""
        with self._answering():
            return bool(self._fs.exists(self._path(name)))

    def names(self, prefix: str) -> Iterator[str]:
        """Give the names of the files directly below the folder ``prefix``."""
        try:
            with self._answering():
                # A listing that was cached would hide what another machine has added since.
                self._fs.invalidate_cache()
                found = self._fs.ls(self._path(prefix), detail=True)
        except FileNotFoundError:
            return
        for entry in found:
            name = entry["name"].rpartition("/")[2]
            if entry["type"] == "file" and not name.startswith("."):
                yield name

    def size(self, name: str) -> int:
        """Give the size of ``name`` in bytes, or raise FileNotFoundError."""
        with self._answering():
            return int(self._fs.size(self._path(name)))

    def holds(self, name: str, data: bytes | memoryview) -> bool:
        """Tell whether ``name`` is as long as ``data``: that its bytes are whole is the remote system's business."""
        try:
            return self.size(name) == len(data)
        except FileNotFoundError:
            return False

    def remove(self, name: str) -> None:
        """Take ``name`` away; no error when it is not there."""
        with self._answering():
            if self._fs.exists(self._path(name)):
                self._fs.rm_file(self._path(name))
