"""A listening port: its socket, the web server on it, and how both end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from runpod_emulator.core.errors import ConfigurationError, PortTaken
from runpod_emulator.core.time.clock import turn
from runpod_emulator.http.connection import EXTENSION, LAST_ANSWERS, BreakableProtocol, ways_to

if TYPE_CHECKING:
    import ssl

_LAST_RESORT = 1
"""Seconds after the last answers until what is still at work is cancelled; most ends as its client is gone."""
_TURNS = 5
"""Turns of the loop in which idle connections end; each takes two."""
_LARGEST_MESSAGE = 30 * 1024 * 1024 + 1
"""Bytes of a WebSocket's message: one more than a load-balanced request may have, as the library `websockets` 15 cuts
some compressed messages at this length, where it should refuse them."""
KEEP_ALIVE = 120_000
"""Milliseconds that an idle connection is kept. It must outlive every client's pool: a client that blocks cannot see
that its connection was closed, and what it then sends there is lost. aiohttp (the official worker, the asynchronous
client) keeps its own for 15 s, Java 30, botocore 60, Go 90."""


class Port:
    """One port, taken at once and served from `open` on; over HTTPS with a `secure` context.

    Raises PortTaken when it is in use, ConfigurationError for an address that cannot be listened on;
    `option` is where the user chose it. An idle connection is kept for `keep_alive` ms.
    """

    def __init__(
        self,
        host: str,
        number: int,
        option: str = "--port",
        secure: ssl.SSLContext | None = None,
        keep_alive: int = KEEP_ALIVE,
    ) -> None:
        self._socket = bind(host, number, option)
        self._secure = secure
        self._keep_alive = keep_alive
        self._web: _Web | None = None
        self._serving: asyncio.Task[None] | None = None
        self.number: int = self._socket.getsockname()[1]
        self.listening = asyncio.Event()

    @property
    def address(self) -> str:
        """What it listens on, in numbers."""
        return str(self._socket.getsockname()[0])

    @property
    def reachable(self) -> str:
        """An address by which this machine calls it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)

    @property
    def is_closed(self) -> bool:
        """Whether it is free for others again."""
        return self._socket.fileno() < 0

    async def open(self, app: ASGIApp) -> None:
        """Serve the application here from now on."""
        self._web = _Web(app, self._secure, self.listening, self._keep_alive)
        self._serving = asyncio.ensure_future(self._web.serve([self._socket]))
        await self.listening.wait()

    async def admit(self, listener: socket.socket) -> asyncio.AbstractServer:
        """Serve the application on one more socket too, as long as the answered server is not closed."""
        assert self._web is not None
        return await self._web.admit(listener)

    async def close(self) -> None:
        """Answer the open requests, end their connections, and give the port back."""
        if self._web is not None and self._serving is not None:
            self._web.leave()
            await self._serving
        self.release()

    def release(self) -> None:
        """Give back a port that was never opened."""
        self._socket.close()


class _Web(uvicorn.Server):
    """uvicorn without its signal handling and without its tick ten times a second."""

    def __init__(self, app: ASGIApp, secure: ssl.SSLContext | None, listening: asyncio.Event, keep_alive: int) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", date_header=False, server_header=False,
            timeout_graceful_shutdown=LAST_ANSWERS + _LAST_RESORT, proxy_headers=False, http=BreakableProtocol,
            timeout_keep_alive=keep_alive / 1000,  # type: ignore[arg-type]  # it is a number for `call_later`
            ws=_late_websockets,  # type: ignore[arg-type]
            ws_max_size=_LARGEST_MESSAGE,
        )  # fmt: skip
        config.load()
        config.ssl = secure  # not every version that we allow takes a context as an argument
        super().__init__(config)
        self._listening = listening
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Stop serving."""
        self.should_exit = True
        self._leaving.set()

    async def admit(self, listener: socket.socket) -> asyncio.AbstractServer:
        """Serve one more socket, without TLS."""

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = BreakableProtocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        return await asyncio.get_running_loop().create_server(protocol, sock=listener)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's, not the web server's."""
        yield

    async def main_loop(self) -> None:
        """Serve until `leave`."""
        self._listening.set()
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all connections; uvicorn pauses for 0.1 s then, which is only needed where a request is still open."""
        state = self.server_state
        if not state.tasks:
            for server in self.servers:
                server.close()
            for connection in list(state.connections):
                connection.shutdown()
            for _ in range(_TURNS):
                await turn()
        if state.tasks or state.connections:
            await super().shutdown(sockets)


def _late_websockets(**given: Any) -> asyncio.Protocol:
    """The protocol of a WebSocket, loaded for the first one: few servers ever meet one."""
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

    made: Any = AutoWebSocketsProtocol(**given)  # type: ignore[misc]
    app = made.app

    async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
        made.transport.lingers = True
        scope.setdefault("extensions", {})[EXTENSION] = ways_to(made.transport)
        await app(scope, receive, send)

    made.app = with_connection
    logging.getLogger("uvicorn.error").addFilter(_without_traceback)  # once, however often it is said
    protocol: asyncio.Protocol = made
    return protocol


def _without_traceback(record: logging.LogRecord) -> bool:
    """Say in one line that a client's text is no UTF-8: where that was found out is no help to anybody."""
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info = None
    return True


def bind(host: str, port: int, option: str) -> socket.socket:
    """A socket that listens; raises PortTaken and ConfigurationError, and names the `option` that chose the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With protocol 0 asyncio would leave Nagle's algorithm on: 44 ms a request.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            why = "is in use" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
            way_out = f"stop what listens there, or choose another with {option} (0 takes a free one)"
            raise PortTaken(f"port {port} on {host} {why}: {way_out}") from error
        raise ConfigurationError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener
