"""Where a client is asked whom it is about to call: in its own code, in Python's sockets and in Python's TLS.

All of it stays for the life of the process: a client keeps the functions that it has found.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from runpod_emulator.plugin.addressee import FIRST, destination
from runpod_emulator.workers.imports import OnImport

Check = Callable[[object, object], None]
"""Raises for a host and a port that may not be called."""
Find = Callable[..., tuple[object, object]]
"""Takes the arguments of a call, by their names there; returns the host and the port that it is about."""

_ASKS = "_asks_for_runpod_emulator"
"""What a method has that asks; a wrapper of it by functools.wraps has it too."""
_BY_NAME_ONLY = sys.maxsize
"""The place of an argument that has none."""


def ask_all(check: Check) -> None:
    """Ask at every place below, in libraries as soon as they are there."""
    ask_sockets(check)
    for owner, names in ((ssl.SSLSocket, ("send", "write")), (ssl.SSLObject, ("write",))):
        for name in names:
            _ask(owner, name, _by_data, check)
    for kind in ssl.SSLContext.__mro__:  # truststore puts one of its own above Python's
        for name, find in _TLS.items():
            if name in vars(kind):
                _ask(kind, name, find, check)
    OnImport({module: functools.partial(_ask_library, check=check) for module in _LIBRARIES}).start()


def ask_sockets(check: Check) -> None:
    """Ask Python's sockets, again if they are asked no more: pytest-socket puts `connect` back after each test."""
    for name, find in _SOCKET.items():
        if not hasattr(getattr(socket.socket, name), _ASKS):
            _ask(socket.socket, name, find, check)


def _ask_library(module: ModuleType, check: Check) -> None:
    for kind, names, find in _LIBRARIES[module.__name__]:
        for name in names:
            if hasattr(getattr(module, kind, None), name):  # other versions may lack it
                _ask(getattr(module, kind), name, find, check)


def _ask(owner: type, name: str, find: Find, check: Check) -> None:
    """Ask before each call of a method, which looks as before to mocks that inspect it."""
    genuine = getattr(owner, name)

    def ask(*args: Any, **more: Any) -> None:
        host, port = find(*args, **more)
        if host is not None:
            check(host, port)

    @functools.wraps(genuine)
    def asked(*args: Any, **more: Any) -> Any:
        ask(*args, **more)
        return genuine(*args, **more)

    @functools.wraps(genuine)
    async def asked_later(*args: Any, **more: Any) -> Any:
        ask(*args, **more)
        return await genuine(*args, **more)

    asks: Any = asked_later if inspect.iscoroutinefunction(genuine) else asked
    with contextlib.suppress(ValueError, TypeError):  # some of what is written in C has no signature
        asks.__signature__ = inspect.signature(genuine)
    setattr(asks, _ASKS, True)
    setattr(owner, name, asks)


def _by_address(_: object, address: object, *__: object) -> tuple[object, object]:
    """An address as Python has it; it looks up a name itself, and tells nobody before."""
    return (address[0], address[1]) if isinstance(address, tuple) and len(address) > 1 else (None, None)


def _by_data(_: object, data: Any = b"", *__: object) -> tuple[object, object]:
    return destination(_first(data)), None


def _by_last_argument(_: object, data: Any = b"", *address: Any) -> tuple[object, object]:
    """sendto(data, [flags,] address)"""
    host, port = _by_address(None, address[-1]) if address else (None, None)
    return (destination(_first(data)), None) if host is None else (host, port)


def _by_buffers(
    _: object, buffers: Any = (), ancillary: object = (), flags: int = 0, address: object = None
) -> tuple[object, object]:
    """sendmsg; its buffers are left alone where they can be gone through only once."""
    host, port = _by_address(None, address)
    if host is None and isinstance(buffers, (list, tuple)):
        return destination(_joined(buffers)), None
    return host, port


def _first(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray)):
        return bytes(data[:FIRST])
    try:
        return bytes(memoryview(data).cast("B")[:FIRST])
    except (TypeError, ValueError):  # the call will say what is wrong with it
        return b""


def _joined(buffers: Iterable[Any]) -> bytes:
    joined = b""
    for one in buffers:
        joined += _first(one)
        if len(joined) >= FIRST:
            break
    return joined[:FIRST]


def _by_server_hostname(place: int) -> Find:
    """The name that a handshake begins with, which is the `place`-th argument or has its own name."""

    def find(*args: Any, server_hostname: object = None, **_: object) -> tuple[object, object]:
        return (args[place] if len(args) > place else server_hostname), None

    return find


