"""Chats: one answer, or a stream that says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from runpod_emulator.mocking.openai.answers import SAID_AT_MOST

from tests.mocking.openai.models import HELLO, answer, events
from tests.tables import table


def test_an_answer_has_the_shape_that_clients_read() -> None:
    got = answer(HELLO)
    (choice,) = got["choices"]
    assert (got["object"], got["model"], got["created"]) == ("chat.completion", "any", 1_700_000_000)
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "stop", "assistant")
    assert got["usage"]["total_tokens"] == got["usage"]["prompt_tokens"] + got["usage"]["completion_tokens"]
    assert len(choice["message"]["content"].split()) >= 16


@table("more", [{}, {"n": 3}, {"stop": [" ut", "dolor"]}, {"max_tokens": 7}, {"logprobs": True, "top_logprobs": 2}])
def test_a_stream_says_what_an_answer_says(more: dict[str, Any]) -> None:
    whole = answer({**HELLO, **more})
    *chunks, usage, done = events({**HELLO, **more, "stream_options": {"include_usage": True}})
    assert (done, usage["choices"], usage["usage"]) == ("[DONE]", [], whole["usage"])
    for choice in whole["choices"]:
        own = [one["choices"][0] for one in chunks if one["choices"][0]["index"] == choice["index"]]
        assert "".join(one["delta"].get("content", "") for one in own) == choice["message"]["content"]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert [one["finish_reason"] for one in own] == [None] * (len(own) - 1) + [choice["finish_reason"]]
        weighed = [item for one in own if one["logprobs"] for item in one["logprobs"]["content"]]
        assert weighed == (choice["logprobs"] or {"content": []})["content"]


def test_without_include_usage_no_chunk_has_it() -> None:
    assert all("usage" not in one for one in events(HELLO)[:-1])


def test_the_same_seed_says_the_same_and_another_something_else() -> None:
    first, again, other = (answer(HELLO, seed=seed)["choices"][0]["message"]["content"] for seed in (1, 1, 2))
    asked = answer({**HELLO, "seed": 5})["choices"][0]["message"]["content"]
    assert first == again
    assert len({first, other, asked}) == 3


def test_choices_differ() -> None:
    texts = [one["message"]["content"] for one in answer({**HELLO, "n": 4})["choices"]]
    assert len(set(texts)) == 4


@table(
    ("more", "text", "finish", "stop"),
    [
        ({}, "You say: hello, dear model", "stop", None),
        ({"max_tokens": 2}, "You say", "length", None),
        ({"max_completion_tokens": 1, "max_tokens": 9}, "You", "length", None),
        ({"stop": ","}, "You say: hello", "stop", ","),
        ({"stop": ["model", " hello"]}, "You say:", "stop", " hello"),
        ({"stop": "hello", "include_stop_str_in_output": True}, "You say: hello", "stop", "hello"),
        ({"stop": ["", "nothing"]}, "You say: hello, dear model", "stop", None),
    ],
)
def test_where_an_answer_ends(more: dict[str, Any], text: str, finish: str, stop: str | None) -> None:
    body = {"messages": [{"role": "user", "content": "You say: hello, dear model"}], **more}
    (choice,) = answer(body, text="echo")["choices"]
    assert (choice["message"]["content"], choice["finish_reason"], choice["stop_reason"]) == (text, finish, stop)


def test_echo_repeats_the_last_user_message_which_may_come_in_parts() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": None}]
    assert answer({"messages": messages}, text="echo")["choices"][0]["message"]["content"] == "look"


def test_an_answer_may_go_on_until_its_last_token() -> None:
    got = answer({**HELLO, "ignore_eos": True, "max_tokens": 500})
    assert (got["usage"]["completion_tokens"], got["choices"][0]["finish_reason"]) == (500, "length")


@table("more", [{"n": 128}, {"n": 2, "ignore_eos": True}, {"ignore_eos": True}])
def test_all_choices_together_are_bounded(more: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "a " * 60_000}]
    got = answer({"messages": messages, "max_tokens": 1_000_000, **more}, text="echo", max_model_len=10**9)
    assert SAID_AT_MOST * 0.9 < got["usage"]["completion_tokens"] <= SAID_AT_MOST
    assert {one["finish_reason"] for one in got["choices"]} == {"length"}


def test_logprobs_are_probabilities() -> None:
    content = answer({**HELLO, "logprobs": True, "top_logprobs": 4})["choices"][0]["logprobs"]["content"]
    for one in content:
        assert one["logprob"] <= 0
        assert bytes(one["bytes"]).decode() == one["token"]
        assert len(one["top_logprobs"]) == 4
        assert max(one["top_logprobs"], key=lambda other: other["logprob"])["token"]
    assert answer(HELLO)["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(("form", "check"), [("json_object", dict), ("text", str)])
def test_the_form_of_an_answer(form: str, check: type) -> None:
    text = answer({**HELLO, "response_format": {"type": form}})["choices"][0]["message"]["content"]
    assert isinstance(json.loads(text) if form == "json_object" else text, check)


def test_an_answer_fits_its_schema() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 3}}, "required": ["age"]}
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    text = answer({**HELLO, "response_format": form})["choices"][0]["message"]["content"]
    assert json.loads(text)["age"] >= 3
    streamed = events({**HELLO, "response_format": form})[:-1]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in streamed) == text
