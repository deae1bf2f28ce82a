"""What a backend that calls RunPod meets in production, each tested in a moment. Run: pytest examples"""

import asyncio

import pytest
from backend import Backend, Busy
from runpod_emulator import Emulator

pytestmark = pytest.mark.runpod_emulator("llm", clock="virtual")


@pytest.fixture
def backend(runpod_emulator: Emulator) -> Backend:
    return Backend(sleep=runpod_emulator.clock.advance)


def test_happy_path(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"delay": "3s", "output": "You said {{ input.prompt }}"})
    state = backend.wait(backend.submit("hello"))
    assert (state["status"], state["output"]) == ("COMPLETED", "You said hello")
    runpod_emulator.assert_requested(operation="run", body={"input": {"prompt": "hello"}}, count=1)


def test_cold_start(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.fault("cold_starts", delay="45s")
    runpod_emulator.stub(respond={"output": "late"})
    runpod_emulator.clock.advance(10)  # the worker of the start has left
    state = backend.wait(backend.submit("hello"))
    assert (state["status"], state["delayTime"]) == ("COMPLETED", 45_000)


def test_429_with_back_off(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.fault("status", status=429, headers={"Retry-After": 2}, operations=["run"], times=2)
    before = runpod_emulator.clock.now()
    assert backend.submit("hello")
    assert runpod_emulator.clock.now() - before == 4
    runpod_emulator.assert_requested(operation="run", count=3)


def test_429_without_an_end(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.fault("status", status=429, operations=["run"])
    with pytest.raises(Busy):
        backend.submit("hello")


def test_timeout(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"timeout": True, "delay": "30s"})
    state = backend.wait(backend.submit("hello"))
    assert (state["status"], state["error"]) == ("FAILED", "executionTimeout exceeded")


def test_failed_job_then_a_good_one(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond=[{"error": "CUDA out of memory"}, {"output": "ok"}])
    assert backend.wait(backend.submit("hello"))["error"] == "CUDA out of memory"
    assert backend.wait(backend.submit("hello"))["output"] == "ok"


def test_cancelled_job(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"never": True})
    assert backend.wait(backend.submit("hello"), patience=5)["status"] == "CANCELLED"


def test_webhook_lost_twice_then_delivered(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"output": "done"})
    runpod_emulator.fault("webhook_lost", times=2)
    backend.submit("hello", webhook=runpod_emulator.webhooks.url)
    runpod_emulator.clock.run_until_idle()
    assert [call.json["output"] for call in runpod_emulator.webhooks.received] == ["done"]


def test_result_expired(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"output": "done"})
    job = backend.submit("hello")
    runpod_emulator.clock.advance(30 * 60 + 1)
    assert backend.state(job)["status"] == "EXPIRED"


def test_a_function_is_the_handler(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.handler("llm", lambda job: job["input"]["prompt"].upper())
    assert backend.wait(backend.submit("hello"))["output"] == "HELLO"


def test_in_an_event_loop(runpod_emulator: Emulator, backend: Backend) -> None:
    async def main() -> None:
        job = await asyncio.to_thread(backend.submit, "hello", webhook=runpod_emulator.webhooks.url)
        await runpod_emulator.aio.clock.run_until_idle()
        await runpod_emulator.aio.wait_for(job=job, webhooks=1)
        await runpod_emulator.aio.assert_requested(operation="run", count=1)

    runpod_emulator.stub(respond={"delay": "5m", "output": "done"})
    asyncio.run(main())
