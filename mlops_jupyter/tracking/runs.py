"""The room of runs: finding, listing and comparing them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from mlops_jupyter.commands import Completes, Option, command
from mlops_jupyter.display import Table
from mlops_jupyter.errors import AmbiguousError, MlopsError, NotFoundError, UsageError
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.comparison import Comparison, compared
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.records import Run, iso
from mlops_jupyter.tracking.run_table import RunTable

CELL_SOURCE = "mlops/cell.py"
_MOST_IDS = 500
# Among so many of the newest runs a name is looked for that comes near a mistyped one.
_MOST_NAMES = 100
_FIRST = "put %%mlops run on top of a cell, or type `mlops demo DIR`"


class Runs:
    """Finds, lists and compares runs.

    Args:
        tracking: The workspace's store.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    @command("runs")
    def search(
        self,
        *,
        filter: Annotated[str, Option(metavar="F")] = "",
        order_by: Annotated[str, Option(metavar='"metrics.m DESC"')] = "",
        limit: Annotated[int, Option(metavar="N")] = 50,
        page: Annotated[int, Option(metavar="N")] = 1,
        experiment: Annotated[str | None, Option(metavar="E")] = None,
    ) -> Table:
        """List runs, the newest first; sorted and paged by the store.

        Args:
            filter: MLflow's filter, such as "metrics.auc > 0.8 and params.depth = '3'".
            order_by: A column of MLflow's, with ASC or DESC.
            limit: How many a page has at the most.
            page: Which page, from 1.
            experiment: Only the runs of this experiment.

        Returns:
            A row a run.

        Raises:
            UsageError: The filter or the order can't be read.

        Example:
            mlops runs --filter "metrics.auc > 0.8" --order-by "metrics.auc DESC" --limit 10
        """
        if limit < 1:
            raise UsageError(f"runs: --limit takes 1 or more, not {limit}", "try --limit 50")
        if page < 1:
            raise UsageError(f"runs: --page takes 1 or more, not {page}", "the first page is --page 1")
        # One more than is shown tells whether there is another page.
        skip = (page - 1) * limit
        runs = self.find(filter, order_by=order_by, limit=limit + 1, skip=skip, experiment=experiment)
        rows = [run.row() for run in runs[:limit]]
        empty = "" if rows else self._nothing(filter, experiment, page)
        return RunTable(rows, empty, filter_string=filter, order_by=order_by, page=page, is_last=len(runs) <= limit)

    def _nothing(self, filter_string: str, experiment: str | None, page: int) -> str:
        """Say why a list is empty."""
        if page > 1:
            return f"page {page} is empty: there are fewer runs"
        if filter_string and self.find(limit=1, experiment=experiment):
            return f"no run matches {filter_string}: `runs` without a filter lists all"
        where = f" in experiment {experiment}" if experiment else ""
        return f"no runs yet in {self._tracking.config.root}{where}: {_FIRST}"

    def find(
        self,
        filter_string: str = "",
        *,
        order_by: str = "",
        limit: int = 50,
        skip: int = 0,
        experiment: str | None = None,
    ) -> list[Run]:
        """Search runs by MLflow's words.

        Args:
            filter_string: MLflow's filter.
            order_by: MLflow's order; the newest first when empty.
            limit: How many at the most.
            skip: How many to leave out before them.
            experiment: Only this one's; when None, all of the embedded store's, or the workspace's own elsewhere.

        Returns:
            The runs, sorted by the store.

        Raises:
            UsageError: The filter or the order can't be read.
            NotFoundError: There is no such experiment.
        """
        order = [order_by] if order_by else ["attributes.start_time DESC"]
        try:
            if not self._tracking.exists():
                return _none(filter_string, order, experiment)
            return self._pages(self._experiments(experiment), filter_string, order, limit, skip)
        except NotFoundError:
            raise
        except MlopsError as error:
            if error.exit_code == 2:
                column = re.search(r"Invalid attribute key '?([\w/]+)", error.message)
                if column:
                    raise UsageError(
                        f"runs: there is no column {column[1]!r}",
                        f"say which kind: metrics.{column[1]}, params.{column[1]} or tags.{column[1]}",
                    ) from error
                raise UsageError(
                    f"runs: {error.message}",
                    "filters read like \"metrics.auc > 0.8 and params.depth = '3'\"",
                ) from error
            raise

    @answers
    def _pages(
        self, experiments: Mapping[str, str], filter_string: str, order: list[str], limit: int, skip: int
    ) -> list[Run]:
        known = self._tracking.fast_ids(list(experiments), filter_string, order, limit, skip)
        if known is not None:
            return self._of_ids(known, experiments)
        found: list[Run] = []
        token = None
        while experiments and len(found) < limit:
            page = self._tracking.client.search_runs(
                list(experiments),
                filter_string,
                max_results=min(skip + limit - len(found), 1000),
                order_by=order,
                page_token=token,
            )
            left_out = min(skip, len(page))
            skip -= left_out
            found += [_record(run, experiments) for run in page[left_out:]]
            token = page.token
            if not token:
                break
        return found

    def _of_ids(self, run_ids: Sequence[str], experiments: Mapping[str, str]) -> list[Run]:
        found: dict[str, Run] = {}
        for start in range(0, len(run_ids), _MOST_IDS):
            some = run_ids[start : start + _MOST_IDS]
            listed = ", ".join(f"'{run_id}'" for run_id in some)
            page = self._tracking.client.search_runs(
                list(experiments), f"attributes.run_id IN ({listed})", max_results=len(some)
            )
            found |= {run.info.run_id: _record(run, experiments) for run in page}
        return [found[run_id] for run_id in run_ids if run_id in found]

    @answers
    def _experiments(self, name: str | None) -> dict[str, str]:
        client = self._tracking.client
        if name is None and self._tracking.is_embedded:
            return {e.experiment_id: e.name for e in client.search_experiments()}
        wanted = name or self._tracking.experiment
        found = client.get_experiment_by_name(wanted)
        if found is not None:
            return {found.experiment_id: found.name}
        if name is None:
            return {}
        near = [e.name for e in client.search_experiments(max_results=20)]
        raise NotFoundError(f"there is no experiment {name!r}", "there are: " + ", ".join(near))

    def resolve(self, ref: str) -> Run:
        """Find the run that a name means.

        Args:
            ref: An id, a unique prefix of six or more characters, a unique name, or ``@last``.

        Returns:
            The run.

        Raises:
            NotFoundError: There is none.
            AmbiguousError: There is more than one.
        """
        if ref == "@last":
            latest = self.find(limit=1)
            if latest:
                return latest[0]
            raise NotFoundError("there is no run yet", _FIRST)
        if not self._tracking.exists():
            raise NotFoundError(f"there is no run {ref!r}", _FIRST)
        found = self._by_id(ref) or self._by_name(ref)
        if not found:
            short = re.fullmatch(r"[0-9a-f]{1,5}", ref)
            prefix = "; a prefix of an id has six characters or more" if short else ""
            known = list(dict.fromkeys(run.name for run in self.find(limit=_MOST_NAMES)))
            near = difflib.get_close_matches(ref, known, 1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise NotFoundError(f"there is no run {ref!r}", f"{meant}`runs` lists them; @last is the newest{prefix}")
        if len(found) > 1:
            candidates = [f"{run.run_id[:12]} ({run.name}, {run.started})" for run in found]
            raise AmbiguousError(f"{ref!r} is the name of {len(found)} runs", candidates)
        return found[0]

    def _by_id(self, ref: str) -> list[Run]:
        if re.fullmatch(r"[0-9a-f]{32}", ref):
            try:
                return [self.get(ref)]
            except NotFoundError:
                return []
        if re.fullmatch(r"[0-9a-f]{6,31}", ref):
            local = self._tracking.queue.ids.matching(ref)
            if local:
                return [self.get(run_id) for run_id in local]
            return self.find(f"attributes.run_id LIKE '{ref}%'", limit=9)
        return []

    def _by_name(self, ref: str) -> list[Run]:
        if '"' not in ref:
            return self.find(f'attributes.run_name = "{ref}"', limit=9)
        if "'" not in ref:
            return self.find(f"attributes.run_name = '{ref}'", limit=9)
        # MLflow's filter has no way to write a text that holds both quotes.
        return [run for run in self.find(limit=10_000) if run.name == ref][:9]

    @answers
    def get(self, run_id: str) -> Run:
        """Give the run of an id.

        Raises:
            NotFoundError: There is none.
        """
        client = self._tracking.client
        run = client.get_run(self._tracking.store_id(run_id))
        experiment = client.get_experiment(run.info.experiment_id)
        return _record(run, {experiment.experiment_id: experiment.name})

    def require_all(self) -> None:
        """Wait until the store has all that was logged, for what must not be decided on half of the numbers.

        Raises:
            StoreError: It has not: the store is away, or another process is still delivering.
        """
        self._tracking.queue.require_settled()

    @command("compare")
    def compare(self, runs: Annotated[list[str], Completes("run")]) -> Comparison:
        """Show runs side by side: metrics, parameters, code, data and environment, differences first.

        Args:
            runs: Ids, prefixes of six or more characters, names, or @last.

        Returns:
            The comparison; of a single run, its details.

        Raises:
            NotFoundError: A run does not exist.
            AmbiguousError: A name means more than one.

        Example:
            mlops compare @last baseline
        """
        found = [self.resolve(ref) for ref in runs]
        return compared(self._tracking, found, self.text)

    def text(self, run: Run, name: str) -> str | None:
        """Give a text among a run's artifacts, or None where there is none."""
        import tempfile

        if run.artifact_uri.startswith("file:") or run.artifact_uri.startswith("/"):
            path = Path(unquote(urlsplit(run.artifact_uri).path)) / name
            return path.read_text("utf-8", "replace") if path.is_file() else None
        folder = name.rpartition("/")[0] or None
        names = {item.path for item in self._tracking.client.list_artifacts(run.run_id, folder)}
        if name not in names:
            return None
        with tempfile.TemporaryDirectory() as place:
            local = self._tracking.client.download_artifacts(run.run_id, name, place)
            return Path(local).read_text("utf-8", "replace")


@answers
def _none(filter_string: str, order: list[str], experiment: str | None) -> list[Run]:
    """Give the runs of a store that was never written to: none, after what was asked for has been checked."""
    if filter_string or order != ["attributes.start_time DESC"]:
        from mlflow.utils.search_utils import SearchUtils

        SearchUtils.parse_search_filter(filter_string)
        SearchUtils.parse_order_by_for_search_runs(order[0])
    if experiment is not None:
        raise NotFoundError(f"there is no experiment {experiment!r}", "there is no run yet, and so no experiment")
    return []


def _record(run: Any, experiments: Mapping[str, str]) -> Run:
    info = run.info
    ended = None if info.end_time is None else (info.end_time - info.start_time) / 1000
    outputs = run.outputs.model_outputs if run.outputs else []
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return Run(
        run_id=info.run_id,
        name=info.run_name,
        status=info.status,
        experiment=experiments[info.experiment_id],
        started=iso(info.start_time),
        seconds=ended,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
        artifact_uri=info.artifact_uri,
        model_ids=tuple(output.model_id for output in outputs),
        data=tuple(_dataset(item) for item in inputs),
    )


def _dataset(item: Any) -> dict[str, Any]:
    tags = {tag.key: tag.value for tag in item.tags}
    return {
        "name": item.dataset.name,
        "role": tags.get("mlflow.data.context"),
        "digest": tags.get("mlops.digest", item.dataset.digest),
    }
