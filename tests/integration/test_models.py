"""Logging models of every kind: what is kept with them, in which format and why, and that they come back."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
from driving import Notebook, python
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlops_jupyter import Workspace, log_model
from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.tracking import active, examples, mlflow_module, models
from mlops_jupyter.tracking.models import LoggedModel

ROWS = np.random.default_rng(0).normal(size=(60, 4))
LABELS = (ROWS[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(ROWS, columns=list("abcd"))
WHOLE = FRAME.assign(target=LABELS)
QUIET = {"n_estimators": 3, "verbose": -1}


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    """Give a workspace of its own, with the embedded store."""
    return Workspace.open(folder)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give what puts variables where a notebook has its own."""

    def put(**named: Any) -> None:
        for name, value in named.items():
            monkeypatch.setattr(sys.modules["__main__"], name, value, raising=False)

    return put


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5))

    def forward(self, rows):
        return self.layers(rows)


class Own:
    factor = 3.0

    def predict(self, rows):
        return np.asarray(rows).sum(axis=1) * self.factor


class OwnEstimator(ClassifierMixin, BaseEstimator):
    def fit(self, rows, labels):
        self.n_features_in_, self.classes_ = rows.shape[1], np.unique(labels)
        return self

    def predict(self, rows):
        return (np.asarray(rows)[:, 0] > 0).astype(int)


def total(frame):
    return frame.sum(axis=1)


def python_model() -> Any:
    class Summed(mlflow_module().pyfunc.PythonModel):
        def predict(self, context, model_input: pd.DataFrame, params=None):
            return np.asarray(model_input).sum(axis=1)

    return Summed()


def network() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def tensor() -> torch.Tensor:
    return torch.tensor(ROWS, dtype=torch.float32)


def predicted_by_torch(model: Any, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(rows)).numpy()


def log(workspace: Workspace, model: Any, **options: Any) -> LoggedModel:
    with workspace.run("logged"):
        return log_model(model, **options)


def kept(workspace: Workspace, logged: LoggedModel, question: Callable[[Any], Any]) -> Any:
    """Ask MLflow, which looks into the workspace meanwhile."""
    with workspace.run("asked") as run, active.in_mlflow(run):
        return question(mlflow_module())


def info(workspace: Workspace, logged: LoggedModel) -> Any:
    return kept(workspace, logged, lambda mlflow: mlflow.models.get_model_info(logged.uri))


def loaded(workspace: Workspace, logged: LoggedModel) -> Any:
    return kept(workspace, logged, lambda mlflow: mlflow.pyfunc.load_model(logged.uri))


def required(workspace: Workspace, logged: LoggedModel) -> dict[str, str]:
    place = workspace.tracking.client.get_logged_model(logged.model_id).artifact_location.removeprefix("file://")
    lines = (Path(place) / "requirements.txt").read_text().split()
    return dict(line.split("==") for line in lines)


# ---------------------------------------------------------------------------------------------------------------------
# Every kind


