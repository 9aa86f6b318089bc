"""Logging a model: flavour, signature, input example, and the requirements that it imports, pinned.

MLflow finds requirements by loading the model in a new process, which takes ten seconds. The packages a pickled model
needs are named in the pickle itself, so they are read off it and pinned to what is installed.
"""

from __future__ import annotations

import functools
import logging
import pickle
import pickletools
import re
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlops_jupyter import environment
from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.tracking import mlflow_module

_EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class LoggedModel:
    """A model that is kept with a run.

    Args:
        name: Its name in the run.
        model_id: MLflow's id.
        uri: What ``mlflow.pyfunc.load_model`` takes.
        format: How it was serialised.
        version: The version made at once, where ``register`` was given.
    """

    name: str
    model_id: str
    uri: str
    format: str
    version: int | None = None


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
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,199}", name):
        raise ValueRefused(f"{name[:80]!r} is no name for a model", "use letters, digits, spaces and _ - .")


def write_model(model: Any, name: str, *, input_example: Any = None, namespace: Mapping[str, Any]) -> LoggedModel:
    """Log a model into MLflow's active run.

    Args:
        model: A scikit-learn, XGBoost, LightGBM or PyTorch model, an MLflow ``PythonModel``, or any object with
            ``predict`` (or a function), which is kept as a pyfunc.
        name: Its name in the run.
        input_example: A few rows of what it takes; looked for in ``namespace`` when None.
        namespace: Variables among which the data that it was fitted on may be.

    Returns:
        What was logged.

    Raises:
        ValueRefused: The object is no model, or can't be serialised.
    """
    mlflow = mlflow_module()
    flavour = flavour_of(model)
    options: dict[str, Any] = {"name": name}
    if input_example is not None:
        example, signature = input_example, _signature(mlflow, model, input_example)
    else:
        example, signature = _guessed(mlflow, model, namespace)
    if signature is not None:
        options |= {"signature": signature, "input_example": example}
    options["pip_requirements"] = requirements(model, flavour)
    with _quiet():
        info, serialised = _FLAVOURS[flavour](mlflow, model, options)
    return LoggedModel(name, info.model_id, info.model_uri, serialised)


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


def _log_sklearn(mlflow: Any, model: Any, options: dict[str, Any]) -> tuple[Any, str]:
    chosen = "skops" if _skops_holds(model) else "cloudpickle"
    return mlflow.sklearn.log_model(model, serialization_format=chosen, **options), chosen


def _skops_holds(model: Any) -> bool:
    """Tell whether skops can keep the model using nothing but types that it trusts."""
    try:
        import skops.io
    except ImportError:
        return False
    try:
        return not skops.io.get_untrusted_types(data=skops.io.dumps(model))
    except Exception:
        # skops raises whatever an estimator's parts raise; cloudpickle is the answer to all of it.
        return False


def _log_object(mlflow: Any, model: Any, options: dict[str, Any]) -> tuple[Any, str]:
    class Wrapped(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """An object with ``predict``, or a function, as MLflow's pyfunc."""

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model.predict(model_input) if hasattr(model, "predict") else model(model_input)

    return mlflow.pyfunc.log_model(python_model=Wrapped(), **options), "cloudpickle"


_FLAVOURS: dict[str, Callable[[Any, Any, dict[str, Any]], tuple[Any, str]]] = {
    "sklearn": _log_sklearn,
    "xgboost": lambda mlflow, model, o: (mlflow.xgboost.log_model(model, **o), "xgboost"),
    "lightgbm": lambda mlflow, model, o: (mlflow.lightgbm.log_model(model, **o), "lightgbm"),
    "pytorch": lambda mlflow, model, o: (mlflow.pytorch.log_model(model, **o), "pytorch"),
    "pyfunc": lambda mlflow, model, o: (mlflow.pyfunc.log_model(python_model=model, **o), "cloudpickle"),
    "object": _log_object,
}


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


def _guessed(mlflow: Any, model: Any, namespace: Mapping[str, Any]) -> tuple[Any, Any]:
    """Give the first rows that the model takes, and the signature; two None when it takes none of what there is."""
    for example in find_examples(model, namespace):
        try:
            signature = _signature(mlflow, model, example)
        except Exception:
            # Nobody asked for these rows: that the model does not take them must not keep it from being logged.
            continue
        if signature is not None:
            return example, signature
    return None, None


def find_examples(model: Any, namespace: Mapping[str, Any]) -> Iterator[Any]:
    """Look for a few rows that the model may take, among variables.

    Args:
        model: A fitted estimator; what it was fitted on is told by ``feature_names_in_`` or ``n_features_in_``.
        namespace: The variables.

    Yields:
        Up to five rows of each frame or array that fits, training data first.
    """
    columns = getattr(model, "feature_names_in_", None)
    width = getattr(model, "n_features_in_", None)
    if width is None:
        return
    names = sorted(namespace, key=lambda name: (not name.lower().startswith("x"), "train" not in name))
    for name in names:
        value = namespace[name]
        if not name.startswith("_") and _fits(value, columns, width):
            yield value.head(_EXAMPLE_ROWS) if columns is not None else value[:_EXAMPLE_ROWS]


def _fits(value: Any, columns: Any, width: int) -> bool:
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if columns is not None:
        return kind == "pandas.DataFrame" and list(value.columns) == list(columns) and len(value) > 0
    return kind == "numpy.ndarray" and value.ndim == 2 and value.shape[1] == width and len(value) > 0


def _signature(mlflow: Any, model: Any, example: Any) -> Any:
    if example is None or not callable(getattr(model, "predict", None)):
        return None
    with _quiet():
        return mlflow.models.infer_signature(example, model.predict(example))


def requirements(model: Any, flavour: str) -> list[str]:
    """Give the packages that a model needs to be loaded, pinned to what is installed.

    Args:
        model: The model.
        flavour: What :func:`flavour_of` gave.

    Returns:
        Lines for pip, sorted; MLflow itself among them.

    Raises:
        ValueRefused: The model can't be pickled, so it could not be logged either.
    """
    modules = _modules_of(model) | {"mlflow"}
    modules |= {{"pytorch": "torch", "object": "mlflow", "pyfunc": "mlflow"}.get(flavour, flavour)}
    if flavour in ("sklearn", "object", "pyfunc"):
        modules.add("cloudpickle")
    distributions = _distributions()
    names = {name for module in modules for name in distributions.get(module, ())}
    packages = environment.capture()["packages"]
    pinned = {name.lower().replace("_", "-"): None for name in names}
    return sorted(f"{name}=={packages[name]}" for name in pinned if name in packages)


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()


def _modules_of(model: Any) -> set[str]:
    import cloudpickle

    try:
        # Array data goes out of band: only the skeleton of the pickle is written and read.
        stream = cloudpickle.dumps(model, protocol=5, buffer_callback=lambda buffer: None)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ValueRefused(
            f"the model can't be serialised: {error}", "take open files, locks and connections out of it"
        ) from error
    found, strings = set(), []
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL":
            found.add(str(argument).partition(" ")[0])
        elif "UNICODE" in opcode.name:
            strings.append(str(argument))
    found |= {text for text in strings if text in sys.modules}
    return {name.partition(".")[0] for name in found}
