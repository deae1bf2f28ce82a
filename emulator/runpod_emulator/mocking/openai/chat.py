"""Chat completions: an object, or the chunks of a stream."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

from runpod_emulator.core.mocks.script import Said
from runpod_emulator.mocking.openai import tokens
from runpod_emulator.mocking.openai.answers import DONE, Choice, Turn, choice, event, ticks, usage, whole
from runpod_emulator.mocking.openai.asked import Chat, read
from runpod_emulator.mocking.openai.forms import formed
from runpod_emulator.mocking.openai.tools import called, chosen

PER_MESSAGE = 3
"""Tokens that a chat template puts around each message."""


def chat(turn: Turn) -> Generator[Said, None, None]:
    """Answer one request; raises ModelError."""
    asked = read(turn.body, Chat)
    head = {"id": f"chatcmpl-{turn.scene.job}", "created": turn.created, "model": turn.named(asked.model)}
    prompt = sum(tokens.count(message.text) + PER_MESSAGE for message in asked.messages)
    room = turn.room(prompt, asked.max_completion_tokens or asked.max_tokens)
    choices = [_choice(turn, asked, index, room) for index in range(asked.n or 1)]
    if asked.stream:
        yield from _stream(turn, asked, head, prompt, choices)
        return
    answer = {
        **head,
        "object": "chat.completion",
        "choices": [_whole(asked, one) for one in choices],
        "usage": usage(prompt, choices),
    }
    yield from whole(turn, prompt, choices, answer)


def _choice(turn: Turn, asked: Chat, index: int, room: int) -> Choice:
    chance = turn.chance(index)
    tool = None if turn.text is not None else chosen(asked)
    if tool is not None:
        return called(tool, asked, index, room, chance)
    question = next((one.text for one in reversed(asked.messages) if one.role == "user"), asked.messages[-1].text)
    text = turn.say(question, chance)
    if turn.text is None:
        text = formed(asked.response_format, text, chance)
    return choice(turn, asked, text, index, room, chance)


def _whole(asked: Chat, one: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": one.text}
    if one.function:
        call = {"id": one.call, "type": "function", "function": {"name": one.function, "arguments": one.text}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    weighed = {"content": [_weighed(asked, token, one.chance) for token in one.tokens]} if asked.logprobs else None
    return {
        "index": one.index, "message": message, "logprobs": weighed, "finish_reason": one.finish,
        "stop_reason": one.stop,
    }  # fmt: skip


def _stream(
    turn: Turn, asked: Chat, head: dict[str, Any], prompt: int, choices: list[Choice]
) -> Generator[Said, None, None]:
    head = {**head, "object": "chat.completion.chunk"}

    def chunk(one: Choice, delta: dict[str, Any], logprobs: Any = None, end: str | None = None) -> bytes:
        part = {"index": one.index, "delta": delta, "logprobs": logprobs, "finish_reason": end}
        return event({**head, "choices": [part]})

    at = 0.0
    for number, (at, said) in enumerate(ticks(turn, prompt, choices)):
        if not number:
            yield from (Said(at, chunk(one, _first(one))) for one in choices)
        for one, place in said:
            token = one.tokens[place]
            weighed = {"content": [_weighed(asked, token, one.chance)]} if asked.logprobs else None
            yield Said(at, chunk(one, _delta(one, token), weighed))
    yield from (Said(at, chunk(one, {}, end=one.finish)) for one in choices)
    if asked.counts:
        yield Said(at, event({**head, "choices": [], "usage": usage(prompt, choices)}))
    yield Said(at, DONE)


def _first(one: Choice) -> dict[str, Any]:
    if not one.function:
        return {"role": "assistant", "content": ""}
    begun = {"index": 0, "id": one.call, "type": "function", "function": {"name": one.function, "arguments": ""}}
    return {"role": "assistant", "content": None, "tool_calls": [begun]}


def _delta(one: Choice, token: str) -> dict[str, Any]:
    if not one.function:
        return {"content": token}
    return {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}


def _weighed(asked: Chat, token: str, chance: random.Random) -> dict[str, Any]:
    return tokens.chat_logprob(tokens.weigh(token, asked.top_logprobs or 0, chance))
