"""Logging a model: flavour, signature, input example, and the requirements that it imports, pinned.

MLflow finds requirements by loading the model in a new process, which takes ten seconds. The packages a pickled model
needs are named in the pickle itself, so they are read off it and pinned to what is installed.
"""

from __future__ import annotations

import functools
import importlib
import io
import logging
import pickletools
import re
import shlex
import shutil
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter import environment
from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import StoreError, ValueRefused
from mlops_jupyter.tracking import examples, fluent, mlflow_module
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.queue.spooled_models import FOLDER

#: Tags of the logged model: how it is serialised, and why not by skops where it could have been.
FORMAT_TAG, FALLBACK_TAG = "mlops.format", "mlops.fallback"
_logger = logging.getLogger("mlops_jupyter")


@dataclass(frozen=True)
class LoggedModel:
    """A model that is kept with a run.

    Args:
        name: Its name in the run.
        model_id: MLflow's id; empty while the model is kept here, for a store that does not answer.
        uri: What ``mlflow.pyfunc.load_model`` takes; empty likewise.
        format: How it was serialised.
        version: The version made at once, where ``register`` was given.
        reason: Why it is kept in a format that runs code when it is loaded; None where that has no alternative.
    """

    name: str
    model_id: str
    uri: str
    format: str
    version: int | None = None
    reason: str | None = None

    @property
    def run_tags(self) -> dict[str, str]:
        """The tags that its run gets with it."""
        return {f"mlops.model.{self.name}.format": self.format}

    def require_stored(self, register: str, run_id: str) -> None:
        """Refuse to go on where the store does not have the model yet.

        Args:
            register: The registered model that a version is to be made of.
            run_id: The run that the model is kept with.

        Raises:
            StoreError: It does not; the model is safe, and the hint names what registers it later.
        """
        if not self.model_id:
            raise StoreError(
                f"model {self.name!r} is kept here, and can't be registered before the tracking store has it",
                f"when `mlops status` shows no backlog: `mlops register {shlex.quote(register)} --run {run_id}`",
            )


# Models logged by this process, by identity: publishing one again refers to what is there. Weak where it can be.
# An object that is fitted once more is the same object and another model, which its digest tells.
_logged: dict[int, tuple[Callable[[], Any], str, LoggedModel]] = {}


def find_logged(model: object) -> LoggedModel | None:
    """Tell what this very object, as it is now, was logged as in this process.

    Args:
        model: The model.

    Returns:
        What it was logged as; None when it was not, or has changed since.
    """
    known = _logged.get(id(model))
    if known is None or known[0]() is not model:
        return None
    digest = _digest(model)
    return known[2] if digest is not None and digest == known[1] else None


def remember(model: object, logged: LoggedModel) -> None:
    """Note that this very object, as it is now, was logged.

    Args:
        model: The model.
        logged: What it was logged as.
    """
    digest = _digest(model)
    if digest is None:
        _logged.pop(id(model), None)
        return
    try:
        reference: Callable[[], Any] = weakref.ref(model)
    except TypeError:  # its class has slots: keep it alive, so that its id stays its own
        reference = functools.partial(lambda kept: kept, model)
    _logged[id(model)] = (reference, digest, logged)


def _digest(model: object) -> str | None:
    try:
        return digest_of(model)
    except Exception:
        # Code of the model's own runs here, and may raise anything; without a digest it is simply logged again.
        return None


def check_name(name: str) -> None:
    """Refuse a name that MLflow would take for a model and not for the tag that says how it was kept.

    Args:
        name: The model's name in its run.

    Raises:
        ValueRefused: It is none.
    """
    if not isinstance(name, str):
        raise ValueRefused(f"a {type(name).__name__} is no model's name", "the model comes first: log_model(clf, 'm')")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,199}", name):
        raise ValueRefused(f"{name[:80]!r} is no name for a model", "use letters, digits, spaces and _ - .")


