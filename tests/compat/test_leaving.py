"""How official workers leave: quietly, to the last line of their file, and before the port closes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.compat.sdks import PYTHONS, sdk_command
from tests.compat.servers import commands
from tests.workers.processes import needs_proc

pytestmark = [pytest.mark.compat, needs_proc]

HANDLER = """
import atexit, runpod

atexit.register(print, "at exit", flush=True)
runpod.serverless.start({"handler": lambda job: job["input"]})
print("after start", flush=True)
"""

each_sdk = pytest.mark.parametrize("sdk", PYTHONS)


@each_sdk
def test_idle_workers_leave_before_the_port_closes(tmp_path: Path, sdk: str) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    with commands(tmp_path) as start:
        command = f"ep={sdk_command(sdk, tmp_path / 'handler.py')}"
        server = start("serve", "--command", command, "--port", 0, "--idle-timeout", "10m").ready()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5
        log = server.err.whole() + server.out.whole()
        assert "Failed to get job" not in log and "Cannot connect" not in log
