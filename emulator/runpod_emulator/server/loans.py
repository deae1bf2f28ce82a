"""The terminal as workers borrow it, one after the other, while they stop at a breakpoint.

The borrower gets a terminal of its own (a pty), and everything that is typed or shown goes through the server. So
Ctrl-C means the worker, Ctrl-Z the server, and nobody else writes meanwhile: lines of the log wait. Whatever becomes
of the worker, the real terminal is the server's to put in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import pty
import signal
import termios
from collections import deque
from collections.abc import Callable, Sequence

from runpod_emulator.server.outlet import Outlet
from runpod_emulator.server.terminal import Take, Terminal

log = logging.getLogger("runpod_emulator.server")

_AT_ONCE = 64 * 1024
_INTERRUPT, _SUSPEND, _QUIT = b"\x03", b"\x1a", b"\x1c"
_LEAVE = b"\x15\x04"
"""Ctrl-U and Ctrl-D: forget the line, and leave the debugger."""


class Loan:
    """One worker's turn at the terminal: `give` hands it the descriptor, `interrupt` is Ctrl-C."""

    def __init__(self, give: Callable[[int], None], interrupt: Callable[[], None]) -> None:
        self.give = give
        self.interrupt = interrupt
        self.master = -1
        """Our end of the borrower's terminal; -1 while it has none."""


class Loans:
    """Lends the terminal; between two loans what is typed is given to `keys`."""

    def __init__(self, terminal: Terminal, outlets: Sequence[Outlet]) -> None:
        self._terminal = terminal
        self._outlets = outlets
        self.keys: Take | None = None
        self._waiting: deque[Loan] = deque()
        self._present: Loan | None = None
        self._typed, self._shown = bytearray(), bytearray()
        """What is to be written into the borrower's terminal, and onto the real one."""
        self._interrupted = False
        """Whether the last that was typed was Ctrl-C."""
        self._mid_line = False
        """Whether the borrower has left a line unfinished."""

    def begin(self) -> None:
        """From now on there is an event loop."""
        self._loop = asyncio.get_running_loop()
        self._terminal.begin()
        self._terminal.read(self.keys)

    def lend(self, give: Callable[[int], None], interrupt: Callable[[], None]) -> Loan:
        """Give the terminal to somebody, once it is free; until `take_back`."""
        loan = Loan(give, interrupt)
        self._waiting.append(loan)
        if self._present is None:
            self._grant()
        return loan

    def take_back(self, loan: Loan) -> None:
        """The borrower needs it no more, or is gone."""
        if loan in self._waiting:
            self._waiting.remove(loan)
        if loan is not self._present:
            return
        self._present = None
        self._loop.remove_reader(loan.master)
        self._loop.remove_writer(loan.master)
        with contextlib.suppress(OSError):  # what it has said last
            while data := os.read(loan.master, _AT_ONCE):
                self._mid_line = not data.endswith(b"\n")
                self._shown += data
        os.close(loan.master)
        self._typed.clear()
        if self._mid_line:  # it is gone, and with it its prompt
            self._shown += b"\r\n"
        self._show()
        for outlet in self._outlets:
            outlet.let_go()
        if self._waiting:
            self._grant()
        else:
            self._terminal.read(self.keys)

    def close(self) -> None:
        """Lend no more, and leave the terminal as it was found."""
        self._waiting.clear()
        if self._present is not None:
            self.keys = None
            self.take_back(self._present)
        self._terminal.close()

    def _grant(self) -> None:
        loan = self._present = self._waiting.popleft()
        loan.master, slave = pty.openpty()
        os.set_blocking(loan.master, False)
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(self._terminal.descriptor, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self._interrupted = self._mid_line = False
        try:
            loan.give(slave)
        finally:
            os.close(slave)
        if not self._terminal.is_ours:
            log.warning("a breakpoint waits for this terminal, and the server is in the background: fg brings it")
        for outlet in self._outlets:
            outlet.hold()
        self._loop.add_reader(loan.master, self._said)
        self._terminal.read(self._type, raw=True)

    def _type(self, data: bytes) -> None:
        """What was typed goes to the borrower; the second Ctrl-C in a row is the server's."""
        loan = self._present
        assert loan is not None
        if not data:  # the terminal is gone
            data = _LEAVE
        for at in range(len(data)):
            one = data[at : at + 1]
            if one == _INTERRUPT:
                if self._interrupted:
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._pass_on()
                loan.interrupt()
            self._interrupted = one == _INTERRUPT
            if one == _SUSPEND:
                os.kill(0, signal.SIGTSTP)  # as the terminal would have told all of this job of the shell's
            if one not in (_INTERRUPT, _SUSPEND, _QUIT):
                self._typed += one
        self._pass_on()

    def _pass_on(self) -> None:
        loan = self._present
        if loan is None:
            return
        self._loop.remove_writer(loan.master)
        with contextlib.suppress(BlockingIOError, OSError):
            del self._typed[: os.write(loan.master, self._typed)]
        if self._typed:
            self._loop.add_writer(loan.master, self._pass_on)

    def _said(self) -> None:
        """What the borrower shows goes to the terminal."""
        loan = self._present
        assert loan is not None
        try:
            said = os.read(loan.master, _AT_ONCE)
            self._mid_line = not said.endswith(b"\n")
            self._shown += said
        except BlockingIOError:
            return
        except OSError:  # it has closed its end
            self._loop.remove_reader(loan.master)
        self._show()

    def _show(self) -> None:
        descriptor = self._terminal.descriptor
        self._loop.remove_writer(descriptor)
        try:
            while self._shown:
                del self._shown[: os.write(descriptor, self._shown)]
        except BlockingIOError:
            pass
        except OSError:  # it is gone
            self._shown.clear()
        if self._shown:
            self._loop.add_writer(descriptor, self._show)
