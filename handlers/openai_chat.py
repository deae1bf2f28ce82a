r"""The OpenAI routes of an endpoint: chat, completions, embeddings and models, without a model.

A request to `/v2/openai_chat/openai/v1/chat/completions` becomes a job with `openai_route` and `openai_input`; what
is yielded is the bare answer. Without `stream` that is one object, with it the text of server-sent events, as
the public vLLM worker yields them. Every reply is made from the last user message, a token is a word, and a vector
comes from a hash. Any model name will do unless `OPENAI_SERVED_MODEL_NAME_OVERRIDE` says which. `TOKEN_DELAY` is
seconds a token.

Jobs of `/run` and `/runsync` may have the same two members, or `route` and `body`, or those of the request below,
which is the worker's own form. Its answer has the shape that the pages of RunPod show, whole or in growing batches:
`[{"choices": [{"tokens": ["…"]}], "usage": {"output": 3, "input": 1}}]`. Since its release 2.24 the worker answers
such jobs in OpenAI's shape: `NATIVE_OUTPUT=openai` does so too.

Request:
    {"input": {"messages": [{"role": "user", "content": "hello"}], "sampling_params": {"max_tokens": 16}}}

Try it:
    curl http://127.0.0.1:8000/v2/openai_chat/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' \
        -d '{"input": {"messages": [{"role": "user", "content": "hello"}], "sampling_params": {"max_tokens": 16}}}'
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import random
import re
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import unquote

import runpod

SERVED = os.environ.get("OPENAI_SERVED_MODEL_NAME_OVERRIDE")
MODEL = SERVED or "emulator/echo"
"""What the model is called where a request names none."""
TOKEN_DELAY = float(os.environ.get("TOKEN_DELAY") or 0)
NATIVE_OUTPUT = os.environ.get("NATIVE_OUTPUT") or "tokens"
JOBS_AT_ONCE = 30
MOST_TOKENS = 16
"""Of an answer in the worker's own form, unless `max_tokens` says otherwise."""
CREATED = 1_700_000_000


def card(model: str) -> dict[str, Any]:
    """What is told of a model."""
    return {"id": model, "object": "model", "created": CREATED, "owned_by": "runpod"}


def refusal(code: int, kind: str, message: str) -> dict[str, Any]:
    """An error as the output, in the shape of vLLM: the job is COMPLETED."""
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


async def pause(token: str) -> None:
    """The time that one token takes."""
    await asyncio.sleep(TOKEN_DELAY)


def words(text: str) -> list[str]:
    """The tokens of a text: each word with the space before it."""
    return re.findall(r"\s*\S+", text)


def text_of(content: Any) -> str:
    """The text of a message, which may come in parts, or of a prompt, which may be token ids."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return str(content or "")


def texts_of(value: Any) -> list[str]:
    """The texts of `prompt` or `input`: one, or a list of them."""
    many = isinstance(value, list) and not all(isinstance(item, int) for item in value)
    return [text_of(item) for item in (value if many else [value])]


def usage(prompts: list[str], completion: int) -> dict[str, int]:
    """How many words went in and came out."""
    asked = sum(len(words(prompt)) for prompt in prompts)
    return {"prompt_tokens": asked, "completion_tokens": completion, "total_tokens": asked + completion}


def vector(text: str, size: int) -> list[float]:
    """A direction that depends on the text alone, of length 1."""
    dice = random.Random(text)
    numbers = [dice.gauss(0, 1) for _ in range(size)]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """One vector for each text of `input`."""
    texts = texts_of(body.get("input"))
    found: list[Any] = [vector(text, int(body.get("dimensions") or 256)) for text in texts]
    if body.get("encoding_format") == "base64":
        found = [base64.b64encode(struct.pack(f"<{len(one)}f", *one)).decode() for one in found]
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(found)]
    return {"object": "list", "model": body.get("model") or MODEL, "data": data, "usage": usage(texts, 0)}


def replies_to(texts: list[str], body: dict[str, Any]) -> list[tuple[list[str], str]]:
    """The tokens of each choice, and why it ends."""
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    answers = [words(f"You said: {text}") for text in texts for _ in range(body.get("n") or 1)]
    return [(answer[:most], "length" if most and len(answer) > most else "stop") for answer in answers]


def choice(index: int, end: str | None, **part: Any) -> dict[str, Any]:
    """A choice of a completion, or a piece of one."""
    return {"index": index, "finish_reason": end, "logprobs": None, **part}


def batch_sizes(asked: dict[str, Any]) -> Iterator[int]:
    """Tokens of each part of a stream in the worker's own form: few at first, then more."""
    most = int(asked.get("max_batch_size") or os.environ.get("DEFAULT_BATCH_SIZE") or 50)
    least = int(asked.get("min_batch_size") or os.environ.get("DEFAULT_MIN_BATCH_SIZE") or 1)
    factor = asked.get("batch_size_growth_factor") or os.environ.get("DEFAULT_BATCH_SIZE_GROWTH_FACTOR") or 3
    size = float(least if float(factor) > 1 else most)
    while True:
        size = min(size, most)
        yield int(size)
        size *= float(factor)