KINDS: dict[str, tuple[Callable[[], Any], str, dict[str, Any], str]] = {
    "linear, from a frame": (lambda: LogisticRegression().fit(FRAME, LABELS), "skops", {"whole": WHOLE}, "skops"),
    "linear, from lists": (
        lambda: LogisticRegression().fit(ROWS.tolist(), LABELS),
        "skops",
        {"X": ROWS.tolist()},
        "scikit-learn",
    ),
    "forest": (
        lambda: RandomForestClassifier(3).fit(FRAME, LABELS),
        "cloudpickle",
        {"FRAME": FRAME},
        "scikit-learn",
    ),
    "lambda in a pipeline": (
        lambda: make_pipeline(FunctionTransformer(lambda rows: rows * 2), LogisticRegression()).fit(ROWS, LABELS),
        "cloudpickle",
        {"X": ROWS},
        "cloudpickle",
    ),
    "estimator of one's own": (lambda: OwnEstimator().fit(ROWS, LABELS), "cloudpickle", {"X": ROWS}, "numpy"),
    "LightGBM classifier": (
        lambda: lightgbm.LGBMClassifier(**QUIET).fit(FRAME, LABELS),
        "skops",
        {"FRAME": FRAME},
        "lightgbm",
    ),
    "LightGBM ranker": (
        lambda: lightgbm.LGBMRanker(**QUIET).fit(ROWS, LABELS, group=[30, 30]),
        "skops",
        {"X": ROWS},
        "scikit-learn",
    ),
    "LightGBM booster": (
        lambda: lightgbm.train({"verbose": -1}, lightgbm.Dataset(ROWS, LABELS), 3),
        "lightgbm",
        {"X": ROWS},
        "lightgbm",
    ),
    "LightGBM booster, from a frame": (
        lambda: lightgbm.train({"verbose": -1}, lightgbm.Dataset(FRAME, LABELS), 3),
        "lightgbm",
        {"whole": WHOLE},
        "lightgbm",
    ),
    "LightGBM in a pipeline": (
        lambda: make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**QUIET)).fit(ROWS, LABELS),
        "cloudpickle",
        {"X": ROWS},
        "lightgbm",
    ),
    "PyTorch, a tensor there": (network, "pickle", {"batch": tensor()}, "torch"),
    "PyTorch, an array there": (network, "pickle", {"data": ROWS.astype("float32")}, "torch"),
    "object with predict": (Own, "cloudpickle", {"X": ROWS}, "cloudpickle"),
    "function": (lambda: total, "cloudpickle", {"frame": FRAME}, "cloudpickle"),
    "PythonModel": (python_model, "cloudpickle", {"X_train": FRAME}, "cloudpickle"),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_model_comes_back_with_signature_example_and_requirements(workspace, variables, kind):
    """What is loaded from `models:/` predicts the same, on the example kept with it, within its signature."""
    make, form, named, package = KINDS[kind]
    variables(**named)
    model = make()
    logged = log(workspace, model)
    assert logged.format == form
    described = info(workspace, logged)
    assert described.signature.inputs is not None
    assert described.signature.outputs is not None
    assert described.saved_input_example_info is not None
    back = loaded(workspace, logged)
    rows = back.input_example
    assert len(rows) == 5
    predict = examples._predictor(model, models.flavour_of(model))
    assert predict is not None
    # Rows in JSON are decimal numbers: the last bit may differ from what the model was shown.
    np.testing.assert_allclose(np.asarray(back.predict(rows)), np.asarray(predict(rows)), rtol=1e-12)
    pinned = required(workspace, logged)
    assert {"mlflow", package} <= set(pinned)
    assert "mlflow-skinny" not in pinned
    for name, version in pinned.items():
        assert version == importlib.metadata.version(name).partition("+")[0]


def test_models_of_a_notebook_come_back_where_nothing_of_ours_is_installed(tmp_path):
    """Classes defined in cells come back in a process without this package, and neither side sees a warning."""
    notebook = Notebook(tmp_path)
    try:
        notebook.good(
            "import numpy as np, torch, mlflow\nfrom sklearn.base import BaseEstimator\n"
            "X = np.arange(24.0).reshape(6, 4)\nT = torch.tensor(X, dtype=torch.float32)\n"
            "class Est(BaseEstimator):\n"
            "    def fit(self, X, y): self.n_features_in_ = 4; return self\n"
            "    def predict(self, X): return X[:, 0]\n"
            "class Net(torch.nn.Module):\n"
            "    def __init__(self): super().__init__(); self.line = torch.nn.Linear(4, 1)\n"
            "    def forward(self, x): return self.line(x)\n"
            "class Thing:\n"
            "    def predict(self, X): return np.asarray(X)[:, 1]\n"
            "def last(X): return np.asarray(X)[:, 3]\n"
            "est, net, thing = Est().fit(X, None), Net(), Thing()"
        )
        told = "".join(
            notebook.good(f"%%mlops run\n%mlops log model {variable} --name {variable}").text
            for variable in ("est", "net", "thing", "last")
        )
        assert "est is kept as est (cloudpickle: skops does not trust __main__.Est)" in told
        assert "arning" not in told
        again = "get_ipython().run_line_magic('mlops', 'log model est').to_json()"
        notebook.good("%mlops start")
        answer = notebook.value(again)
        assert (answer["format"], answer["reason"]) == ("cloudpickle", "skops does not trust __main__.Est")
        notebook.good("%mlops end")
        answers = notebook.value(
            "{'est': est.predict(X).tolist(), 'net': net(T).detach().numpy().tolist(),"
            " 'thing': thing.predict(X).tolist(), 'last': last(X).tolist()}"
        )
    finally:
        notebook.close()
    program = (
        "import sys, json, warnings\nsys.modules['mlops_jupyter'] = None\n"
        # MLflow warns of its own hints while it is imported.
        "import mlflow, mlflow.pyfunc.model, mlflow.pytorch, mlflow.sklearn, numpy as np\n"
        "warnings.simplefilter('error', UserWarning)\n"
        "mlflow.set_tracking_uri('sqlite:///.mlops/mlflow.db')\n"
        "X = np.arange(24.0).reshape(6, 4)\n"
        "client = mlflow.MlflowClient()\n"
        "ids = [each.experiment_id for each in client.search_experiments()]\n"
        "found = [m for m in client.search_logged_models(ids) if m.name != 'model']\n"
        "found = {m.name: mlflow.pyfunc.load_model(f'models:/{m.model_id}') for m in found}\n"
        "give = lambda name: X.astype('float32') if name == 'net' else X\n"
        "print(json.dumps({name: np.asarray(m.predict(give(name))).tolist() for name, m in found.items()}))"
    )

    assert json.loads(python(program, tmp_path)) == answers


