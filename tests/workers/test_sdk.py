"""Whose rules worker processes keep, as the banner tells it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from runpod_emulator.workers import sdk


def environment(folder: Path, *packages: str) -> str:
    """An interpreter beside these packages."""
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.touch(mode=0o755)
    for package in packages:
        (folder / "lib" / "python3.11" / "site-packages" / f"{package}.dist-info").mkdir(parents=True)
    return str(python)


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("runpod-1.12.0", "1.12 (runpod 1.12.0)"),
        ("runpod-1.7.13", "1.12 (runpod 1.7.13)"),
        ("runpod-2.0.0rc2", "2.0 (runpod 2.0.0rc2)"),
        ("runpod-3.1", "2.0 (runpod 3.1)"),
    ],
)
def test_the_installed_version_decides(tmp_path: Path, package: str, told: str) -> None:
    assert sdk.sdk_rules(environment(tmp_path, "runpod_flash-1.2", package), None) == told


def test_the_newest_holds_where_none_is_installed(tmp_path: Path) -> None:
    python = environment(tmp_path, "requests-2.0")
    assert sdk.sdk_rules(python, None) == f"2.0 (no runpod is installed for {python})"


def test_the_option_goes_before_all() -> None:
    assert sdk.sdk_rules(sys.executable, "2.0") == "2.0 (--sdk-rules)"


def test_our_own_interpreter_is_asked_where_it_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runpod-1.9.1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert sdk.sdk_rules(sys.executable, None) == "1.12 (runpod 1.9.1)"