def _by_request(_: object, request: Any = None, **__: object) -> tuple[object, object]:
    return request.url.host, request.url.port


def _by_req(_: object, req: Any = None, *__: object, **___: object) -> tuple[object, object]:
    return req.url.host, req.url.port


def _by_connection(connection: Any, *_: object, **__: object) -> tuple[object, object]:
    """A connection of `http.client` or below it: what it reaches may stand behind a proxy."""
    return getattr(connection, "_tunnel_host", None) or connection.host, connection.port


def _by_target(
    connection: Any, method: object = None, url: object = None, *_: object, **__: object
) -> tuple[object, object]:
    """A request of such a connection; a proxy is told the whole URL."""
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        return urlsplit(url).hostname, None
    return _by_connection(connection)


def _by_pair(_: object, dest_pair: object = None, *__: object, **___: object) -> tuple[object, object]:
    return _by_address(None, dest_pair)


def _by_destination(
    _: object, dest_host: object = None, dest_port: object = None, *__: object, **___: object
) -> tuple[object, object]:
    return dest_host, dest_port


def _by_look_up(_: object, host: object = None, port: object = None, **__: object) -> tuple[object, object]:
    return host, port


def _by_loop(
    _: object, protocol_factory: object = None, host: object = None, port: object = None, **more: object
) -> tuple[object, object]:
    """A loop's connection: with TLS of another name it is that name's, and the loop would keep a refusal to itself."""
    return more.get("server_hostname") or host, port


def _by_uri(connect: Any, *_: object, **__: object) -> tuple[object, object]:
    """A WebSocket's URI, unless it is told to connect elsewhere: to an emulator, with the service's name as Host."""
    options = getattr(connect, "create_connection_kwargs", None) or getattr(connect, "connection_kwargs", {})
    if not isinstance(connect.uri, str) or any(options.get(name) for name in ("host", "sock", "unix")):
        return None, None
    return urlsplit(connect.uri).hostname, None


def _by_loops_socket(_: object, sock: object = None, address: object = None) -> tuple[object, object]:
    return _by_address(None, address)


def _by_remote(
    _: object, protocol_factory: object = None, local_addr: object = None, remote_addr: object = None, **__: object
) -> tuple[object, object]:
    return _by_address(None, remote_addr)


_SOCKET: dict[str, Find] = {
    "connect": _by_address, "connect_ex": _by_address, "send": _by_data, "sendall": _by_data,
    "sendto": _by_last_argument, "sendmsg": _by_buffers,
}  # fmt: skip
_TLS: dict[str, Find] = {"wrap_socket": _by_server_hostname(5), "wrap_bio": _by_server_hostname(4)}
_POOLS: tuple[tuple[str, tuple[str, ...], Find], ...] = (
    ("ConnectionPool", ("handle_request",), _by_request),
    ("AsyncConnectionPool", ("handle_async_request",), _by_request),
)
_URLLIB3: tuple[tuple[str, tuple[str, ...], Find], ...] = (
    ("HTTPConnection", ("request", "request_chunked"), _by_target),
    ("HTTPConnection", ("connect",), _by_connection),
    ("HTTPSConnection", ("connect",), _by_connection),
)
_LIBRARIES: dict[str, tuple[tuple[str, tuple[str, ...], Find], ...]] = {
    # keep connections, and go through proxies and loops of their own
    "httpcore": _POOLS,
    "httpcore2": _POOLS,
    "aiohttp": (("BaseConnector", ("connect",), _by_req),),
    "websockets.asyncio.client": (("connect", ("open_tcp_connection", "create_connection"), _by_uri),),
    # would fail at a dead proxy before they say whom they want
    "http.client": (("HTTPConnection", ("request",), _by_target),),
    "urllib3.connection": _URLLIB3,
    "socks": (("socksocket", ("connect",), _by_pair),),
    **{
        f"python_socks.{kind}{version}": (("Proxy", ("connect",), _by_destination),)
        for kind in ("sync", "async_.asyncio", "async_.trio", "async_.anyio")
        for version in ("", ".v2")
    },
    # looks up names and sends without Python's sockets
    "uvloop": (
        ("Loop", ("create_connection",), _by_loop),
        ("Loop", ("start_tls",), _by_server_hostname(_BY_NAME_ONLY)),
        ("Loop", ("getaddrinfo",), _by_look_up),
        ("Loop", ("sock_connect",), _by_loops_socket),
        ("Loop", ("create_datagram_endpoint",), _by_remote),
    ),
}
