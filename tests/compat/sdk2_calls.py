"""Run by test_sdk2_client.py under `runpod` 2.0, unmodified: prints what each call of a group came to."""

import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import runpod
from runpod.apps.targets import LiveTarget, SentinelTarget

CPU = "cpu3c-1-2"
TROUBLES = ("429", "500", "502", "504", "reset")
app = runpod.App("shop")


@app.queue(name="echo", cpu=CPU)
def echo(a: int, b: int = 2) -> dict:
    """None of these runs here: the endpoint of this name does."""


@app.queue(name="missing", cpu=CPU)
async def missing(a: int) -> dict:
    """Not served."""


@app.queue(name="failing", cpu=CPU)
def failing(mode: str = "raise", message: str = "") -> None:
    """Fails in the way that `mode` names."""


@app.queue(name="mock_worker", cpu=CPU)
def mock(mock_delay: float = 0, mock_return: Any = None) -> Any:
    """Does what it is told."""


@app.queue(name="tokens", cpu=CPU)
def tokens(text: str, delay: float = 0.05) -> Iterator[str]:
    """Word by word."""
    yield text


@app.queue(name="second-try", cpu=CPU)
def second(a: int) -> str:
    """Fails once."""


@app.api(name="web", cpu=CPU)
class Web:
    """An HTTP server."""

    @runpod.post("/echo/here")
    async def here(self, a: int) -> dict:
        """Not asked here."""


def queue(endpoint: str, **more: Any) -> runpod.Queue:
    """An endpoint without the source of its function."""
    return runpod.Queue(app="another", id=endpoint, **more)


def aio(call: Callable[[], Any]) -> Callable[[], Any]:
    """The same call made inside of an event loop, where it may block."""

    async def inside() -> Any:
        return call()

    return lambda: asyncio.run(inside())


def spawned() -> dict[str, Any]:
    job = mock.spawn(mock_delay=0.3, mock_return="late")
    return {"result": job.result(), "after": job.status(), "done": job.done, "again": job.output()}


def impatient() -> None:
    mock.spawn(mock_delay=600).result(timeout=0.2)


def cancelled() -> dict[str, Any]:
    job = mock.spawn(mock_delay=600)
    return {"status": job.cancel().status(), "done": job.done, "result": sorted(job.result())}


def retried() -> dict[str, Any]:
    job = second.spawn(1)
    first = outcome(job.result)
    return {"first": first, "retried": repr(job.retry()).replace(job.id, "ID"), "then": job.result()}


def broken() -> list[Any]:
    """A generator that fails in mid-stream: what its stream and its result say."""
    job = queue("breaking").spawn(a=1)
    return [outcome(lambda: list(job.stream())), outcome(job.result)]


def known_by_id() -> Any:
    return queue("echo").job(echo.spawn(3).id).result()


def with_options() -> Any:
    wish = {"execution_timeout": 60_000, "ttl": 120_000, "s3_config": {"accessId": "a", "bucketName": "b"}}
    plain = queue("optional")
    plain.remote(a=0)  # brings up the worker: a job of low priority never does
    first = plain.with_options(webhook=os.environ["HOOK"], low_priority=True)
    return first.with_options(**wish).remote(a=1)


def past_its_wait() -> Any:
    """The call of a function that the client waits for no longer than this."""
    return asyncio.run(SentinelTarget("shop", "default", "mock_worker").invoke(slow("late"), timeout=5))


def polled(endpoint: str) -> Any:
    return queue(endpoint).spawn(a=1).result()


def slow(output: str, seconds: float = 4.5) -> dict[str, Any]:
    return {"input": {"mock_delay": seconds, "mock_return": output}}


class Told:
    """What a session of `flash dev` shows of a call."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *about: self.names.append(name)


def of_a_dev_session() -> dict[str, Any]:
    """Straight to an endpoint's own routes, while the management API is asked for its workers."""
    told = Told()
    output = asyncio.run(LiveTarget("mock_worker", "mock", told).invoke(slow("seen", 2)))
    return {"output": output, "told": told.names}


