"""One frozen :class:`Config`: ``mlops.toml`` < environment < call.

Finding the workspace comes first: the call or ``MLOPS_WORKSPACE`` names it; else the nearest folder above that has
``mlops.toml`` or ``.mlops/``; else the git root; else the folder itself.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mlops_jupyter.environment import git_root
from mlops_jupyter.errors import ConfigError, NotFoundError, StoreError, UsageError
from mlops_jupyter.uris import absolute_store, absolute_uri, check_tracking_uri, sqlite_uri

FILE = "mlops.toml"
STATE = ".mlops"
_TRACKING = {"uri", "experiment"}


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion: a threshold, or at least as good as an alias' present holder.

    Args:
        metric: The metric's name as logged on the version's run.
        minimum: The least value that passes.
        maximum: The greatest value that passes.
        beats: The alias whose holder must be equalled.
        margin: By how much the holder must be beaten.
        higher_is_better: False for errors and losses.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    beats: str | None = None
    margin: float = 0.0
    higher_is_better: bool = True

    def __str__(self) -> str:
        """Give the gate as people say it."""
        bounds = []
        if self.minimum is not None:
            bounds.append(f"≥ {self.minimum:g}")
        if self.maximum is not None:
            bounds.append(f"≤ {self.maximum:g}")
        if self.beats is not None:
            bounds.append(f"beats {self.beats}" + (f" by {self.margin:g}" if self.margin else ""))
        return f"{self.metric} {' and '.join(bounds)}"


@dataclass(frozen=True)
class Approvals:
    """Who must agree to a promotion.

    Args:
        count: How many approvals are needed.
        roles: Only people with one of these roles count; all do when empty.
        not_author: Whether whoever asked may not approve.
    """

    count: int = 0
    roles: tuple[str, ...] = ()
    not_author: bool = True


@dataclass(frozen=True)
class Policy:
    """One ``[[promotion]]`` table.

    Args:
        models: A pattern of model names (``*`` and ``?``).
        alias: A pattern of aliases.
        gates: What must hold.
        approvals: Who must agree.
    """

    models: str = "*"
    alias: str = "*"
    gates: tuple[Gate, ...] = ()
    approvals: Approvals = Approvals()


_NAMED = ("named by the call", "MLOPS_WORKSPACE")


@dataclass(frozen=True)
class Config:
    """What a workspace is set to.

    Args:
        root: The workspace's folder.
        why: Which rule found it.
        tracking_uri: The MLflow store; None for the embedded one.
        tracking_why: Where that was said.
        experiment: The experiment that runs go to when none is named.
        store_url: Where objects lie; None for ``.mlops/objects``.
        policies: The promotion policies, in the file's order.
        roles: Role → the people who have it.
    """

    root: Path
    why: str
    tracking_uri: str | None = None
    tracking_why: str = "embedded"
    experiment: str = "default"
    store_url: str | None = None
    policies: tuple[Policy, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_named(self) -> bool:
        """Whether somebody has named the workspace, rather than that it was found."""
        return self.why in _NAMED

    @property
    def state(self) -> Path:
        """The folder of the workspace's state, ``.mlops``."""
        return self.root / STATE

    def policy_for(self, model: str, alias: str) -> Policy | None:
        """Find what a promotion must hold to.

        Args:
            model: The registered model.
            alias: Where it is to go. ``Champion`` must not be a way around what holds for ``champion``.

        Returns:
            The first policy whose patterns match both; None when none does.
        """
        for policy in self.policies:
            if fnmatchcase(model, policy.models) and fnmatchcase(alias.lower(), policy.alias.lower()):
                return policy
        return None


def find_workspace(
    call: Path | str | None = None,
    start: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    beside: Path | None = None,
) -> tuple[Path, str]:
    """Find the workspace's folder.

    Args:
        call: What the caller named, if anything.
        start: Where to begin to walk up; the working directory when None.
        environ: The environment.
        beside: A folder to walk up from when nothing is found from ``start``: that of a file that was named.

    Returns:
        The folder, absolute, and which rule found it.

    Raises:
        NotFoundError: The folder that was named does not exist.
    """
    for named, why in zip((call, environ.get("MLOPS_WORKSPACE")), _NAMED, strict=True):
        if named:
            folder = _folder(named)
            if not folder.is_dir():
                raise NotFoundError(
                    f"workspace {str(named)[:200]!r} ({why}) is no folder", "make it first, or name another"
                )
            return folder, why
    try:
        place = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise NotFoundError("the working directory is gone", "change to a folder that exists") from None
    found = _marked(place) or (_marked(beside.resolve()) if beside is not None else None)
    if found is not None:
        return found
    root = git_root(place)
    return (root, "the git root") if root else (place, "the working directory")


def _folder(named: Path | str) -> Path:
    try:
        return Path(named).expanduser().resolve()
    except (RuntimeError, ValueError):
        raise NotFoundError(f"{str(named)[:200]!r} is no folder", "name a folder that exists") from None


