"""What a stub lets the model say otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from runpod_emulator.core.mocks.pace import ModelSettings, Pace
from runpod_emulator.mocking.models import Response
from runpod_emulator.mocking.openai import LazyModel

from tests.mocking.mocks import mock_world
from tests.mocking.openai.models import CHAT, HELLO
from tests.tables import table

ASKED = {"openai_route": CHAT, "openai_input": {**HELLO, "user": "Ann"}}


@table(
    ("written", "status", "said"),
    [
        ({"text": "Hi, {{ input.openai_input.user }}"}, None, "Hi, Ann"),
        ({}, None, "hello"),
        ({"error": "context_length"}, 400, "This model's maximum context length is 131072 tokens."),
        ({"error": "unknown_model"}, 404, "The model `any` does not exist."),
        ({"error": "rate_limit"}, 429, "Rate limit reached"),
        ({"error": "overloaded"}, 503, "The server is overloaded"),
    ],
)
async def test_what_it_says(written: dict[str, Any], status: int | None, said: str) -> None:
    async with mock_world(model=LazyModel(ModelSettings(text="echo"))) as world:
        world.stub(respond={"openai": written})
        ended, output, _ = await world.ended(ASKED)
        text = output[0]["message"] if status else output[0]["choices"][0]["message"]["content"]
        assert (ended, output[0].get("code")) == ("COMPLETED", status)
        assert text.startswith(said)


async def test_how_fast_it_says_it_and_what_is_not_said_is_as_without_the_stub() -> None:
    async with mock_world(model=LazyModel(ModelSettings(pace=Pace(tokens_per_second=2)))) as world:
        world.stub(respond={"openai": {"text": "one two three", "ttft": "1s"}})
        job = await world.submit(ASKED)
        await world.pass_by(1_999)
        assert await world.status(job) == "IN_PROGRESS"
        await world.pass_by(1)
        assert await world.status(job) == "COMPLETED"


async def test_an_endpoint_without_a_model_has_one_for_such_a_stub() -> None:
    async with mock_world() as world:
        world.stub(respond={"openai": {"text": "Hi"}})
        _, output, _ = await world.ended(ASKED)
        assert output[0]["choices"][0]["message"]["content"] == "Hi"


async def test_a_template_that_fails_fails_the_job() -> None:
    async with mock_world(model=LazyModel(ModelSettings())) as world:
        world.stub(id="llm", respond={"openai": {"text": "{{ input.nope }}"}})
        status, _, error = await world.ended(ASKED)
        assert status == "FAILED"
        assert (error or "").startswith("stub llm.openai.text: the template {{ input.nope }} failed")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"text": "a", "error": "rate_limit"}, "text and error exclude each other"),
        ({"error": "other"}, "Input should be 'context_length', 'unknown_model', 'rate_limit' or 'overloaded'"),
        ({"tokens_per_second": 0}, "Input should be greater than 0"),
        ({"jitter": 2}, "Input should be less than or equal to 1"),
        ({"ttft": "soon"}, "write milliseconds"),
        ({"txt": "a"}, "no such key; the nearest is text"),
        ("hi", 'write an answer of the model as a mapping, such as {text: "hello"}'),
    ],
)
def test_what_is_refused(written: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Response.model_validate({"openai": written})
    assert said in str(caught.value)


@pytest.mark.parametrize("other", [{"output": 1}, {"error": "x"}, {"stream": ["a"]}, {"crash": True}, {"delay": "1s"}])
def test_it_stands_alone(other: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="openai stands alone"):
        Response.model_validate({"openai": {}, **other})
