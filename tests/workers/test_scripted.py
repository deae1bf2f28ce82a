"""Stubs on an endpoint that has a handler: they come first, and a worker process plays them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN

HANDLER = 'import runpod\nrunpod.serverless.start({"handler": lambda job: "handler"})\n'


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(HANDLER)
    return file


def run(emu: Emulator, prompt: str) -> dict[str, object]:
    answer = httpx.post(
        f"{emu.base_url}/mine/runsync", json={"input": {"prompt": prompt}}, headers={"authorization": emu.key}, **PLAIN
    )
    return dict(answer.json())


def test_a_stub_comes_before_the_handler(handler: Path):
    with Emulator(handlers=[str(handler)]) as emu:
        emu.stub(endpoint="mine", match={"input": {"prompt": "stub"}}, respond={"delay": "20ms", "output": "stub"})
        assert [run(emu, prompt)["output"] for prompt in ("stub", "other", "stub")] == ["stub", "handler", "stub"]


def test_a_scripted_crash_ends_the_process_and_the_job_is_tried_once_more(handler: Path):
    with Emulator(handlers=[str(handler)]) as emu:
        emu.stub(endpoint="mine", respond=[{"crash": True}, {"output": "again"}])
        answer = run(emu, "x")
        assert (answer["output"], answer["retries"]) == ("again", 1)
        assert len({step.worker for step in emu.jobs()[:1]}) == 1


def test_virtual_time_stands_while_the_handler_works_and_passes_in_its_scripts(handler: Path):
    with Emulator(handlers=[str(handler)], clock="auto") as emu:
        emu.stub(endpoint="mine", match={"input": {"prompt": "slow"}}, respond={"delay": "1h", "output": "late"},
                 times=1)  # fmt: skip
        httpx.post(
            f"{emu.base_url}/mine/run", headers={"authorization": emu.key},
            json={"input": {"prompt": "slow"}, "policy": {"executionTimeout": 7_200_000}}, **PLAIN,
        )  # fmt: skip
        emu.wait_for(idle=True)
        (job,) = emu.jobs()
        assert (job.output, (job.ended_at or 0) - (job.taken_at or 0) >= 3_600) == ("late", True)
        assert run(emu, "other")["output"] == "handler"