def project_of(file: Path) -> Path | None:
    """Give the nearest folder above a file that is marked as a workspace; None where none is."""
    found = _marked(file.absolute().parent)
    return found[0].resolve() if found is not None else None


def _marked(place: Path) -> tuple[Path, str] | None:
    for folder in (place, *place.parents):
        if (folder / FILE).is_file():
            return folder, f"{FILE} found there"
        if (folder / STATE).is_dir():
            return folder, f"{STATE}/ found there"
    return None


def load(
    call: Path | str | None = None,
    *,
    start: Path | None = None,
    beside: Path | None = None,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """Find the workspace and read its settings.

    Args:
        call: The workspace's folder, if the caller names one.
        start: Where to begin to walk up.
        beside: Where to walk up from when nothing is found from there.
        tracking_uri: Overrides file and environment.
        experiment: Overrides file and environment.
        environ: The environment.

    Returns:
        The settings.

    Raises:
        ConfigError: ``mlops.toml`` is wrong; file and line are named.
        NotFoundError: The folder that was named does not exist.
    """
    root, why = find_workspace(call, start, environ, beside)
    file = _File(root / FILE)
    if (root / STATE).is_file():
        raise StoreError(f"{root / STATE} is a file, and state lies in a folder of that name", "move the file away")
    file.known_keys(file.data, {"tracking", "store", "promotion", "roles"}, "")
    uri, uri_why = _first(
        (tracking_uri, "named by the call"),
        (environ.get("MLFLOW_TRACKING_URI"), "MLFLOW_TRACKING_URI"),
        (file.text("tracking", _TRACKING, "uri"), f"[tracking] uri in {FILE}"),
    )
    if uri == sqlite_uri(root / STATE / "mlflow.db"):
        uri = None  # a parent process has passed the embedded store on by its name
    if uri:
        try:
            check_tracking_uri(uri)
        except UsageError as error:
            raise ConfigError(f"{uri_why}: {error.message}", error.hint) from None
    name, _ = _first(
        (experiment, ""),
        (environ.get("MLFLOW_EXPERIMENT_NAME"), ""),
        (file.text("tracking", _TRACKING, "experiment"), ""),
        (root.name, ""),
    )
    return Config(
        root=root,
        why=why,
        tracking_uri=absolute_uri(uri, root if FILE in uri_why else Path.cwd()) if uri else None,
        tracking_why=uri_why if uri else "embedded",
        experiment=name or "default",
        store_url=absolute_store(file.text("store", {"url"}, "url"), root),
        policies=file.policies(),
        roles=file.roles(),
    )


def _first(*candidates: tuple[str | None, str]) -> tuple[str | None, str]:
    return next(((value, why) for value, why in candidates if value), (None, ""))


def stated(root: Path) -> Mapping[str, str | None]:
    """Give what a folder's ``mlops.toml`` itself says of tracking, to the letter.

    Args:
        root: The workspace's folder.

    Returns:
        ``experiment`` and ``uri``; None for what it does not say.

    Raises:
        ConfigError: The file is wrong.
    """
    file = _File(root / FILE)
    return {key: file.text("tracking", _TRACKING, key) for key in sorted(_TRACKING)}


class _File:
    """``mlops.toml`` while it is being read: values, and the lines they stand in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = {}
        self.lines: list[str] = []
        if path.is_dir():
            raise ConfigError(f"{path.name} is a folder", "it must be a file: move the folder away")
        if not path.is_file():
            return
        try:
            text = path.read_text("utf-8-sig")
            self.lines = text.splitlines()
            self.data = tomllib.loads(text)
        except RecursionError:
            raise ConfigError(f"{path.name}:1: nested too deep", "settings are tables of values") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path.name}: not UTF-8 text", "save it as UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column \d+\)", str(error))
            line = int(found[1]) if found else max(len(self.lines), 1)
            said = re.sub(r"\s*\(at .*\)$", "", str(error))
            raise ConfigError(
                f"{path.name}:{line}: not valid TOML: {said}", "correct that line; strings need quotes"
            ) from None

    def wrong(self, message: str, hint: str, key: str, table: str = "") -> ConfigError:
        """Make the error for a key, with the line that it stands in."""
        return ConfigError(f"{self.path.name}:{self._line(key, table)}: {message}", hint)

    def _line(self, key: str, table: str) -> int:
        name, _, nth = table.partition("#")
        inside, seen = not name, 0
        spelt = re.compile(rf"""(^|[{{,]\s*)\s*["']?{re.escape(key)}["']?\s*=""")
        fallback = 1
        for number, line in enumerate(self.lines, 1):
            header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
            if header:
                head = header[1].strip("\"'")
                seen += head == name
                inside = head == name and (not nth or seen == int(nth) + 1)
                if head == key or inside:
                    fallback = number
                if head == key and not name:
                    return number
            if inside and spelt.search(line):
                return number
        return fallback

    def known_keys(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        """Refuse keys that mean nothing."""
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                shown = where.partition("#")[0]
                raise self.wrong(
                    f"unknown key {key!r}" + (f" in [{shown}]" if shown else ""),
                    f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(known))}",
                    key,
                    where,
                )

    def table(self, name: str, known: set[str]) -> dict[str, Any]:
        """Give a table of the file, its keys checked; empty when it is not there."""
        value = self.data.get(name, {})
        if not isinstance(value, dict):
            raise self.wrong(f"{name!r} is no table", f"write [{name}] on a line of its own", name)
        self.known_keys(value, known, name)
        return value

    def text(self, name: str, known: set[str], key: str) -> str | None:
        """Give a string of a table, or None."""
        value: str | None = self._typed(self.table(name, known), key, str, "a text in quotes", None, name)
        return value

    def _typed(self, table: Mapping[str, Any], key: str, kind: Any, what: str, default: Any, where: str) -> Any:
        if key not in table:
            return default
        value = table[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(f"{key} = {value!r} is not {what}", f"give {key} {what}", key, where)
        return value

    def policies(self) -> tuple[Policy, ...]:
        """Read the ``[[promotion]]`` tables."""
        tables = self.data.get("promotion", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self.wrong("promotion is no list of tables", "write [[promotion]]", "promotion")
        return tuple(self._policy(table, f"promotion#{n}") for n, table in enumerate(tables))

    def _policy(self, table: Mapping[str, Any], where: str) -> Policy:
        self.known_keys(table, {"models", "alias", "gates", "approvals"}, where)
        gates = self._typed(table, "gates", list, "a list of gates", [], where)
        approvals = self._typed(table, "approvals", dict, "a table", {}, where)
        return Policy(
            models=self._typed(table, "models", str, "a pattern in quotes", "*", where),
            alias=self._typed(table, "alias", str, "a pattern in quotes", "*", where),
            gates=tuple(self._gate(gate, where) for gate in gates),
            approvals=self._approvals(approvals, where),
        )

    def _gate(self, gate: Any, where: str) -> Gate:
        if not isinstance(gate, dict):
            raise self.wrong(f"{gate!r} is no gate", 'write {metric = "auc", min = 0.75}', "gates", where)
        self.known_keys(gate, {"metric", "min", "max", "beats", "margin", "higher_is_better"}, where)
        if "metric" not in gate:
            raise self.wrong("a gate names no metric", 'add metric = "…"', "gates", where)
        if not {"min", "max", "beats"} & set(gate):
            raise self.wrong("a gate has no min, max or beats", "add one of them", "gates", where)
        minimum, maximum = (self._number(gate, key, where) for key in ("min", "max"))
        return Gate(
            metric=self._named(gate, "metric", "", where),
            minimum=minimum,
            maximum=maximum,
            beats=self._named(gate, "beats", None, where),
            margin=self._number(gate, "margin", where) or 0.0,
            higher_is_better=self._typed(gate, "higher_is_better", bool, "true or false", True, where),
        )

    def _number(self, table: Mapping[str, Any], key: str, where: str) -> float | None:
        value = self._typed(table, key, (int, float), "a number", None, where)
        if value is not None and not math.isfinite(value):
            raise self.wrong(f"{key} = {value} is no finite number", "give a number", key, where)
        return None if value is None else float(value)

    def _named(self, table: Mapping[str, Any], key: str, default: str | None, where: str) -> Any:
        value = self._typed(table, key, str, "a text in quotes", default, where)
        if key in table and not value.strip():
            raise self.wrong(f"{key} is empty", f"name the {key}", key, where)
        return value

    def _approvals(self, table: Mapping[str, Any], where: str) -> Approvals:
        self.known_keys(table, {"count", "roles", "not_author"}, where)
        count = self._typed(table, "count", int, "a whole number", 0, where)
        if count < 0:
            raise self.wrong(f"count = {count} is negative", "give 0 or more", "count", where)
        roles = self._typed(table, "roles", list, "a list of texts", [], where)
        if not all(isinstance(role, str) for role in roles):
            raise self.wrong("roles holds something that is no text", "put roles in quotes", "roles", where)
        return Approvals(count, tuple(roles), self._typed(table, "not_author", bool, "true or false", True, where))

    def roles(self) -> dict[str, tuple[str, ...]]:
        """Read ``[roles]``: role → names of people."""
        table = self.data.get("roles", {})
        if not isinstance(table, dict):
            raise self.wrong("roles is no table", "write [roles]", "roles")
        for role, people in table.items():
            if not isinstance(people, list) or not all(isinstance(name, str) for name in people):
                raise self.wrong(f"role {role!r} is no list of names", 'write ["ann", "bob"]', role, "roles")
        return {role: tuple(people) for role, people in table.items()}
