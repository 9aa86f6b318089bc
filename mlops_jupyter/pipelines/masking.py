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
_REFERENCE = "mlops://[0-9a-f]{64}"
# So long a text is not in the digits of a digest by chance.
_SURELY = 16


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
        self._pattern = _any(ordered)
        self._surely = _any([form for form in ordered if len(form) >= _SURELY])
        # A reference is found first, where a secret does not begin before it.
        self._apart = re.compile(f"({_REFERENCE})|{self._pattern.pattern}") if self._pattern else None
        self._bytes = [form.encode("utf-8", "surrogatepass") for form in ordered]

    def __bool__(self) -> bool:
        """Tell whether there is anything to hide."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        """Give a text with every secret replaced.

        A reference to an output is 64 digits, some of which may spell a short secret: it stays whole, or what it leads
        to would be lost.
        """
        return self._apart.sub(self._replaced, text) if self._apart else text

    def _replaced(self, found: re.Match[str]) -> str:
        if found[1] is None:
            return MASK
        return self._surely.sub(MASK, found[1]) if self._surely else found[1]

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
        forms = [form for form in self._bytes if form in data]
        if not forms or any(len(form) >= _SURELY for form in forms):
            return bool(forms)
        apart = re.sub(_REFERENCE.encode(), b"mlops://", data)
        return any(form in apart for form in forms)


def _any(forms: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, forms))) if forms else None


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
