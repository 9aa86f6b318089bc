""":class:`SpooledModels`: makes models that were saved here MLflow's own, call by call, as its ``log_model`` would.

A store may fail, and a process may be killed, between any two of these calls. What this process has been told of is not
done again. What nobody was told of is found in the store: the model by a tag that names its place in the spool, whether
it is whole by its status, and the link from its run by asking for it. The link comes last but for the metrics, so that
nobody finds half a model through its run.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import ConflictError
from mlops_jupyter.files import write_whole
from mlops_jupyter.tracking.patience import impatient

_logger = logging.getLogger("mlops_jupyter")
#: The tag of a logged model that names its place in the spool.
SPOOLED = "mlops.spooled"
#: The folder in its place in the spool that is the model's own.
FOLDER = "model"
_DESCRIPTION = "MLmodel"
# How long a server may take for one file, in seconds, as MLflow has it: one that passes a large file on is silent
# meanwhile. Whoever has told MLflow to wait longer has reasons.
_LONGEST = 120
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_MOST = 1000


class SpooledModels:
    """Brings models from the spool to one store.

    Args:
        files: ``.mlops/queue/files``.
    """

    def __init__(self, files: Path) -> None:
        self._files = files
        # What the store has answered, by place in the spool and call.
        self._answers: dict[str, dict[str, Any]] = {}
        self._uploading: Path | None = None
        self._calls = 0
        self._ids: dict[str, str] = {}
        self._refusals: dict[str, ConflictError] = {}

    @property
    def calls(self) -> int:
        """How many calls have come through."""
        return self._calls

    def progress(self) -> object:
        """Give something that changes with each call, and while a file is read that is being uploaded."""
        path = self._uploading
        return self._calls, _read_of(path) if path is not None else 0

    def deliver(self, client: Any, run: str, spooled: str, said: Mapping[str, Any]) -> None:
        """Make a model one of the store's, and of its run.

        Args:
            client: MLflow's client.
            run: The run's id in the store.
            spooled: Where the model lies in the spool.
            said: ``name``, ``tags``, and ``run_tags`` for the run.
        """
        place = self._files / spooled
        if not place.exists():
            return  # delivered by one who died before it could be noted
        found = self._once(spooled, "run", lambda: client.get_run(run))
        model = self._once(spooled, "model", lambda: _found_or_created(client, found, spooled, said))
        model_id: str = model.model_id
        self._once(spooled, "params", lambda: _complete_params(client, model, found.data.params))
        # One whose description is gone was delivered by a process that died while it took it away.
        if str(model.status) != "READY" and (place / FOLDER / _DESCRIPTION).exists():
            self._upload(client, run, spooled, model)
            self._once(spooled, "ready", lambda: client.finalize_logged_model(model_id, "READY"))
        self._once(spooled, "output", lambda: _link(client, run, model_id))
        for metric in found.data.metrics:
            points = self._once(spooled, f"points of {metric}", partial(_points, client, run, model_id, metric))
            # In pieces, so that many are seen to get on: a loop that never names a step has all of them at the model's.
            for start in range(0, len(points), _MOST):
                piece = points[start : start + _MOST]
                self._once(spooled, f"points from {start} of {metric}", partial(client.log_batch, run, piece))
        for name, value in said["run_tags"].items():
            self._once(spooled, f"tag {name}", partial(client.set_tag, run, name, value))
        self._ids[spooled] = model_id
        shutil.rmtree(place)
        del self._answers[spooled]

    def _once(self, spooled: str, call: str, ask: Callable[[], Any]) -> Any:
        """Make a call unless it has come through already, and give what the store has answered."""
        known = self._answers.setdefault(spooled, {})
        if call not in known:
            known[call] = ask()
            self._calls += 1
        return known[call]

    def _upload(self, client: Any, run: str, spooled: str, model: Any) -> None:
        # File by file, and not the folder in one call: of one that breaks off, the next goes on where it was.
        place = self._files / spooled / FOLDER
        _sign(place / _DESCRIPTION, run, model)

        def send(path: Path) -> None:
            folder = path.relative_to(place).parent.as_posix()
            self._uploading = path
            try:
                with impatient.for_seconds(max(_LONGEST, _asked_for())):
                    client.log_model_artifact(model.model_id, str(path), None if folder == "." else folder)
            finally:
                self._uploading = None

        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            self._once(spooled, f"file {path}", partial(send, path))

    def refuse(self, spooled: str, reason: str) -> None:
        """Note that the store will never take a model; its files stay where they are."""
        self._answers.pop(spooled, None)
        self._refusals[spooled] = ConflictError(
            f"the tracking store refuses the model: {reason}", f"its files are kept in {self._files / spooled / FOLDER}"
        )

    def id_of(self, client: Callable[[], Any], run: Callable[[], str], spooled: str) -> str:
        """Give the store's id of a model that this process has put into the spool, once.

        Args:
            client: Gives MLflow's client.
            run: Gives the run's id in the store.
            spooled: Where the model lies, or lay.

        Returns:
            The id; empty where the store does not have the whole model yet.

        Raises:
            ConflictError: The store will never take it.
        """
        if spooled in self._refusals:
            raise self._refusals.pop(spooled)
        known = self._ids.pop(spooled, "")
        if known or (self._files / spooled).exists():
            return known
        # Another process was faster, and has told nobody.
        try:
            found = _found(client(), client().get_run(run()).info.experiment_id, spooled)
        except Exception as error:  # it is there, and just can't be asked for
            _logger.debug("the id of a model could not be asked for: %s", error)
            return ""
        return str(found.model_id) if found is not None else ""


def _found(client: Any, experiment: str, spooled: str) -> Any:
    known = client.search_logged_models([experiment], f"tags.`{SPOOLED}` = '{spooled}'", max_results=1)
    return known[0] if known else None


def _found_or_created(client: Any, run: Any, spooled: str, said: Mapping[str, Any]) -> Any:
    """Create a model, unless an earlier try has come through whose answer did not."""
    known = _found(client, run.info.experiment_id, spooled)
    if known is not None:
        return known
    return client.create_logged_model(
        run.info.experiment_id,
        said["name"],
        run.info.run_id,
        {**said["tags"], SPOOLED: spooled},
        {name: str(value) for name, value in run.data.params.items()},
    )


def _complete_params(client: Any, model: Any, params: Mapping[str, str]) -> None:
    # MLflow sends a hundred with the model, and the others when it is there.
    lacking = {name: str(value) for name, value in params.items() if name not in model.params}
    if lacking:
        client.log_model_params(model.model_id, lacking)


def _sign(description: Path, run: str, model: Any) -> None:
    """Write into a model what nobody knew when it was saved: its id, its run's, and where it is going to lie."""
    import yaml

    known = yaml.safe_load(description.read_text("utf-8"))
    known |= {"artifact_path": model.artifact_location, "model_uuid": model.model_id}
    known |= {"model_id": model.model_id, "run_id": run}
    write_whole(description, yaml.safe_dump(known, default_flow_style=False).encode())


