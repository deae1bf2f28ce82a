"""Standard output and standard error of a server: written to without ever waiting for whoever reads them.

What can be written at once is, so that a crash loses nothing of it. What cannot, because nobody reads, is kept by a
thread that waits instead of the event loop. It keeps 1 MiB; what comes beyond that is dropped and counted, and the
count is told as soon as all that was kept has been read.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

KEPT = 1024 * 1024
"""Bytes that wait for a reader; about 10,000 lines."""
LAST_WORDS = 1.0
"""Seconds that a reader has at the end for what still waits."""


class OutputLost(OSError):
    """Standard output cannot be written to; it has the error's number and text."""


class Outlet(io.RawIOBase):
    """A descriptor as a stream of bytes. It is never closed: it belongs to the process.

    `patient`: writing waits for the reader, as that of any command. `faithful`: what cannot be written at all raises
    OutputLost; else it is dropped. `notice(lines)` is what a reader finds instead of lines that were dropped.
    """

    def __init__(self, descriptor: int, *, patient: bool = False, faithful: bool = False) -> None:
        self.patient = patient
        self.notice: Callable[[int], str] = "{} lines were dropped: nobody read them\n".format
        self._descriptor = descriptor
        self._faithful = faithful
        self._turn = threading.Condition()
        self._kept: deque[bytes] = deque()
        self._size = 0
        """Bytes of what is kept, and of what the thread writes just now."""
        self._dropped = 0
        self._aside: bytearray | None = None
        """What is written while somebody else has the terminal, None while nobody has."""
        self._writer: threading.Thread | None = None
        mode = os.fstat(descriptor).st_mode
        self._gate: select.poll | None = None
        if not stat.S_ISREG(mode) and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)):
            self._gate = select.poll()
            self._gate.register(descriptor, select.POLLOUT)
        self._direct = _unwaiting_terminal(descriptor)
        self._target = descriptor if self._direct is None else self._direct

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether people look at it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or keep, or drop all of it."""
        whole = data if isinstance(data, bytes) else bytes(data)
        with self._turn:
            if self._aside is not None:
                fits = len(self._aside) + len(whole) <= KEPT
                self._aside += whole if fits else b""
                self._dropped += 0 if fits else whole.count(b"\n")
                return len(whole)
            try:
                self._write(whole)
            except OSError as error:
                if self._faithful:
                    raise OutputLost(error.errno, error.strerror) from None
                self._dropped += whole.count(b"\n")
        return len(whole)

    def hold(self) -> None:
        """Show nothing until `let_go`: somebody else has the terminal. What is written meanwhile waits."""
        with self._turn:
            if self._aside is None:
                self._aside = bytearray()

    def let_go(self) -> None:
        """Show what has waited, and all that follows."""
        with self._turn:
            aside, self._aside = self._aside, None
        if aside:
            self.write(bytes(aside))

    def finish(self, seconds: float = LAST_WORDS) -> None:
        """Wait until all has been read, but no longer than that."""
        with self._turn:
            self._turn.wait_for(lambda: not self._size, seconds)

    def _write(self, data: bytes) -> None:
        if self.patient:
            self._write_out(data)
        elif self._size == 0:
            if self._dropped:
                data, self._dropped = self.notice(self._dropped).encode() + data, 0
            self._keep(self._write_now(data))
        elif self._dropped or self._size + len(data) > KEPT:
            self._dropped += data.count(b"\n")
        else:
            self._keep(data)

    def _write_now(self, data: bytes) -> bytes:
        """Write what can be without waiting; returns the rest."""
        done, size = 0, len(data)
        while done < size:
            if self._direct is None and self._gate is not None and not self._gate.poll(0):
                break
            most = size if self._gate is None else select.PIPE_BUF  # a pipe that is ready takes so much
            try:
                done += os.write(self._target, data[done : done + most])
            except BlockingIOError:
                break
        return data[done:]

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._kept.append(data)
        self._size += len(data)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_kept, name="runpod-emulator log", daemon=True)
            self._writer.start()

    def _write_kept(self) -> None:
        """What the thread does: write what is kept, waiting as long as it takes, until there is nothing."""
        while True:
            with self._turn:
                if not self._kept:
                    if not self._dropped:
                        self._writer = None
                        self._turn.notify_all()
                        return
                    self._kept.append(self.notice(self._dropped).encode())
                    self._size, self._dropped = len(self._kept[0]), 0
                data = self._kept.popleft()
            with contextlib.suppress(OSError):  # nobody will ever read it
                self._write_out(data)
            with self._turn:
                self._size -= len(data)

    def _write_out(self, data: bytes) -> None:
        """Write all of it, however long that takes."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody who shares the descriptor has made it so
                gate = select.poll()
                gate.register(self._descriptor, select.POLLOUT)
                gate.poll()


def _unwaiting_terminal(descriptor: int) -> int | None:
    """A descriptor of our own for the same terminal, which never waits; None for what is no terminal, or not ours."""
    if not os.isatty(descriptor):
        return None
    with contextlib.suppress(OSError):
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    return None


def take_streams() -> None:
    """Put outlets into `sys.stdout` and `sys.stderr`: the first waits and raises as any command's, the second never.

    A descriptor that was closed is opened on /dev/null: else the next file or socket would be what is printed to.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = _text(sys.stdout, Outlet(1, patient=True, faithful=True))
    sys.stderr = _text(sys.stderr, Outlet(2))
    for stream in (sys.stdout, sys.stderr):
        if (outlet := outlet_of(stream)) is not None:
            atexit.register(outlet.finish)


def outlet_of(stream: TextIO) -> Outlet | None:
    """The outlet beneath a text stream."""
    beneath = getattr(stream, "buffer", None)
    return beneath if isinstance(beneath, Outlet) else None


def _text(present: TextIO | None, outlet: Outlet) -> TextIO:
    """The outlet as a stream of text; what somebody has put there instead of the standard stream stays."""
    try:
        is_standard = present is None or present.fileno() == outlet.fileno()
    except (OSError, ValueError):
        is_standard = False
    if present is not None and not is_standard:
        return present
    encoding = present.encoding if present is not None else "utf-8"
    return io.TextIOWrapper(outlet, encoding, "backslashreplace", write_through=True)  # type: ignore[type-var]
