"""Streams: how soon the first chunk comes, how many come a second, how many at once come in order and in time."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.rows import Line, Row, Sample, Scale, one
from tests.bench.servers import LIMIT, Client, Server, emulator

_SERVED = Path(__file__).with_name("served")
_ONE_WORKER = ("--workers-min", "1", "--workers-max", "1")
STREAMS, PACE = 20, 50
"""At once, and chunks a second of each."""
FIRSTS = 100
"""Jobs of a round whose first chunk is waited for."""


class Chunk(NamedTuple):
    """One that arrived."""

    number: int
    yielded: float
    arrived: float

    @property
    def held(self) -> float:
        """Milliseconds between the two."""
        return 1000 * (self.arrived - self.yielded)


def _chunk(text: bytes | str | dict[str, Any], arrived: float) -> Chunk:
    output = (text if isinstance(text, dict) else json.loads(text))["output"]
    return Chunk(output["n"], output["at"], arrived)


def submitted(client: Server | Client, **told: Any) -> str:
    """The id of a new job."""
    job: str = client.ask_json("POST", f"{client.path}/run", {"input": told})["id"]
    return job


def polled(client: Server | Client, job: str) -> list[Chunk]:
    """All chunks of a job, by /stream again and again."""
    pages: list[tuple[Any, float]] = []
    while True:
        page = client.ask_json("GET", f"{client.path}/stream/{job}")
        pages.append((page, time.monotonic()))
        if page["status"] == "COMPLETED":
            return [_chunk(chunk, arrived) for page, arrived in pages for chunk in page["stream"]]
        assert page["status"] in ("IN_QUEUE", "IN_PROGRESS"), page


async def events(server: Server, job: str) -> list[Chunk]:
    """All chunks of a job, as server-sent events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
    head = f"GET {server.path}/stream/{job} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer bench\r\n"
    writer.write(f"{head}Accept: text/event-stream\r\n\r\n".encode())
    lines: list[tuple[bytes, float]] = []
    over, rest = False, b""
    while not over:
        data = await asyncio.wait_for(reader.read(1 << 18), LIMIT)
        now = time.monotonic()
        if not data:
            raise RuntimeError("the stream broke off")
        *whole, rest = (rest + data).split(b"\n")
        lines += [(line[5:], now) for line in whole if line.startswith(b'data: {"output"')]
        over = any(line.startswith(b"event: status") for line in whole)
    writer.close()
    return [_chunk(line, arrived) for line, arrived in lines]


def _check(chunks: list[Chunk], count: int) -> None:
    numbers = [chunk.number for chunk in chunks]
    if numbers != list(range(count)):
        raise RuntimeError(f"chunks are lost or out of order: {len(numbers)} of {count}")


def first_chunk(scale: Scale) -> Sample:
    """Milliseconds from asking for a job to its first chunk, and from a yield to a reader who waits for it."""
    del scale
    whole: list[float] = []
    held: list[float] = []
    with emulator(str(_SERVED / "chunks.py"), *_ONE_WORKER, path="/v2/chunks") as server, server.client() as client:
        for _ in range(FIRSTS):
            began = time.monotonic()
            chunks = polled(client, submitted(client, count=1))
            whole.append(1000 * (chunks[0].arrived - began))
            chunks = polled(client, submitted(client, count=1, delay=0.02))
            held.append(chunks[0].held)
    return {"whole": statistics.median(whole), "held": statistics.median(held)}


def fast(scale: Scale) -> Sample:
    """Chunks a second of a handler that yields as fast as it can, read in both ways."""
    sample: Sample = {}
    count = round(20_000 * scale.seconds)
    with emulator(str(_SERVED / "chunks.py"), *_ONE_WORKER, path="/v2/chunks") as server:
        _check(polled(server, submitted(server, count=1_000)), 1_000)
        for name in ("polled", "events"):
            job = submitted(server, count=count)
            chunks = polled(server, job) if name == "polled" else asyncio.run(events(server, job))
            _check(chunks, count)
            sample[name] = count / (chunks[-1].arrived - chunks[0].yielded)
    return sample


def many(scale: Scale) -> Sample:
    """Twenty streams at once: what was lost or out of order, and how long chunks were held back."""
    count = round(PACE * scale.seconds)

    async def read(server: Server, jobs: list[str]) -> list[list[Chunk]]:
        return await asyncio.gather(*(events(server, job) for job in jobs))

    with emulator(str(_SERVED / "paced.py"), *_ONE_WORKER, path="/v2/paced") as server:
        jobs = [submitted(server, count=count, every=1 / PACE) for _ in range(STREAMS)]
        streams = asyncio.run(read(server, jobs))
    numbers = [[chunk.number for chunk in stream] for stream in streams]
    lost = sum(len(set(range(count)) - set(one)) for one in numbers)
    reordered = sum(one != sorted(one) for one in numbers)
    # A chunk that was there before its reader is not held back by the server: the first tenth of a second is left out.
    began = min(stream[0].arrived for stream in streams) + 0.1
    held = sorted(chunk.held for stream in streams for chunk in stream if chunk.yielded > began)
    return {
        "lost": lost,
        "reordered": reordered,
        "median": statistics.median(held),
        "99 %": held[int(0.99 * len(held))],
        "longest": held[-1],
        "late": sum(one > 10 for one in held),
    }


ROWS = (
    Row(
        "first-chunk",
        "Stream: the first chunk, median of a round",
        first_chunk,
        (
            Line("from `POST /run` to the chunk, over a kept connection", one("whole"), "ms", at_most=2.0),
            Line("from the handler's yield to a waiting `/stream`", one("held"), "ms", at_most=2.0),
        ),
    ),
    Row(
        "chunks",
        "Stream: chunks through one worker process",
        fast,
        (
            Line("read by `/stream`", one("polled"), "/s", at_least=20_000),
            Line("read as server-sent events", one("events"), "/s", at_least=20_000),
        ),
    ),
    Row(
        "streams",
        f"{STREAMS} streams at once, {PACE} chunks a second each, as server-sent events",
        many,
        (
            Line("chunks lost", one("lost"), "", at_most=0),
            Line("streams out of order", one("reordered"), "", at_most=0),
            Line("from yield to reader, median", one("median"), "ms"),
            Line("from yield to reader, 99 of 100", one("99 %"), "ms"),
            Line("from yield to reader, longest", one("longest"), "ms", at_most=10),
            Line("chunks held back over 10 ms", one("late"), ""),
        ),
    ),
)
