"""Workers of a Flash app that was built: what they are given, and what is said of one that cannot start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import Starter, commands
from tests.config.given import build

SHOW = """
import os
print({name: os.environ.get(name) for name in NAMES}, os.getcwd())
raise ModuleNotFoundError("No module named 'runpod'")
"""
NAMES = ["FLASH_RESOURCE_NAME", "FLASH_APP", "FLASH_ENV", "FLASH_ENDPOINT_TYPE", "RUNPOD_ENDPOINT_ID", "RUNPOD_API_KEY"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    with commands(tmp_path) as starter:
        yield starter


def test_a_worker_that_cannot_start_stops_the_start(start: Starter, tmp_path: Path) -> None:
    folder = build(tmp_path / "shop", adder={"workersMin": 0}).parent
    (folder / "handler_adder.py").write_text(f"NAMES = {NAMES}\n{SHOW}")
    server = start("serve", "--flash", "shop", "--port", 0, "--api-key", "rpa_of-the-shop")
    assert server.code() == 2
    values = ["adder", "shop", "production", None, "adder", "****shop"]
    assert server.err.line(f"{dict(zip(NAMES, values, strict=True))} {folder}")
    assert server.err.line("handler_adder.py could not be started:")
    assert server.err.line("No module named 'runpod'")
    assert server.err.line("they need runpod-flash and what the app imports: name an interpreter")


def test_an_app_that_was_not_built_stops_the_start(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    server = start("serve", "--flash", "shop", "--port", 0)
    assert server.code() == 2
    assert "run 'flash build --no-deps' in shop" in server.err.whole()
