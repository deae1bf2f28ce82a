"""A machine on which no emulator has written that it runs, and one that is asked by its URL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runpod_emulator import Emulator

from tests.cli.client.commands import Ran, run

Asked = Callable[..., Ran]


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what runs now, and nothing in the environment that names a server."""
    for name in [name for name in os.environ if name.startswith("RUNPOD_") or name in ("COLUMNS", "FORCE_COLOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "runpod-emulator"


@pytest.fixture(scope="module")
def _server() -> Iterator[Emulator]:
    with Emulator("llm", "other") as emu:
        yield emu


@pytest.fixture
def emu(_server: Emulator) -> Iterator[Emulator]:
    """Two mock endpoints on a clock that leaves out what nobody needs, as at the start."""
    yield _server
    _server.reset()


@pytest.fixture
def asked(emu: Emulator) -> Asked:
    """Runs a command that asks this emulator."""

    def asked(command: str, *words: object, stdin: str | None = None) -> Ran:
        return run(command, "--url", emu.base_url, *words, stdin=stdin)

    return asked
