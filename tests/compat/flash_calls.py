"""Run by test_flash.py beside the Flash app, under the unmodified client: prints what each call of a group came to."""

import asyncio
import json
import sys
import time
from typing import Any

from functions import Counter, add, double, fail, meet, nap, where
from runpod_flash import Endpoint
from runpod_flash.core.urls import ENDPOINT_DOMAIN
from runpod_flash.core.utils.http import get_authenticated_httpx_client

web = Endpoint(id="web")


@Endpoint(name="forecast", cpu="cpu3c-1-2")
async def forecast(city: str) -> dict:
    """Nowhere but in a stub."""
    raise AssertionError("it runs here")


@Endpoint(name="nowhere", cpu="cpu3c-1-2")
async def nowhere(a: int) -> dict:
    """Not served."""
    raise AssertionError("it runs here")


async def count() -> list[int]:
    """Three calls of one object."""
    counter = Counter()
    return [await counter.add(), await counter.add(by=5), await counter.get()]


async def by_id() -> dict[str, Any]:
    """A client of an endpoint's own routes."""
    endpoint = Endpoint(id="adder")
    job = await endpoint.run({"a": 1, "b": 1})
    await job.wait()
    synced = await endpoint.runsync({"a": 2})
    slow = await Endpoint(id="slow").run({"a": 1})
    await slow.cancel()
    return {
        "run": job.output["sum"],
        "runsync": synced.output["sum"],
        "status": await job.status(),
        "cancelled": await slow.status(),
    }


def named(name: str) -> Endpoint:
    """A client that goes by app, environment and name, whatever the id."""
    return Endpoint(id="no-such-id", name=name)


async def stream() -> list[str]:
    """The parts of an answer as they come, through the HTTP client that Flash makes for itself."""
    told = []
    url = f"https://web.{ENDPOINT_DOMAIN}/parts"
    async with get_authenticated_httpx_client() as client, client.stream("GET", url) as answer:
        async for part in answer.aiter_text():
            told.append(part)
            if len(told) == 1:
                await web.post("/heard")
    return told


QUEUE = {
    "positional": lambda: add(1, 5),
    "default": lambda: add(1),
    "keywords": lambda: add(b=3, a=4),
    "to another": lambda: double(4),
    "no arguments": lambda: where(),
    "raised": lambda: fail("nobody to greet"),
    "class": count,
    "together": lambda: asyncio.gather(meet(), meet(), meet()),
    "stub": lambda: forecast("Oslo"),
    "stub that fails": lambda: forecast("Atlantis"),
    "not served": lambda: nowhere(1),
    "by id": by_id,
}
BALANCED = {
    "by id": lambda: web.post("/hello", {"name": "Ada"}),
    "by name": lambda: named("web").post("/hello", {"name": "Bob"}),
    "query by id": lambda: web.get("/self?greeting=hi"),
    "query by name": lambda: named("web").get("/self?greeting=hi"),
    "path": lambda: named("web").put("/things/7", {"size": 3}),
    "stream": stream,
    "function": lambda: add(1, 5),
    "object": lambda: Counter().add(by=5),
    "job by id": by_id,
    "wrong method": lambda: web.get("/hello"),
    "refused by the function": lambda: named("web").post("/hello", {"title": "Dr"}),
    "not served": lambda: named("nowhere").get("/hello"),
    "a queue function": lambda: named("adder").post("/hello", {}),
    "a job": lambda: web.runsync({"name": "Ada"}),
}


async def outcome(call: Any) -> Any:
    """What a call answers, or its error as text, without the URL that httpx adds."""
    try:
        return await call()
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition(" for url ")[0]


async def naps() -> list[int]:
    """A function that blocks its worker longer than servers commonly keep an idle connection."""
    return [await nap(6)]


async def paused() -> list[int]:
    """Calls between which nothing of the client runs."""
    told = []
    for seconds in (0, 14):
        time.sleep(seconds)  # noqa: ASYNC251
        told.append(await nap(0))
        told.append((await Endpoint(id="napper").runsync({"seconds": 0})).output)
    return told


async def main(calls: dict[str, Any]) -> None:
    """Each call in turn, but for the long ones."""
    long = {name: asyncio.ensure_future(outcome(call)) for name, call in LONG.items() if calls is QUEUE}
    told = {name: await outcome(call) for name, call in calls.items()}
    print(json.dumps(told | {name: await one for name, one in long.items()}))


LONG = {"blocking": naps}
PAUSED = {"calls": paused}
asyncio.run(main({"queue": QUEUE, "balanced": BALANCED, "paused": PAUSED}[sys.argv[1]]))
