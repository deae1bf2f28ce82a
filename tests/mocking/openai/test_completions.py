"""Completions of texts and of token ids."""

from __future__ import annotations

from typing import Any

from tests.mocking.openai.models import answer, events
from tests.tables import table

ROUTE = "/v1/completions"


def test_a_completion_has_sixteen_tokens_unless_it_says_otherwise() -> None:
    got = answer({"model": "any", "prompt": "hello"}, ROUTE)
    assert (got["object"], got["usage"]) == (
        "text_completion", {"prompt_tokens": 1, "completion_tokens": 16, "total_tokens": 17},
    )  # fmt: skip
    assert (got["choices"][0]["finish_reason"], got["choices"][0]["logprobs"]) == ("length", None)


@table(
    ("prompt", "tokens"), [("one two", 2), (["one", "two"], 2), ([17, 4, 9], 3), ([[1, 2], [3]], 3), (["a b", "c"], 3)]
)
def test_what_a_prompt_may_be(prompt: Any, tokens: int) -> None:
    got = answer({"prompt": prompt, "n": 2}, ROUTE)
    prompts = len(prompt) if isinstance(prompt, list) and prompt != [17, 4, 9] else 1
    assert (got["usage"]["prompt_tokens"], len(got["choices"])) == (tokens, 2 * prompts)
    assert [one["index"] for one in got["choices"]] == list(range(2 * prompts))


@table("more", [{}, {"echo": True}, {"n": 2, "max_tokens": 40}, {"stop": "a"}])
def test_a_stream_says_what_an_answer_says(more: dict[str, Any]) -> None:
    body = {"prompt": "hello you", **more}
    whole = answer(body, ROUTE)
    *chunks, usage, done = events({**body, "stream_options": {"include_usage": True}}, ROUTE)
    assert (done, usage["usage"]) == ("[DONE]", whole["usage"])
    for choice in whole["choices"]:
        own = [one["choices"][0] for one in chunks if one["choices"][0]["index"] == choice["index"]]
        assert "".join(one["text"] for one in own) == choice["text"]
        assert own[-1]["finish_reason"] == choice["finish_reason"]
        assert choice["text"].startswith("hello you") == ("echo" in more)


def test_logprobs() -> None:
    logprobs = answer({"prompt": "hello", "logprobs": 3, "max_tokens": 4}, ROUTE)["choices"][0]["logprobs"]
    assert len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) == len(logprobs["top_logprobs"]) == 4
    assert logprobs["text_offset"] == [len("".join(logprobs["tokens"][:place])) for place in range(4)]
    assert all(len(one) == 3 for one in logprobs["top_logprobs"])


@table(
    ("body", "said"),
    [
        ({}, "Object missing required field `prompt`"),
        ({"prompt": []}, "prompt: Expected `array` of length >= 1"),
        ({"prompt": None}, "prompt: Expected `str | array`, got `null`"),
        ({"prompt": ["a", 1]}, "prompt: write texts, token ids or lists of token ids, not several of these"),
        ({"prompt": ["a"] * 2_049}, "prompt: at most 2048 in one request, got 2049"),
        ({"prompt": "a", "logprobs": 21}, "logprobs: Expected `int` <= 20"),
    ],
)
def test_what_is_refused(body: dict[str, Any], said: str) -> None:
    got = answer(body, ROUTE)
    assert (got["code"], got["type"], got["message"]) == (400, "BadRequestError", said)
