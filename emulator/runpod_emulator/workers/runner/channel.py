"""The worker's end of the channel to the server: frames in, frames out."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterable

from .frames import Decoder, Frame, Kind, pack, pieces

_CHUNK = 1 << 16
_PRINTED = 1 << 14
"""Bytes of a frame of printed text."""


class Channel:
    """A stream of frames; `send` may be called from any thread. A worker does not outlive it."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._decoder = Decoder()
        self._sending = threading.Lock()
        self._senders: set[int] = set()
        """The threads that send, or wait for their turn."""
        self._process = os.getpid()

    def fileno(self) -> int:
        """The descriptor, for an event loop to watch."""
        return self._socket.fileno()

    def send(self, kind: Kind, job: str = "", body: bytes = b"") -> None:
        """Write one frame; returns once all of it has left."""
        thread = threading.get_ident()
        self._senders.add(thread)
        with self._sending:
            for piece in pieces(kind, job, body):
                rest = memoryview(piece)
                while rest:
                    rest = rest[self._write(rest) :]
        self._senders.discard(thread)

    def send_printed(self, job: str, text: bytes) -> bool:
        """Tell what a job has printed; False where only the log can take it.

        That is in a fork, which shares this channel, and in a signal's handler that interrupts `send`.
        """
        if os.getpid() != self._process or threading.get_ident() in self._senders:
            return False
        for start in range(0, len(text), _PRINTED):
            self.send(Kind.PRINTED, job, text[start : start + _PRINTED])
        return True

    def receive(self) -> Iterable[Frame]:
        """The frames that have come in full; never waits."""
        try:
            data = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return ()
        except ConnectionError:
            data = b""
        if not data:
            os._exit(1)  # what this worker began ends with it: its keeper sees to that
        return self._decoder.feed(data)

    def is_given_up(self) -> bool:
        """Whether the last word of the server, not yet received, is that what runs is given up; never waits."""
        try:
            waiting = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except OSError:
            return False
        return waiting.endswith(pack(Kind.GIVE_UP))

    def _write(self, data: memoryview) -> int:
        while True:
            try:
                return self._socket.send(data)
            except BlockingIOError:  # uvloop makes what it watches non-blocking
                gate = select.poll()
                gate.register(self.fileno(), select.POLLOUT)
                gate.poll()
            except ConnectionError:
                os._exit(1)  # what this worker began ends with it: its keeper sees to that
