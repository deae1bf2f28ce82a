"""Run by test_flash.py beside the Flash app, under the unmodified client: prints what each call came to."""

import asyncio
import json
from typing import Any

from functions import Counter, add, double, fail, meet, where
from runpod_flash import Endpoint


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


CALLS = {
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


async def outcome(name: str) -> Any:
    """What a call answers, or its error as text."""
    try:
        return await CALLS[name]()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def main() -> None:
    """Each call in turn."""
    print(json.dumps({name: await outcome(name) for name in CALLS}))


asyncio.run(main())
