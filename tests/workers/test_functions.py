"""Handlers that are functions of the test: they are told and answer what a handler file does."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.compat.servers import until
from tests.plain import PLAIN
from tests.tables import table


def _interrupted() -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator("llm", clock="virtual") as emu:
        yield emu


@pytest.fixture
def emu(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


@pytest.fixture
def sdk() -> Any:
    """The official package; it takes a second to load, in each process of the tests."""
    return importlib.import_module("runpod")


def ask(emu: Emulator, method: str, path: str, **given: Any) -> Any:
    body = {"input": given} if method == "POST" and "run" in path else None
    return httpx.request(method, emu.base_url + path, json=body, headers={"authorization": emu.key}, **PLAIN).json()


def test_it_gets_the_job_and_its_value_is_the_output(emu: Emulator):
    seen: list[Any] = []
    emu.handler("llm", lambda job: seen.append(job) or {"sum": job["input"]["a"] + 1})
    answer = ask(emu, "POST", "/llm/runsync", a=1)
    assert answer["output"] == {"sum": 2}
    assert seen == [{"id": answer["id"], "input": {"a": 1}}]


def test_an_endpoint_that_nobody_serves_is_served_from_now_on(emu: Emulator):
    emu.handler("fresh", lambda job: "new")
    assert ask(emu, "POST", "/fresh/runsync", a=1)["output"] == "new"


def test_a_stub_goes_before_it(emu: Emulator):
    emu.handler("llm", lambda job: "function")
    emu.stub(endpoint="llm", match={"input": {"a": 1}}, respond={"output": "stub"})
    assert [ask(emu, "POST", "/llm/runsync", a=a)["output"] for a in (1, 2)] == ["stub", "function"]


@pytest.mark.parametrize("value", [{1, 2}, "half \ud800", float("nan")], ids=["set", "surrogate", "nan"])
def test_what_cannot_be_sent_fails_the_job_at_once(emu: Emulator, value: Any):
    emu.handler("llm", lambda job: value)
    answer = ask(emu, "POST", "/llm/runsync", a=1)
    assert (answer["status"], "is not JSON" in answer["error"]) == ("FAILED", True)


def test_what_it_raises_fails_the_job(emu: Emulator):
    def broken(job: Any) -> None:
        raise ValueError("no such model")

    emu.handler("llm", broken)
    answer = ask(emu, "POST", "/llm/runsync", a=1)
    assert (answer["status"], "no such model" in answer["error"]) == ("FAILED", True)


def test_an_error_it_returns_fails_the_job(emu: Emulator):
    emu.handler("llm", lambda job: {"error": "out of memory"})
    answer = ask(emu, "POST", "/llm/runsync", a=1)
    assert (answer["status"], answer["error"]) == ("FAILED", "out of memory")


@pytest.mark.parametrize("aggregate", [False, True])
def test_a_generator_streams(emu: Emulator, aggregate: bool):
    def count(job: Any) -> Iterator[int]:
        yield from range(job["input"]["most"])

    emu.handler("llm", count, return_aggregate_stream=aggregate)
    job = ask(emu, "POST", "/llm/run", most=3)["id"]
    emu.wait_for(job=job)
    assert [part["output"] for part in ask(emu, "GET", f"/llm/stream/{job}")["stream"]] == [0, 1, 2]
    assert ask(emu, "GET", f"/llm/status/{job}").get("output") == ([0, 1, 2] if aggregate else [])


def test_an_async_generator_streams(emu: Emulator):
    async def count(job: Any) -> AsyncIterator[int]:
        for number in range(2):
            yield number

    emu.handler("llm", count)
    job = ask(emu, "POST", "/llm/run", most=3)["id"]
    emu.wait_for(job=job)
    assert [part["output"] for part in ask(emu, "GET", f"/llm/stream/{job}")["stream"]] == [0, 1]


def test_a_cancel_reaches_one_that_waits(emu: Emulator):
    began, left = threading.Event(), threading.Event()

    async def wait(job: Any) -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            left.set()
            raise

    emu.handler("llm", wait)
    job = ask(emu, "POST", "/llm/run", a=1)["id"]
    assert began.wait(10)
    assert ask(emu, "POST", f"/llm/cancel/{job}")["status"] == "CANCELLED"
    assert left.wait(10)
    emu.wait_for(idle=True)


def test_one_that_does_not_stop_goes_on_unheard_and_the_next_job_runs(emu: Emulator):
    began, may_end = threading.Event(), threading.Event()

    def wait(job: Any) -> str:
        if job["input"].get("long"):
            began.set()
            may_end.wait(10)
        return "done"

    emu.handler("llm", wait)
    job = ask(emu, "POST", "/llm/run", long=True)["id"]
    assert began.wait(10)
    ask(emu, "POST", f"/llm/cancel/{job}")
    assert ask(emu, "POST", "/llm/runsync", a=1)["output"] == "done"
    may_end.set()
    assert ask(emu, "GET", f"/llm/status/{job}")["status"] == "CANCELLED"


def test_virtual_time_stands_while_it_works(emu: Emulator):
    began, may_end = threading.Event(), threading.Event()

    def wait(job: Any) -> str:
        began.set()
        may_end.wait(10)
        return "done"

    emu.handler("llm", wait)
    job = ask(emu, "POST", "/llm/run", a=1)["id"]
    assert began.wait(10)
    moving = threading.Thread(target=emu.clock.advance, args=(60,))
    moving.start()
    may_end.set()
    moving.join(10)
    told = ask(emu, "GET", f"/llm/status/{job}")
    assert (told["status"], told["executionTime"]) == ("COMPLETED", 0)


def test_a_reset_takes_it_away(emu: Emulator):
    emu.handler("llm", lambda job: "mine")
    emu.reset()
    assert "no stub matches" in ask(emu, "POST", "/llm/runsync", a=1)["error"]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_stop_of_the_emulator_reaches_one_that_waits(concurrency: int):
    begun, ended = threading.Event(), threading.Event()

    async def waits(job: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with Emulator("llm", concurrency=concurrency) as emu:
        emu.handler("llm", waits)
        ask(emu, "POST", "/llm/run", a=1)
        assert begun.wait(10)
    assert ended.wait(10)


def test_it_is_refused_where_there_is_a_handler():
    with (
        Emulator(endpoint=["far"]) as emu,
        pytest.raises(ConfigurationError, match="endpoint far has a handler of its own"),
    ):
        emu.handler("far", print)


@table("is_async", [False, True])
@table("ends", [sys.exit, lambda: sys.exit(3), _interrupted])
def test_a_handler_that_ends_its_process_is_a_lost_worker(
    shared: Emulator, ends: Callable[[], Any], is_async: bool
) -> None:
    """As in a file: the job is tried again on a fresh worker, and fails when that is lost too."""
    shared.reset()
    runs: list[int] = []

    def handler(job: Any) -> str:
        runs.append(1)
        if job["input"].get("always") or len(runs) == 1:
            ends()
        return "second"

    async def asynchronous(job: Any) -> str:
        return handler(job)

    shared.handler("llm", asynchronous if is_async else handler)
    assert ask(shared, "POST", "/llm/runsync", a=1)["output"] == "second"
    assert ask(shared, "POST", "/llm/runsync", always=True)["status"] == "FAILED"
    assert [(job.status, job.retries) for job in shared.jobs("llm")] == [("FAILED", 1), ("COMPLETED", 1)]


def test_progress_is_reported_by_the_official_function(emu: Emulator, sdk: Any):
    """However it was imported, and for the job as it is or a copy of it."""
    progress_update = sdk.serverless.progress_update
    gate = threading.Semaphore(0)

    def handler(job: Any) -> str:
        sdk.serverless.progress_update(job, {"step": 1})
        progress_update(dict(job), "half\ud800")  # cannot be sent: it is ignored
        assert gate.acquire(timeout=60)
        progress_update(dict(job), {"step": 2})
        assert gate.acquire(timeout=60)
        return "done"

    emu.handler("llm", handler)
    job = ask(emu, "POST", "/llm/run", a=1)["id"]
    for step in (1, 2):
        until(lambda step=step: ask(emu, "GET", f"/llm/status/{job}").get("output") == {"step": step})
        gate.release()
    emu.wait_for(job=job)
    assert ask(emu, "GET", f"/llm/status/{job}")["output"] == "done"
    assert [one.event for one in emu.job(job).transitions].count("Progressed") == 2
    name = "runpod.serverless.modules.rp_progress"
    until(lambda: sys.modules[name]._thread_target.__module__ == name)  # it is put back as the handler's thread ends


def test_progress_is_reported_where_the_handler_imports_the_client(
    emu: Emulator, sdk: Any, monkeypatch: pytest.MonkeyPatch
):
    name = "runpod.serverless.modules.rp_progress"
    monkeypatch.setattr(sys.modules["runpod.serverless.modules"], "rp_progress", sys.modules[name])
    monkeypatch.delitem(sys.modules, name)

    def handler(job: Any) -> str:
        importlib.import_module(name).progress_update(job, "half")
        until(lambda: emu.link.world.history.of("llm", job["id"])[-1].event == "Progressed")
        return "done"

    emu.handler("llm", handler)
    assert ask(emu, "POST", "/llm/runsync", a=1)["output"] == "done"
    until(lambda: sys.modules[name]._thread_target.__module__ == name)  # it is put back as the handler's thread ends


def test_progress_of_other_jobs_goes_where_it_went(emu: Emulator, sdk: Any, monkeypatch: pytest.MonkeyPatch):
    official: list[Any] = []
    module = sys.modules["runpod.serverless.modules.rp_progress"]
    monkeypatch.setattr(module, "_thread_target", lambda job, progress: official.append((job["id"], progress)))

    def handler(job: Any) -> str:
        sdk.serverless.progress_update({"id": "of-another"}, 1)
        until(lambda: official)
        return "done"

    emu.handler("llm", handler)
    assert ask(emu, "POST", "/llm/runsync", a=1)["output"] == "done"
    assert official == [("of-another", 1)]