@dataclass(frozen=True)
class Described:
    """A model, and what MLflow is told of it.

    Args:
        model: The model.
        flavour: What :func:`flavour_of` gave.
        kept: How it is serialised.
        options: Signature, input example and requirements, as MLflow's functions take them.
    """

    model: Any
    flavour: str
    kept: _Kept
    options: Mapping[str, Any]

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the logged model."""
        return {FORMAT_TAG: self.kept.format} | ({FALLBACK_TAG: self.kept.reason} if self.kept.reason else {})

    def log(self, name: str) -> LoggedModel:
        """Log it into MLflow's active run."""
        with _quiet():
            library, model, options = self._as_called()
            info = library.log_model(*model, name=name, tags=self.tags, **options)
        return self.logged(name, info.model_id)

    def save(self, path: Path) -> None:
        """Save it on the disk, as MLflow would log it but for what only a store can say.

        Args:
            path: A folder, which is not there yet.
        """
        with _quiet():
            library, model, options = self._as_called()
            library.save_model(*model, path=str(path), **options)
        # Loading what it has just saved, MLflow leaves these behind, and logs none of them.
        for compiled in list(path.rglob("__pycache__")):
            shutil.rmtree(compiled, ignore_errors=True)

    def queue(self, tracking: Tracking, run: str, name: str) -> LoggedModel:
        """Save it here and hand it to the write-ahead queue; waited for as long as the store gets on.

        Args:
            tracking: The store.
            run: The run's id, which may be a local one.
            name: The model's name in the run.
        """
        tags = fluent.context_tags(self.tags)
        said = {"name": name, "tags": tags, "run_tags": self.logged(name, "").run_tags}
        model_id = tracking.queue.model(run, said, lambda place: self.save(place / FOLDER))
        if model_id:
            _note_last(model_id)
        else:
            _logger.warning(
                "model %s is kept in .mlops/, and goes to the tracking store %s when it answers: %s",
                name,
                tracking.shown_uri,
                tracking.queue.backlog().problem or "it takes its time",
            )
        return self.logged(name, model_id)

    def logged(self, name: str, model_id: str) -> LoggedModel:
        """Give the record of it under an id, which is empty while the store has given none."""
        uri = f"models:/{model_id}" if model_id else ""
        return LoggedModel(name, model_id, uri, self.kept.format, reason=self.kept.reason)

    def _as_called(self) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        mlflow, options = mlflow_module(), dict(self.options)
        if self.flavour in ("object", "pyfunc"):
            wrapped = self.model if self.flavour == "pyfunc" else _wrapped(mlflow, self.model)
            return mlflow.pyfunc, (), options | {"python_model": wrapped}
        library = importlib.import_module(f"mlflow.{self.flavour}")
        if self.flavour == "pytorch" or self.kept.format in ("skops", "cloudpickle"):
            options |= {"serialization_format": self.kept.format}
        if self.kept.trusted:
            options |= {"skops_trusted_types": list(self.kept.trusted)}
        return library, (self.model,), options


def describe(model: Any, *, input_example: Any = None, namespace: Mapping[str, Any]) -> Described:
    """Find out what MLflow is to be told of a model.

    Args:
        model: A scikit-learn, XGBoost, LightGBM or PyTorch model, an MLflow ``PythonModel``, or any object with
            ``predict`` (or a function), which is kept as a pyfunc.
        input_example: A few rows of what it takes; looked for in ``namespace`` when None.
        namespace: Variables among which the data that it was fitted on may be.

    Returns:
        The model, ready to be logged or saved.

    Raises:
        ValueRefused: The object is no model, or can't be serialised, or does not take the input example.
    """
    mlflow = mlflow_module()
    flavour = flavour_of(model)
    with _quiet():
        kept = _chosen(model, flavour)
        options: dict[str, Any] = {"pip_requirements": requirements(model, flavour, kept.format)}
        example, signature = examples.describe(mlflow, model, flavour, input_example, namespace)
        if example is not None:
            options["input_example"] = example
        if signature is not None:
            options["signature"] = signature
    return Described(model, flavour, kept, options)


def write_model(model: Any, name: str, *, input_example: Any = None, namespace: Mapping[str, Any]) -> LoggedModel:
    """Log a model into MLflow's active run, under a name in it; the rest as for :func:`describe`."""
    return describe(model, input_example=input_example, namespace=namespace).log(name)


def _note_last(model_id: str) -> None:
    """Let ``mlflow.last_logged_model`` of this thread give a model, as MLflow's own ``log_model`` does."""
    from mlflow.tracking import fluent as mlflows

    last = getattr(mlflows, "_last_logged_model_id", None)
    if last is not None:
        last.set(model_id)


def flavour_of(model: Any) -> str:
    """Give the MLflow flavour that fits a model, by its classes' names: no library is imported to ask.

    Raises:
        ValueRefused: It is no model.
    """
    if isinstance(model, type):
        raise ValueRefused(
            f"{model.__name__} is a class, no fitted model", f"log an instance: {model.__name__}().fit(…)"
        )
    for kind in type(model).__mro__:
        flavour = {
            ("mlflow", "PythonModel"): "pyfunc",
            ("xgboost", "XGBModel"): "xgboost",
            ("xgboost", "Booster"): "xgboost",
            ("lightgbm", "LGBMModel"): "lightgbm",
            ("lightgbm", "Booster"): "lightgbm",
            ("torch", "Module"): "pytorch",
            ("sklearn", "BaseEstimator"): "sklearn",
        }.get((kind.__module__.partition(".")[0], kind.__name__))
        if flavour is not None:
            return flavour
    if callable(getattr(model, "predict", None)) or callable(model):
        return "object"
    raise ValueRefused(
        f"a {type(model).__name__} is no model",
        "give a fitted estimator, a PythonModel, or an object with a predict method",
    )


@dataclass(frozen=True)
class _Kept:
    """How a model is serialised.

    Args:
        format: The format.
        trusted: Types that skops is to trust besides its own.
        reason: Why it is not one that can be loaded without running code, where there would be such a one.
    """

    format: str
    trusted: tuple[str, ...] = ()
    reason: str | None = None


