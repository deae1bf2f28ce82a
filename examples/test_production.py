"""Five things that go wrong between a backend and RunPod, and a chat that goes well. Run: pytest examples"""

import openai
import pytest
from backend import Backend
from runpod_emulator import Emulator

pytestmark = pytest.mark.runpod_emulator("llm")


@pytest.fixture
def backend(runpod_emulator: Emulator) -> Backend:
    return Backend(sleep=lambda seconds: None)  # the clock leaves out what nobody needs


def test_429_and_then_the_same_body_again(runpod_emulator: Emulator, backend: Backend) -> None:
    fault = runpod_emulator.fault("status", status=429, headers={"Retry-After": 2}, operations=["run"], times=2)
    backend.submit("hello")
    runpod_emulator.assert_requested(operation="run", body={"input": {"prompt": "hello"}}, count=3)
    assert fault.struck == 2


def test_a_cold_start(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"output": "late"})
    runpod_emulator.fault("cold_starts", delay="45s")
    state = backend.wait(backend.submit("hello"))
    assert state["status"] == "COMPLETED" and state["delayTime"] >= 45_000


def test_a_webhook_that_is_lost_twice(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"output": "done"})
    runpod_emulator.fault("webhook_lost", times=2)
    backend.submit("hello", webhook=runpod_emulator.webhooks.url)
    runpod_emulator.wait_for(webhooks=1)
    runpod_emulator.webhooks.assert_received(body={"output": "done"}, count=1)


@pytest.mark.runpod_emulator(clock="virtual")
def test_a_result_that_has_expired(runpod_emulator: Emulator, backend: Backend) -> None:
    runpod_emulator.stub(respond={"output": "done"})
    job = backend.submit("hello")
    runpod_emulator.clock.advance("31m")
    assert backend.state(job)["status"] == "EXPIRED"


def test_a_streamed_chat(runpod_emulator: Emulator) -> None:
    parts = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("Hel", "lo")]
    runpod_emulator.stub(respond={"stream": parts})
    client = openai.OpenAI(base_url=f"{runpod_emulator.base_url}/llm/openai/v1", api_key=runpod_emulator.key)
    asked = [{"role": "user", "content": "hi"}]
    chunks = client.chat.completions.create(model="any", messages=asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
