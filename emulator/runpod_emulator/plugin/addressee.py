"""Whom the first bytes of a connection name: what clients say to a proxy, whatever library they are built on."""

from __future__ import annotations

import re

FIRST = 8192
"""Bytes that are looked at: a request's first line may be as long, a SOCKS request has 520 at most."""
_HTTP = re.compile(rb"(?:CONNECT |[A-Z]+ https?://)(?:[^\s/@]*@)?([^\s/:?#]+)\S* HTTP/1")
_SOCKS_5 = re.compile(rb"(?:\x05[\x01-\x03]\x00|\x00\x00.)\x03(.)(.+)", re.DOTALL)
"""A request, or the head of a datagram, that names its destination (RFC 1928): 3, the name's length, the name."""
_SOCKS_4A = re.compile(rb"\x04[\x01\x02]..\x00\x00\x00[^\x00][^\x00]*\x00([^\x00]+)\x00", re.DOTALL)
"""A request with the address 0.0.0.x, the user, and the name after them."""


def destination(sent: bytes) -> str | None:
    """The host that a proxy is asked to reach; None where these bytes are nothing of the kind."""
    if sent[:1] in (b"\x05", b"\x00"):
        asked = _SOCKS_5.match(sent)
        return asked[2][: asked[1][0]].decode("latin-1") if asked else None
    asked = (_SOCKS_4A if sent[:1] == b"\x04" else _HTTP).match(sent)
    return asked[1].decode("latin-1") if asked else None
