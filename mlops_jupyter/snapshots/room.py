"""The operations on snapshots: take, list, show, find, load."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from mlops_jupyter.commands import Completes, command
from mlops_jupyter.display import Table
from mlops_jupyter.errors import AmbiguousError, IntegrityError, NotFoundError, UsageError
from mlops_jupyter.snapshots import manifest as documents
from mlops_jupyter.snapshots import trust
from mlops_jupyter.snapshots.capture import Captured, capture
from mlops_jupyter.snapshots.manifest import Manifest, storable
from mlops_jupyter.snapshots.restore import Loaded, load
from mlops_jupyter.snapshots.results import SnapshotDetails, SnapshotTaken
from mlops_jupyter.snapshots.variables import user_variables
from mlops_jupyter.store import ObjectStore

_KIND = "snapshots"
_SHORTEST_PREFIX = 6
_PLACE = re.compile(r"-([1-9][0-9]{0,5})")
_COLUMNS = {
    "snapshot": "snapshot", "name": "name", "message": "message", "created": "created",
    "notebook": "notebook", "variables": "variables", "missing": "missing", "bytes": "bytes",
    "run_id": "run",
}  # fmt: skip
_NONE_YET = "take one with `%mlops snapshot` in a notebook"


class Snapshots:
    """The snapshots of one workspace.

    Args:
        store: Where objects and manifests are kept.
        prepare: Called before anything is written: makes the workspace's folder.
        root: The workspace; paths of notebooks are told relative to it.
    """

    def __init__(self, store: ObjectStore, prepare: Callable[[], None], root: Path) -> None:
        self._store = store
        self._prepare = prepare
        self._root = root
        self._parent: str | None = None

    def take(
        self,
        namespace: Mapping[str, Any],
        *,
        name: str | None = None,
        message: str = "",
        cells: Sequence[Mapping[str, Any]] = (),
        notebook: Path | None = None,
        environment: Mapping[str, Any],
        git: Mapping[str, Any],
        run_id: str | None = None,
        actor: str = "",
    ) -> SnapshotTaken:
        """Capture a namespace, and what is known of how it came to be.

        Args:
            namespace: The live namespace, or a part of it; names that are not the user's are left out.
            name: What to call the snapshot; several may have the same name.
            message: What to say of it.
            cells: The journal of what has run: ``id order source outcome seconds started`` each.
            notebook: The notebook's file, kept as it is on disk.
            environment: What the environment is (``environment.capture()``).
            git: Commit and dirtiness (``environment.git_state()``).
            run_id: The active run.
            actor: Who takes it.

        Returns:
            The snapshot, with what could not be captured.

        Raises:
            UsageError: The name can't be one.
            StoreError: The store does not take it; then there is no such snapshot.
        """
        name, message = documents.checked_name(name), documents.checked_message(message)
        self._prepare()
        namesakes = self._namesakes(name)
        captured = capture(user_variables(namespace), self._store, home=namespace)
        made = self._manifest(
            captured,
            notebook,
            name=name,
            message=message,
            cells=cells,
            environment=environment,
            git=git,
            run_id=run_id,
            actor=actor,
        )
        self._keep(made)
        return SnapshotTaken(made, namesakes)

    @command("snapshots", needs="workspace")
    def list(self, *, limit: int = 50) -> Table:
        """List the snapshots, newest first.

        Args:
            limit: How many at most.

        Returns:
            One row for each; one whose manifest is damaged says so.

        Raises:
            UsageError: The limit is below one.
            StoreError: The store does not answer.

        Example:
            mlops snapshots --limit 10
        """
        if limit < 1:
            raise UsageError(f"the limit is {limit}", "ask for one snapshot or more")
        rows: list[dict[str, Any]] = []
        damaged: list[dict[str, Any]] = []
        for known_as in self._store.record_names(_KIND):
            try:
                found = self._read(known_as)
            except IntegrityError as error:
                damaged.append(dict.fromkeys(_COLUMNS) | {"snapshot": known_as, "message": error.message})
                continue
            if found is not None:
                rows.append(_row(found))
        rows.sort(key=lambda row: (row["created"], row["snapshot"]), reverse=True)
        return Table((rows + damaged)[:limit], _COLUMNS, empty=_NONE_YET)

    @command("show", needs="workspace")
    def show(self, snapshot: Annotated[str, Completes("snapshot")]) -> SnapshotDetails:
        """Show what a snapshot holds, without unpickling anything.

        Args:
            snapshot: An id, a unique prefix of it, a unique name, @last, or -1, -2, … back from
                now.

        Returns:
            Its variables, what is missing, its cells and its environment.

        Raises:
            NotFoundError: There is no such snapshot.
            AmbiguousError: More than one goes by that name.

        Example:
            mlops show @last
        """
        return SnapshotDetails(self.resolve(snapshot))

    def resolve(self, ref: str) -> Manifest:
        """Find a snapshot.

        Args:
            ref: An id, a unique prefix of it of six or more characters, a unique name, ``@last``,
                or ``-N`` back from now (``-1`` is the latest).

        Returns:
            Its manifest; the signature is not looked at.

        Raises:
            NotFoundError: There is no such snapshot.
            AmbiguousError: More than one goes by that name.
            IntegrityError: Its manifest is damaged.
        """
        ref = ref.strip()
        place = 1 if ref == "@last" else int(match[1]) if (match := _PLACE.fullmatch(ref)) else None
        if place is not None:
            return self._at(place)
        names = self._store.record_names(_KIND)
        if ref in names and (exact := self._read(ref)) is not None:
            return exact
        prefixed = {known for known in names if len(ref) >= _SHORTEST_PREFIX and known.startswith(ref)}
        every = self._readable()
        found = {one.id: one for one in every if one.id in prefixed or (ref and one.name == ref)}
        if len(found) > 1:
            candidates = [f"{one.id} ({one.name or 'no name'}, {one.created[:19]})" for one in found.values()]
            raise AmbiguousError(f"{len(found)} snapshots go by {ref!r}; @last is the newest of all", candidates)
        for one in found.values():
            return one
        for known in prefixed:  # there, and damaged: say so
            self._read(known)
        raise NotFoundError(f"no snapshot goes by {ref[:80]!r}", _nearest(ref, every))

    def latest(self) -> Manifest | None:
        """Give the latest snapshot that can be read, or None."""
        every = self._readable()
        return every[0] if every else None

    def load(self, ref: str, *, only: Sequence[str] = (), namespace: MutableMapping[str, Any]) -> Loaded:
        """Load what a snapshot holds; to put it into the namespace is left to the caller.

        Args:
            ref: The snapshot, as in :meth:`resolve`.
            only: The names to load; by default all.
            namespace: The live dict that restored functions take as their globals.

        Returns:
            The values, what did not come back, and what differs between then and now.

        Raises:
            NotFoundError: There is no such snapshot, or it has no such variable.
            AmbiguousError: More than one snapshot goes by that name.
            DeniedError: The snapshot is not signed with this user's key.
        """
        found = self.resolve(ref)
        loaded = load(found, self._store, only=only, namespace=namespace)
        if not only:
            self._parent = found.id
        return loaded

    def _namesakes(self, name: str | None) -> int:
        return sum(one.name == name for one in self._readable()) if name is not None else 0

    def _manifest(
        self,
        captured: Captured,
        notebook: Path | None,
        *,
        name: str | None,
        message: str,
        cells: Sequence[Mapping[str, Any]],
        environment: Mapping[str, Any],
        git: Mapping[str, Any],
        run_id: str | None,
        actor: str,
    ) -> Manifest:
        """Say what was captured, and how it came to be; its id and its signature are those of what it says."""
        document = self._document(notebook)
        made = Manifest(
            id="",
            name=name,
            message=message,
            created=documents.now(),
            actor=storable(actor),
            parent=self._parent,
            notebook=self._relative(notebook),
            document=document,
            cells=tuple(documents.cell_of(cell) for cell in cells),
            environment=storable(dict(environment)),
            git=storable(dict(git)),
            run_id=storable(run_id),
            variables=captured.variables,
            components=captured.components,
            missing=captured.missing,
            bytes=self._bytes(captured, document),
        )
        return _signed(made)

    def _keep(self, made: Manifest) -> None:
        # Last: without its record a snapshot is not there, whatever objects were written.
        self._store.put_record(_KIND, made.id, made.to_json())
        self._parent = made.id

    def _at(self, place: int) -> Manifest:
        every = self._readable()
        if place > len(every):
            there = f"there are {len(every)}: `mlops snapshots` lists them" if every else _NONE_YET
            raise NotFoundError(f"there is no snapshot {place} back from now", there)
        return every[place - 1]

    def _readable(self) -> Sequence[Manifest]:
        """Give all snapshots, newest first; damaged ones are told by the list."""
        found = []
        for known_as in self._store.record_names(_KIND):
            try:
                one = self._read(known_as)
            except IntegrityError:
                continue
            if one is not None:
                found.append(one)
        return sorted(found, key=lambda one: (one.created, one.id), reverse=True)

    def _read(self, known_as: str) -> Manifest | None:
        document = self._store.get_record(_KIND, known_as)
        if document is None:
            return None
        found = Manifest.from_json(document)
        if found.id != known_as:
            raise IntegrityError(
                f"the record of snapshot {known_as[:40]} holds another snapshot",
                "bring it back from a copy of the store",
            )
        return found

    def _document(self, notebook: Path | None) -> str | None:
        try:
            return self._store.put(notebook.read_bytes()) if notebook else None
        except (FileNotFoundError, IsADirectoryError):  # never saved yet
            return None

    def _relative(self, notebook: Path | None) -> str | None:
        if notebook is None:
            return None
        try:
            told = notebook.resolve().relative_to(self._root.resolve())
        except ValueError:  # outside of the workspace: its place says nothing to others
            return storable(notebook.name)
        return storable(told.as_posix())

    def _bytes(self, captured: Captured, document: str | None) -> int:
        sizes = {} if document is None else {document: self._store.size(document)}
        for component in captured.components:
            sizes[component.stream] = component.bytes
            sizes |= {buffer.key: buffer.bytes for buffer in component.buffers}
        return sum(sizes.values())


def _signed(made: Manifest) -> Manifest:
    made = dataclasses.replace(made, id=documents.new_id(made.to_json()))
    return dataclasses.replace(made, hmac=trust.sign(made.to_json()))


def _row(found: Manifest) -> dict[str, Any]:
    return {
        "snapshot": found.id,
        "name": found.name,
        "message": found.message,
        "created": found.created,
        "notebook": found.notebook,
        "variables": len(found.variables),
        "missing": len(found.missing),
        "bytes": found.bytes,
        "run_id": found.run_id,
    }


def _nearest(ref: str, every: Sequence[Manifest]) -> str:
    if not every:
        return _NONE_YET
    known = list(dict.fromkeys(name for one in every for name in (one.name, one.id) if name))
    if any(one.id.startswith(ref) for one in every if ref):
        return f"a prefix of an id has {_SHORTEST_PREFIX} characters or more"
    near = difflib.get_close_matches(ref[:80], known, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "`mlops snapshots` lists them"