# ---------------------------------------------------------------------------------------------------------------------
# The format, and why


def test_a_fallback_is_told_and_recorded_with_its_reason(workspace):
    """Where skops does not hold, the answer and the logged model's tags say so, and which types it does not trust."""
    logged = log(workspace, RandomForestClassifier(2).fit(ROWS, LABELS), name="forest")
    assert logged.reason == "skops does not trust sklearn.tree._tree.Tree"
    tags = workspace.tracking.client.get_logged_model(logged.model_id).tags
    assert (tags["mlops.format"], tags["mlops.fallback"]) == ("cloudpickle", logged.reason)
    assert workspace.runs.resolve("logged").tags["mlops.model.forest.format"] == "cloudpickle"


def test_what_skops_keeps_has_no_fallback(workspace):
    """A model that skops holds is kept by it, with no reason to give, and skops and scikit-learn are pinned."""
    logged = log(workspace, lightgbm.LGBMRegressor(**QUIET).fit(ROWS, LABELS))
    assert (logged.format, logged.reason) == ("skops", None)
    assert "mlops.fallback" not in workspace.tracking.client.get_logged_model(logged.model_id).tags
    assert {"skops", "scikit-learn", "lightgbm"} <= set(required(workspace, logged))


def test_a_part_that_skops_fails_on_is_a_reason_too(workspace):
    """An estimator that can't even be looked through by skops is kept by cloudpickle, and its error is the reason."""

    class Refusing(OwnEstimator):
        def __getstate__(self):
            if any("skops" in frame.filename for frame in __import__("traceback").extract_stack()):
                raise RuntimeError("no state\nfor you")
            return self.__dict__

    logged = log(workspace, Refusing().fit(ROWS, LABELS))
    assert (logged.format, logged.reason) == ("cloudpickle", "skops can't keep it: no state")


# ---------------------------------------------------------------------------------------------------------------------
# Signature and example


def test_a_frame_with_the_target_in_it_gives_the_columns_that_were_fitted(workspace, variables):
    """The example has the model's own columns, in their order, when only a wider frame is there."""
    variables(table=WHOLE[["target", "d", "c", "b", "a"]])
    logged = log(workspace, LogisticRegression().fit(FRAME, LABELS))
    assert info(workspace, logged).signature.inputs.input_names() == list("abcd")


