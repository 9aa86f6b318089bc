"""``NAME=EXPR``: Python among the notebook's variables, and words where words are meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.errors import MlopsError, NotFoundError, UsageError, ValueRefused
from mlops_jupyter.expressions import evaluate, split, split_line, variable

NAMESPACE: dict[str, Any] = {"loss": 0.5, "accuracy": 0.9, "adamw": 7}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("loss", 0.5),
        ("loss * 2", 1.0),
        ("1e-3", 0.001),
        ("'text'", "text"),
        ("True", True),
        ("None", None),
        ("sgd", "sgd"),
        ("resnet-50", "resnet-50"),
        ("v1.2", "v1.2"),
        ("adamw", 7),
        ("a first try", "a first try"),
        ("[x for x in (1, 2)]", [1, 2]),
        ("max", max),
    ],
)
def test_params_and_tags_take_python_and_words(expression: str, value: Any) -> None:
    """A name that exists is its value; a bare word that names nothing is text."""
    assert evaluate("p", expression, NAMESPACE, words=True) == value


@pytest.mark.parametrize(
    ("expression", "error"),
    [("sgd", NotFoundError), ("los", NotFoundError), ("1/0", ValueRefused), ("a b", UsageError), ("0.1*", UsageError)],
)
def test_metrics_take_python_only(expression: str, error: type[MlopsError]) -> None:
    """A metric that is a word is a typo, and told as one."""
    with pytest.raises(error):
        evaluate("m", expression, NAMESPACE, words=False)


def test_a_typo_in_an_expression_is_not_text() -> None:
    """Only a bare word becomes text: an expression with an unknown name in it is an error."""
    with pytest.raises(NotFoundError) as caught:
        evaluate("p", "accurcy * 2", NAMESPACE, words=True)
    assert caught.value.hint == "did you mean 'accuracy'?"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a=1 b=2", ["a=1", "b=2"]),
        ("accuracy=clf.score(X[400:], y[400:])", ["accuracy=clf.score(X[400:], y[400:])"]),
        ("auc=rep['auc'] --step 3", ["auc=rep['auc']", "--step", "3"]),
        ('"acc=a + b"', ["acc=a + b"]),
        ('acc="a + b"', ["acc=a + b"]),
        ("note='it is'", ["note=it is"]),
        ("log param note='it is' opt=\"adam\" a='b + c'", ["log", "param", "note='it is'", 'opt="adam"', "a=b + c"]),
        ("log param empty=\"\" path='/data/x.csv'", ["log", "param", 'empty=""', "path='/data/x.csv'"]),
        ('log metric loss="total" b="x[0]"', ["log", "metric", "loss=total", "b=x[0]"]),
        ('run -p opt="adam" -t team="data science"', ["run", "-p", 'opt="adam"', "-t", "team=data science"]),
        ('run --name="two words"', ["run", "--name=two words"]),
        ("x=f('a b', \"c\")", ["x=f('a b', \"c\")"]),
        ("--name 'two words'", ["--name", "two words"]),
        ("", []),
    ],
)
def test_a_line_is_split_outside_of_brackets_and_quotes(line: str, words: list[str]) -> None:
    """What is Python stays whole; quotes around a pair or an expression are the shell's."""
    assert split_line(line) == words


@pytest.mark.parametrize("line", ["a='x", "a=f(1", "a=\"x'"])
def test_what_is_not_closed_is_told(line: str) -> None:
    """An open quote or bracket is named, not guessed at."""
    with pytest.raises(UsageError, match="not closed"):
        split_line(line)


@pytest.mark.parametrize("text", ["loss", "=1", "loss=", " =1", ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    """NAME=EXPR, or the hint shows how."""
    with pytest.raises(UsageError):
        split(text)


def test_the_first_equals_sign_splits() -> None:
    """Comparisons and keyword arguments stay in the expression."""
    assert split("same=a==b") == ("same", "a==b")


def test_a_missing_variable_names_the_nearest() -> None:
    """A typo costs one look at the hint."""
    with pytest.raises(NotFoundError) as caught:
        variable("acuracy", NAMESPACE)
    assert caught.value.hint == "did you mean 'accuracy'?"


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_one_of_our_errors(text: str) -> None:
    """Nothing that is typed makes the parser fall over."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluate("p", text, {"__builtins__": {}}, words=True)
    except MlopsError:
        pass
