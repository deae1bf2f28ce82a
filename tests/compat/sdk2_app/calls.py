"""Run by test_apps.py beside the app, under `runpod` 2.0, unmodified: prints what each call of a group came to."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import runpod
from functions import Counter, add, call, fail, letters, meet, read, site, sleep, where, words


def spawned() -> list[Any]:
    job = add.spawn(2)
    return [job.result()["sum"], job.status(), add.job(job.id).result()["sum"]]


def cancelled() -> str:
    job = sleep.spawn()
    return str(job.cancel().status())


async def party() -> list[int]:
    return await asyncio.gather(*(meet.remote.aio() for _ in range(3)))


JOBS: dict[str, Callable[[], Any]] = {
    "function": lambda: add.remote(1),
    "keywords": lambda: add.remote(b=3, a=4)["sum"],
    "spawned": spawned,
    "cancelled": cancelled,
    "together": lambda: asyncio.run(party()),
    "stream": lambda: list(words.stream("one two")),
    "whole": lambda: words.remote("one two"),
    "async stream": lambda: list(letters.stream("ab")),
    "raised": lambda: fail.remote("nobody to greet"),
    "wrong argument": lambda: add.remote(c=1),
    "where": where.remote,
    "volume": lambda: read.remote("model.txt"),
    "stub": lambda: runpod.Queue(app="shop", name="adder").remote(a=5)["sum"],
    "not declared": lambda: runpod.Queue(app="shop", name="pod").remote(),
}
ROUTES: dict[str, Callable[[], Any]] = {
    "post": lambda: Counter.post("/count", {"by": 1}),
    "get": lambda: Counter.get("/count"),
    "by a worker": lambda: call.remote(3),
    "delete": lambda: [Counter.delete("/count"), Counter.get("/count")],
    "raised": lambda: Counter.put("/raised", [1]),
    "no such route": lambda: Counter.get("/nowhere"),
    "site": lambda: site.get("/things/7"),
    "stub": lambda: runpod.Api(app="shop", name="site").get("/ping"),
}


def outcome(made: Callable[[], Any]) -> Any:
    try:
        return made()
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition(", url=")[0]


if __name__ == "__main__":
    calls = {"jobs": JOBS, "routes": ROUTES}[sys.argv[1]]
    print(json.dumps({name: outcome(made) for name, made in calls.items()}))
