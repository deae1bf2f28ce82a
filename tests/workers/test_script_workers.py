"""Stubs on endpoints whose workers come over HTTP: script workers play them, and its own workers never see them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.compat.servers import until
from tests.plain import PLAIN
from tests.workers.programs import WORKER

STUBBED, OTHER = {"input": {"prompt": "stub"}}, {"input": {"prompt": "other"}}


def ask(emu: Emulator, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(
        method, emu.base_url + path, json=body, headers={"authorization": emu.key}, timeout=30, **PLAIN
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def workers(emu: Emulator) -> dict[str, int]:
    return {state: count for state, count in ask(emu, "GET", "/far/health")["workers"].items() if count}


@pytest.fixture
def emu() -> Any:
    with Emulator(endpoint=["far"], clock="virtual") as emulator:
        yield emulator


def test_no_worker_is_needed_for_a_job_that_a_stub_answers(emu: Emulator):
    emu.stub(endpoint="far", match={"input": {"prompt": "stub"}}, respond={"output": "stub"})
    assert ask(emu, "POST", "/far/runsync", STUBBED)["output"] == "stub"
    emu.wait_for(idle=True)
    assert workers(emu) == {}


def test_other_jobs_wait_for_the_endpoints_own_workers(emu: Emulator):
    emu.stub(endpoint="far", match={"input": {"prompt": "stub"}}, respond={"output": "stub"})
    other = ask(emu, "POST", "/far/run", OTHER)["id"]
    assert ask(emu, "POST", "/far/runsync", STUBBED)["output"] == "stub"
    assert ask(emu, "GET", f"/far/status/{other}")["status"] == "IN_QUEUE"


def test_an_own_worker_that_waits_is_not_given_a_stubbed_job(emu: Emulator):
    emu.stub(endpoint="far", match={"input": {"prompt": "stub"}}, respond={"delay": "1s", "output": "stub"})
    job = ask(emu, "POST", "/far/run", STUBBED)["id"]
    other = ask(emu, "POST", "/far/run", OTHER)["id"]
    taken = httpx.get(f"{emu.base_url}/far/job-take/w1", headers={"authorization": emu.key}, **PLAIN).json()
    assert taken["id"] == other
    emu.clock.advance(2)
    assert ask(emu, "GET", f"/far/status/{job}")["output"] == "stub"


def test_there_are_as_many_script_workers_at_once_as_the_endpoint_may_have_workers(emu: Emulator):
    emu.stub(endpoint="far", respond={"delay": "1s", "output": "stub"})
    for _ in range(5):
        ask(emu, "POST", "/far/run", STUBBED)
    assert ask(emu, "GET", "/far/health")["jobs"]["inProgress"] == 3
    assert workers(emu) == {"running": 3}
    emu.clock.advance(1)
    assert ask(emu, "GET", "/far/health")["jobs"]["inProgress"] == 2
    emu.clock.advance(1)
    assert (ask(emu, "GET", "/far/health")["jobs"]["completed"], workers(emu)) == (5, {})


def test_a_script_worker_that_crashes_is_followed_by_another(emu: Emulator):
    emu.stub(endpoint="far", respond=[{"crash": True}, {"output": "again"}])
    answer = ask(emu, "POST", "/far/runsync", STUBBED)
    assert (answer["output"], answer["retries"]) == ("again", 1)


def test_a_fault_crashes_a_script_worker(emu: Emulator):
    emu.stub(endpoint="far", respond={"delay": "10s", "output": "again"})
    emu.fault("worker_crash", delay="1s", times=1)
    job = ask(emu, "POST", "/far/run", STUBBED)["id"]
    emu.clock.advance(11.5)
    told = ask(emu, "GET", f"/far/status/{job}")
    assert (told["status"], told["output"], told["retries"]) == ("COMPLETED", "again", 1)


def test_a_cancelled_job_lets_its_script_worker_go(emu: Emulator):
    emu.stub(endpoint="far", respond={"never": True})
    job = ask(emu, "POST", "/far/run", STUBBED)["id"]
    assert workers(emu) == {"running": 1}
    ask(emu, "POST", f"/far/cancel/{job}")
    emu.wait_for(idle=True)
    assert workers(emu) == {}


def test_low_priority_and_reset(emu: Emulator):
    emu.stub(endpoint="far", respond={"delay": "1s", "output": "stub"})
    for low in (True, False) * 3:
        ask(emu, "POST", "/far/run", {**STUBBED, "policy": {"lowPriority": low}})
    emu.reset()
    assert (workers(emu), emu.jobs()) == ({}, [])
    emu.stub(endpoint="far", respond={"output": "anew"})
    assert ask(emu, "POST", "/far/runsync", STUBBED)["output"] == "anew"


def test_a_stubbed_job_starts_no_program(tmp_path: Path):
    program, ran = tmp_path / "program.py", tmp_path / "ran"
    program.write_text(f"{WORKER}\nopen({str(ran)!r}, 'a').write('x')\nserve()\n")
    with Emulator(command=[f"far={sys.executable} -u {program}"], idle_timeout="10ms") as emu:
        until(lambda: workers(emu) == {})
        assert ran.read_text() == "x"
        emu.stub(endpoint="far", match={"input": {"prompt": "stub"}}, respond={"delay": "100ms", "output": "stub"})
        assert ask(emu, "POST", "/far/runsync", STUBBED)["output"] == "stub"
        assert ran.read_text() == "x"
        assert ask(emu, "POST", "/far/runsync", {"input": {"do": "1 + 1"}})["output"] == 2
        assert ran.read_text() == "xx"
