"""Faults that showed nothing where nothing really runs."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from runpod_emulator import Emulator

from tests.plain import PLAIN
from tests.tables import table


def run(emu: Emulator, **more: Any) -> str:
    body = {"input": {"a": 1}, **more}
    return httpx.post(emu.base_url + "/llm/run", json=body, headers={"authorization": emu.key}, **PLAIN).json()["id"]


@table("clock", ["virtual", "auto"])
@table("respond", [{"output": 1}, {"delay": "5s", "output": 1}, {"error": "boom"}, {"stream": [1, 2], "delay": "1s"}])
def test_a_stub_is_executed_twice(respond: Any, clock: Any) -> None:
    with Emulator("llm", clock=clock) as emu:
        stub, fault = emu.stub(respond=respond), emu.fault("executed_twice", times=1)
        job = run(emu, webhook=emu.webhooks.url)
        if clock == "virtual":
            emu.clock.advance("1m")
        emu.wait_for(job=job, webhooks=1)
        emu.wait_for(idle=True)
        assert (stub.matched, stub.played, fault.struck) == (1, 2, 1)
        ends = [one.event for one in emu.job(job).transitions if one.event in ("Completed", "Failed")]
        assert (len(ends), len(emu.webhooks.received)) == (1, 1), "the second result is refused"
        run(emu)
        if clock == "virtual":
            emu.clock.advance("1m")
        emu.wait_for(idle=True)
        assert stub.played == 3


def test_the_story_tells_who_has_run_it_too() -> None:
    with Emulator("llm", clock="virtual") as emu:
        emu.stub(respond={"delay": "5s", "output": 1})
        emu.fault("executed_twice", times=1)
        job = run(emu)
        emu.clock.advance("1m")
        (told,) = [line for line in emu.story().splitlines() if line.startswith(f"  {job} of llm: ")]
        (owner,) = [one.worker for one in emu.job(job).transitions if one.event == "Taken"]
        found = re.search(r"; also run by (\w+) \+0 s, in vain", told)
        assert found and found[1] != owner
        emu.reset()
        assert "also run" not in emu.story()


def test_a_function_is_executed_twice() -> None:
    calls: list[str] = []
    with Emulator("llm", clock="virtual") as emu:
        emu.handler("llm", lambda job: calls.append(job["id"]) or "done")
        emu.fault("executed_twice")
        job = run(emu)
        emu.clock.advance("1s")
        assert calls == [job, job]


@table("kind", ["cold_starts", "throttled_workers"])
@table("when", ["before", "after a job", "of a profile"])
def test_the_first_job_meets_a_worker_that_comes_late(kind: Any, when: str) -> None:
    with Emulator("llm", "other", clock="virtual") as emu:
        emu.stub(respond={"output": 1})
        if when == "after a job":
            emu.wait_for(job=run(emu))
        fault = emu.fault(kind, delay="45s", endpoint="llm")
        job = run(emu)
        emu.clock.advance("44s")
        assert emu.job(job).status == "IN_QUEUE"
        emu.clock.advance("1s")
        assert (emu.job(job).status, fault.struck) == ("COMPLETED", 1)
        warm = run(emu)
        emu.wait_for(job=warm)
        assert fault.struck == 1


def test_faults_of_a_file_meet_the_first_job_after_each_reset(tmp_path: Any) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(
        "faults: [{fault: cold_starts, delay: 45s, times: 1}]\nstubs: [{endpoint: llm, respond: {output: 1}}]"
    )
    with Emulator(clock="virtual", stubs=[file]) as emu:
        for _ in range(2):
            job = run(emu)
            emu.clock.run_until_idle()
            record = emu.job(job)
            assert record.taken_at is not None and record.submitted_at is not None
            assert record.taken_at - record.submitted_at == 45
            emu.reset()


@pytest.mark.parametrize("workers_min", [1, 2])
def test_workers_that_are_always_on_are_not_cold(workers_min: int) -> None:
    with Emulator("llm", clock="virtual", workers_min=workers_min) as emu:
        emu.stub(respond={"output": 1})
        emu.fault("cold_starts", delay="45s")
        emu.wait_for(job=run(emu))
