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
import atexit, os, time
import runpod


def handler(job):
    return {"pid": os.getpid(), "refresh_worker": job["input"]["do"] == "refresh"}


atexit.register(lambda: print("at exit of", os.getpid(), flush=True))
runpod.serverless.start({"handler": handler})
print("after start of", os.getpid(), flush=True)
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


@each_sdk
def test_workers_end_to_the_last_line_when_nobody_waits_for_them(tmp_path: Path, sdk: str) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    with commands(tmp_path) as start:
        command = f"ep={sdk_command(sdk, tmp_path / 'handler.py')}"
        told = ("--workers-max", 1, "--idle-timeout", "10m", "--cold-start", "1ms")  # with which dev keeps none warm
        server = start("dev", "--command", command, "--port", 0, *told).ready()

        def run(word: str) -> str:
            answer = server.http.post("/ep/runsync?wait=30000", json={"input": {"do": word}}).json()
            return str(answer["output"]["pid"])

        refreshed = run("refresh")
        outdated = run("stay")
        assert outdated != refreshed
        (tmp_path / "handler.py").write_text(HANDLER + "# saved")
        server.err.line("new jobs run the new code")
        idle = run("stay")
        root = server.root_url
        answer = server.http.patch(f"{root}/__emulator/endpoints/ep", json={"idle_timeout": "100ms"})
        assert answer.status_code == 200, answer.text
        for pid in (refreshed, outdated, idle):
            server.err.line(f"after start of {pid}")
            server.err.line(f"at exit of {pid}")
