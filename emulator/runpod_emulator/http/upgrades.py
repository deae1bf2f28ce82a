"""Requests that ask for another protocol than HTTP/1.1: WebSockets begin, any other is answered as if it had not asked.

Java's and Kotlin's HTTP clients and `curl --http2` ask with their first request whether the
server speaks HTTP/2 (`Upgrade: h2c`), and go on with HTTP/1.1 when it just answers. The parser
takes all that follows such a head for the other protocol, so the body would be lost: the head
goes through a new parser without that header then, and the rest through that one.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_NOBODY: Any = SimpleNamespace(response_complete=True)
"""Stands where a request stands that has begun, while the head is read that has to be read again."""
_UPGRADE_HEADERS = (b"upgrade", b"http2-settings")
"""Headers, and words of `Connection`, that ask for another protocol."""
_OTHERS = {
    b"PRI * HTTP/2": "HTTP/2 is not spoken here: use HTTP/1.1",
    b"\x16\x03": "a TLS handshake on a port without TLS: use http:// here, or start the server with --tls",
}
"""What begins with these bytes is another protocol."""
_INVALID = "Invalid HTTP request received."


class UpgradesProtocol(HttpToolsProtocol):
    """HTTP that begins WebSockets and ignores what asks for any other protocol."""

    __slots__ = ("_before",)
    _before: Any
    """The request before the one whose head has to be read again."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._go_on_after(upgrade, bytes(data[upgrade.args[0] :]))
        except HttpParserError:
            reason = next((text for start, text in _OTHERS.items() if data[: len(start)] == start), _INVALID)
            self.logger.warning(reason)
            self.send_400_response(reason)

    def puts_off(self) -> bool:
        """Whether a head that asks for another protocol is to be read again; nothing is begun then."""
        if self._should_upgrade() or self.parser.get_method() == b"CONNECT":
            return False
        self._before, self.cycle = self.cycle, _NOBODY
        return True

    def _go_on_after(self, upgrade: HttpParserUpgrade, rest: bytes) -> None:
        if self._should_upgrade():
            self.handle_websocket_upgrade()
            if rest:
                successor: Any = self.transport.get_protocol()
                successor.data_received(rest)
        elif self.cycle is _NOBODY:
            self.cycle = self._before
            head = self._head_without_upgrade()
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            UpgradesProtocol.data_received(self, head + rest)

    def _should_upgrade(self) -> bool:
        """Whether it is the handshake of a WebSocket, which has no body."""
        if self._get_upgrade() != b"websocket" or self.parser.get_method() != b"GET":
            return False
        has_body = any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
                       for name, value in self.headers)  # fmt: skip
        return not has_body and self._should_upgrade_to_ws()

    def _head_without_upgrade(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                words = (word.strip() for word in value.split(b","))
                value = b", ".join(word for word in words if word.lower() not in _UPGRADE_HEADERS)
            if name not in _UPGRADE_HEADERS:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def _get_upgrade(self) -> bytes | None:
        """What protocol is asked for, lower case; `Connection` may be there more than once."""
        connection = b",".join(value for name, value in self.headers if name == b"connection").lower()
        asked: bytes | None = next((value.lower() for name, value in self.headers if name == b"upgrade"), None)
        return asked if b"upgrade" in (word.strip() for word in connection.split(b",")) else None
