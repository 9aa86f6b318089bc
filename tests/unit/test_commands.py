"""The declaration: what words and JSON mean is read off a typed method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.arguments import find, parse_body, parse_words
from mlops_jupyter.coercion import typed_word
from mlops_jupyter.commands import Command, Option, collect, command
from mlops_jupyter.errors import NotFoundError, UsageError
from mlops_jupyter.handbook import describe


class Kitchen:
    """Declares one argument of every kind."""

    @command("bake")
    def bake(
        self,
        cake: str,
        extras: list[str] = [],  # noqa: B006
        *,
        heat: Annotated[int, Option("-t", metavar="DEGREES")] = 180,
        minutes: float | None = None,
        fan: bool = False,
        shelf: Literal["top", "bottom"] = "top",
        param: Annotated[dict[str, Any], Option("-p")] = {},  # noqa: B006
        label: dict[str, str] = {},  # noqa: B006
        into: Path | None = None,
    ) -> dict[str, Any]:
        """Bake a cake.

        Slowly.

        Args:
            cake: Which.
            extras: What goes on top.
            heat: How hot, in degrees.
            minutes: How long.
            fan: Whether the fan runs.
            shelf: Where.
            param: Typed settings.
            label: Literal ones.
            into: The tin.

        Returns:
            What was asked.

        Example:
            mlops bake lemon --heat 170
        """
        return {key: value for key, value in locals().items() if key != "self"}

    @command("bake all")
    def bake_all(self) -> None:
        """Bake everything."""


COMMANDS = collect({"": Kitchen})
BAKE = COMMANDS["bake"]


def words(*typed: str) -> dict[str, Any]:
    return parse_words(BAKE, typed, Path("/base"))


def test_words_take_the_types_of_the_signature() -> None:
    """Each word becomes what the method's annotation says."""
    line = "lemon icing -t 170 --minutes 2.5 --fan --shelf bottom -p a=1 -p b=x --label c=1 --into tin"
    assert words(*line.split()) == {
        "cake": "lemon",
        "extras": ["icing"],
        "heat": 170,
        "minutes": 2.5,
        "fan": True,
        "shelf": "bottom",
        "param": {"a": 1, "b": "x"},
        "label": {"c": "1"},
        "into": Path("/base/tin"),
    }


def test_what_is_not_given_is_left_to_the_default() -> None:
    """An argument that nobody gave is not passed, so that the method's own default holds."""
    assert words("lemon") == {"cake": "lemon"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "CAKE is missing"),
        (["lemon", "--heat", "hot"], "--heat takes a whole number"),
        (["lemon", "--heat", "1.5"], "--heat takes a whole number"),
        (["lemon", "--minutes", "long"], "--minutes takes a number"),
        (["lemon", "--shelf", "middle"], "--shelf takes one of top, bottom"),
        (["lemon", "-p", "novalue"], "takes K=V"),
        (["lemon", "--frosting", "x"], "--frosting"),
        (["lemon", "--heat"], "expected one argument"),
    ],
)
def test_wrong_words_are_refused_with_the_usage(typed: list[str], said: str) -> None:
    """A wrong word names itself, and the hint is the usage line."""
    with pytest.raises(UsageError) as caught:
        words(*typed)
    assert said in caught.value.message
    assert caught.value.hint.startswith("usage: bake CAKE")


@pytest.mark.parametrize(
    "body",
    [
        {"cake": None},
        {"cake": ["x"]},
        {"cake": True},
        {"cake": "x", "heat": True},
        {"cake": "x", "heat": 1.0},
        {"cake": "x", "heat": "9" * 30},
        {"cake": "x", "fan": 1},
        {"cake": "x", "extras": [1, None]},
        {"cake": "x", "param": 3},
        {"cake": "x", "label": {"a": {}}},
        {"cake": "x", "into": ""},
        {"cake": "x", "unknown": 1},
        {"cake": "x", "t": 1, "heat": 2},
        {"cake": "a\x00b"},
    ],
)
def test_json_of_the_wrong_type_is_refused(body: dict[str, Any]) -> None:
    """A JSON value that is not of the argument's type never reaches the method."""
    with pytest.raises(UsageError):
        parse_body(BAKE, body)


def test_json_may_use_short_names_and_dashes() -> None:
    """A body may name an argument as the shell's flags do."""
    assert parse_body(BAKE, {"cake": "x", "t": "170"}) == {"cake": "x", "heat": 170}


