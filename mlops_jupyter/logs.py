"""What a notebook writes to its active run: ``log param``, ``log metric``, ``log model`` and the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from mlops_jupyter import expressions
from mlops_jupyter.commands import Completes, Option, command
from mlops_jupyter.display import Message, short_text, show_value
from mlops_jupyter.errors import UsageError, ValueRefused
from mlops_jupyter.tracking import active, log
from mlops_jupyter.tracking.values import as_metric, as_scalar, as_step, as_text
from mlops_jupyter.workspace import Workspace

Role = Literal["train", "test", "holdout"]
Pairs = Annotated[list[str], Option(metavar="NAME=EXPR")]


class Logs:
    """Writes to the active run what the namespace holds.

    Args:
        workspace: Gives the workspace, which may be opened anew when its settings have changed.
        namespace: The live variables.
    """

    def __init__(self, workspace: Callable[[], Workspace], namespace: MutableMapping[str, Any]) -> None:
        self._workspace = workspace
        self._namespace = namespace

    @command("log param", needs="session")
    def log_param(self, pairs: Pairs) -> Message:
        """Write parameters to the active run; a bare word that is no variable is text.

        Args:
            pairs: NAME=EXPR, where EXPR is Python evaluated in the notebook.

        Returns:
            Names and values.

        Raises:
            ConflictError: No run is active, or a parameter has another value already.
            ValueRefused: A value is no str, number, bool or None.

        Example:
            %mlops log param depth=3 optimizer=adamw
        """
        values = self._scalars("param", pairs)
        run = active.require_run()
        present = self._workspace().runs.get(run.run_id).params if len(values) > 1 else {}
        taken = [name for name in values if name in present and present[name] != str(values[name])]
        # The one that is refused comes first, so that its refusal leaves the others unwritten.
        return self._log({name: values[name] for name in (*taken, *values)}, log.log_param)

    @command("log metric", needs="session")
    def log_metric(self, pairs: Pairs, *, step: Annotated[str | None, Option(metavar="N")] = None) -> Message:
        """Write numbers of metrics to the active run.

        Args:
            pairs: NAME=EXPR, where EXPR is Python evaluated in the notebook.
            step: The step that they belong to: a whole number, or Python evaluated like the values.

        Returns:
            Names and values.

        Raises:
            ConflictError: No run is active.
            ValueRefused: A value is no number.

        Example:
            %mlops log metric loss=loss.item() "acc=score(y, p)" --step 3
        """
        values = self._evaluated(pairs, words=False, check=as_metric)
        place = None if step is None else as_step("step", self._evaluate("--step", step, words=False))

        def write(name: str, value: Any) -> None:
            log.log_metric(name, value, place)

        return self._log(values, write)

    @command("log tag", needs="session")
    def log_tag(self, pairs: Pairs) -> Message:
        """Write tags to the active run; a bare word that is no variable is text.

        Args:
            pairs: NAME=EXPR, where EXPR is Python evaluated in the notebook.

        Returns:
            Names and values.

        Raises:
            ConflictError: No run is active.
            ValueRefused: A value is no str, number, bool or None.

        Example:
            %mlops log tag stage=baseline
        """
        return self._log(self._scalars("tag", pairs), log.log_tag)

    def _scalars(self, kind: str, pairs: Sequence[str]) -> dict[str, Any]:
        return self._evaluated(pairs, words=True, check=partial(as_scalar, kind))

    def _evaluated(self, pairs: Sequence[str], *, words: bool, check: Callable[[str, Any], object]) -> dict[str, Any]:
        """Evaluate and check all pairs, before any is written: a mistake in the second must not leave half a line."""
        active.require_run()
        values: dict[str, Any] = {}
        for pair in pairs:
            name, expression = expressions.split(pair)
            if name in values:
                raise UsageError(f"{name!r} is given twice", "say each name once; a series takes one line a --step")
            values[name] = self._evaluate(name, expression, words=words)
        return {name: check(name, value) for name, value in values.items()}

    def _evaluate(self, name: str, expression: str, *, words: bool) -> Any:
        return expressions.evaluate(name, expression, self._namespace, words=words)

    def _log(self, values: Mapping[str, Any], write: Callable[[str, Any], None]) -> Message:
        for name, value in values.items():
            write(name, value)
        said = (
            f"{name} = {short_text(str(value)) if isinstance(value, str | None) else show_value(value)}"
            for name, value in values.items()
        )
        return Message(", ".join(said), values)

    @command("log model", needs="session")
    def log_model(
        self,
        var: str,
        *,
        name: str = "model",
        register: Annotated[str | None, Option(metavar="REGISTERED"), Completes("model")] = None,
    ) -> Message:
        """Keep a model with the active run: signature, input example and pinned requirements included.

        Args:
            var: The variable that holds it.
            name: Its name in the run.
            register: Also make a version of this registered model.

        Returns:
            The model's name, id, format, why that is no safer one, and version; no id while the store is away.

        Raises:
            ConflictError: No run is active.
            ValueRefused: The variable holds no model.
            StoreError: The store is away: the model is kept, and can be registered when it is back.

        Example:
            %mlops log model clf --register churn
        """
        model = expressions.variable(var, self._namespace)
        logged = log.log_model(model, name)
        data: dict[str, Any] = {"name": name, "model_id": logged.model_id, "format": logged.format}
        data["reason"] = logged.reason
        text = f"{var} is kept as {name} ({logged.format}{f': {logged.reason}' if logged.reason else ''})"
        if not logged.model_id:
            text += ": kept here; goes to the store when it answers"
        if register is not None:
            run = active.require_run()
            logged.require_stored(register, run.run_id)
            version = self._workspace().registry.register_model(register, model_id=logged.model_id, run_id=run.run_id)
            data |= {"model": register, "version": version}
            text += f", registered as {register}/{version}"
        return Message(text, data)

    @command("log data", needs="session")
    def log_data(
        self,
        var: str,
        *,
        name: Annotated[str | None, Option(metavar="N")] = None,
        role: Role | None = None,
    ) -> Message:
        """Note which data the active run reads, with a digest over all of its content.

        Args:
            var: The variable that holds it, or the path of a file or folder.
            name: Its name; the variable's, or the file's, when left out.
            role: train, test or holdout.

        Returns:
            Name and digest.

        Raises:
            ConflictError: No run is active.
            NotFoundError: There is neither such a variable nor such a file.
            ValueRefused: The variable holds no data.

        Example:
            %mlops log data X_train --role train
        """
        path = _path_of(var) if var not in self._namespace else None
        data = path or expressions.variable(var, self._namespace)
        said = name or (path.name if path else var)
        digest = log.log_data(data, said, role)
        return Message(f"{said} is {digest[:12]}…", {"name": said, "digest": digest, "role": role})

    @command("log figure", needs="session")
    def log_figure(self, var: str, *, name: Annotated[str | None, Option(metavar="N")] = None) -> Message:
        """Keep a matplotlib or plotly figure with the active run, in the place of one of that name.

        Args:
            var: The variable that holds it.
            name: Its name among the run's artifacts; the variable's when left out.

        Returns:
            The artifact's name.

        Raises:
            ConflictError: No run is active.
            ValueRefused: The variable holds no figure.

        Example:
            %mlops log figure fig --name epoch-3
        """
        figure = expressions.variable(var, self._namespace)
        figure = getattr(figure, "figure", figure)
        library = type(figure).__module__.partition(".")[0]
        if library not in ("matplotlib", "plotly"):
            raise ValueRefused(f"{var} is a {type(figure).__name__}, no figure", "give a matplotlib or plotly figure")
        artifact = f"{name or var}.png" if library == "matplotlib" else f"{name or var}.html"
        if PurePosixPath(artifact).name != artifact:
            raise UsageError(f"{name!r} is no name for a figure", "leave out slashes: --name epoch-3")
        log.log_figure(figure, artifact)
        return Message(f"{var} is kept as {artifact}", {"artifact": artifact})

    @command("log artifact", needs="session")
    def log_artifact(self, path: Path) -> Message:
        """Keep a file or a folder with the active run.

        Args:
            path: The file or folder.

        Returns:
            The artifact's name.

        Raises:
            ConflictError: No run is active.
            UsageError: There is no such file.

        Example:
            %mlops log artifact report.html
        """
        log.log_artifact(path)
        return Message(f"{path.name} is kept", {"artifact": path.name})

    @command("log text", needs="session")
    def log_text(self, pairs: Pairs) -> Message:
        """Keep texts as files with the active run.

        Args:
            pairs: NAME=EXPR; NAME is the file's name, EXPR Python evaluated in the notebook.

        Returns:
            The artifacts' names.

        Raises:
            ConflictError: No run is active.
            ValueRefused: A value is no text.

        Example:
            %mlops log text report.txt=summary
        """
        run = active.require_run()

        def check(name: str, value: Any) -> str:
            if not isinstance(value, str):
                raise ValueRefused(f"{name} is a {type(value).__name__}, no text", f"write {name}=str(…)")
            path = PurePosixPath(as_text("the name", name))
            if not path.name or path.is_absolute() or ".." in path.parts or not name.isprintable():
                raise UsageError(f"{name!r} is no name for a file of the run", "write report.txt, or notes/report.txt")
            return as_text(name, value)

        texts = self._evaluated(pairs, words=True, check=check)
        for name, text in texts.items():
            run.tracking.put_text(run.run_id, text, name)
        return Message(", ".join(f"{name} is kept" for name in texts), {"artifacts": list(texts)})


def _path_of(word: str) -> Path | None:
    """Give the file or folder that a word names, if there is any."""
    try:
        path = Path(word).expanduser().resolve()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # no name of a file, no such home
        return None