def _chosen(model: Any, flavour: str) -> _Kept:
    if flavour == "sklearn":
        return _skops_or_pickle(model, ())
    if flavour == "lightgbm" and type(model).__name__ != "Booster":
        return _skops_or_pickle(model, _LIGHTGBM_TYPES)
    if flavour == "pytorch":
        # MLflow's other format keeps a graph traced for one example: no class, no training, no branches.
        return _Kept("pickle", reason="only a pickle brings a PyTorch module back as it is")
    return _Kept({"xgboost": "xgboost", "lightgbm": "lightgbm"}.get(flavour, "cloudpickle"))


# What a model of LightGBM's own consists of, beside what skops knows.
_LIGHTGBM_TYPES = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRanker",
    "lightgbm.sklearn.LGBMRegressor",
)


def _skops_or_pickle(model: Any, trusted: tuple[str, ...]) -> _Kept:
    """Choose skops where it keeps the model using nothing but types that are trusted; a pickle, with reason, else."""
    try:
        import skops.io
    except ImportError:
        return _Kept("cloudpickle", reason="skops is not installed")
    try:
        unknown = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    except Exception as error:
        # skops raises whatever an estimator's parts raise; cloudpickle is the answer to all of it.
        told = str(error).partition("\n")[0] or type(error).__name__
        return _Kept("cloudpickle", reason=f"skops can't keep it: {told[:300]}")
    strange = sorted(set(unknown) - set(trusted))
    if not strange:
        return _Kept("skops", trusted)
    more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
    return _Kept("cloudpickle", reason=f"skops does not trust {', '.join(strange[:3])[:300]}{more}")


def _wrapped(mlflow: Any, model: Any) -> Any:
    import pandas as pd

    def predict(self: Any, context: Any, model_input: Any, params: Any = None) -> Any:
        return model.predict(model_input) if hasattr(model, "predict") else model(model_input)

    # A hint that MLflow draws no conclusions from: without one it warns, whenever the model is loaded.
    predict.__annotations__ = {"model_input": pd.DataFrame}
    said = {"__doc__": "An object with ``predict``, or a function, as MLflow's pyfunc.", "__module__": "__main__"}
    return type("Wrapped", (mlflow.pyfunc.PythonModel,), {"predict": predict, **said})()


@contextmanager
def _quiet() -> Iterator[None]:
    # MLflow warns of pickle and of integer columns at every call; what matters of it is recorded as a tag.
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def requirements(model: Any, flavour: str, serialised: str) -> list[str]:
    """Give the packages that a model needs to be loaded, pinned to what is installed.

    Args:
        model: The model.
        flavour: What :func:`flavour_of` gave.
        serialised: The format that it is kept in.

    Returns:
        Lines for pip, sorted; MLflow itself among them.

    Raises:
        ValueRefused: The model can't be pickled, so it could not be logged either.
    """
    modules = _modules_of(model) | {"mlflow"}
    modules |= {{"pytorch": "torch", "object": "mlflow", "pyfunc": "mlflow"}.get(flavour, flavour)}
    # skops rests on scikit-learn, whose version decides what it can read.
    modules |= {"skops": {"skops", "sklearn"}, "xgboost": set(), "lightgbm": set()}.get(serialised, {"cloudpickle"})
    providers = environment.providers()
    names = {name.lower().replace("_", "-") for module in modules for name in providers.get(module, ())}
    if "mlflow" in names:
        names -= {"mlflow-skinny", "mlflow-tracing"}  # of which it consists
    packages = environment.capture()["packages"]
    # A local version (2.13.0+cpu) says how it was built here; pip finds only the public one.
    return sorted(f"{name}=={packages[name].partition('+')[0]}" for name in names if name in packages)


def _modules_of(model: Any) -> set[str]:
    if any(kind.__module__.startswith("torch.jit") for kind in type(model).__mro__):
        return {"torch"}  # a compiled module, which torch saves in a way of its own
    found, strings = set(), []
    for opcode, argument, _ in pickletools.genops(skeleton(model)):
        if opcode.name == "GLOBAL":
            found.add(str(argument).partition(" ")[0])
        elif "UNICODE" in opcode.name:
            strings.append(str(argument))
    found |= {text for text in strings if text in sys.modules}
    return {name.partition(".")[0] for name in found}


def skeleton(model: Any) -> bytes:
    """Pickle a model without the data of its arrays and tensors.

    Raises:
        ValueRefused: It can't be pickled.
    """
    import cloudpickle

    file = io.BytesIO()
    pickler = cloudpickle.Pickler(file, protocol=5, buffer_callback=lambda buffer: None)
    pickler.persistent_id = _name_of_tensor
    try:
        pickler.dump(model)
    except Exception as error:  # code of the model's own runs here, and may raise anything
        told = str(error) or type(error).__name__
        raise ValueRefused(
            f"the model can't be serialised: {told}", "take open files, locks and connections out of it"
        ) from error
    return file.getvalue()


def _name_of_tensor(value: Any) -> str | None:
    # Torch pickles weights in band, a gigabyte's as a gigabyte.
    kind = type(value)
    return "torch" if kind.__module__ in ("torch", "torch.nn.parameter") and hasattr(value, "data_ptr") else None
