"""Tests that `runpod-emulator exec` runs: clients made at the top of a file are meant for its server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.compat.servers import HANDLERS, commands

TESTS = """
import os
import runpod

runpod.api_key = os.environ["RUNPOD_API_KEY"]
EP = runpod.Endpoint("echo")
URL = os.environ["RUNPOD_ENDPOINT_BASE_URL"]

def test_a_client_made_early():
    assert EP.run_sync({"input": {"m": 1}}) == {"m": 1}

def test_the_fixture(runpod_emulator):
    assert runpod_emulator.base_url != URL
    runpod_emulator.stub(endpoint="echo", respond={"output": "stubbed"})
    assert runpod.Endpoint("echo").run_sync({"input": {"m": 1}}) == "stubbed"

def test_and_the_server_again():
    assert EP.run_sync({"input": {"m": 2}}) == {"m": 2} and os.environ["RUNPOD_ENDPOINT_BASE_URL"] == URL
"""


@pytest.mark.compat
@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_both_servers_are_met(tmp_path: Path, args: tuple[str, ...]):
    (tmp_path / "test_inner.py").write_text(TESTS)
    words = (
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        "-c",
        "/dev/null",
    )
    with commands(tmp_path) as start:
        command = start("exec", "--handler", str(HANDLERS / "echo.py"), "--", *words, *args, "test_inner.py")
        assert command.code() == 0, command.out.whole()
        assert "3 passed" in command.out.whole()
