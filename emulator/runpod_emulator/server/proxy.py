"""The proxy: hosts of the service lead to this server, which programs then call by the addresses of production.

It listens on this machine alone. A tunnel (CONNECT) to a host of the service ends at a TLS port of its own, whose
certificate is for these hosts; a whole URL (`GET http://api.runpod.ai/…`) goes to the port for HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
from starlette.types import ASGIApp

from runpod_emulator.core.networks import plain_address
from runpod_emulator.core.proxy_errors import (
    ForeignHost,
    NoSuchPort,
    NotProxied,
    NotReached,
    ThisMachine,
    TooManyConnections,
)
from runpod_emulator.http.connection import LAST_ANSWERS
from runpod_emulator.http.names import Authority
from runpod_emulator.server.port import KEEP_ALIVE, Port, bind
from runpod_emulator.server.proxy_head import Asked, read_head
from runpod_emulator.server.relay import Relay, Side
from runpod_emulator.server.tls import SERVICE

log = logging.getLogger("runpod_emulator.proxy")

HOST = "127.0.0.1"
"""Where it listens: whoever reaches a proxy can send what it likes in its name."""
_SECURE, _PLAIN = 443, 80
_CONNECT_TIME = 10.0
"""Seconds until a host that is passed on to has to be there."""
_MOST, _FEWEST, _FILES = 2_000, 16, 5
"""Connections at once, at most and at least, and how many open files there may be for each: it needs three."""
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Way(NamedTuple):
    """Where a request is taken; `is_own` for this server."""

    host: str
    port: int
    secure: ssl.SSLContext | None = None
    is_own: bool = True


class Joined(NamedTuple):
    """A client that is joined to a server: the task that serves it, and where it was taken."""

    task: asyncio.Task[Any]
    way: Way


class Proxy:
    """A proxy on a port of this machine, taken at once; it serves from `open` on.

    `plain` is the port for HTTP of the server, `secure` what the hosts of the service and those in `more` show;
    `passes` says whether others are reached through it; idle connections are kept for `keep_alive` ms.
    Raises PortTaken.
    """

    def __init__(
        self,
        number: int,
        plain: Port,
        secure: ssl.SSLContext,
        more: Iterable[str] = (),
        passes: bool = False,
        keep_alive: int = KEEP_ALIVE,
    ) -> None:
        self._plain = plain
        self._names = Caught((*SERVICE, *more))
        self._passes = passes
        self._socket = bind(HOST, number, "--proxy")
        self.number: int = self._socket.getsockname()[1]
        self._secure = Port(HOST, 0, "--proxy", secure, keep_alive)
        self._most = _most_connections()
        self._tasks: set[asyncio.Task[None]] = set()
        self._joined: dict[Relay, Joined] = {}
        self._listening: asyncio.AbstractServer | None = None

    async def open(self, app: ASGIApp) -> None:
        """Serve the application to whom comes through here."""
        await self._secure.open(app)
        self._listening = await asyncio.start_server(self._accept, sock=self._socket)

    async def close(self) -> None:
        """End the tunnels to elsewhere at once, and those to this server with their last answers."""
        if self._listening is not None:
            self._listening.close()
        for relay, one in self._joined.items():
            if relay.is_silent or not one.way.is_own:
                one.task.cancel()
        await self._secure.close()
        for relay, one in self._joined.items():
            if one.way.port == self._secure.number and not relay.is_answered:  # a handshake that goes no further
                one.task.cancel()
        if self._joined:
            last = [asyncio.ensure_future(relay.ended.wait()) for relay in self._joined]
            _, late = await asyncio.wait(last, timeout=LAST_ANSWERS)
            for waiting in late:
                waiting.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.release()

    def release(self) -> None:
        """Give back ports that were never opened."""
        self._secure.release()
        self._socket.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(Side(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Side) -> None:
        try:
            await self._answer(client)
        except NotProxied as error:
            log.warning("the proxy refuses a request with %d: %s", error.status, error.detail)
            client.writer.write(_refusal(error))
            await client.take_leave()
        except OSError as error:
            log.debug("a client of the proxy is gone: %s", error)
        finally:
            client.end()

    async def _answer(self, client: Side) -> None:
        """Take one request where it is to go; raises NotProxied."""
        if len(self._tasks) > self._most:
            raise TooManyConnections(self._most)
        asked = await read_head(client.reader)
        if asked is None:
            return
        way = self._way(asked)
        server = await _connect(way, asked.address)
        try:
            if asked.is_tunnel:
                client.writer.write(_ESTABLISHED)
            await self._join(Relay(client, server, asked.data), asked, way)
        finally:
            server.abort()

    async def _join(self, relay: Relay, asked: Asked, way: Way) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._joined[relay] = Joined(task, way)
        try:
            await relay.run()
        finally:
            del self._joined[relay]
        if way.port == self._secure.number and relay.is_untrusted:
            log.warning(
                "a client left the TLS handshake of %s once it had seen the certificate, as one does that does not "
                "trust the local CA: 'runpod-emulator tls' prints the variables by which clients trust it",
                asked.host,
            )

    def _way(self, asked: Asked) -> Way:
        """Where a request goes; raises ForeignHost, NoSuchPort, ThisMachine."""
        if self._names.have(asked.host):
            if asked.port not in (_SECURE, _PLAIN):
                raise NoSuchPort(asked.address)
            if asked.is_tunnel and asked.port == _SECURE:
                return Way(HOST, self._secure.number)
            return Way(self._plain.reachable, self._plain.number)
        if Authority(asked.host).is_loopback:
            raise ThisMachine(asked.address)
        if not self._passes:
            raise ForeignHost(asked.address)
        return Way(asked.host, asked.port, ssl.create_default_context() if asked.is_secure else None, is_own=False)


class Caught:
    """Names that lead here, of which `*.NAME` are those one label longer than NAME, as a certificate takes it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def have(self, host: str) -> bool:
        """Whether a host is one of them."""
        return host in self._names or "*." + host.partition(".")[2] in self._names


async def _connect(way: Way, address: str) -> Side:
    """A connection to where a request goes; raises NotReached, and ThisMachine for a name that leads back here."""
    try:
        opening = asyncio.open_connection(way.host, way.port, ssl=way.secure)
        server = Side(*await asyncio.wait_for(opening, _CONNECT_TIME))
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise NotReached(address, f"no answer within {_CONNECT_TIME:g} s") from error
    except (OSError, UnicodeError) as error:
        raise NotReached(address, str(error)) from error
    if not way.is_own and _is_here(server):
        server.abort()
        raise ThisMachine(address)
    return server


def _is_here(server: Side) -> bool:
    """Whether a connection to elsewhere leads to this machine: what a page of a stranger calls its own name may."""
    peer = server.writer.get_extra_info("peername")
    found = Authority(str(peer[0]).partition("%")[0]).address
    return found is not None and (plain_address(found).is_loopback or plain_address(found).is_unspecified)


def _most_connections() -> int:
    """How many connections there may be, as all of a process share the files that it may open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if limit < 0 else max(_FEWEST, min(_MOST, limit // _FILES))


def _refusal(error: NotProxied) -> bytes:
    """The answer to a request that is not taken any further."""
    body = orjson.dumps({"status": error.status, "title": error.title, "detail": error.detail})
    reason = (error.reason or error.title).encode()
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
        b"connection: close\r\n\r\n%b" % (error.status, reason, len(body), body)
    )
