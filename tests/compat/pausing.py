"""Run by test_pauses.py: one official client, with pauses between its requests in which its thread does nothing.

So it cannot see that the server closed the connection which it kept. Prints what each request was answered.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

PAUSES = [0, *map(int, os.environ["PAUSES"].split(","))]
BASE_URL = os.environ["RUNPOD_ENDPOINT_BASE_URL"]
MODEL = "emulator/echo"

Ask = Callable[[int], Any]


def endpoint() -> list[int]:
    """`runpod.Endpoint`: one session of requests."""
    import runpod

    runpod.api_key = "any-key"
    echo = runpod.Endpoint("echo")
    return in_turn(lambda seconds: echo.run_sync({"input": {"after": seconds}})["after"])


async def asyncio_endpoint() -> list[int]:
    """`runpod.AsyncioEndpoint`: one session of aiohttp, and so of one event loop."""
    import aiohttp
    import runpod

    runpod.api_key = "any-key"
    async with aiohttp.ClientSession() as session:
        echo = runpod.AsyncioEndpoint("echo", session)

        async def ask(seconds: int) -> int:
            job = await echo.run({"after": seconds})
            return (await job.output(timeout=10))["after"]

        return await in_turn_later(ask)


def apps() -> list[int]:
    """`runpod.Queue` of runpod 2.0."""
    import runpod

    echo = runpod.Queue(app="any", id="echo")
    return in_turn(lambda seconds: echo.remote(after=seconds)["after"])


def openai() -> list[int]:
    """The client of OpenAI; without its retries, which would hide a lost request."""
    import openai

    with openai.OpenAI(api_key="any-key", base_url=f"{BASE_URL}/openai_chat/openai/v1", max_retries=0) as client:
        return in_turn(lambda seconds: said(client.chat.completions.create(**chat(seconds))))


async def openai_later() -> list[int]:
    """The same in an event loop."""
    import openai

    client = openai.AsyncOpenAI(api_key="any-key", base_url=f"{BASE_URL}/openai_chat/openai/v1", max_retries=0)
    async with client:

        async def ask(seconds: int) -> int:
            return said(await client.chat.completions.create(**chat(seconds)))

        return await in_turn_later(ask)


def chat(seconds: int) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": str(seconds)}]}


def said(completion: Any) -> int:
    return int(completion.choices[0].message.content.split()[-1])


def in_turn(ask: Ask) -> list[int]:
    """Ask after each pause."""
    told = []
    for seconds in PAUSES:
        time.sleep(seconds)
        told.append(ask(seconds))
    return told


async def in_turn_later(ask: Callable[[int], Awaitable[int]]) -> list[int]:
    """The same; a pause blocks the event loop, as a careless program does."""
    told = []
    for seconds in PAUSES:
        time.sleep(seconds)  # noqa: ASYNC251
        told.append(await ask(seconds))
    return told


CLIENTS = {
    "endpoint": endpoint,
    "asyncio": asyncio_endpoint,
    "apps": apps,
    "openai": openai,
    "openai_later": openai_later,
}
answers: Any = CLIENTS[sys.argv[1]]()
print(json.dumps(asyncio.run(answers) if asyncio.iscoroutine(answers) else answers))
