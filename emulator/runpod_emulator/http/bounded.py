"""What one connection may make the server hold: a head of 64 KiB, and a few requests ahead of their answers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from runpod_emulator.http.upgrades import UpgradesProtocol

LONGEST_HEAD = 64 * 1024
"""Bytes of a request line and its headers, and of what comes behind a body."""
HEAD = "emulator.head"
"""Where a scope has the length of a head that is longer than usual."""
_MOST_AHEAD, _MOST_BYTES_AHEAD = 64, 1 << 20
"""Requests, and bytes, that are taken before the answers to those in front of them were."""
_PIECE = 4 * 1024
"""Bytes that are parsed in one go: no more than 200 requests have room in them."""
_HEAD_TIME = 60.0
"""Seconds that a head may take to arrive."""
_FAREWELL, _MOST_DROPPED = 1.0, 1 << 20
"""Seconds, and bytes, that a refused client may go on sending: closed at once it would not see why."""
_TITLES = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


# Called by these names, for every request: `super()` would take as long again.
_begin_answer, _end_answer = UpgradesProtocol.on_headers_complete, UpgradesProtocol.on_response_complete
_take_data = UpgradesProtocol.data_received


class _HeadTooLong(Exception):
    """Ends the parser's work on a request."""


class _Flow(FlowControl):
    """Reading that can be held: nobody else resumes it then. When it `is_over`, nobody does any more."""

    is_held = is_over = False

    def hold(self) -> None:
        """Read no more until `let_go`."""
        self.is_held = True
        self.pause_reading()

    def let_go(self) -> None:
        """Read on."""
        self.is_held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless that is held, or over."""
        if self.read_paused and not (self.is_held or self.is_over):
            super().resume_reading()


class BoundedProtocol(UpgradesProtocol):
    """HTTP that answers 431 to an overlong head, and stops reading from those who do not read."""

    # In slots: with more than 30 attributes in its dictionary an object is slower in all of them.
    __slots__ = (
        "_ahead", "_dropped", "_gate", "_head_timer", "_is_refused", "_pending", "_refusal", "_running", "_silent",
    )  # fmt: skip

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._gate: _Flow
        """What uvicorn calls `flow`, with a type of its own."""
        self._silent = 0
        """Bytes since the last head, part of a body, or end of a message: they belong to something unfinished."""
        self._ahead = 0
        """Bytes that came while requests waited for others."""
        self._pending = memoryview(b"")
        """What was read and is not parsed yet."""
        self._refusal: tuple[int, str] | None = None
        """The status and text that end the connection, once what came before is answered."""
        self._is_refused = False
        self._dropped = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        """The request that is being answered: `cycle` is the one that was read last."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, which is closed if nothing comes."""
        super().connection_made(transport)
        self.flow = self._gate = _Flow(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection: whoever is being answered has left, whatever was read behind it."""
        super().connection_lost(exc)
        self._pending = memoryview(b"")
        self._stop_head_timer()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse what came, or keep it where too much waits already."""
        if len(data) <= _PIECE and not self.pipeline and not self._pending and self._refusal is None:
            self._silent += len(data)
            _take_data(self, data)
            if self._silent:
                self._weigh_head()
        elif self._refusal is not None:
            self._drop(data)
        else:
            self._pending = memoryview(bytes(self._pending) + data if self._pending else data)
            self._go_on()

    def _parse(self, data: memoryview) -> None:
        self._silent += len(data)
        _take_data(self, data)  # type: ignore[arg-type]
        if self._silent:
            self._weigh_head()

    def _weigh_head(self) -> None:
        if self.cycle is not None and not self.cycle.more_body and self.scope is self.cycle.scope:
            self._silent = 0  # it was the end of a request
        elif self._silent > LONGEST_HEAD:
            self._refuse(431, f"the head of the request is longer than {LONGEST_HEAD} bytes")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_TIME, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.owes:
            self.transport.close()
        elif self._silent:
            self._head_timer = self.loop.call_later(_HEAD_TIME, self._head_is_late)

    def _stop_head_timer(self) -> None:
        timer, self._head_timer = self._head_timer, None
        if timer is not None:
            timer.cancel()

    @property
    def owes(self) -> bool:
        """Whether a request has begun, and is not answered yet."""
        return bool(self.pipeline) or (self._running is not None and not self._running.response_complete)

    def _go_on(self) -> None:
        """Parse what is pending as far as there is room, and read on if there is room then."""
        while self._pending and self._refusal is None and not self._is_full():
            piece, self._pending = self._pending[:_PIECE], self._pending[_PIECE:]
            if self.pipeline:
                self._ahead += len(piece)
            self._parse(piece)
            if self.transport.is_closing():
                self._pending = memoryview(b"")
                return
            successor: Any = self.transport.get_protocol()
            if successor is not self:  # a WebSocket
                rest, self._pending = bytes(self._pending), memoryview(b"")
                if rest:
                    successor.data_received(rest)
                return
        if self._pending or self._is_full():
            self._gate.hold()
        elif self._gate.is_held:
            self._gate.let_go()

    def _is_full(self) -> bool:
        if not self.pipeline:
            self._ahead = 0
        elif len(self.pipeline) >= _MOST_AHEAD or self._ahead >= _MOST_BYTES_AHEAD:
            return True
        return self.flow.write_paused and self.transport.get_write_buffer_size() >= _MOST_BYTES_AHEAD

    def on_headers_complete(self) -> None:
        """Begin to answer a request, or let it wait."""
        if self.parser.should_upgrade() and self.puts_off():
            return
        if self._silent > _PIECE:
            self._silent = self.scope[HEAD] = self._head_length()  # type: ignore[literal-required]
            if self._silent > LONGEST_HEAD:
                raise _HeadTooLong
        self._silent = 0
        if self._head_timer is not None:
            self._stop_head_timer()
        _begin_answer(self)
        if not self.pipeline:
            self._running = self.cycle

    def _head_length(self) -> int:
        parser: Any = self.parser
        line = len(self.url) + len(parser.get_method()) + len(b"  HTTP/1.1\r\n\r\n")
        return line + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._silent = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        _end_answer(self)
        if self._refusal is not None:
            self._say_refusal()
        elif self._pending or self._gate.is_held:
            self._go_on()

    def resume_writing(self) -> None:
        """Go on: the client has read what waited for it."""
        super().resume_writing()
        if self._gate.is_held and not self.transport.is_closing():
            self._go_on()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and a head that turned out to be too long."""
        if self._silent > LONGEST_HEAD:
            self._weigh_head()
        else:
            self._refuse(400, msg)

    def _refuse(self, status: int, text: str) -> None:
        """End the connection with this answer, after those that are still owed."""
        if self._refusal is None:
            self._refusal = status, text
            self._silent = 0
            self._pending = memoryview(b"")
            self._stop_head_timer()
            self._say_refusal()

    def _say_refusal(self) -> None:
        if self._refusal is None or self._is_refused or self.transport.is_closing():
            return
        if self.owes:
            self._gate.hold()
            return
        self._is_refused = True
        self._unset_keepalive_if_required()
        status, text = self._refusal
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, _TITLES[status], len(text), text.encode())
        )
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._gate.let_go()
        self.loop.call_later(_FAREWELL, self.transport.close)

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > _MOST_DROPPED:
            self.transport.close()
