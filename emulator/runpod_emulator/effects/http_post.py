"""One webhook call over HTTP, with the headers that the service sends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import struct
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from runpod_emulator.core.networks import Reach
from runpod_emulator.effects.answer_head import INTERIM, AnswerHead
from runpod_emulator.effects.kept import Sent, tracing
from runpod_emulator.effects.own_post import call_headers
from runpod_emulator.effects.unmocked import unmocked

_CONNECTIONS = 64
_KNOCK = struct.pack("ll", 0, 1_000)
"""A millisecond as a `timeval`: what a knock may take; a refusal on loopback takes a few microseconds."""
_READ, _READ_FOR = 64 * 1024, 0.1
"""Bytes, and seconds, of an answer's body that are read, so that its connection can be used again."""
_KEPT_ALIVE = 1.0
"""Seconds that an idle connection is used again: less than any receiver keeps it open."""


class HttpPost:
    """Makes webhook calls to what is in `reach`; `timeout` is ms an attempt.

    A local port that refused the last call is knocked at first with a bare socket: a
    refusal costs an HTTP client 30 times that, and a dead receiver refuses thousands.
    """

    def __init__(self, timeout: int, reach: Reach | None = None) -> None:
        self._timeout = timeout / 1000
        self._reach = reach or Reach()
        self._session: aiohttp.ClientSession | None = None
        self._refusing: set[str] = set()

    async def send(self, url: str, body: bytes) -> str:
        """One POST; redirects are not followed. Returns "" for a 2xx, else what went wrong.

        The status line decides, whatever follows it. What a kept connection still held of an earlier answer is
        none, and one may close just as it is used again: the call goes out again on another.
        """
        while True:
            call = _Call()
            _CALL.set(call)
            problem = await self._make(url, body, call)
            if call.status:
                return "" if 200 <= call.status < 300 else f"answered {call.status}"
            if not (call.is_on_kept and (call.is_nonsense or call.is_lost)):
                return problem

    async def _make(self, url: str, body: bytes, call: _Call) -> str:
        """What went wrong, of which nothing counts where there is a status; that is noted in `call`."""
        try:
            host = _host(url)
            if host in self._refusing and _refuses(url, self._reach):
                return _refusal(host)
            self._refusing.discard(host)
            async with self._open().post(
                url, data=body, headers=call_headers(), allow_redirects=False, trace_request_ctx=call
            ) as answer:
                call.answered = answer.status
                await _read_on(answer)
                return ""
        except asyncio.TimeoutError:
            return f"no answer within {self._timeout:g} s"
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PermissionError) and self._reach.is_limited:
                return error.os_error.strerror or str(error)
            self._refusing.add(_host(url))
            refused = isinstance(error.os_error, ConnectionRefusedError)
            return _refusal(f"{error.host}:{error.port}") if refused else str(error)
        except aiohttp.ClientResponseError:  # its text repeats the URL, and what came
            return "what came is no answer of HTTP"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            call.is_lost = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError))
            return str(error) or type(error).__name__

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                connector=aiohttp.TCPConnector(
                    limit=_CONNECTIONS, socket_factory=self._socket, keepalive_timeout=_KEPT_ALIVE
                ),
                request_class=_Request,
                trace_configs=[tracing()],
                skip_auto_headers=("Accept", "Accept-Encoding"),
                cookie_jar=aiohttp.DummyCookieJar(),  # no call is meant to know of another
            )
            self._session = unmocked(session)
        return self._session

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for one address to which a name was resolved, or which the URL holds; the call goes nowhere else."""
        family, kind, protocol, _, address = info
        if self._reach.is_limited and (problem := self._reach.problem(_numeric(address[0]))):
            raise PermissionError(errno.EACCES, problem)
        return socket.socket(family, kind, protocol)


class _Call(Sent):
    """One call: the status that its answer's parser saw, and the head that came, whatever the parser says of it."""

    answered = 0
    head: AnswerHead | None = None
    is_lost = False
    """Whether the connection ended without an answer."""

    @property
    def status(self) -> int:
        """The status of the answer, 0 for none."""
        status = self.head.status if self.head else 0
        return self.answered if status in INTERIM or not status else status

    @property
    def is_nonsense(self) -> bool:
        """Whether something came that does not begin as an answer does."""
        return self.head is not None and self.head.is_nonsense


_CALL: ContextVar[_Call] = ContextVar("_CALL")


class _Request(aiohttp.ClientRequest):
    """A request whose answer's head is seen before its parser sees the rest."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Send the request."""
        _CALL.get().head = AnswerHead(conn.transport, conn.protocol)
        return await super().send(conn)


async def _read_on(answer: aiohttp.ClientResponse) -> None:
    """Read the rest of an answer, if it comes soon."""
    if not answer.content.at_eof():
        with contextlib.suppress(asyncio.TimeoutError, aiohttp.ClientError, RuntimeError):  # that is a lost connection
            await asyncio.wait_for(answer.content.read(_READ), _READ_FOR)


def _numeric(host: str) -> str:
    """An address in its usual form; 127.1 and 0x7f000001 are addresses too. Raises OSError for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return str(found[0][4][0])


def _host(url: str) -> str:
    """Host and port of a URL, without a password that it may hold."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _refusal(host: str) -> str:
    return f"{host} refuses the connection"


def _refuses(url: str, reach: Reach) -> bool:
    """Whether the port of a loopback address refuses; False wherever that cannot be told at once."""
    parts = urlsplit(url)
    addresses = {"127.0.0.1": ("127.0.0.1",), "localhost": ("127.0.0.1", "::1")}.get(parts.hostname or "", ())
    if any(map(reach.problem, addresses)):
        return False
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return bool(addresses) and all(_knock(address, port) == errno.ECONNREFUSED for address in addresses)


def _knock(address: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _KNOCK)
        return probe.connect_ex((address, port))
