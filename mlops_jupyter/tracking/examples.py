"""What a model takes and gives: a few rows of its input, found among variables, and the signature that follows."""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlops_jupyter.errors import ValueRefused

_ROWS = 5
# A model that does not say what it takes is asked with what there is, but not with a whole namespace; a function, which
# may do anything when it is called, once.
_TRIES = 8
_PLAUSIBLE = ("train", "test", "feature", "input", "sample", "batch")


def describe(
    mlflow: Any, model: Any, flavour: str, given: Any, namespace: Mapping[str, Any]
) -> tuple[Any, Any] | tuple[None, None]:
    """Give an example of a model's input and the signature.

    Args:
        mlflow: The module.
        model: The model.
        flavour: What ``flavour_of`` gave.
        given: A few rows that the user has named; looked for in ``namespace`` when None.
        namespace: Variables among which the data that it was fitted on may be.

    Returns:
        The rows as MLflow keeps them, and the signature: None where MLflow is to tell it by itself, or where the model
        can't predict. Two None when the model takes none of what there is.

    Raises:
        ValueRefused: The model does not take the rows that the user has named.
    """
    if flavour == "pyfunc" and _tells_itself(model):
        return given, None
    predict = _predictor(model, flavour)
    if given is not None:
        example = _as_kept(given)
        try:
            return example, mlflow.models.infer_signature(example, predict(_copied(example))) if predict else None
        except Exception as error:
            told = str(error).partition("\n")[0] or type(error).__name__
            raise ValueRefused(
                f"the model does not take its input example: {told}", "give a few rows of what it predicts from"
            ) from error
    return _found(mlflow, model, flavour, predict, namespace)


def _found(
    mlflow: Any, model: Any, flavour: str, predict: Callable[[Any], Any] | None, namespace: Mapping[str, Any]
) -> tuple[Any, Any] | tuple[None, None]:
    if predict is None:
        return None, None
    for example in find_examples(model, flavour, namespace):
        try:
            told = predict(_copied(example))
            if len(told) == len(example):
                return example, mlflow.models.infer_signature(example, told)
        except (Exception, SystemExit):
            # Nobody asked for these rows: that the model does not take them must not keep it from being logged.
            continue
    return None, None


def _tells_itself(model: Any) -> bool:
    """Tell whether a ``PythonModel``'s own hints say what it takes, or only MLflow can prepare it to predict."""
    import mlflow

    hint = model.predict_type_hints.input
    hinted = hint is not None and getattr(hint, "__module__", "").partition(".")[0] not in ("pandas", "numpy")
    prepared = type(model).load_context is not mlflow.pyfunc.PythonModel.load_context
    takes = set(inspect.signature(model.predict).parameters)
    return hinted or prepared or not takes <= {"context", "model_input", "params"}


# ---------------------------------------------------------------------------------------------------------------------
# Asking the model


def _predictor(model: Any, flavour: str) -> Callable[[Any], Any] | None:
    if flavour == "pytorch":
        return lambda example: _predict_torch(model, example)
    if flavour == "pyfunc":
        context = "context" in inspect.signature(model.predict).parameters
        return lambda example: model.predict(None, example) if context else model.predict(example)
    if flavour == "xgboost" and type(model).__name__ == "Booster":
        return lambda example: _predict_xgboost(model, example)
    asked = getattr(model, "predict", None)
    if asked is None and flavour == "object":
        asked = model
    return asked if callable(asked) else None


def _predict_xgboost(model: Any, example: Any) -> Any:
    return model.predict(importlib.import_module("xgboost").DMatrix(example))


def _predict_torch(model: Any, example: Any) -> Any:
    """Predict as MLflow's pyfunc does, and leave the module and torch's random numbers as they were."""
    import torch

    rows = example.to_numpy(dtype="float32") if hasattr(example, "to_numpy") else example
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    training, was_training = {id(part) for part in model.modules() if part.training}, model.training
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            told = model(torch.from_numpy(rows).to(first.device if first is not None else "cpu"))
    finally:
        if was_training:
            model.train()  # layers may do more than to note it
        for part in model.modules():
            part.training = id(part) in training
    numbers = told.detach().cpu().numpy()
    return type(example)(numbers, index=example.index) if hasattr(example, "to_numpy") else numbers


# ---------------------------------------------------------------------------------------------------------------------
# Finding rows


