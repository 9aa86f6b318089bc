"""What is installed, and when it is read again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_jupyter import environment


def install(place: Path, name: str, version: str) -> None:
    """Put a distribution into a folder, as pip does."""
    folder = place / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_what_is_installed_meanwhile_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install` in a running notebook changes its environment; without it nothing is read twice."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = environment.capture()
    assert environment.capture() is before
    install(tmp_path, "Some_Thing", "1.5")
    assert environment.capture()["packages"]["some-thing"] == "1.5"
    assert environment.digest(environment.capture()) != environment.digest(before)


def test_another_interpreter_is_asked_once_and_again_when_something_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers for itself, in the same form as ours does."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    other = str(tmp_path / "venv" / "bin" / "python")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    told = environment.capture_of(other, {})
    assert told is not None
    assert (told["python"], told["packages"]) == (environment.capture()["python"], {})
    assert environment.capture_of(other, {}) is told
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    install(site, "thing", "2")
    again = environment.capture_of(other, {})
    assert again is not None
    assert again["packages"] == {"thing": "2"}
    assert environment.capture_of(str(tmp_path / "nothing"), {}) is None
