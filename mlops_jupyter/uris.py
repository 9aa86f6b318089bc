"""URIs of tracking stores and of objects: which can be opened, and what file a SQLite URI names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from mlops_jupyter.errors import UsageError


def absolute_uri(uri: str, root: Path) -> str:
    """Give a tracking URI whose file, if it names one, is the same from every working directory.

    Args:
        uri: What somebody wrote.
        root: The folder that a relative path in it is relative to.

    Returns:
        The URI.
    """
    # "sqlite:///my.db" is relative to the working directory in SQLAlchemy; for a workspace it is its own folder.
    match = re.fullmatch(r"sqlite:///([^/].*)", uri)
    return f"sqlite:///{_escaped(root)}/{match[1]}" if match else uri


def sqlite_uri(path: Path) -> str:
    """Give the URI of a SQLite database: in a URI, ``%`` and ``?`` of a path would mean something else.

    Args:
        path: The file, absolute.

    Returns:
        ``sqlite:///`` and the path.
    """
    return f"sqlite:///{_escaped(path)}"


def sqlite_path(uri: str) -> Path | None:
    """Give the file that a SQLite URI names, as :func:`sqlite_uri` writes it; None for any other URI."""
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0])) if uri.startswith("sqlite:///") else None


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3F")


_STORES = {"http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc"}


def _is_plugin(scheme: str) -> bool:
    from importlib.metadata import entry_points

    return any(point.name == scheme for point in entry_points(group="mlflow.tracking_store"))


def check_tracking_uri(uri: str) -> str:
    """Refuse a tracking URI that MLflow could never open, or whose runs would be gone with the process.

    Args:
        uri: What somebody wrote.

    Returns:
        The URI.

    Raises:
        UsageError: It names no kind of store that is known, or none that is kept.
    """
    scheme, colon, rest = uri.partition("://")
    kind = scheme.lower().partition("+")[0]
    on_disk = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() == "true" and (not colon or kind == "file")
    if uri in ("databricks", "databricks-uc") or on_disk:
        return uri
    if not colon or not uri.isprintable() or not (kind in _STORES or _is_plugin(scheme)):
        raise UsageError(
            f"{uri!r} names no tracking store", "write http://HOST:5000, postgresql://…, or sqlite:///FILE"
        )
    if kind == "sqlite" and (not rest.strip("/") or ":memory:" in rest or "mode=memory" in rest):
        raise UsageError(f"{uri!r} is a database in memory", "name a file: sqlite:///FILE")
    if kind in ("http", "https") and not re.match(r"[^/\s\[\]]|\[[0-9a-fA-F:.]+\]", rest):
        raise UsageError(f"{uri!r} names no host", "write http://HOST:5000")
    return uri


def absolute_store(url: str | None, root: Path) -> str | None:
    """Give a store's URL or path, the same from every working directory.

    Args:
        url: What somebody wrote, or None.
        root: The folder that a relative path is relative to.

    Returns:
        The URL as it was, or the path made absolute; None for None.
    """
    # A plain path is the workspace's, wherever a kernel's working directory is.
    return str(root / Path(url).expanduser()) if url and "://" not in url else url


# What a query calls a thing that nobody else may know.
_SECRET = re.compile(r"(?i)([?&;][^=&;\s]*(?:pass|pwd|secret|token|key|sig|credential|auth)[^=&;\s]*=)[^&;\s'\"]*")
_ADDRESS = re.compile(r"[^:/@]*(?::\d+)?(?:/|$)")
_QUERY = re.compile(r"\?(?=[\w.-]+=)")


def shown_uri(uri: str) -> str:
    """Give a URI as people may see it: without a password, a token or a key.

    A password that was not escaped may hold any character; what stands before the last ``@`` is no address.

    Args:
        uri: The URI, alone.
    """
    before, mark, rest = uri.partition("://")
    before = before.lower()
    if not mark:
        return _SECRET.sub(r"\1***", uri)
    if before.startswith("sqlite"):
        return uri  # a file
    place, query = _QUERY.split(rest, maxsplit=1) if _QUERY.search(rest) else (rest, None)
    if query is not None and "@" in query and "@" not in place and not _ADDRESS.match(place):
        place, query = rest, None  # what looks like a query is a part of the password
    account, at, address = place.rpartition("@")
    if at:
        user, colon, _ = account.partition(":")
        # A server takes a token for a user; a database's user alone is no secret.
        known = f"{user}:***" if colon else "***" if before.startswith("http") else user
        place = f"{known}@{address}"
    return f"{before}://{place}" + ("" if query is None else _SECRET.sub(r"\1***", f"?{query}"))


def hide_secrets(text: str) -> str:
    """Take passwords and tokens out of the URIs in a text, as far as one can tell where these end.

    Args:
        text: What somebody else has written.
    """
    # Up to the last @ of what may be an address: a password may hold any character, slashes too. A port is none.
    text = re.sub(r"(://[^\s:/@?#]*):(?!\d+(?:[/?#\s]|$))[^\s'\"]*@", r"\1:***@", text)
    text = re.sub(r"(?i)(https?://)[^\s:/@'\"]+@", r"\1***@", text)
    return _SECRET.sub(r"\1***", text)
