"""How values read: numbers short, times local, durations and sizes as people say them, nothing that moves a cursor."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def show_value(value: Any) -> str:
    """Give a cell's text: numbers short, times local, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={show_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(show_value(item) for item in value)
    return str(value)


def short_text(text: str, most: int = 200) -> str:
    """Give a text in a line's length, with how long it is where that is not all of it."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def time_text(moment: str | None) -> str:
    """Give a time, which records have in UTC, as people here read it; what is no time as it is."""
    try:
        return show_value(datetime.fromisoformat(moment)) if moment else ""
    except (ValueError, OverflowError):
        return str(moment)


def _number(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return str(value)
    return f"{value:.6g}"


def seconds_text(seconds: float | None) -> str:
    """Give a duration as people say it: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def bytes_text(size: int | float) -> str:
    """Give a size as people say it: ``312 B``, ``1.4 MB``."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def safe_text(text: str) -> str:
    """Make control characters visible: a run's name must not move a terminal's cursor."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
