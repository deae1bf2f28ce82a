"""Waiting for a job to end, and reading its stream: by polls that any server of this API answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from runpod_emulator.cli.client.calls import Calls
from runpod_emulator.cli.client.ends import INTERRUPTED, Late, NoServer, Refused
from runpod_emulator.cli.client.envelope import ENDED, Envelope, read_chunks, read_envelope
from runpod_emulator.cli.client.live import LiveLine
from runpod_emulator.cli.client.named import Name
from runpod_emulator.cli.client.shown import say
from runpod_emulator.core.time.clock import pause, ticks

_SHORTEST, _GROWTH, _LONGEST = 0.05, 1.4, 1.0
"""Seconds between two polls of a job; the official client's grow from 0.5 s to 5 s."""
_SHORTEST_HOLD, _LONGEST_HOLD = 1_000, 9_500
"""Ms for which /stream may hold its answer: the least that the service takes, and what it does by itself."""
_STANDS = 1.0
"""Seconds after which somebody who waits is told that time does not pass by itself."""
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_Answer = TypeVar("_Answer")
_TRIES = 6
"""Failures of polls in a row that a job may outlive."""


class Follower:
    """Follows one job; `seconds` is how long from now, or from `since`; None for as long as it takes."""

    def __init__(self, calls: Calls, name: Name, seconds: float | None = None, since: float | None = None) -> None:
        self._calls = calls
        self._name = name
        self._seconds = seconds
        self._until = None if seconds is None else (ticks() if since is None else since) + seconds
        self._pause = _SHORTEST
        self._failures = 0
        self.body = b""
        """The answer that told the job's state last."""

    def ended(self, line: LiveLine) -> Envelope:
        """The job once it has ended; raises Late when the time is over."""
        last = ""
        while True:
            job = self._asked(self.status)
            if job is not None:
                line.tell(job)
                if job.has_ended:
                    return job
                news = job.status + job.output_text
                self._pause = _SHORTEST if news != last else self._pause
                last = news
            self._wait()

    def chunks(self, line: LiveLine) -> Iterator[str]:
        """The chunks of its stream as JSON, until it has ended; raises Late when the time is over."""
        while True:
            found = self._asked(self._next_chunks)
            if found is not None:
                status, chunks = found
                if chunks:
                    line.stop()
                    self._pause = _SHORTEST
                yield from chunks
                if not status:
                    status = self.status().status
                if status in ENDED:
                    return
                if chunks:
                    continue
                self._asked(self.status)  # as clients do: an automatic clock goes on to what the job waits for
            self._wait()

    def status(self) -> Envelope:
        """The job as it is."""
        self.body = self._calls.client("GET", self._name.path("status"))
        return read_envelope(self.body, self._calls.target.root)

    def _next_chunks(self) -> tuple[str, list[str]]:
        path, hold = self._name.path("stream"), _LONGEST_HOLD
        if self._until is not None:
            left = round((self._until - ticks()) * 1_000)
            hold = max(_SHORTEST_HOLD, min(left, _LONGEST_HOLD))
            path += f"?wait={hold}"
        try:
            answer = self._calls.client("GET", path, held=hold / 1_000)
        except NoServer as error:
            if error.silent:  # as where the clock stands, which also counts the hold
                return "", []
            raise
        return read_chunks(answer, self._calls.target.root)

    def _asked(self, ask: Callable[[], _Answer]) -> _Answer | None:
        """An answer; None for a failure that may pass. Raises the one that does not."""
        try:
            answer = ask()
        except Refused as error:
            if error.status not in _TRANSIENT:
                raise
            self._failed(error)
            return None
        except NoServer as error:
            self._failed(error)
            return None
        self._failures = 0
        return answer

    def _failed(self, error: Refused | NoServer) -> None:
        self._failures += 1
        if self._failures == _TRIES:
            raise error

    def _wait(self) -> None:
        if self._until is not None and ticks() >= self._until:
            raise Late(f"job {self._name} has not ended after {self._seconds:g} s: it goes on")
        pause(self._pause)
        self._pause = min(_LONGEST, self._pause * _GROWTH)


@contextlib.contextmanager
def telling_of_time(calls: Calls) -> Iterator[None]:
    """Within, who waits longer than a moment is told where the clock of an emulator on this machine stands."""

    def tell() -> None:
        with contextlib.suppress(click.ClickException):
            if calls.is_emulator and calls.admin("GET", "clock")["mode"] == "virtual":
                say(f"The clock stands there. To move it on:  runpod-emulator advance 10m{calls.target.words}")

    timer = threading.Timer(_STANDS, tell)
    timer.daemon = True
    if calls.target.is_here:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def going_on(calls: Calls, name: Name) -> Iterator[None]:
    """Within, Ctrl-C ends the command and not the job, and says so."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        words = calls.target.words
        say(
            f"\nThe job goes on. To look at it:  runpod-emulator status {name}{words}\n"
            f"To wait for it again:            runpod-emulator status {name} --follow{words}\n"
            f"To cancel it:                    runpod-emulator cancel {name}{words}"
        )
        raise SystemExit(INTERRUPTED) from None
