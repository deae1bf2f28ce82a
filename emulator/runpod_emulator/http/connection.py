"""The connection under a request: how it is written to, broken by an answer, and noticed to be gone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope

from runpod_emulator.effects.before import Before
from runpod_emulator.http.bounded import BoundedProtocol
from runpod_emulator.http.frames import Frames

_begin_message, _end_answer = BoundedProtocol.on_message_begin, BoundedProtocol.on_response_complete
_GOODBYE = 0.1
"""Seconds that a TLS client has to say goodbye when the server ends."""
_FAREWELL = 1.0
"""Seconds that a client may go on sending after the goodbye of a WebSocket."""
EXTENSION = "emulator.connection"
LAST_ANSWERS = 2
"""Seconds that open requests have to be answered, and their answers to be read, once every wait was ended."""
_LARGE = 64 * 1024
"""Bytes that are not copied to be sent in one call."""
_LOOKS = 0.01, 1.0
"""Seconds until a client that sends no more is looked for a second time, and from one look to the next then."""
_CONTINUE = b"HTTP/1.1 100 "
"""Begins what uvicorn writes before a client's body, if that waits for it."""
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: what is closed so is reset, and what was not sent yet is lost."""


class JoiningTransport:
    """A transport that sends the head of an answer with what is written next, if that comes in the same step.

    uvicorn writes head and body one by one: two system calls, of which each takes as long as
    a tenth of everything else that a small job needs.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._instead: Callable[[bytes], bytes] | None = None
        self.switched: Callable[[], None] | None = None
        """Called when it has said that a WebSocket begins."""
        self.resumed: Callable[[], None] | None = None
        """Called, instead of reading on, when the reader wants more."""
        self.is_held = False
        """Whether the reader wants no more for now."""
        self.lingers = False
        """Whether it reads on when it is closed: a client that still sends would not see the goodbye."""
        self._is_leaving = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send the data, now or in this step's end."""
        if self._is_leaving:
            return
        if self._instead is not None and data.startswith(b"HTTP/") and not data.startswith(_CONTINUE):
            data, self._instead = self._instead(data), None
        head, self._head = self._head, b""
        if not head and data.startswith(b"HTTP/"):
            self._head = data
            self._loop.call_soon(self._flush)
            if self.switched is not None and data.startswith(b"HTTP/1.1 101 "):
                self._loop.call_soon(self.switched)
            return
        if head and len(data) < _LARGE:
            data = head + data
        elif head:
            self._transport.write(head)
        self._transport.write(data)

    def change_head(self, instead: Callable[[bytes], bytes]) -> None:
        """Send what this makes of the head that is written next: uvicorn knows no reasons, and no status above 599."""
        self._instead = instead

    def reset(self) -> None:
        """Break the connection."""
        with contextlib.suppress(OSError), self.same_socket() as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.abort()

    def same_socket(self) -> socket.socket:
        """The connection's socket, to be closed by whoever asks for it; raises OSError."""
        return socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))

    def say(self, data: bytes) -> None:
        """Send the data to a client that may have left."""
        if not self.is_closing():
            self.write(data)

    def pause_reading(self) -> None:
        """Read no more: the reader has enough for now."""
        self.is_held = True
        self.hold_reading()

    def resume_reading(self) -> None:
        """Read on: the reader has room again."""
        self.is_held = False
        (self.resumed or self.read_on)()

    def hold_reading(self) -> None:
        """Read no more, whatever the reader wants."""
        self._transport.pause_reading()

    def read_on(self) -> None:
        """Read on, whatever the reader wants."""
        self._transport.resume_reading()

    def write_eof(self) -> None:
        """Send no more once all is sent."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close once all is sent."""
        self._flush()
        if self.lingers and not self.is_closing() and self._transport.can_write_eof():
            self._is_leaving = True
            with contextlib.suppress(OSError):  # it is gone
                self._transport.write_eof()
                _Farewell(self._transport, self._loop)
                return
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether no more can be sent."""
        return self._is_leaving or self._transport.is_closing()

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self._head = b""
        self._transport.abort()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)


class _Farewell(Before):
    """Takes what a client still sends to a connection that says no more, until it closes too, or for `_FAREWELL`."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport, transport.get_protocol())
        if not transport.is_reading():
            transport.resume_reading()
        loop.call_later(_FAREWELL, transport.close)

    def data_received(self, data: bytes) -> None:
        """It is too late."""

    def eof_received(self) -> None:
        """Close the connection."""


