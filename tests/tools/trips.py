"""How often a request changes files on its way: `python -m tests.tools.trips` prints two figures for each trip.

A server serves in this process, over ASGI. Each trip is made a few times before it counts, so that workers are up and
everything is loaded. Then `sys.setprofile` sees the functions of the package begin and end. The first figure
is how often a function begins in another file than the one that began before it: how often a reader who follows the
trip opens another file. The second one counts the ways back too: how often the function that runs is in another file
than the one that ran before. A coroutine that goes on counts as one that begins. Not seen is what handlers and
load-balanced servers do in their own processes, what libraries do, and the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import httpx
import runpod_emulator
from runpod_emulator.config.settings import read_settings
from runpod_emulator.server.server import Server

PACKAGE = str(Path(runpod_emulator.__file__).parent) + os.sep
HANDLERS = Path(__file__).resolve().parents[2] / "handlers"
WARM, COUNTED = 3, 5
"""Trips of one kind before it counts, and trips that count: the least are the figures."""
LIMIT = 60.0
"""Seconds that one trip may take."""
_STUBS = "stubs: [{endpoint: stub, respond: {output: {message: hello}}}]"
_APPLICATION = '''
async def app(scope, receive, send):
    """Says 200 to everything."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
'''


class Figures(NamedTuple):
    """What was counted in one trip."""

    begun: int
    """Functions that began in another file than the one before."""
    run: int
    """Changes of the file of the function that runs, ways back too."""


class Switches:
    """Counts how often functions of one folder are in another file than those before them."""

    def __init__(self, folder: str = PACKAGE) -> None:
        self._folder = folder
        self._begun = self._ran = ""
        self._figures = [0, 0]

    @property
    def figures(self) -> Figures:
        """What was counted so far."""
        return Figures(*self._figures)

    def __enter__(self) -> Switches:
        sys.setprofile(self._see)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, argument: object) -> None:
        running = frame if event == "call" else frame.f_back if event == "return" else None
        file = "" if running is None else running.f_code.co_filename
        if not file.startswith(self._folder):
            return
        self._figures[1] += self._ran not in ("", file)
        self._ran = file
        if event == "call":
            self._figures[0] += self._begun not in ("", file)
            self._begun = file


async def a_job(client: httpx.AsyncClient) -> None:
    """One /runsync whose job a worker process runs."""
    await _ask(client, "POST", "/v2/echo/runsync", json={"input": {"message": "hello"}})


async def a_stubbed_job(client: httpx.AsyncClient) -> None:
    """One /runsync that a stub answers."""
    await _ask(client, "POST", "/v2/stub/runsync", json={"input": {"message": "hello"}})


async def an_openai_stream(client: httpx.AsyncClient) -> None:
    """One chat completion in five chunks, which a worker process streams."""
    asked = {"stream": True, "model": "emulator/echo", "messages": [{"role": "user", "content": "one two three"}]}
    await _ask(client, "POST", "/v2/chat/openai/v1/chat/completions", json=asked)


async def a_balanced_request(client: httpx.AsyncClient) -> None:
    """One request that a load-balancing worker answers."""
    await _ask(client, "GET", "/lb/web/hello")


async def a_poll(client: httpx.AsyncClient) -> None:
    """One poll of an SDK worker that waits for a job, the job, and its result."""
    poll = asyncio.ensure_future(_ask(client, "GET", "/v2/sdk/job-take/worker?job_in_progress=0"))
    await asyncio.sleep(0)
    await _ask(client, "POST", "/v2/sdk/run", json={"input": {"message": "hello"}})
    job = (await poll).json()["id"]
    await _ask(client, "POST", f"/v2/sdk/job-done/worker/{job}?isStream=false", json={"output": "hello"})


TRIPS: dict[str, Callable[[httpx.AsyncClient], Awaitable[None]]] = {
    "a job": a_job,
    "a stubbed job": a_stubbed_job,
    "an OpenAI stream": an_openai_stream,
    "a load-balanced request": a_balanced_request,
    "an SDK worker's poll": a_poll,
}


async def _ask(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:
    answer = await client.request(method, path, **options)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer


async def count(
    name: str, client: httpx.AsyncClient, warm: int = WARM, counted: int = COUNTED, enough: int | None = None
) -> Figures:
    """The figures of one trip: the least of several, for others come between; a few before them do not count.

    With `enough` it is tried again, up to ten times as often, until the first figure is no larger: on a busy machine
    something comes between nearly each time.
    """
    seen: list[Figures] = []
    for number in range(warm + (counted if enough is None else 10 * counted)):
        with Switches() as switches:
            await asyncio.wait_for(TRIPS[name](client), LIMIT)
        if number >= warm:
            seen.append(switches.figures)
        if enough is not None and len(seen) >= counted and min(seen).begun <= enough:
            break
    return Figures(*(min(one) for one in zip(*seen, strict=True)))


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server in this process, which has an endpoint for each trip; `options` go before its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "stubs.yaml").write_text(_STUBS)
        (Path(folder) / "web.py").write_text(_APPLICATION)
        server = Server(read_settings(**{**_options(Path(folder)), **options}))
        await server.start()
        try:
            transport = httpx.ASGITransport(server.app)
            async with httpx.AsyncClient(transport=transport, base_url=server.base_url.removesuffix("/v2")) as client:
                client.headers["authorization"] = "Bearer trips"
                yield client
        finally:
            await server.stop()


def _options(folder: Path) -> dict[str, Any]:
    return {
        "endpoint": [f"echo={HANDLERS / 'echo.py'}", f"chat={HANDLERS / 'openai_chat.py'}", "sdk"],
        "load_balancer": [f"web={folder / 'web.py'}:app"],
        "mock": ["stub"],
        "stubs": [folder / "stubs.yaml"],
        "workers_max": 1,
        "port": 0,
        "seed": 1,
        "config": os.devnull,
        "log_level": "error",
    }


async def main() -> None:
    """Print the figures of each trip."""
    print(f"{'':24} begun   run")
    async with served() as client:
        for name in TRIPS:
            figures = await count(name, client)
            print(f"{name:24} {figures.begun:5} {figures.run:5}")


if __name__ == "__main__":
    asyncio.run(main())
