"""One webhook call over HTTP, with the headers that the service sends."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from emulator.core.networks import Reach
from emulator.effects.own_post import call_headers
from emulator.effects.unmocked import unmocked

_CONNECTIONS = 64
_KNOCK = struct.pack("ll", 0, 1_000)
"""A millisecond as a `timeval`: what a knock may take; a refusal on loopback takes a few microseconds."""
_READ = 64 * 1024
"""Bytes of an answer that are read, so that its connection can be used again."""


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
        """One POST; redirects are not followed. Answers "" for a 2xx, else what went wrong."""
        try:
            host = _host(url)
            if host in self._refusing and _refuses(url, self._reach):
                return _refusal(host)
            self._refusing.discard(host)
            async with self._open().post(url, data=body, headers=call_headers(), allow_redirects=False) as answer:
                await answer.content.read(_READ)
                return "" if 200 <= answer.status < 300 else f"answered {answer.status}"
        except asyncio.TimeoutError:
            return f"no answer within {self._timeout:g} s"
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PermissionError) and self._reach.is_limited:
                return error.os_error.strerror or str(error)
            self._refusing.add(_host(url))
            refused = isinstance(error.os_error, ConnectionRefusedError)
            return _refusal(f"{error.host}:{error.port}") if refused else str(error)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error) or type(error).__name__

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, socket_factory=self._socket),
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
