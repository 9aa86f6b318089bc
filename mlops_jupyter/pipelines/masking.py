"""Keep secrets out of everything that is written down: their text, and the ways it is commonly spelt."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"
SHORTEST = 4


class Mask:
    """Replaces secrets in text by ``***``.

    Args:
        secrets: The values to hide; those shorter than four characters would hide half of any text and are refused
            before a run.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {form for secret in secrets if secret for form in _spellings(secret)}
        # Longest first: one spelling may be the beginning of another.
        ordered = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._bytes = [form.encode("utf-8", "surrogatepass") for form in ordered]

    def __bool__(self) -> bool:
        """Tell whether there is anything to hide."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        """Give a text with every secret replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """Give JSON values with every secret in their texts replaced."""
        if not self._pattern:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        return value

    def found_in(self, data: bytes) -> bool:
        """Tell whether bytes hold a secret."""
        return any(form in data for form in self._bytes)


def _spellings(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    plain = base64.b64encode(raw).decode()
    forms = {
        secret,
        urllib.parse.quote(secret, safe="", errors="replace"),
        urllib.parse.quote_plus(secret, errors="replace"),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        plain,
        base64.urlsafe_b64encode(raw).decode(),
        plain.rstrip("="),
        raw.hex(),
    }
    return {form for form in forms if len(form) >= SHORTEST}


def joined_streams(outputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put neighbouring pieces of one stream together: a secret printed in two halves is still one.

    Args:
        outputs: The outputs of a cell.

    Returns:
        The outputs, each run of one stream's pieces as one.
    """
    joined: list[dict[str, Any]] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        stream = output.get("output_type") == "stream"
        if stream and last.get("output_type") == "stream" and last.get("name") == output.get("name"):
            last["text"] = "".join(last["text"]) + "".join(output["text"])
        else:
            joined.append(dict(output))
    return joined
