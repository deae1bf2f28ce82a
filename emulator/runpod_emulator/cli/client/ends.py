"""How the client's commands end: their exit codes, and what is said where one could not do what it was asked."""

from __future__ import annotations

from typing import IO, Any

import click

from runpod_emulator.cli.client.shown import say

COMPLETED, FAILED, WRONG_USE, NO_SERVER, CANCELLED, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""Exit codes. The first is also that of a job that has not ended, where nobody waits for it."""
OF_STATUS = {"FAILED": FAILED, "CANCELLED": CANCELLED, "TIMED_OUT": TIMED_OUT}
"""The exit codes of jobs that ended without a result."""


class Ended(click.ClickException):
    """A command could not do what it was asked; the text says why."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it on standard error, as one that may quote a server."""
        say(f"runpod-emulator: {self.message}")


class WrongUse(Ended):
    """The words of the command cannot be meant so."""

    exit_code = WRONG_USE


class NoServer(Ended):
    """Nobody answers there, or nobody who speaks as RunPod does; `silent` where somebody has not answered in time."""

    exit_code = NO_SERVER

    def __init__(self, message: str, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


class Late(Ended):
    """It took longer than the caller would wait."""

    exit_code = TIMED_OUT


class Refused(Ended):
    """A server answered with an error: its `status`, its `detail`, and a `note` on where it came from."""

    def __init__(self, status: int, detail: str, where: str, note: str = "") -> None:
        super().__init__((f"{where} answered {status}: {detail}" if detail else f"{where} answered {status}") + note)
        self.status = status
        self.detail = detail
        self._where, self._note = where, note

    def noted(self, note: str) -> Refused:
        """The same with one more note."""
        return Refused(self.status, self.detail, self._where, self._note + note)