async def generate(asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """A job in the worker's own form: the parts of its answer, one unless `stream` is true."""
    messages = asked.get("messages") or [{"role": "user", "content": asked.get("prompt")}]
    told = [(message.get("role"), text_of(message.get("content"))) for message in messages]
    wish = {"max_tokens": MOST_TOKENS, **(asked.get("sampling_params") or {})}
    replies = [tokens for tokens, _ in replies_to([text for role, text in told if role == "user"][-1:] or [""], wish)]
    sizes = batch_sizes(asked)
    whole = sum(map(len, replies))
    size = next(sizes) if asked.get("stream") else whole
    counts = {"input": sum(len(words(text)) for _, text in told), "output": 0}
    part: list[list[str]] = [[] for _ in replies]
    for index, token in in_turn(replies):
        await pause(token)
        part[index].append(token)
        counts["output"] += 1
        if sum(map(len, part)) >= size or counts["output"] == whole:
            choices = [{"tokens": own if asked.get("stream") else ["".join(own)]} for own in part]
            yield {"choices": choices, "usage": dict(counts)}
            part, size = [[] for _ in replies], next(sizes)


def in_turn(replies: list[list[str]]) -> Iterator[tuple[int, str]]:
    """The tokens of all choices as a model makes them: the first of each, the second of each."""
    for step in range(max(map(len, replies))):
        yield from ((index, tokens[step]) for index, tokens in enumerate(replies) if step < len(tokens))


def event(value: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(value)}\n\n"


async def complete(job_id: str, body: dict[str, Any], chat: bool) -> AsyncIterator[Any]:
    """A chat completion or a text completion: one object, or the events of a stream."""
    messages = [(message.get("role"), text_of(message.get("content"))) for message in body.get("messages") or []]
    prompts = [text for _, text in messages] if chat else texts_of(body.get("prompt"))
    asked = [text for role, text in messages if role == "user"][-1:] or [""] if chat else prompts
    replies = replies_to(asked, body)
    count = usage(prompts, sum(len(tokens) for tokens, _ in replies))
    head = {"id": f"{'chatcmpl' if chat else 'cmpl'}-{job_id}", "created": CREATED}
    head["model"] = body.get("model") or MODEL

    if not body.get("stream"):
        choices = []
        for index, (tokens, end) in enumerate(replies):
            for token in tokens:
                await pause(token)
            text = "".join(tokens)
            part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices.append(choice(index, end, **part))
        yield {**head, "object": "chat.completion" if chat else "text_completion", "choices": choices, "usage": count}
        return

    head["object"] = "chat.completion.chunk" if chat else "text_completion"
    for index, (tokens, end) in enumerate(replies):
        if chat:
            yield event({**head, "choices": [choice(index, None, delta={"role": "assistant", "content": ""})]})
        for token in tokens:
            await pause(token)
            part = {"delta": {"content": token}} if chat else {"text": token}
            yield event({**head, "choices": [choice(index, None, **part)]})
        part = {"delta": {}} if chat else {"text": ""}
        yield event({**head, "choices": [choice(index, end, **part)]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield event({**head, "choices": [], "usage": count})
    yield "data: [DONE]\n\n"


def request(asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The route and the body of a job."""
    if "openai_route" in asked:
        return asked["openai_route"], asked.get("openai_input") or {}
    if "route" in asked:
        return asked["route"], asked.get("body") or {}
    route = "/v1/chat/completions" if "messages" in asked else "/v1/completions"
    return route, {**asked, **(asked.get("sampling_params") or {})}


async def handler(job: dict[str, Any]) -> AsyncIterator[Any]:
    """Answer one request."""
    if NATIVE_OUTPUT == "tokens" and not job["input"].keys() & {"openai_route", "route"}:
        async for batch in generate(job["input"]):
            yield batch
        return
    route, body = request(job["input"])
    model = unquote(route.removeprefix("/v1/models/")) if route.startswith("/v1/models/") else body.get("model")
    if SERVED and model not in (None, SERVED):
        yield refusal(404, "NotFoundError", f"The model `{model}` does not exist.")
    elif route in ("/v1/chat/completions", "/v1/completions"):
        async for part in complete(job["id"], body, chat=route == "/v1/chat/completions"):
            yield part
    elif route == "/v1/embeddings":
        yield embeddings(body)
    elif route == "/v1/models":
        yield {"object": "list", "data": [card(MODEL)]}
    elif route.startswith("/v1/models/"):
        yield card(str(model))
    else:
        yield refusal(404, "NotFoundError", f"The route {route} does not exist.")


if __name__ == "__main__":
    config = {"handler": handler, "concurrency_modifier": lambda current: JOBS_AT_ONCE, "return_aggregate_stream": True}
    runpod.serverless.start(config)