def find_examples(model: Any, flavour: str, namespace: Mapping[str, Any]) -> Iterator[Any]:
    """Look for a few rows that the model may take, among variables.

    Args:
        model: The model; one that was fitted tells its columns, or how many they were.
        flavour: What ``flavour_of`` gave.
        namespace: The variables.

    Yields:
        Up to five rows of each frame or array that fits, training data first.
    """
    values = {name: value for name, value in namespace.items() if not name.startswith("_")}
    names = sorted(values, key=lambda name: (not name.lower().startswith("x"), "train" not in name, name))
    if flavour == "pytorch":
        # A module without parameters takes numbers of any width.
        known = any(True for _ in model.parameters())
        yield from _tensors(model, {name: values[name] for name in names if known or _is_likely(name)})
        return
    columns, width = _known_input(model)
    if columns is not None:
        frames = [values[name] for name in names if _kind(values[name]) == "pandas.DataFrame" and len(values[name])]
        # A frame that holds the target too has the columns as well; one that holds nothing else is the better guess.
        frames.sort(key=lambda frame: list(frame.columns) != list(columns))
        yield from (frame[list(columns)].head(_ROWS) for frame in frames if set(columns) <= set(frame.columns))
    elif width is not None:
        yield from filter(None.__ne__, (_matrix(values[name], width) for name in names))
    else:
        yield from _plausible(model, {name: values[name] for name in names})


def _known_input(model: Any) -> tuple[list[str] | None, int | None]:
    if hasattr(model, "num_feature"):  # LightGBM's Booster, which makes up names for columns that have none
        names = list(model.feature_name())
        return (None if names == [f"Column_{n}" for n in range(len(names))] else names), model.num_feature()
    if hasattr(model, "num_features"):  # XGBoost's Booster
        return model.feature_names, model.num_features()
    columns = getattr(model, "feature_names_in_", None)
    return (None if columns is None else list(columns)), getattr(model, "n_features_in_", None)


def _matrix(value: Any, width: int) -> Any:
    """Give the first rows of a matrix, if it has so many columns; a list of rows is one."""
    if isinstance(value, list) and value and all(isinstance(row, list | tuple) for row in value[:_ROWS]):
        import numpy as np

        if any(len(row) != width for row in value[:_ROWS]):
            return None
        return np.asarray(value[:_ROWS])
    if _kind(value) == "numpy.ndarray" and value.ndim == 2 and value.shape[1] == width and len(value):
        return value[:_ROWS]
    return None


def _tensors(model: Any, values: Mapping[str, Any]) -> Iterator[Any]:
    import torch

    parameters = list(model.parameters())
    if any(isinstance(one, torch.nn.parameter.UninitializedParameter) for one in parameters):
        return  # to ask a lazy module is to decide for the user what it takes
    floats = next((one.dtype for one in parameters if one.is_floating_point()), torch.float32)
    fits = [value for value in values.values() if _kind(value) in ("torch.Tensor", "numpy.ndarray") and value.ndim > 1]
    for value in fits[:_TRIES]:
        try:
            rows = torch.as_tensor(value[:_ROWS]).detach().cpu()
            example = (rows.to(floats) if rows.is_floating_point() else rows).numpy()
        except (TypeError, ValueError, RuntimeError):
            continue  # a dtype that torch, or numpy, does not know
        if len(example):
            yield example


def _plausible(model: Any, values: Mapping[str, Any]) -> Iterator[Any]:
    """Give rows for a model that says nothing of its input: MLflow will refuse what has not their columns."""
    tables = {
        name: value
        for name, value in values.items()
        if _kind(value) == "pandas.DataFrame" or (_kind(value) == "numpy.ndarray" and value.ndim == 2)
    }
    asked = getattr(model, "predict", model)
    try:
        own = set(inspect.signature(asked).parameters)
    except (TypeError, ValueError):
        own = set()
    likely = sorted((name for name in tables if name in own or _is_likely(name)), key=lambda name: name not in own)
    chosen = (likely or (list(tables) if len(tables) == 1 else []))[: _TRIES if hasattr(model, "predict") else 1]
    yield from (tables[name][:_ROWS] for name in chosen if len(tables[name]))


def _is_likely(name: str) -> bool:
    """Tell whether a variable is called what the input of a model is called."""
    return name.lower().startswith("x") or any(word in name.lower() for word in _PLAUSIBLE)


def _as_kept(example: Any) -> Any:
    """Give an example as MLflow can keep it: a tensor as an array."""
    return example.detach().cpu().numpy() if _kind(example) == "torch.Tensor" else example


def _copied(example: Any) -> Any:
    """Give rows of one's own: some models write into what they are given, which are the user's data."""
    return copy.deepcopy(example)


def _kind(value: Any) -> str:
    # By name, so that no library is imported to ask.
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
