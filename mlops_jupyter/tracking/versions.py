"""Versions and aliases of registered models, in MLflow's registry."""

from __future__ import annotations

import re
from typing import Any

from mlops_jupyter.errors import NotFoundError, UsageError, ValueRefused
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.records import Version, iso

_ALIAS = re.compile(r"[A-Za-z0-9_.-]{1,255}")


class Versions:
    """Reads and writes versions and aliases; knows no policy.

    Args:
        tracking: The workspace's store.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    @answers
    def create(self, name: str, *, model_id: str, run_id: str) -> Version:
        """Make a version of a registered model from a logged model, once.

        Args:
            name: The registered model; made when there is none.
            model_id: The logged model's id.
            run_id: The run that the version belongs to.

        Returns:
            The version; the present one where this logged model was registered under that name for that run already.

        Raises:
            ValueRefused: MLflow allows no such name.
        """
        check_model_name(name)
        source = self._source(model_id)
        for version in self._search(f"name='{_quoted(name)}' and run_id='{run_id}'"):
            # The embedded store keeps where the model lies, a server its id.
            if version.source in (f"models:/{model_id}", source):
                return version
        client = self._tracking.client
        if not client.search_registered_models(f"name='{_quoted(name)}'"):
            self._create_model(name)
        made = client.create_model_version(name, source, run_id=run_id, model_id=model_id)
        return self.get(name, int(made.version))

    def _source(self, model_id: str) -> str:
        if self._tracking.uri.startswith("http"):
            return f"models:/{model_id}"
        # In this process MLflow would look the model up in whatever store is set globally, not in the client's.
        location: str = self._tracking.client.get_logged_model(model_id).artifact_location
        return location

    def _create_model(self, name: str) -> None:
        client = self._tracking.client
        try:
            client.create_registered_model(name)
        except Exception:
            # Another process may have made it since we looked.
            if not client.search_registered_models(f"name='{_quoted(name)}'"):
                raise

    @answers
    def _search(self, filter_string: str = "") -> list[Version]:
        found, token = [], None
        while True:
            page = self._tracking.client.search_model_versions(
                filter_string or None, max_results=1000, page_token=token
            )
            found += [_record(version) for version in page]
            token = page.token
            if not token:
                return found

    def all(self, name: str | None = None) -> list[Version]:
        """List versions, newest first by model, with their aliases.

        Args:
            name: Only this model's.

        Returns:
            The versions.
        """
        if not self._tracking.exists():
            return []
        versions = self._search(f"name='{_quoted(name)}'" if name else "")
        aliases = {model: self.aliases(model) for model in {version.model for version in versions}}
        held = [_with_aliases(version, aliases[version.model]) for version in versions]
        return sorted(held, key=lambda version: (version.model, -version.version))

    @answers
    def aliases(self, name: str) -> dict[str, int]:
        """Give a registered model's aliases: alias → version."""
        model = self._tracking.client.get_registered_model(name)
        return {alias: int(version) for alias, version in (model.aliases or {}).items()}

    @answers
    def get(self, name: str, version: int) -> Version:
        """Give one version.

        Raises:
            NotFoundError: There is none.
        """
        found = _record(self._tracking.client.get_model_version(name, str(version)))
        return _with_aliases(found, self.aliases(name))

    def resolve(self, ref: str) -> Version:
        """Find the version that a name means.

        Args:
            ref: ``NAME`` (newest version), ``NAME/VERSION`` or ``NAME@ALIAS``; ``models:/`` in front is allowed.

        Returns:
            The version.

        Raises:
            NotFoundError: There is none; the hint names what there is.
            UsageError: The reference can't be read.
        """
        match = re.fullmatch(r"(?:models:/)?([^/@:]+)(?:/([^/@]+)|@([^/@]+))?", ref)
        if not match:
            raise UsageError(f"{ref!r} names no model", "write NAME, NAME/VERSION or NAME@ALIAS")
        name, number, alias = match.groups()
        versions = self.all(name)
        if not versions:
            known = sorted({version.model for version in self.all()})
            raise NotFoundError(
                f"there is no model {name!r}",
                "there are: " + ", ".join(known) if known else "`register NAME` makes the first version",
            )
        if number is None and alias is None:
            return versions[0]
        for version in versions:
            if str(version.version) == number or alias in version.aliases:
                return version
        numbers = ", ".join(str(version.version) for version in versions[:20])
        if number is not None:
            raise NotFoundError(f"{name} has no version {number!r}", f"it has: {numbers}")
        aliases = sorted({a for version in versions for a in version.aliases})
        raise NotFoundError(
            f"{name} has no alias {alias!r}",
            f"it has: {', '.join(aliases)}" if aliases else f"versions: {numbers}; no alias yet",
        )

    @answers
    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version, in the place of the one it named."""
        self._tracking.client.set_registered_model_alias(name, alias, str(version))


def check_model_name(name: str) -> None:
    """Refuse what can't be a registered model's name, MLflow's or ours.

    Raises:
        ValueRefused: It has a character in it that means something in NAME/VERSION and NAME@ALIAS, or none at all.
    """
    if not name.strip() or set("/:@'") & set(name) or not name.isprintable():
        raise ValueRefused(f"{name!r} can't be a model's name", "use letters, digits, spaces and _ - . only")


def check_alias(alias: str) -> None:
    """Refuse what MLflow would not take as an alias.

    Raises:
        ValueRefused: It is reserved, or no name at all.
    """
    reserved = alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias)
    if reserved or not _ALIAS.fullmatch(alias):
        raise ValueRefused(
            f"{alias!r} can't be an alias" + (": MLflow reserves it" if reserved else ""),
            "use a word such as champion or challenger",
        )


def _quoted(name: str) -> str:
    if "'" in name:
        raise ValueRefused(f"{name!r} can't be a model's name here", "leave out the quote")
    return name


def _record(version: Any) -> Version:
    return Version(
        model=version.name,
        version=int(version.version),
        run_id=version.run_id or None,
        source=f"models:/{version.model_id}" if getattr(version, "model_id", None) else version.source,
        created=iso(version.creation_timestamp),
        tags=dict(version.tags or {}),
    )


def _with_aliases(version: Version, aliases: dict[str, int]) -> Version:
    from dataclasses import replace

    mine = tuple(sorted(alias for alias, number in aliases.items() if number == version.version))
    return replace(version, aliases=mine)
