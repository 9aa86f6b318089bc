"""Making a word of a shell, or a JSON value, what an argument wants; or saying why it is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol


class Wanted(Protocol):
    """What an argument says of the values that it takes."""

    @property
    def required(self) -> bool:
        """Tell whether the argument must be given."""

    @property
    def choices(self) -> tuple[str, ...]:
        """Give the words that are allowed, or none when any is."""

    @property
    def literal_values(self) -> bool:
        """Tell whether the values of a mapping stay text."""


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def typed_word(word: str) -> Any:
    """Give a word the type that papermill gives the values of ``-p``.

    Args:
        word: ``True``, ``None``, a number, or any other text.

    Returns:
        A bool, None, an int, a float, or the text.
    """
    constants: dict[str, Any] = {"True": True, "False": False, "None": None}
    if word in constants:
        return constants[word]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _to_str(parameter: Wanted, value: Any, base: Path | None) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"takes text, not {_show(value)}")
    text = str(value)
    _check_text(text)
    if parameter.choices and text not in parameter.choices:
        raise ValueError(f"takes one of {', '.join(parameter.choices)}, not {text!r}")
    return text


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in [*value, *value.values()] if isinstance(value, Mapping) else value:
            yield from _texts_in(item)


def _check_text(text: str) -> None:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("has a character in it that is no text")


def _to_int(parameter: Wanted, value: Any, base: Path | None) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"takes a whole number, not {_show(value)}")


def _to_float(parameter: Wanted, value: Any, base: Path | None) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"takes a number, not {_show(value)}")


def _to_bool(parameter: Wanted, value: Any, base: Path | None) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"takes true or false, not {_show(value)}")


def _to_path(parameter: Wanted, value: Any, base: Path | None) -> Path:
    text = _to_str(parameter, value, base)
    if not text:
        raise ValueError("takes a path, not an empty text")
    try:
        return (base or Path.cwd()) / Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"takes a path, and there is no home for {text[:60]!r}") from None


def _to_list(parameter: Wanted, value: Any, base: Path | None) -> list[str]:
    items = value if isinstance(value, list) else [value]
    if not items and parameter.required:
        raise ValueError("takes at least one")
    return [_to_str(parameter, item, base) for item in items]


def _to_dict(parameter: Wanted, value: Any, base: Path | None) -> dict[str, Any]:
    pairs: Iterable[tuple[str, Any]]
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list | str):
        pairs = [_split(item) for item in ([value] if isinstance(value, str) else value)]
    else:
        raise ValueError(f"takes K=V, not {_show(value)}")
    result: dict[str, Any] = {}
    for key, item in pairs:
        for text in _texts_in([key, item]):
            _check_text(text)
        if parameter.literal_values:
            result[key] = _to_str(parameter, item, base)
        else:
            result[key] = typed_word(item) if isinstance(item, str) else item
    return result


def _split(item: Any) -> tuple[str, str]:
    if not isinstance(item, str) or "=" not in item or item.startswith("="):
        raise ValueError(f"takes K=V, not {_show(item)}")
    key, _, value = item.partition("=")
    return key, value


COERCE: dict[type, Callable[[Wanted, Any, Path | None], Any]] = {
    str: _to_str,
    int: _to_int,
    float: _to_float,
    bool: _to_bool,
    Path: _to_path,
    list: _to_list,
    dict: _to_dict,
}