def test_a_module_is_left_as_it_was(workspace, variables):
    """Looking for what a PyTorch module takes moves neither its mode, nor its statistics, nor the random numbers."""
    variables(inputs=tensor())
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    log(workspace, net)
    assert all(part.training for part in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_lazy_module_is_not_decided_for(workspace, variables):
    """A module that has not seen data yet is logged without a signature, and is as lazy as before."""
    variables(inputs=tensor())
    net = torch.nn.LazyLinear(2)
    logged = log(workspace, net)
    assert info(workspace, logged).signature is None
    assert isinstance(net.weight, torch.nn.parameter.UninitializedParameter)


def test_a_tensor_may_be_given_as_the_example(workspace):
    """An example that is a tensor is kept as the array that MLflow can keep."""
    net = network()
    logged = log(workspace, net, input_example=tensor()[:3])
    back = loaded(workspace, logged)
    np.testing.assert_array_equal(back.predict(back.input_example), predicted_by_torch(net, tensor()[:3].numpy()))


def test_nobody_guesses_what_a_model_takes_that_does_not_say(workspace, variables):
    """Of two frames with names that say nothing, none becomes the signature of a function that would take both."""
    variables(first=FRAME, second=WHOLE)
    assert info(workspace, log(workspace, lambda rows: rows)).signature is None
    variables(X_train=FRAME)
    assert info(workspace, log(workspace, lambda rows: rows)).signature.inputs.input_names() == list("abcd")


def test_a_function_is_called_once():
    """A function may do anything when it is called, so the likeliest of many frames decides."""
    called = []

    def rows_of(features):
        called.append(list(features.columns))
        raise KeyError("not these")

    frames = {"X_train": WHOLE, "X_test": WHOLE, "features": FRAME}
    assert examples.describe(mlflow_module(), rows_of, "object", None, frames) == (None, None)
    assert called == [list("abcd")]


def test_a_module_without_parameters_is_not_tried_on_any_array(workspace, variables):
    """A module that takes numbers of any width is described by an array whose name says that it is an input."""
    variables(weights=np.ones((4, 4)))
    assert info(workspace, log(workspace, torch.nn.Softmax(dim=1))).signature is None
    variables(inputs=np.ones((4, 3)))
    assert info(workspace, log(workspace, torch.nn.Softmax(dim=1))).signature is not None


def test_weights_are_not_pickled_to_find_requirements():
    """What a module of a hundred megabytes imports is found without writing these down."""
    net = torch.nn.Linear(5000, 5000)
    assert any(line.startswith("torch==") for line in models.requirements(net, "pytorch", "pickle"))
    assert len(models.skeleton(net)) < 10_000


def test_an_argument_s_name_tells_which_frame_a_function_takes(workspace, variables):
    """The frame that is called as the function's own argument is its example."""
    variables(frame=FRAME, other=WHOLE)
    assert info(workspace, log(workspace, total)).signature.inputs.input_names() == list("abcd")


def test_a_model_that_takes_none_of_what_is_there_is_kept_all_the_same(workspace, variables):
    """Rows that nobody asked for keep no model from being logged; rows that somebody named are refused."""

    class Choosy:
        def predict(self, rows):
            raise KeyError("never")

    variables(X=ROWS)
    assert info(workspace, log(workspace, Choosy())).signature is None
    with (
        workspace.run("named"),
        pytest.raises(ValueRefused, match=r"does not take its input example.*never") as refused,
    ):
        log_model(Choosy(), input_example=ROWS)
    assert refused.value.hint


def test_a_python_model_s_own_hints_are_its_signature(workspace, variables):
    """A hinted `PythonModel` keeps the signature that MLflow reads off its hints, whatever frames are there."""
    variables(X=FRAME)
    pyfunc = mlflow_module().pyfunc

    class Lengths(pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[int]:
            return [len(text) for text in model_input]

    Lengths.predict.__annotations__ = {"model_input": list[str], "return": list[int]}
    logged = log(workspace, Lengths())
    assert "string" in str(info(workspace, logged).signature.inputs)


# ---------------------------------------------------------------------------------------------------------------------
# Requirements, warnings, identity


def test_the_environment_is_looked_through_once(workspace, monkeypatch):
    """A second model is logged without another look at what is installed; the first look serves every run."""
    model = LogisticRegression().fit(ROWS, LABELS)
    first = required(workspace, log(workspace, model))

    def scan(*_: Any, **__: Any) -> Any:
        raise AssertionError("the environment is looked through again")

    monkeypatch.setattr(importlib.metadata, "packages_distributions", scan)
    monkeypatch.setattr(importlib.metadata, "distributions", scan)
    assert required(workspace, log(workspace, model)) == first


def test_no_warning_of_mlflow_s_reaches_the_user(workspace, variables, caplog, capfd):
    """Integer columns, pickles, missing hints: what MLflow warns of is neither logged, nor printed, nor warned."""
    whole_numbers = pd.DataFrame({"i": range(60), "j": range(60)})
    variables(X=whole_numbers, batch=tensor())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="(?!mlops_jupyter)")
        for model in (RandomForestClassifier(2).fit(whole_numbers, LABELS), network(), Own(), total):
            logged = log(workspace, model)
            loaded(workspace, logged)
    assert [record for record in caplog.records if record.name.startswith("mlflow")] == []
    assert "arning" not in "".join(capfd.readouterr())


def test_a_model_trained_on_is_another(workspace):
    """What was logged is found again by identity until the weights move, of PyTorch's and of LightGBM's."""
    net = network()
    logged = log(workspace, net)
    assert models.find_logged(net) == logged
    with torch.no_grad():
        net.layers[0].weight += 1
    assert models.find_logged(net) is None
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(ROWS, LABELS), 2, keep_training_booster=True)
    logged = log(workspace, booster)
    assert models.find_logged(booster) == logged
    booster.update()
    assert models.find_logged(booster) is None


