"""A worker of a load-balancing endpoint, played by the test: a port in this process that says what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from runpod_emulator.http.access import Access

from tests.core.balanced import BalancedWorld, balanced_world
from tests.doors.doors import KEY, Doors, Visit

HOST = "http://lb.api.localhost:18443"
"""A base URL whose host names the endpoint."""


@dataclass
class Received:
    """One request, byte for byte."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def target(self) -> bytes:
        """Path and query."""
        return self.line.split(b" ")[1]

    def all(self, name: str) -> list[bytes]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.encode()]


Talk = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def says(status: str = "200 OK", body: bytes = b"ok", *headers: str, length: int | None = None) -> Talk:
    """An answer with a length."""
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}", "", "")

    async def talk(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()

    return talk


def talks(*steps: bytes | float | None) -> Talk:
    """An answer in pieces; None hangs up, a number lets that many seconds pass."""

    async def talk(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step is None:
                writer.close()
            else:
                await asyncio.sleep(step)

    return talk


def chunk(body: bytes) -> bytes:
    """One part of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Upstream:
    """Hears requests and answers each by `talk`."""

    talk: Talk = field(default_factory=says)
    heard: list[Received] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a connection was closed from the other side."""
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *lines = head[:-4].split(b"\r\n")
                pairs = [one.partition(b": ") for one in lines]
                received = Received(line, [(name, value) for name, _, value in pairs])
                self.heard.append(received)
                with contextlib.suppress(asyncio.IncompleteReadError):
                    await _read_body(received, reader)
                await self.talk(received, reader, writer)
        self.left.set()
        writer.close()

    @property
    def last(self) -> Received:
        """The request heard last."""
        return self.heard[-1]


async def _read_body(received: Received, reader: asyncio.StreamReader) -> None:
    if received.all("transfer-encoding") == [b"chunked"]:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            received.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    elif lengths := received.all("content-length"):
        received.body = await reader.readexactly(int(lengths[0]))


class BalancedDoors(Doors):
    """An application over a world with queue endpoint `ep` and load-balancing endpoint `lb`, and a client."""

    def __init__(self, world: BalancedWorld, upstream: Upstream, access: Access, key: str | None) -> None:
        super().__init__(world.as_test_world(), access, key)
        self.balanced = world
        self.upstream = upstream
        self.worker = ""

    async def up(self) -> str:
        """One healthy worker, which listens at the upstream."""
        world = self.balanced
        if not world.coming:
            world.balancer.autoscaler.start_one(at_once=True)
        self.worker = world.coming[0]
        await world.healthy(self.worker, f"http://127.0.0.1:{self.upstream.port}")
        return self.worker

    async def call(self, path: str = "/x", method: str = "GET", **options: Any) -> httpx.Response:
        """A request to `lb` by its host."""
        return await asyncio.wait_for(self.http.request(method, HOST + path, **options), 5)


async def ended(visit: Visit, limit: float = 5.0) -> None:
    """Wait for the end of a request; a cancelled one would answer, so it is not waited for with `wait_for`."""
    done, _ = await asyncio.wait({visit.task}, timeout=limit)
    if not done:
        visit.leave()
        await asyncio.wait({visit.task}, timeout=0.1)
        visit.task.cancel()
    assert done, "it has no end"
    await visit.task


@contextlib.asynccontextmanager
async def balanced_doors(
    talk: Talk | None = None, *, access: Access | None = None, key: str | None = KEY, up: bool = True, **told: Any
) -> AsyncIterator[BalancedDoors]:
    """Doors before one worker that answers by `talk`."""
    upstream = Upstream(talk or says())
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    doors = BalancedDoors(balanced_world(**told), upstream, access or Access(), key)
    if up:
        await doors.up()
    try:
        yield doors
    finally:
        await doors.app.state.forwarder.close()
        await doors.http.aclose()
        server.close()
