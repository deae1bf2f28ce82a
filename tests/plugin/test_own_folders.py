"""Folders of the user's own, whatever they are called, are in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.trap import counted, run_pytest

TESTS = """
import emulator, http.client, server.mine, world
from runpod_emulator import Emulator

def test_the_fixture(runpod_emulator):
    runpod_emulator.stub(endpoint="llm", respond={"output": emulator.VALUE})
    client = http.client.HTTPConnection(runpod_emulator.base_url.split("/")[2])
    client.request("POST", "/v2/llm/runsync", '{"input": {"a": 1}}', {"Authorization": "key"})
    assert b'"output":{"mine":true}' in client.getresponse().read().replace(b" ", b"")

def test_a_program():
    with Emulator("other") as emu:
        assert emu.base_url
"""


@pytest.mark.compat
def test_folders_with_the_names_of_our_rooms_are_the_users(tmp_path: Path):
    for folder in ("emulator", "server", "world", "cli"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text('VALUE = {"mine": True}\n')
        (tmp_path / folder / "mine.py").touch()
    output = run_pytest(tmp_path, TESTS, {}, "-rA")
    assert counted(output, "PASSED") == 2, output
