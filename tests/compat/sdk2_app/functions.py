"""An app of `runpod` 2.0 as its users write one, served by test_apps.py; its client is calls.py beside it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import runpod

CPU = "cpu3c-1-2"
app = runpod.App("shop", env="staging")
weights = runpod.NetworkVolume("weights")
loaded: list[str] = []
together = 0


@app.queue(name="adder", cpu=CPU, workers=(0, 2), idle_timeout=30, env={"MODEL": "tiny"})
def add(a: int, b: int = 2) -> dict:
    print("adding")
    return {"sum": a + b, "model": os.environ["MODEL"], "loaded": loaded}


@add.init
async def load() -> None:
    await asyncio.sleep(0)
    loaded.append("weights")


@app.queue(name="party", cpu=CPU, workers=1, max_concurrency=3)
async def meet() -> int:
    """How many were here at once."""
    global together
    together += 1
    while together < 3:
        await asyncio.sleep(0.01)
    return together


@app.queue(name="words", cpu=CPU)
def words(text: str) -> Iterator[str]:
    yield from text.split()


@app.queue(name="letters", cpu=CPU)
async def letters(text: str) -> AsyncIterator[str]:
    for letter in text:
        await asyncio.sleep(0)
        yield letter


@app.queue(name="failing", cpu=CPU)
def fail(message: str) -> None:
    raise ValueError(message)


@app.queue(name="sleeper", cpu=CPU)
async def sleep() -> None:
    await asyncio.sleep(600)


@app.queue(name="caller", cpu=CPU)
async def call(a: int) -> dict:
    """Calls each kind of function from inside of a worker."""
    return {
        "awaited": (await add.remote.aio(a))["sum"],
        "blocking": add.remote(a, b=a)["sum"],
        "streamed": [letter async for letter in letters.stream.aio("ab")],
        "spawned": (await words.spawn.aio("c d")).result(),
        "api": await Counter.post.aio("/count", {"by": 2}),
        "itself": call.local.__name__,
    }


@app.queue(name="reader", cpu=CPU, mounts={"/runpod-volume": weights})
def read(name: str) -> str:
    return (weights.path / name).read_text()


@app.queue(name="where", cpu=CPU)
def where() -> dict[str, Any]:
    names = ("FLASH_RESOURCE_NAME", "FLASH_ENVIRONMENT", "RUNPOD_ENDPOINT_ID", "RUNPOD_API_BASE_URL")
    known = {name: os.environ.get(name) for name in names}
    return {**known, "name": __name__, "local": runpod.is_local()}


@app.api(name="counter", cpu=CPU, workers=(1, 1))
class Counter:
    """A class with a state, which is a worker's own."""

    def __init__(self) -> None:
        self.count = 0

    @runpod.init
    async def setup(self) -> None:
        await asyncio.sleep(0)
        self.count = 10

    @runpod.post("/count")
    async def add_to_it(self, body: dict) -> dict:
        self.count += body["by"]
        return {"count": self.count}

    @runpod.get("/count")
    def count_so_far(self) -> int:
        return self.count

    @runpod.delete("/count")
    def forget(self) -> str:
        self.count = 0
        return "forgotten"

    @runpod.put("/raised")
    def raised(self, body: Any) -> None:
        raise ValueError(body)


@app.api(name="site", cpu=CPU)
def site() -> Any:
    from fastapi import FastAPI

    server = FastAPI()

    @server.get("/things/{number}")
    def thing(number: int) -> dict:
        return {"number": number}

    return server


@app.task(name="pod", cpu=CPU)
def pod() -> None:
    """Not served: a task is a pod of its own."""
