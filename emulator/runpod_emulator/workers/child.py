"""A child process of the server: its keeper and its leash, a log with names, an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runpod_emulator.core.fleet.worker import Said
from runpod_emulator.core.secrets.masks import names_secret
from runpod_emulator.core.time.clock import turn
from runpod_emulator.workers.lines import Lines, cleaned
from runpod_emulator.workers.log_pipe import LogPipe, log_pipe
from runpod_emulator.workers.runner.keeper import TOLD

log = logging.getLogger("runpod_emulator.worker")

RUNNER = Path(__file__).with_name("runner")
"""What runs in a child, in any interpreter."""
OWN = (sys.executable, "-I", "-S")
"""The interpreter that starts programs: ours, as bare as can be."""
TERMINATE_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL of a child that goes on with what nobody wants any more."""
CLOSING_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL when the server stops and waits; the official worker needs a little over 1 s."""
STOP_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL where nobody waits, unless --stop-grace says otherwise."""
_LINES_AT_ONCE = 256
"""Lines that jobs have printed, after which others have their turn."""
_LAST_WORDS = 0.5
"""Seconds that what an ended child wrote is still read; a grandchild may hold its pipes open."""


class Child:
    """One worker and all its descendants, below a keeper (`runner/keeper.py`) that ends as the worker ends.

    `printed(job, said)` hears of each line: one of this job, or with an empty id of nobody knows which. `name` is the
    worker's, in the log.
    """

    def __init__(self, name: str, printed: Callable[[str, Said], None]) -> None:
        self._name = name
        self._heard = printed
        self._printed: dict[str, Lines] = {}
        """What each job has printed that the child told apart."""
        self._secrets: list[bytes] = []
        """What the child knows and no line may tear, or the log would not know it."""
        self._lines_in_a_row = 0
        self._process: asyncio.subprocess.Process | None = None
        self._leash: socket.socket | None = None
        self._log: LogPipe | None = None
        self._terminated = False
        self._killing: asyncio.TimerHandle | None = None
        self.last_lines: deque[str] = deque(maxlen=40)

    async def start(
        self,
        interpreter: Sequence[str],
        arguments: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        directory: str | None = None,
    ) -> None:
        """Start the runner with these arguments; raises OSError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = (*interpreter, str(RUNNER), "--leash", str(theirs.fileno()), *arguments)
        # A pipe of our own: asyncio would count a child as alive while a descendant holds its pipe.
        log_end, their_end = log_pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=their_end, stderr=their_end,
                pass_fds=(theirs.fileno(), *descriptors), start_new_session=True, env=dict(environment), cwd=directory,
            )  # fmt: skip
        except OSError:
            os.close(log_end)
            ours.close()
            raise
        finally:
            os.close(their_end)
            theirs.close()
        self._leash = ours
        self._secrets = _secrets_in(environment)
        self._log = LogPipe(log_end, self._log_line, self._secrets)

    async def ended(self, *readers: asyncio.Future[None]) -> None:
        """Wait for its end, end its descendants, and let the log and `readers` have its last words."""
        assert self._process is not None and self._log is not None
        await self._process.wait()
        if self._killing is not None:
            self._killing.cancel()
        self._let_go()
        await asyncio.wait((self._log.over, *readers), timeout=_LAST_WORDS)
        self._log.close()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    def end(self, grace: float | None = None) -> None:
        """SIGTERM to the whole group, SIGKILL after `grace` seconds, None for as few as can be.

        Its handlers hear SIGTERM once: to say it again can only hurry.
        """
        if self._process is None:
            return
        if not self._terminated:
            self._terminated = True
            self.kill(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        due = loop.time() + (TERMINATE_GRACE if grace is None else grace)
        if self._killing is not None:
            due = min(due, self._killing.when())
            self._killing.cancel()
        self._killing = loop.call_at(due, self._end_it, grace)

    def _end_it(self, grace: float | None) -> None:
        """Its time is over."""
        if grace is not None:
            log.info("%s: it had not left %g s after SIGTERM, so it is killed", self._name, grace)
        self.kill(signal.SIGKILL)

    def kill(self, sign: signal.Signals) -> None:
        """Send a signal to the worker's group; SIGKILL is for all its descendants."""
        if self._process is None or self._leash is None:
            return
        if sign is signal.SIGKILL:
            with contextlib.suppress(OSError):  # the keeper may have ended
                self._leash.shutdown(socket.SHUT_WR)
            sign = signal.SIGCONT  # somebody may have stopped it
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(sign)

    def _let_go(self) -> None:
        """The keeper has ended: if it was killed before it could end the others, end at least the worker's group."""
        assert self._leash is not None
        said = b""
        with contextlib.suppress(OSError):
            said = self._leash.recv(64)
        self._leash.close()
        self._leash = None
        if said and not said.endswith(TOLD):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(said), signal.SIGKILL)

    async def printed(self, job: str, text: bytes, goes_on: bool) -> None:
        """Log what a job printed, as the child tells it; of one that does not go on also an unfinished line."""
        lines = self._printed.get(job)
        if lines is None:
            lines = self._printed[job] = Lines(functools.partial(self._log_line, job=job), self._secrets)
        lines.feed(text)
        if not goes_on:
            self._finish(job)
        self._lines_in_a_row += 1 + text.count(b"\n")
        if self._lines_in_a_row > _LINES_AT_ONCE:
            self._lines_in_a_row = 0
            await turn()

    def catch_up_log(self, job: str, alone: bool) -> None:
        """Log what it has written so far, at once, with unfinished lines of this job; never waits.

        What nobody told apart is the job's if it is `alone`.
        """
        if self._log is not None:
            self._log.catch_up(unfinished=alone)
        self._finish(job)

    def _finish(self, job: str) -> None:
        lines = self._printed.pop(job, None)
        if lines is not None:
            lines.finish()

    def how_it_ended(self) -> str:
        """Its end in words."""
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "never started"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    def _log_line(self, line: bytes, job: str = "") -> None:
        text, coloured = cleaned(line)
        if line and not text:
            return
        self.last_lines.append(text)
        self._heard(job, Said(text, "" if coloured is text else coloured))


def _secrets_in(environment: Mapping[str, str]) -> list[bytes]:
    """The variables that are secrets, the keys of the server among them."""
    return [os.fsencode(value) for name, value in environment.items() if value and names_secret(name)]
