"""What attributes are called in MLflow, which takes fewer characters and shorter names than Neptune did."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import PurePosixPath

from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.tracking.names import checked_param

#: The folder of what the import itself keeps among a run's artifacts.
OWN = "neptune"
_MOST = 250
_MOST_BYTES = 200
_BAD = re.compile(r"[^\w.\- :]")
_BAD_IN_FILES = re.compile(r"[^\w.\- ]")
# Tags of these kinds mean something to MLflow and to this project.
_RESERVED = ("mlflow.", "mlops.")


def mapped(paths: Iterable[str], *, tags: bool = False) -> dict[str, str]:
    """Give each attribute of a kind a name of its own that MLflow takes; what MLflow takes as it is stays.

    Args:
        paths: The attributes' paths in Neptune, without repetition.
        tags: Whether they become tags.

    Returns:
        Path → name. It depends on the set of paths alone, not on their order.
    """
    every = list(paths)
    names = {path: path for path in every if _is_taken(path) and not (tags and path.startswith(_RESERVED))}
    others = {path: _close(path, tags) for path in sorted(every) if path not in names}
    how_many = Counter(others.values())
    used = set(names)
    for path, name in others.items():
        names[path] = name if how_many[name] == 1 and name not in used else _told_apart(name, path)
        while names[path] in used:
            names[path] = _told_apart(name, names[path])
        used.add(names[path])
    return names


def _is_taken(path: str) -> bool:
    try:
        checked_param(path, "")
    except ValueRefused:
        return False
    return path.isprintable()


def _close(path: str, tags: bool) -> str:
    """Give the nearest name that MLflow takes."""
    parts = (_BAD.sub("_", part) for part in path.strip("/").split("/"))
    name = "/".join("_" if part in ("", ".", "..") else part for part in parts)
    if name.startswith(".."):  # MLflow takes that for a way out
        name = "_" + name[1:]
    if tags and name.startswith(_RESERVED):
        name = f"{OWN}/{name}"
    return name if len(name) <= _MOST else _told_apart(name, path)


def _told_apart(name: str, path: str) -> str:
    digest = _digest(path)
    return f"{name[: _MOST - len(digest) - 1].rstrip('/')}-{digest}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


class Places:
    """Gives each artifact of a run a place of its own, near to where Neptune had it.

    Neptune may have ``a`` and ``a/b`` both as files, and names that no file system takes. The places depend on the
    order in which they are asked for, which is the export's.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, wanted: str, *, own: bool = False) -> str:
        """Give a place, as a path with slashes.

        Args:
            wanted: Where it would lie best.
            own: Whether it belongs to the import itself, which has a folder that is kept from all else.
        """
        place = next(place for place in _candidates(_clean(wanted), own) if self._is_free(place))
        self._files.add(place)
        self._folders.update(map(str, PurePosixPath(place).parents))
        return place

    def _is_free(self, place: str) -> bool:
        parents = map(str, PurePosixPath(place).parents)
        return place not in self._files and place not in self._folders and not any(p in self._files for p in parents)


def _candidates(place: str, own: bool) -> Iterator[str]:
    folder = f"{OWN}/" if own else ""
    is_strange = place.partition("/")[0] == OWN and not own
    if not is_strange:
        yield folder + place
    flat = _component(place.replace("/", "_") + "_" * (place == OWN))
    yield folder + flat
    path = PurePosixPath(flat)
    for number in count(2):
        yield f"{folder}{path.stem}-{number}{path.suffix}"


def _clean(wanted: str) -> str:
    place = "/".join(_component(part) for part in wanted.strip("/").split("/"))
    return "_" + place[1:] if place.startswith("..") else place


def _component(part: str) -> str:
    clean = _BAD_IN_FILES.sub("_", part)
    if clean in ("", ".", ".."):
        return "_"
    if len(clean.encode()) <= _MOST_BYTES:
        return clean
    ending = PurePosixPath(clean).suffix[:20]
    ending = ending if ending.isascii() else ""
    kept = clean.encode()[: _MOST_BYTES - 20 - len(ending)].decode(errors="ignore")
    return f"{kept}-{_digest(part)}{ending}"
