"""The terminal that a server was started from: whose it is just now, and how it is left.

It is read without echo and without waiting for a line, and only while the server is in its foreground: a process in the
background that reads or changes its terminal would be stopped. Whoever stops the server (Ctrl-Z), ends it or takes it
into the background finds the terminal as it was before. It is looked at again once a second until it is ours.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

_LOOK = 1.0
"""Seconds between two looks at whether the terminal is ours again."""
_AT_ONCE = 4096
_JOB_CONTROL = {signal.SIGTTIN, signal.SIGTTOU}
_ENDS = (signal.SIGHUP, signal.SIGQUIT)
"""Signals that end the process at once: the terminal is put in order before."""

Take = Callable[[bytes], None]
"""Is given what was typed; nothing, once a second, where nobody will type any more."""


class Terminal:
    """A descriptor of our own for the terminal; `begin`, `read` and `close` are for the thread of the event loop."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._loop: asyncio.AbstractEventLoop | None = None
        self._take: Take | None = None
        self._raw = False
        self._before: list[Any] | None = None
        """How the terminal was, while it is ours."""
        self._alarm: asyncio.TimerHandle | None = None
        self._handled: list[signal.Signals] = []

    @classmethod
    def of_process(cls) -> Terminal | None:
        """The terminal on standard input, None where that is none."""
        with contextlib.suppress(OSError, ValueError):
            if sys.stdin is not None and sys.stdin.isatty():
                name = os.ttyname(sys.stdin.fileno())
                return cls(os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
        return None

    def begin(self) -> None:
        """Take part in job control from now on."""
        self._loop = loop = asyncio.get_running_loop()
        atexit.register(self._put_back)
        handlers = {signal.SIGTSTP: self._suspend, signal.SIGCONT: self._resumed}
        ends = {number: lambda number=number: self._end(number) for number in _ENDS}
        for number, handle in {**handlers, **ends}.items():
            if signal.getsignal(number) is not signal.SIG_IGN:  # as of nohup
                loop.add_signal_handler(number, handle)
                self._handled.append(number)

    def read(self, take: Take | None, raw: bool = False) -> None:
        """Give what is typed to `take`, None for nobody; `raw` gives what makes signals too."""
        self._release()
        self._take, self._raw = take, raw
        self._look()

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self._take = None
        self._release()
        for number in self._handled:
            assert self._loop is not None
            self._loop.remove_signal_handler(number)
        self._handled.clear()
        atexit.unregister(self._put_back)
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    @property
    def is_ours(self) -> bool:
        """Whether the server is in the foreground; always so where the terminal knows no jobs of ours."""
        try:
            return os.tcgetpgrp(self.descriptor) == os.getpgrp()
        except OSError:
            return self.descriptor >= 0

    def _look(self) -> None:
        """Take the terminal, or look again later."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._take is None or self._loop is None or self._before is not None:
            return
        if self.is_ours and self._change():
            self._loop.add_reader(self.descriptor, self._read)
            return
        self._alarm = self._loop.call_later(_LOOK, self._look)
        if self._is_gone:
            self._take(b"")

    @property
    def _is_gone(self) -> bool:
        try:
            termios.tcgetattr(self.descriptor)
        except (termios.error, OSError):
            return True
        return False

    def _change(self) -> bool:
        """Let what is typed come at once and unseen; False for a terminal that is gone."""
        try:
            before = termios.tcgetattr(self.descriptor)
            modes = [*before[:6], list(before[6])]
            modes[3] &= ~(termios.ICANON | termios.ECHO)
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            if self._raw:
                modes[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.BRKINT)
                modes[1] &= ~termios.OPOST
                modes[3] &= ~(termios.ISIG | termios.IEXTEN)
            with _never_stopped():
                termios.tcsetattr(self.descriptor, termios.TCSANOW, modes)
        except (termios.error, OSError):
            return False
        self._before = before
        return True

    def _release(self) -> None:
        """Put the terminal back, and read no more for now."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._before is not None and self._loop is not None:
            self._loop.remove_reader(self.descriptor)
        self._put_back()

    def _put_back(self) -> None:
        before, self._before = self._before, None
        if before is not None and self.is_ours:  # else it is as somebody else wants it
            with contextlib.suppress(termios.error, OSError), _never_stopped():
                termios.tcsetattr(self.descriptor, termios.TCSANOW, before)

    def _read(self) -> None:
        try:
            with _never_stopped():
                data = os.read(self.descriptor, _AT_ONCE)
        except BlockingIOError:
            return
        except OSError:  # we are in the background, or it is gone
            data = b""
        if data and self._take is not None:
            self._take(data)
        elif not data:
            self._release()
            self._look_later()

    def _look_later(self) -> None:
        assert self._loop is not None
        self._alarm = self._loop.call_later(_LOOK, self._look)

    def _suspend(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was; `fg` comes back to `_resumed`, or to the next look."""
        assert self._loop is not None
        self._release()
        self._loop.remove_signal_handler(signal.SIGTSTP)
        self._look_later()
        os.kill(os.getpid(), signal.SIGTSTP)

    def _resumed(self) -> None:
        assert self._loop is not None
        self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        if self._before is not None:  # it was stopped in another way, and somebody may have changed the terminal
            self._loop.remove_reader(self.descriptor)
            self._before = None
        self._look()

    def _end(self, number: signal.Signals) -> None:
        assert self._loop is not None
        self._release()
        self._loop.remove_signal_handler(number)
        os.kill(os.getpid(), number)


@contextlib.contextmanager
def _never_stopped() -> Iterator[None]:
    """Let an error come instead of a signal that stops the process, where it has just lost its terminal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _JOB_CONTROL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
