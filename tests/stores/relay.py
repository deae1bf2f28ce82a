"""What stands between a store and its server in tests: it passes on what comes, and goes wrong when told to."""

from __future__ import annotations

import asyncio
import contextlib

from runpod_emulator.stores.redis.address import Address, read_address

from tests.stores.servers import StoreServer


class Relay:
    """A port that leads to `server`; `begin` opens it, `close` ends it."""

    def __init__(self, server: StoreServer) -> None:
        self.server = server
        self.port = 0
        self.connections = 0
        """How many there were."""
        self._loses = b""
        self._flows = asyncio.Event()
        self._flows.set()
        self._listening: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def address(self) -> Address:
        """The server's, by way of this port, of a world that nobody else knows."""
        own = self.server.address()
        return read_address(f"redis://127.0.0.1:{self.port}/0?prefix={own.prefix}")

    async def begin(self) -> None:
        """Let connections in."""
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Cut all connections, and let none in until `begin`."""
        assert self._listening is not None
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    def hang(self) -> None:
        """Pass nothing on, until `go_on`."""
        self._flows.clear()

    def go_on(self) -> None:
        """Pass on what has come."""
        self._flows.set()

    def lose_answer(self, of: bytes) -> None:
        """Cut the connection instead of giving the answer to the next request that holds these bytes."""
        self._loses = of

    @property
    def has_lost(self) -> bool:
        """Whether it has done so."""
        return not self._loses

    async def close(self) -> None:
        """Cut everything."""
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, to_server = await asyncio.open_connection("127.0.0.1", self.server.port)
        except OSError:
            writer.transport.abort()
            return
        lost = asyncio.Event()
        pair = {writer, to_server}
        self._writers |= pair
        both = (self._pass(reader, to_server, lost, asks=True), self._pass(there, writer, lost, asks=False))
        tasks = {asyncio.ensure_future(one) for one in both}
        self._tasks |= tasks
        await asyncio.wait(tasks)
        self._tasks -= tasks
        self._writers -= pair

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event, asks: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                await self._flows.wait()
                if asks and self._loses and self._loses in data:
                    self._loses = b""
                    lost.set()
                elif not asks and lost.is_set():
                    break  # the server has done it, and nobody hears of that
                writer.write(data)
                await writer.drain()
        for one in list(self._writers) if lost.is_set() else [writer]:
            one.transport.abort()
