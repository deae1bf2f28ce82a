"""A Flash app: what its functions do is what tests/compat/test_flash.py asks of them."""

import asyncio
import os
import time

from fastapi.responses import StreamingResponse
from runpod_flash import Endpoint

CPU = "cpu3c-1-2"
guests = 0
everybody = asyncio.Event()
heard = asyncio.Event()


@Endpoint(name="adder", cpu=CPU, workers=(0, 2), env={"MODEL": "tiny"})
async def add(a: int, b: int = 2) -> dict:
    """Two numbers, and where they were added."""
    return {"sum": a + b, "model": os.environ["MODEL"], "worker": os.environ["RUNPOD_POD_ID"]}


@Endpoint(name="caller", cpu=CPU)
async def double(a: int) -> int:
    """Calls another function, which runs elsewhere."""
    answer = await add(a, a)
    assert answer["worker"] != os.environ["RUNPOD_POD_ID"]
    return answer["sum"]


@Endpoint(name="napper", cpu=CPU, workers=(0, 2))
async def nap(seconds: int) -> int:
    """Blocks its worker, the event loop too."""
    time.sleep(seconds)  # noqa: ASYNC251
    return seconds


@Endpoint(name="where", cpu=CPU)
def where() -> dict:
    """A plain function without arguments."""
    names = ("FLASH_APP", "FLASH_ENV", "FLASH_RESOURCE_NAME", "RUNPOD_ENDPOINT_ID")
    return {name: os.environ[name] for name in names}


@Endpoint(name="failing", cpu=CPU)
def fail(text: str) -> None:
    """Raises."""
    raise ValueError(text)


@Endpoint(name="counter", cpu=CPU)
class Counter:
    """One instance a worker: its state lives as long as that."""

    def __init__(self, start: int = 10):
        self.count = start

    def add(self, by: int = 1) -> int:
        """The new count."""
        self.count += by
        return self.count

    def get(self) -> int:
        """The count."""
        return self.count


@Endpoint(name="party", cpu=CPU, max_concurrency=3)
async def meet() -> int:
    """Comes to an end when three are here at once."""
    global guests
    guests += 1
    if guests == 3:
        everybody.set()
    await asyncio.wait_for(everybody.wait(), 20)
    return guests


web = Endpoint(name="web", cpu=CPU, env={"MODEL": "tiny"})


@web.post("/hello")
async def hello(name: str) -> dict:
    """Load-balanced: no job, an HTTP server of its own."""
    return {"hello": name, "process": os.getpid()}


@web.get("/self")
async def know(greeting: str = "none") -> dict:
    """What it knows of itself, and a parameter of the query."""
    names = ("FLASH_APP", "FLASH_ENV", "FLASH_RESOURCE_NAME", "FLASH_ENDPOINT_TYPE", "RUNPOD_ENDPOINT_ID", "MODEL")
    return {name: os.environ[name] for name in names} | {"greeting": greeting}


@web.put("/things/{number}")
async def keep(number: int, size: int) -> dict:
    """A parameter of the path, and one of the body."""
    return {"number": number, "size": size}


@web.get("/parts")
async def parts() -> StreamingResponse:
    """The second part is not sent before somebody says that the first is there."""

    async def told():
        yield "first"
        await asyncio.wait_for(heard.wait(), 20)
        yield "second"

    return StreamingResponse(told(), media_type="text/plain")


@web.post("/heard")
async def hear() -> dict:
    """Lets the second part go."""
    heard.set()
    return {"heard": True}