def without_the_key() -> Any:
    os.environ["RUNPOD_API_KEY"] = "wrong-key"
    try:
        return echo.remote(1)
    finally:
        os.environ["RUNPOD_API_KEY"] = "right-key"


JOBS = {
    "positional": lambda: echo.remote(1),
    "keywords": lambda: echo.remote(b=3, a=4),
    "no arguments": lambda: queue("echo").remote(),
    "awaited": lambda: asyncio.run(echo.remote.aio(5)),
    "in a loop": aio(lambda: echo.remote(6)),
    "by name": lambda: runpod.Queue(app="another", name="echo").remote(a=7),
    "by id": lambda: queue("echo", env="staging").remote(a=8),
    "by a worker": lambda: queue("caller").remote(a=9),
    "raised": lambda: failing.remote(),
    "returned": lambda: failing.remote("return", "broken"),
    "generator": lambda: list(tokens.stream("one two three")),
    "generator of a stub": lambda: list(queue("tokens").stream(text="four five", delay=0)),
    "whole generator": lambda: tokens.remote("one two", delay=0),
    "breaking generator": broken,
    "spawn": spawned,
    "before its end": lambda: mock.spawn(mock_delay=0.2).status(),
    "impatient": impatient,
    "cancel": cancelled,
    "retry": retried,
    "job by id": known_by_id,
    "options": with_options,
    "not served": lambda: missing.remote(1),
    "not served by id": lambda: queue("nowhere").spawn(a=1),
    "a load balancer": lambda: queue("web").remote(a=1),
    "wrong key": without_the_key,
}
WAITING = {
    "past its wait": past_its_wait,
    "development session": of_a_dev_session,
    "early": lambda: polled("early"),
    **{f"get-{trouble}": functools.partial(polled, f"get-{trouble}") for trouble in TROUBLES},
    **{f"post-{trouble}": functools.partial(queue(f"post-{trouble}").remote, a=1) for trouble in TROUBLES},
}
BALANCED = {
    "by name": lambda: Web.post("/echo/here?x=1", {"a": 1}),
    "by id": lambda: runpod.Api(app="another", id="web").put("/echo/a%2Fb", {"b": 2}),
    "by its name alone": lambda: runpod.Api(app="another", name="web").get("/who"),
    "awaited": lambda: asyncio.run(Web.patch.aio("/echo/there", {"c": 3})),
    "delete": lambda: Web.delete("/echo/gone"),
    "straight": lambda: asyncio.run(LiveTarget("web").request("GET", "/echo/live")),
    "no such path": lambda: Web.get("/missing"),
    "refused": lambda: Web.post("/who", {}),
    "not served": lambda: runpod.Api(app="another", id="nowhere").get("/"),
    "a queue": lambda: runpod.Api(app="another", id="echo").get("/"),
    "a function": lambda: echo.remote(1),
    "a generator": lambda: list(tokens.stream("one two", delay=0)),
}


def outcome(call: Callable[[], Any]) -> Any:
    """What a call answers, or its error as text, without the URL that aiohttp adds."""
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition(", url=")[0]


async def together(calls: dict[str, Callable[[], Any]]) -> list[Any]:
    """All calls at once, each in a thread of its own."""
    return await asyncio.gather(*(asyncio.to_thread(outcome, call) for call in calls.values()))


def in_turn(calls: dict[str, Callable[[], Any]]) -> list[Any]:
    """One call after the other."""
    return [outcome(call) for call in calls.values()]


GROUP = sys.argv[1]
CALLS = {"jobs": JOBS, "waiting": WAITING, "balanced": BALANCED}[GROUP]
told = asyncio.run(together(CALLS)) if GROUP == "waiting" else in_turn(CALLS)
print(json.dumps(dict(zip(CALLS, told, strict=True))))
