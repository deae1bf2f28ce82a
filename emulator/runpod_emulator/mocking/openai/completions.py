"""Text completions: an object, or the chunks of a stream."""

from __future__ import annotations

from collections.abc import Generator
from itertools import accumulate
from typing import Any

from runpod_emulator.core.mocks.script import Said
from runpod_emulator.mocking.openai import tokens
from runpod_emulator.mocking.openai.answers import DONE, Choice, Turn, choice, event, ticks, usage, whole
from runpod_emulator.mocking.openai.asked import Completion, read, texts_of
from runpod_emulator.mocking.openai.forms import formed

MOST_TOKENS = 16
"""Of a completion that says nothing of `max_tokens`, at vLLM as at OpenAI."""


def complete(turn: Turn) -> Generator[Said, None, None]:
    """Answer one request; raises ModelError."""
    asked = read(turn.body, Completion)
    head = {"id": f"cmpl-{turn.scene.job}", "created": turn.created, "model": turn.named(asked.model)}
    prompts = texts_of(asked.prompt, "prompt")
    counts = [tokens.count(text) for text in prompts]
    room = turn.room(max(counts), asked.max_tokens or MOST_TOKENS)
    choices = list(_choices(turn, asked, prompts, room))
    if asked.stream:
        yield from _stream(turn, asked, head, sum(counts), choices)
        return
    answer = {
        **head,
        "object": "text_completion",
        "choices": [_part(asked, one, one.tokens, one.finish) for one in choices],
        "usage": usage(sum(counts), choices),
    }
    yield from whole(turn, sum(counts), choices, answer)


def _choices(turn: Turn, asked: Completion, prompts: list[str], room: int) -> Generator[Choice, None, None]:
    each = asked.n or 1
    for place, prompt in enumerate(prompts):
        for number in range(each):
            index = place * each + number
            chance = turn.chance(index)
            text = turn.say(prompt, chance)
            if turn.text is None:
                text = formed(asked.response_format, text, chance)
            one = choice(turn, asked, text, index, room, chance)
            if asked.echo:
                one.tokens[:0] = tokens.cut(prompt)
            yield one


def _stream(
    turn: Turn, asked: Completion, head: dict[str, Any], prompt: int, choices: list[Choice]
) -> Generator[Said, None, None]:
    head = {**head, "object": "text_completion"}
    at = 0.0
    for at, said in ticks(turn, prompt, choices):
        for one, place in said:
            yield Said(at, event({**head, "choices": [_part(asked, one, one.tokens[place : place + 1], None)]}))
    for one in choices:
        yield Said(at, event({**head, "choices": [_part(asked, one, [], one.finish)]}))
    if asked.counts:
        yield Said(at, event({**head, "choices": [], "usage": usage(prompt, choices)}))
    yield Said(at, DONE)


def _part(asked: Completion, one: Choice, said: list[str], finish: str | None) -> dict[str, Any]:
    weighed = None if asked.logprobs is None else _weighed(asked.logprobs, one, said)
    return {
        "index": one.index, "text": "".join(said), "logprobs": weighed, "finish_reason": finish,
        "stop_reason": one.stop if finish else None,
    }  # fmt: skip


def _weighed(most: int, one: Choice, said: list[str]) -> dict[str, Any]:
    weighed = [tokens.weigh(token, most, one.chance) for token in said]
    places = list(accumulate(map(len, said[:-1]), initial=0)) if said else []
    return {
        "tokens": said,
        "token_logprobs": [each.logprob for each in weighed],
        "top_logprobs": [dict(each.others) for each in weighed],
        "text_offset": places,
    }