def _link(client: Any, run: str, model_id: str) -> None:
    """Make a model an output of its run, unless it is."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run).outputs
    if outputs is None or model_id not in {output.model_id for output in outputs.model_outputs}:
        client.log_outputs(run, [LoggedModelOutput(model_id, 0)])


def _points(client: Any, run: str, model_id: str, name: str) -> list[Any]:
    """Give the points that a metric has at the model's step, 0, as the model's."""
    from mlflow.entities import Metric

    return [
        Metric(point.key, point.value, point.timestamp, 0, model_id, point.dataset_name, point.dataset_digest, run)
        for point in client.get_metric_history(run, name)
        if point.step == 0 and point.model_id is None
    ]


def _asked_for() -> int:
    try:
        return int(os.environ.get(_TIMEOUT, "0"))
    except ValueError:
        return 0


def _read_of(path: Path) -> int:
    """Give how far this process has read a file that it has open; 0 where that can't be told."""
    try:
        wanted = path.stat()
        handles = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208  as ints, and of no use as paths
    except (OSError, ValueError):
        return 0
    read = 0
    for handle in handles:
        with suppress(OSError):  # closed while we look
            here = os.fstat(handle)
            if (here.st_dev, here.st_ino) == (wanted.st_dev, wanted.st_ino):
                read += os.lseek(handle, 0, os.SEEK_CUR)
    return read