def test_a_booster_of_xgboost_is_asked_in_its_own_way(workspace, variables, monkeypatch):
    """XGBoost is not installed here: a stand-in shows that its boosters get a `DMatrix`, and which call MLflow gets."""
    library, flavour, calls = types.ModuleType("xgboost"), types.ModuleType("mlflow.xgboost"), []

    class DMatrix:
        def __init__(self, rows):
            self.rows = rows

    class Booster:
        feature_names = None

        def num_features(self):
            return 4

        def predict(self, matrix):
            assert isinstance(matrix, DMatrix)
            return matrix.rows.sum(axis=1)

    def log_model_there(model, **options):
        calls.append(options)
        return mlflow_module().pyfunc.log_model(python_model=python_model(), name=options["name"], pip_requirements=[])

    Booster.__module__, library.DMatrix, library.Booster = "xgboost", DMatrix, Booster
    flavour.log_model = log_model_there
    monkeypatch.setitem(sys.modules, "xgboost", library)
    monkeypatch.setitem(sys.modules, "mlflow.xgboost", flavour)
    variables(X=ROWS)
    logged = log(workspace, Booster())
    assert (logged.format, logged.reason) == ("xgboost", None)
    assert set(calls[0]) == {"name", "pip_requirements", "input_example", "signature", "tags"}
    np.testing.assert_array_equal(calls[0]["input_example"], ROWS[:5])


def test_describing_a_model_changes_nothing_of_the_users(workspace, variables):
    """Models that write into what they are given, and layers that do more than to note their mode, are as before."""

    class Merging(torch.nn.Linear):
        """A layer that changes its weights with its mode, as adapters do."""

        merged = False

        def train(self, mode=True):
            super().train(mode)
            if mode == self.merged:
                self.weight.data += -1 if mode else 1
                self.merged = not mode
            return self

    rows = np.random.default_rng(0).normal(size=(20, 3))
    fitted = make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(rows.copy(), rows[:, 0] > 0)
    module = torch.nn.Sequential(torch.nn.ReLU(inplace=True), Merging(3, 1))
    tensor, weight = torch.randn(20, 3), module[1].weight.detach().clone()
    kept, seen = rows.copy(), tensor.clone()
    with workspace.run("unchanged"):
        variables(X_train=rows)
        log_model(fitted, "pipeline")
        variables(X_train=tensor)
        log_model(module, "module")
    assert (rows == kept).all()
    assert torch.equal(tensor, seen)
    assert module.training
    assert not module[1].merged
    assert torch.allclose(module[1].weight, weight)


def test_what_is_given_in_the_wrong_order_is_told(workspace):
    """The name first and the model after is a slip of whoever is used to other libraries."""
    with workspace.run("slip"), pytest.raises(ValueRefused, match="DummyClassifier is no model's name") as refused:
        log_model("m", DummyClassifier())
    assert "log_model(clf, 'm')" in (refused.value.hint or "")


@pytest.mark.parametrize("raised", [RuntimeError("never"), OSError("no such device"), KeyError("lost")])
def test_a_model_that_can_not_be_pickled_is_no_defect_of_ours(workspace, raised):
    """Whatever the model's own code raises while it is pickled is told as the model's."""

    class Stubborn:
        def predict(self, rows):
            return rows

        def __reduce__(self):
            raise raised

    with workspace.run("stubborn"), pytest.raises(ValueRefused, match="can't be serialised"):
        log_model(Stubborn())


def test_a_model_that_exits_when_it_is_asked_is_kept_all_the_same(workspace, variables):
    """Rows that nobody asked for must not end the user's program."""

    class Leaving:
        def predict(self, rows):
            raise SystemExit(3)

    variables(X=ROWS)
    assert info(workspace, log(workspace, Leaving())).signature is None
