"""Whose snapshots may be unpickled: those signed under the user's secret.

Unpickling runs code. A manifest carries an HMAC over all that it says, the keys of its objects
included, and those keys are digests of the content: so nothing that was edited, mixed from two or
made by somebody else is ever unpickled. The secret is a file of the user's (or ``MLOPS_TRUST_KEY``,
for a team), made at first use.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import DeniedError, StoreError

_LENGTH = 64


def sign(document: Mapping[str, Any]) -> str:
    """Sign a document.

    Args:
        document: JSON values; a key ``hmac`` in it does not count.

    Returns:
        The signature, 64 hexadecimal digits.

    Raises:
        StoreError: The user's secret can't be read or made.
    """
    said = {key: value for key, value in document.items() if key != "hmac"}
    return hmac.new(_secret(), canonical(said), hashlib.sha256).hexdigest()


def check(document: Mapping[str, Any]) -> None:
    """Refuse a document that is not signed under the user's secret.

    Args:
        document: A manifest as it was read.

    Raises:
        DeniedError: Its signature is not the user's, or it was changed since.
        StoreError: The user's secret can't be read or made.
    """
    claimed = str(document.get("hmac", "")).encode("utf-8", "replace")
    if not hmac.compare_digest(claimed, sign(document).encode()):
        raise DeniedError(
            f"snapshot {str(document.get('id'))[:16]} is not signed with your key: not unpickled",
            "it was edited, or someone else made it: `mlops show` still reads it; "
            "set MLOPS_TRUST_KEY to the key that your team shares",
        )


def canonical(document: Mapping[str, Any]) -> bytes:
    """Give the one form of a document that is signed: sorted keys, no spaces, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def secret_file() -> Path:
    """Give where the user's secret is: ``mlops-jupyter/secret`` in the user's data folder."""
    data = os.environ.get("XDG_DATA_HOME", "")
    folder = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return folder / "mlops-jupyter" / "secret"


def _secret() -> bytes:
    key = os.environ.get("MLOPS_TRUST_KEY", "")
    if key:
        return key.encode("utf-8", "surrogateescape")
    file = secret_file()
    try:
        if not file.exists():
            _make(file)
        # Where files can't be linked, another process may be about to write the secret that it has
        # just created.
        for _ in range(50):
            text = file.read_text("ascii", "replace").strip()
            if len(text) >= _LENGTH:
                return text.encode()
            time.sleep(0.02)
    except OSError as error:
        raise StoreError(
            f"your secret can't be read or made ({file}): {error.strerror}",
            "make the folder writable, or set MLOPS_TRUST_KEY",
        ) from error
    raise StoreError(f"your secret is damaged ({file})", "move it away: a new one is made")


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = file.with_name(f".secret.{secrets.token_hex(8)}")
    text = f"{secrets.token_hex(_LENGTH // 2)}\n".encode()
    try:
        _write_new(aside, text)
        # A link, unlike a rename, never replaces: of two processes the second finds the first one's
        # secret.
        os.link(aside, file)
    except FileExistsError:
        return
    except OSError:
        if not aside.exists():
            raise
        try:
            _write_new(file, text)
        except FileExistsError:
            return
    finally:
        aside.unlink(missing_ok=True)


def _write_new(file: Path, data: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
