"""A worker process that stops at a breakpoint, seen from the server: it asks for the terminal, and gives it back.

They talk through a socket of their own, for the worker waits there while its channel rests. The worker writes a JSON
line: `{"stop": PLACE, "job": ID, "first": BOOL}` asks, `{"go": true}` gives back. The answer to the first is one byte,
with the descriptor of a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
from collections.abc import Callable
from typing import Any, Protocol

AT_A_BREAKPOINT = (
    "This terminal is its debugger's, and the log waits: c goes on, n is the next line, q fails the job, "
    "Ctrl-C twice stops the server"
)
"""What the log says then."""
_ASKED = b"."
_AT_ONCE = 4096


class Lender(Protocol):
    """Who has a terminal, and lends it to one worker at a time."""

    def lend(self, give: Callable[[int], None], interrupt: Callable[[], None]) -> Any:
        """Call `give` with a descriptor once the terminal is free, and `interrupt` for each Ctrl-C from then on."""
        ...

    def take_back(self, loan: Any) -> None:
        """What `lend` returned is over."""
        ...


class Stops:
    """The stops of one worker. `said(place, job)` is told of each that gets the terminal; a new one has a place."""

    def __init__(self, said: Callable[[str, str], None], interrupt: Callable[[], None]) -> None:
        self._said = said
        self._interrupt = interrupt
        self._lender: Lender | None = None
        self._loan: Any = None
        self._rest = b""
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None

    def begin(self, lender: Lender | None) -> list[int]:
        """Listen to the worker that is about to start; returns the descriptor that it needs, none without a lender."""
        self._lender = lender
        if lender is None:
            return []
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        asyncio.get_running_loop().add_reader(self._ours.fileno(), self._read)
        return [self._theirs.fileno()]

    def begun(self) -> None:
        """The worker has its end by now."""
        if self._theirs is not None:
            self._theirs.close()

    def close(self) -> None:
        """The worker has ended."""
        self._give_back()
        self.begun()
        if self._ours is not None:
            asyncio.get_running_loop().remove_reader(self._ours.fileno())
            self._ours.close()
            self._ours = None

    def _read(self) -> None:
        assert self._ours is not None
        try:
            data = self._ours.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._ours is None:
                return
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                self._hear(json.loads(line))

    def _hear(self, word: dict[str, Any]) -> None:
        self._give_back()
        if word.get("stop") and self._lender is not None:
            place = str(word["stop"]) if word.get("first") else ""
            give = functools.partial(self._give, place, str(word.get("job", "")))
            self._loan = self._lender.lend(give, self._interrupt)

    def _give(self, place: str, job: str, terminal: int) -> None:
        if self._ours is not None:
            self._said(place, job)
            with contextlib.suppress(OSError):  # it has just ended
                socket.send_fds(self._ours, [_ASKED], [terminal])

    def _give_back(self) -> None:
        if self._loan is not None and self._lender is not None:
            loan, self._loan = self._loan, None
            self._lender.take_back(loan)