@given(
    heat=st.integers(-(10**17), 10**17),
    minutes=st.floats(allow_nan=False, allow_infinity=False),
    shelf=st.sampled_from(["top", "bottom"]),
    label=st.dictionaries(
        st.text(st.characters(exclude_characters="=\x00", exclude_categories=["Cs"]), min_size=1),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
        max_size=3,
    ),
)
def test_a_body_means_what_the_words_mean(heat: int, minutes: float, shelf: str, label: dict[str, str]) -> None:
    """The same values give the same arguments as words, as JSON texts and as JSON values."""
    typed = ["x", f"--heat={heat}", f"--minutes={minutes!r}", "--shelf", shelf]
    typed += [f"--label={key}={value}" for key, value in label.items()]
    as_text = {"cake": "x", "heat": str(heat), "minutes": repr(minutes), "shelf": shelf}
    as_value = {"cake": "x", "heat": heat, "minutes": minutes, "shelf": shelf}
    labels = {"label": label} if label else {}
    assert parse_words(BAKE, typed) == parse_body(BAKE, as_text | labels) == parse_body(BAKE, as_value | labels)


@pytest.mark.parametrize(
    ("word", "value"),
    [("3", 3), ("-1", -1), ("2.5", 2.5), ("1e-3", 0.001), ("True", True), ("None", None), ("true", "true"), ("a", "a")],
)
def test_words_are_typed_as_papermill_types_them(word: str, value: object) -> None:
    """``-p`` values take the types that papermill's own command line gives them."""
    from papermill.cli import _resolve_type

    assert typed_word(word) == value == _resolve_type(word)
    assert type(typed_word(word)) is type(value)


def test_the_longest_verb_wins() -> None:
    """``bake all`` is a verb of its own, not ``bake`` with an argument."""
    assert find(COMMANDS, ["bake", "all"])[0].verb == "bake all"
    assert find(COMMANDS, ["bake", "lemon"]) == (BAKE, ["lemon"])


def test_an_unknown_verb_names_the_nearest() -> None:
    """A typo costs one look at the hint."""
    with pytest.raises(NotFoundError) as caught:
        find(COMMANDS, ["bkae"])
    assert caught.value.hint == "did you mean 'bake'?"


def test_a_call_reaches_the_method_with_its_arguments() -> None:
    """Positional arguments are passed by position, the others by name."""
    assert BAKE.call(Kitchen(), words("lemon", "nuts", "--fan"))["extras"] == ["nuts"]


def test_help_has_every_argument_and_the_example() -> None:
    """Help is the docstring: nothing is written twice."""
    text = describe(BAKE, "%mlops")
    assert "How hot, in degrees." in text
    assert "%mlops bake lemon --heat 170" in text
    assert text.startswith("%mlops bake CAKE [EXTRAS…] [-t DEGREES]")


def test_session_and_local_commands_have_no_route() -> None:
    """What needs a live namespace, or a terminal, can't be reached over HTTP."""
    plain = {"method": "", "room": "", "parameters": (), "summary": "", "description": "", "example": ""}
    assert Command("a b", "workspace", False, "all", **plain).route == "a/b"  # type: ignore[arg-type]
    assert Command("a", "session", False, "all", **plain).route is None  # type: ignore[arg-type]
    assert Command("a", "workspace", False, "local", **plain).route is None  # type: ignore[arg-type]


class Ovens:
    """Declares what words are mistaken in."""

    @command("warm")
    def warm(self, *, name: str | None = None, note: Annotated[str, Option("-m")] = "") -> None:
        """Warm an oven.

        Args:
            name: Which.
            note: Why.

        Example:
            mlops warm --name big
        """


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["odd"], "did you mean --name odd? "),
        (["--name", "odd", "params"], 'did you mean --name "odd params"? '),
        (["-m", "for", "bread"], 'did you mean -m "for bread"? '),
        (["--name", "odd", "-p", "b=2"], ""),
        (["-x"], ""),
    ],
)
def test_words_too_many_are_told_what_they_were_meant_for(typed: list[str], meant: str) -> None:
    """A text of several words wants quotes; an option that there is not is no name."""
    with pytest.raises(UsageError) as caught:
        parse_words(collect({"": Ovens})["warm"], typed)
    assert (caught.value.hint or "").removesuffix("usage: warm [--name NAME] [-m NOTE]") == meant
