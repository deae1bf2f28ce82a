"""A model inside a Python program: on a virtual clock, in namespaces, after a reset."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN

HELLO = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 10}


def ask(emu: Any, **more: Any) -> httpx.Response:
    url, headers = f"{emu.base_url}/llm/openai/v1/chat/completions", {"authorization": emu.key}
    return httpx.post(url, headers=headers, json={**HELLO, **more}, timeout=30, **PLAIN)


def said(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def test_the_seed_decides_what_is_said_also_after_a_reset() -> None:
    with Emulator(openai=["llm"], seed=7) as emu:
        first = said(ask(emu))
        emu.stub(endpoint="llm", respond={"openai": {"text": "stub"}})
        assert said(ask(emu)) == "stub"
        emu.reset()
        assert said(ask(emu)) == first
    with Emulator("llm", openai=["llm"], seed=8) as emu:
        assert said(ask(emu)) != first


def test_a_stream_comes_when_a_test_moves_the_clock() -> None:
    with Emulator(openai=["llm"], clock="virtual", ttft="5m", tokens_per_second=0.1) as emu:
        answers: list[httpx.Response] = []
        client = threading.Thread(target=lambda: answers.append(ask(emu, stream=True)))
        client.start()
        emu.wait_for(status="IN_PROGRESS")
        emu.clock.advance("389s")
        assert emu.jobs()[0].status == "IN_PROGRESS"
        emu.clock.advance("1s")  # nine tokens after the first, each 10 s later
        client.join(30)
        assert answers[0].text.endswith("data: [DONE]\n\n")
        assert emu.jobs()[0].status == "COMPLETED"


def test_an_endpoint_is_served_by_one() -> None:
    with (
        pytest.raises(ConfigurationError, match="two handlers for endpoint llm"),
        Emulator(openai=["llm"], endpoint=["llm"]),
    ):
        pass