class BreakableProtocol(BoundedProtocol):
    """HTTP whose requests can reach their connection: the scope's extension holds `left`, `ends`, and `ways_to` it.

    `left` takes what is to be called when the client leaves before its answer; while a
    body is not read whole, its leaving may stay unnoticed. `ends` says that a client which
    sends no more has left: any other has only closed its sending half, and gets its answer.
    """

    __slots__ = ("_ends", "_extensions", "_is_half", "_is_last", "_is_lost", "_on_left")

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._is_last = self._is_lost = self._is_half = self._ends = False
        self._on_left: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        joining: Any = JoiningTransport(transport, self.loop)
        super().connection_made(joining)
        self._extensions: dict[str, dict[object, object]] = {
            EXTENSION: {**ways_to(joining), "left": self._call_when_left, "ends": self._end_with_eof}
        }

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        super().connection_lost(exc)
        self._is_lost = True
        on_left, self._on_left = self._on_left, None
        if on_left is not None:
            on_left()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer what is owed to a client that sends no more; returns whether the connection stays for that."""
        owed = (self.owes and not self.cycle.more_body) or bool(self._pending)
        if self._ends or not owed or self.scheme == "https" or self._is_gone():
            return False
        self._is_half = True
        self._gate.is_over = True  # who reads on would only meet the end again
        self.loop.call_later(_LOOKS[0], self._look)
        return True

    def _look(self) -> None:
        if self._is_lost or self.transport.is_closing():
            return
        if self._is_gone():
            self.transport.abort()
        else:
            self.loop.call_later(_LOOKS[1], self._look)

    def _is_gone(self) -> bool:
        """Whether nobody is there any more, as far as one can see from here.

        A closed connection and a closed sending half look alike, until something is sent. A byte out of
        band is: a client that listens never gets to see it, the system of one that does not answers with a reset.
        """
        joining: Any = self.transport
        try:
            with joining.same_socket() as same:
                same.send(b"\n", socket.MSG_OOB)
                return bool(same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError as error:
            return error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)

    def _end_with_eof(self) -> None:
        self._ends = True
        if self._is_half:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a request."""
        _begin_message(self)
        self.scope["extensions"] = self._extensions

    def handle_websocket_upgrade(self) -> None:
        """Begin the handshake of a WebSocket."""
        super().handle_websocket_upgrade()
        Frames(self.transport, self.transport.get_protocol())

    def shutdown(self) -> None:
        """End with the server: at once when idle, else with the answer; harmless when told again."""
        if self._is_last:
            return
        super().shutdown()
        self._is_last = True
        self._hang_up()
        if not self.transport.is_closing():
            self.loop.call_later(LAST_ANSWERS, self.transport.abort)

    def on_response_complete(self) -> None:
        """Go on with the next request, or end."""
        self._on_left = None
        self._ends = False
        _end_answer(self)
        if self._is_last:
            self._hang_up()
        if self._is_half and not (self.pipeline or self._pending):
            self._end_half()

    def _end_half(self) -> None:
        """Close once all is answered; a request that is not whole will never be."""
        if not self.owes or self.cycle.more_body:
            self.transport.close()

    def _hang_up(self) -> None:
        """Do not wait for long until a TLS client says goodbye too: one that keeps its connection unread never does."""
        if self.scheme == "https" and self.transport.is_closing():
            self.loop.call_later(_GOODBYE, self.transport.abort)

    def _call_when_left(self, on_left: Callable[[], None]) -> None:
        if self._is_lost:
            on_left()
            return
        self._on_left = on_left
        if not self.pipeline:
            self.flow.resume_reading()  # uvicorn may have paused within the body: who is not read never leaves


def ways_to(joining: Any) -> dict[object, object]:
    """What an application may do to its connection."""
    return {"reset": joining.reset, "close": joining.close, "head": joining.change_head, "write": joining.say}


def ways_of(scope: Scope) -> dict[str, Any] | None:
    """What an application may do to its connection, by a request's scope; None where that is out of reach."""
    ways: dict[str, Any] | None = (scope.get("extensions") or {}).get(EXTENSION)
    return ways


async def break_off(scope: Scope, receive: Receive, how: str) -> None:
    """End the connection: `reset` it, or `close` it once all is sent.

    Raises ConnectionResetError where the connection is out of reach.
    """
    ways = ways_of(scope)
    if ways is None:
        raise ConnectionResetError("a fault ends the connection here")
    ways[how]()
    while not (await receive())["type"].endswith(".disconnect"):
        pass


def begin_with(scope: Scope, line: bytes) -> bool:
    """Let the answer begin with this status line, whatever status it is sent with; False where that cannot be."""
    ways = ways_of(scope)
    if ways is None:
        return False
    ways["head"](lambda head: line + head[head.index(b"\r\n") :])
    return True


def ends_with_eof(scope: Scope) -> None:
    """Take a client that sends no more for one that has left, where its request holds an answer for nobody else."""
    ways = ways_of(scope)
    if ways is not None:
        ways["ends"]()
