"""The head of a request to a proxy: what it asks for, and what of it is passed on."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

import h11

from runpod_emulator.core.proxy_errors import HeadTooLong, HeadTooSlow, NotUnderstood
from runpod_emulator.http.bounded import LONGEST_HEAD
from runpod_emulator.http.names import authority

HEAD_TIME = 10.0
"""Seconds that a head may take to arrive: clients send it in one piece."""
_ABSOLUTE = re.compile(rb"(?i)(https?)://(?:[^/?#]*@)?([^/?#@]*)([^#]*)(?:#.*)?")
_PORTS = {"http": 80, "https": 443}
_FOR_PROXY = {
    b"connection", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"proxy-authenticate", b"te", b"upgrade",
    b"host",
}  # fmt: skip
"""Headers that end here (RFC 9110, 7.6.1), and the host, which is written anew."""
_OTHERS = {
    b"PRI * HTTP/2": "HTTP/2 is not spoken to the proxy: use HTTP/1.1",
    b"\x16\x03": "a TLS handshake with the proxy: write HTTPS_PROXY=http://…, which is the proxy's own address; what "
    "goes through it is HTTPS all the same",
}
"""What begins with these bytes is another protocol."""
_FORMS = "a proxy takes CONNECT HOST:PORT, or a whole URL, as GET http://api.runpod.ai/v2/…"


class Asked(NamedTuple):
    """Where a request is to go; `data` is what is sent there first."""

    host: str
    port: int
    is_tunnel: bool
    is_secure: bool
    """Whether the proxy is to speak TLS there, as for a URL that begins with https."""
    data: bytes

    @property
    def address(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def read_head(reader: asyncio.StreamReader) -> Asked | None:
    """What a client asks for, None where it has left; raises NotUnderstood, HeadTooLong, HeadTooSlow."""
    try:
        return await asyncio.wait_for(_read(reader), HEAD_TIME)
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise HeadTooSlow(f"the head of the request did not arrive within {HEAD_TIME:g} s") from error


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
    begins = b""
    while True:
        data = await reader.read(LONGEST_HEAD)
        if not data:
            return None
        if len(begins) < 16:
            begins += data
            _refuse_others(begins)
        try:
            connection.receive_data(data)
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                raise HeadTooLong(f"the head of the request is longer than {LONGEST_HEAD} bytes") from error
            raise NotUnderstood(f"this is no request of HTTP/1.1 ({error}): {_FORMS}") from error
        if isinstance(event, h11.Request):
            return _asked(event, connection.trailing_data[0])


def _refuse_others(begins: bytes) -> None:
    for start, text in _OTHERS.items():
        if begins.startswith(start):
            raise NotUnderstood(text)


def _asked(request: h11.Request, rest: bytes) -> Asked:
    if request.method == b"CONNECT":
        return _tunnel(request.target, rest)
    match = _ABSOLUTE.fullmatch(request.target)
    found = authority(match[2].decode("latin-1")) if match else None
    if match is None or found is None:
        target = request.target[:100].decode("latin-1")
        raise NotUnderstood(f"this is the proxy of the emulator, and {target!r} is no URL with a host: {_FORMS}")
    scheme = match[1].decode().lower()
    port = int(found.port or _PORTS[scheme])
    head = _head(request, match[3], match[2])
    return Asked(found.host, _checked(port), False, scheme == "https", head + rest)


def _tunnel(target: bytes, rest: bytes) -> Asked:
    found = authority(target.decode("latin-1"))
    if found is None or not found.port:
        shown = target[:100].decode("latin-1")
        raise NotUnderstood(f"CONNECT {shown!r} names no host with a port: write one as api.runpod.ai:443")
    return Asked(found.host, _checked(int(found.port)), True, False, rest)


def _checked(port: int) -> int:
    if not 0 < port < 65_536:
        raise NotUnderstood(f"there is no port {port}")
    return port


def _head(request: h11.Request, path: bytes, host: bytes) -> bytes:
    """The head as the server itself gets it; one request is passed on, so the connection ends with its answer."""
    path = path if path.startswith(b"/") else b"/" + path
    named = b",".join(value for name, value in request.headers if name == b"connection").lower().split(b",")
    left_out = _FOR_PROXY | {name.strip() for name in named}
    lines = [b"%b %b HTTP/%b" % (request.method, path, request.http_version), b"Host: " + host, b"Connection: close"]
    raw = zip(request.headers, request.headers.raw_items(), strict=True)
    lines += [b"%b: %b" % (as_written, value) for (name, value), (as_written, _) in raw if name not in left_out]
    return b"\r\n".join((*lines, b"", b""))
