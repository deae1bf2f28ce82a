"""Header values that are no UTF-8, sent as the bytes they are: the client of workers takes texts, and writes UTF-8.

Of answers, it wants all at once to be in order: what is wrong behind a head is kept from it until it has that.
"""

from __future__ import annotations

import re
from typing import Any

import aiohttp

from runpod_emulator.effects.answer_head import AnswerHead

_FIRST = 0x10FF00
"""The code point that stands for a byte 0; nobody uses those from here on, and whoever does is spelled by them too."""
_STANDS_IN = re.compile("[\U0010ff00-\U0010ffff]")
_STOOD_IN = re.compile(b"\xf4\x8f[\xbc-\xbf][\x80-\xbf]")


def as_text(raw: bytes) -> str:
    """Bytes as the text that is sent as the same bytes."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if text and not _STANDS_IN.search(text):
        return text
    return "".join(chr(byte if byte < 0x80 else _FIRST + byte) for byte in raw)


def _as_bytes(head: bytes) -> bytes:
    return _STOOD_IN.sub(lambda found: bytes([ord(found[0].decode()) - _FIRST]), head)


class RawRequest(aiohttp.ClientRequest):
    """A request whose head goes out with the bytes that its texts stand for, and whose answer has an end."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Send the request; where no header needs it, as ever."""
        transport = conn.transport
        if any(_STANDS_IN.search(value) for value in self.headers.values()):
            conn.protocol.transport = _RawHead(conn.protocol)
        head = AnswerHead(transport, conn.protocol)
        answer = await super().send(conn)
        head.lost = lambda: _end(answer)
        return answer


def _end(answer: aiohttp.ClientResponse) -> None:
    """Tell who reads an answer that no more of it will come."""
    content = answer.content
    if content is not None and not content.is_eof() and content.exception() is None:
        content.set_exception(aiohttp.ClientPayloadError("the answer breaks off"))


class _RawHead:
    """Stands before a transport until the head of a request has gone through it."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write the head, and what comes with it."""
        self._protocol.transport = self._transport
        head, end, rest = bytes(data).partition(b"\r\n\r\n")
        self._transport.write(_as_bytes(head) + end + rest)

    def writelines(self, parts: Any) -> None:
        """Write the head, and what comes with it, given in parts."""
        self.write(b"".join(parts))
