"""Which routes the model knows, in which forms it is asked, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runpod_emulator.core.mocks.pace import ModelSettings, Pace
from runpod_emulator.core.mocks.script import ScriptError
from runpod_emulator.core.settings import Span
from runpod_emulator.mocking.openai.model import Model

from tests.mocking.mocks import mock_world, scene
from tests.mocking.openai.models import CHAT, HELLO, answer, pieces
from tests.tables import table

ROUTES = {
    CHAT: HELLO,
    "/v1/completions": {"prompt": "a"},
    "/v1/embeddings": {"input": "a"},
    "/v1/responses": {"input": "a"},
}


@table(("route", "body"), list(ROUTES.items()))
@table(
    ("names", "asked", "answered"),
    [
        ((), "org/any", "org/any"),
        ((), None, "emulator/any"),
        (("tiny", "big"), "big", "big"),
        (("tiny",), None, "tiny"),
    ],
)
def test_any_name_is_served_unless_told_which(
    route: str, body: Any, names: tuple[str, ...], asked: str | None, answered: str
) -> None:
    assert answer({**body, "model": asked}, route, names=names)["model"] == answered


@table(("route", "body"), list(ROUTES.items()))
@table("stream", [False, True])
def test_another_name_does_not_exist(route: str, body: Any, stream: bool) -> None:
    got = answer({**body, "model": "other", "stream": stream}, route, names=("tiny",))
    assert got == {
        "object": "error", "code": 404, "type": "NotFoundError", "param": None,
        "message": "The model `other` does not exist.",
    }  # fmt: skip


@table(
    ("names", "route", "ids"),
    [
        ((), "/v1/models", ["emulator/any"]),
        (("tiny", "big"), "/v1/models", ["tiny", "big"]),
        ((), "/v1/models/org%2Fx", "org/x"),
        (("org/x",), "/v1/models/org%2Fx", "org/x"),
    ],
)
def test_models(names: tuple[str, ...], route: str, ids: Any) -> None:
    got = answer({}, route, names=names, max_model_len=77)
    cards = got["data"] if route == "/v1/models" else [got]
    assert ([one["id"] for one in cards] if isinstance(ids, list) else got["id"]) == ids
    assert all(one["max_model_len"] == 77 for one in cards)


def test_a_model_that_is_not_served_has_no_card() -> None:
    assert answer({}, "/v1/models/other", names=("tiny",))["code"] == 404


@table("route", ["/v1/other", "/", "", "/v1/chat/completions/", "/v1/messages"])
def test_a_route_that_is_none(route: str) -> None:
    got = answer({}, route)
    assert (got["code"], got["message"]) == (404, f"Invalid route: {route}")


@table(
    ("given", "kind"),
    [
        ({"openai_route": CHAT, "openai_input": HELLO}, "chat.completion"),
        ({"route": CHAT, "method": "POST", "body": HELLO}, "chat.completion"),
        (HELLO, "chat.completion"),
        ({"prompt": "a", "sampling_params": {"max_tokens": 2}}, "text_completion"),
        ({"prompt": "a", "sampling_params": "none"}, "text_completion"),
    ],
)
async def test_jobs_of_the_queue_api_may_ask_it_too(given: Any, kind: str) -> None:
    async with mock_world(model=Model(ModelSettings())) as world:
        status, output, _ = await world.ended(given)
        assert (status, [one["object"] for one in output]) == ("COMPLETED", [kind])


@table("given", [{}, {"text": "x"}, [], "x", None, 5, {"openai_route": 5}, {"route": None}])
def test_a_job_that_is_no_request_fails_and_says_what_to_write(given: Any) -> None:
    with pytest.raises(ScriptError, match="the input has no openai_route: call /v2/<endpoint>/openai/v1/"):
        list(Model(ModelSettings())(scene([] if given is None else given)))


@table(
    ("body", "param", "said"),
    [
        (None, None, "Expected `object`, got `null`"),
        ([], None, "Expected `object`, got `array`"),
        ({}, "messages", "Object missing required field `messages`"),
        ({"messages": None}, "messages", "messages: Expected `array`, got `null`"),
        ({"messages": []}, "messages", "messages: Expected `array` of length >= 1"),
        ({"messages": ["hi"]}, "messages[0]", "messages[0]: Expected `object`, got `str`"),
        ({"messages": [{"content": "a"}]}, "messages[0].role", "messages[0]: Object missing required field `role`"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "messages[0].content: Expected"),
        ({**HELLO, "n": 0}, "n", "n: Expected `int` >= 1"),
        ({**HELLO, "n": 10**9}, "n", "n: Expected `int` <= 128"),
        ({**HELLO, "temperature": 2.1}, "temperature", "temperature: Expected `float` <= 2.0"),
        ({**HELLO, "temperature": -1}, "temperature", "temperature: Expected `float` >= 0.0"),
        ({**HELLO, "top_p": 0}, "top_p", "top_p: Expected `float` > 0.0"),
        ({**HELLO, "max_tokens": 0}, "max_tokens", "max_tokens: Expected `int` >= 1"),
        ({**HELLO, "max_tokens": "5"}, "max_tokens", "max_tokens: Expected `int | null`, got `str`"),
        ({**HELLO, "top_logprobs": 21}, "top_logprobs", "top_logprobs: Expected `int` <= 20"),
        ({**HELLO, "model": 5}, "model", "model: Expected `str | null`, got `int`"),
        ({**HELLO, "stream": "yes"}, "stream", "stream: Expected `bool | null`, got `str`"),
        ({**HELLO, "stop": 5}, "stop", "stop: Expected"),
        ({**HELLO, "response_format": {"type": "xml"}}, "response_format.type", "response_format.type: Invalid enum"),
        ({**HELLO, "response_format": {"type": "json_schema"}}, "response_format", "response_format: json_schema need"),
    ],
)
def test_what_is_refused(body: Any, param: str | None, said: str) -> None:
    got = answer(body)
    assert (got["object"], got["code"], got["type"]) == ("error", 400, "BadRequestError")
    assert got["message"].startswith(said)
    assert got["param"] == param


@table(
    ("route", "body", "requested"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 5}, 11),
        (CHAT, {"messages": [{"role": "user", "content": "one two three four five six seven eight"}]}, 12),
        ("/v1/completions", {"prompt": "one", "max_tokens": 10}, 11),
        ("/v1/embeddings", {"input": ["one", "a " * 50]}, 51),
        ("/v1/responses", {"input": "one", "max_output_tokens": 10**6}, 10**6 + 1),
    ],
)
def test_more_tokens_than_it_takes(route: str, body: Any, requested: int) -> None:
    got = answer(body, route, max_model_len=10)
    assert (got["code"], got["type"]) == (400, "BadRequestError")
    assert got["message"].startswith("This model's maximum context length is 10 tokens. However, you requested ")


def test_a_huge_prompt_is_refused_at_once() -> None:
    text = "word " * 4_000_000
    assert answer({"messages": [{"role": "user", "content": text}]})["code"] == 400
    assert answer({"messages": [{"role": "user", "content": text}]}, max_model_len=10**9, text="echo")["choices"]


def test_an_answer_comes_when_its_last_token_does() -> None:
    pace = Pace(Span(200, 200), 50)
    *_, said = pieces({**HELLO, "max_tokens": 5}, pace=pace)
    assert round(said.at, 3) == 280
    streamed = pieces({**HELLO, "max_tokens": 5, "stream": True}, pace=pace)
    assert [round(one.at, 3) for one in streamed] == [200, 200, 220, 240, 260, 280, 280, 280]


async def test_stream_chunks_come_in_their_time() -> None:
    settings = ModelSettings(text="echo", pace=Pace(Span(1_000, 1_000), 4))
    async with mock_world(model=Model(settings)) as world:
        body = {"messages": [{"role": "user", "content": "one two three"}], "stream": True}
        job = await world.submit({"openai_route": CHAT, "openai_input": body})
        came = []
        for _ in range(7):
            await world.pass_by(250)
            came.append(len(await world.chunks(job)))
        assert came == [0, 0, 0, 2, 1, 3, 0], "role and first token at 1 s, one each 250 ms, then the end"
        assert await world.status(job) == "COMPLETED"


async def test_more_in_flight_make_it_slower() -> None:
    model = Model(ModelSettings(text="echo", pace=Pace(tokens_per_second=10, load_factor=1)))
    async with mock_world(model=model, concurrency=2) as world:
        given = {"openai_route": CHAT, "openai_input": {"messages": [{"role": "user", "content": "a b c d e"}]}}
        job_ids = [await world.submit(given), await world.submit(given)]
        await world.pass_by(500)
        assert [await world.status(one) for one in job_ids] == ["IN_PROGRESS"] * 2
        await world.pass_by(400)
        assert [await world.status(one) for one in job_ids] == ["COMPLETED"] * 2
        alone = await world.submit(given)
        await world.pass_by(400)
        assert await world.status(alone) == "COMPLETED"


async def test_a_cancelled_request_is_not_in_flight_any_more() -> None:
    model = Model(ModelSettings(pace=Pace(tokens_per_second=1)))
    async with mock_world(model=model) as world:
        job = await world.submit({"openai_route": CHAT, "openai_input": {**HELLO, "stream": True}})
        await world.pass_by(2_000)
        await world.endpoint.cancel(job)
        await world.pass_by()
        assert (await world.status(job), model.meter.running) == ("CANCELLED", 0)


async def test_stubs_that_fit_go_before_the_model() -> None:
    async with mock_world(model=Model(ModelSettings(text="echo"))) as world:
        world.stub(match={"input": {"openai_input": {"user": "Ann"}}}, respond={"output": "stub"})
        stubbed = await world.ended({"openai_route": CHAT, "openai_input": {**HELLO, "user": "Ann"}})
        _, output, _ = await world.ended({"openai_route": CHAT, "openai_input": HELLO})
        assert stubbed == ("COMPLETED", "stub", None)
        assert output[0]["choices"][0]["message"]["content"] == "hello"


_NAMES = (
    "model", "messages", "role", "content", "prompt", "input", "stream", "n", "max_tokens", "max_output_tokens", "stop",
    "tools", "tool_choice", "function", "name", "parameters", "type", "response_format", "json_schema", "schema",
    "text", "format", "logprobs", "top_logprobs", "dimensions", "encoding_format", "stream_options", "temperature",
)  # fmt: skip
_LEAVES = (
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.sampled_from(("user", "tool", "function", "json_schema", "object", "string", "auto", "required", "base64"))
)  # fmt: skip
_ANYTHING = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=6)
)
_BODIES = st.dictionaries(st.sampled_from(_NAMES), _ANYTHING, max_size=8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(route=st.sampled_from([*ROUTES, "/v1/models/x"]), body=_BODIES | _ANYTHING, sound=st.booleans())
def test_whatever_is_asked_is_answered_in_json(route: str, body: Any, sound: bool) -> None:
    if sound and isinstance(body, dict):  # so that more than the first member is looked at
        body = {**body, **ROUTES.get(route, {})}
    for said in pieces(body, route, max_model_len=300):
        assert said.chunk is None or json.loads(said.chunk) is not None
