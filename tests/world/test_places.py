"""One place for a process, and several namespaces that want it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN

HANDLER = """
import os, time
import runpod

def handler(job):
    while not os.path.exists(job["input"]["until"]):
        time.sleep(0.005)
    return "done"

runpod.serverless.start({"handler": handler})
"""


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(HANDLER)
    return file


def ask(emu: Emulator, namespace: str, path: str, until: Path | None = None) -> dict[str, Any]:
    headers = {"authorization": emu.key, "x-emulator-namespace": namespace}
    body = None if until is None else {"input": {"until": str(until)}}
    method = "GET" if body is None else "POST"
    answer = httpx.request(method, f"{emu.base_url}/mine/{path}", json=body, headers=headers, timeout=30, **PLAIN)
    return dict(answer.json())


def test_the_place_goes_round(handler: Path, tmp_path: Path):
    gate = tmp_path / "gate"
    gate.touch()
    with Emulator(handlers=[str(handler)], max_processes=1, workers_max=1) as emu:
        for namespace in ("a", "b", "c", "a"):
            assert ask(emu, namespace, "runsync?wait=20000", gate)["output"] == "done"


def test_a_namespace_that_is_dropped_while_its_worker_waits_leaves_the_place_to_others(handler: Path, tmp_path: Path):
    gate = tmp_path / "gate"
    with Emulator(handlers=[str(handler)], max_processes=1, workers_max=1) as emu:
        for namespace in ("a", "b", "c"):
            ask(emu, namespace, "run", gate)
        assert ask(emu, "b", "health")["workers"]["throttled"] == 1
        admin = emu.base_url.replace("/v2", "/__emulator/namespaces")
        assert httpx.delete(f"{admin}/b", **PLAIN).status_code == 204
        assert sorted(httpx.get(admin, **PLAIN).json()) == ["a", "c"]
        gate.touch()
        assert ask(emu, "c", "runsync?wait=20000", gate)["output"] == "done"
