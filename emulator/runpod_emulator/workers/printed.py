"""What a worker prints, line by line: cleaned, without private keys, tracebacks put together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from runpod_emulator.core.fleet.worker import Said
from runpod_emulator.core.secrets.private_keys import PrivateKeys
from runpod_emulator.workers.lines import cleaned

_BEGINS = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):")
_GROUP_ENDS = re.compile(r" +\+-+")
_LINKS = ("During handling of the above exception", "The above exception was the direct cause")
"""How the line between two tracebacks begins of which one has led to the other."""
_MOST = 1_000
"""Lines of a traceback that are held back until its end is there."""
_PATIENCE = 0.2
"""Seconds for which the beginning of a traceback waits for its end."""


class Printed:
    """Calls `said` with what each line says, and for those of a traceback that it is one: at its end, all in one step.

    A traceback is an error of which the emulator knows, whoever has written it. It ends with the line that names the
    exception, unless another one follows that tells what it has led to.
    """

    def __init__(self, said: Callable[[Said], None]) -> None:
        self._said = said
        self._keys = PrivateKeys()
        self._held: list[Said] = []
        """A traceback so far."""
        self._named = 0
        """How many of these lines were there when the exception was named, 0 before."""
        self._timer: asyncio.TimerHandle | None = None

    def line(self, line: bytes) -> None:
        """One line, without its end."""
        text, coloured = cleaned(line)
        if line and not text:
            return
        shown = self._keys.shown(text)
        said = Said(shown, "" if coloured is text or shown is not text else coloured)
        if self._held and not self._belongs(shown):
            self.finish()
        if self._held or _BEGINS.match(shown):
            self._hold(said)
        else:
            self._said(said)

    def finish(self) -> None:
        """What has come of a traceback is all of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held = self._held, []
        traceback = held[: self._named] if self._named else held
        self._named = 0
        for number, said in enumerate(traceback, 1):
            self._said(said._replace(level="error", more=number < len(traceback)))
        for said in held[len(traceback) :]:
            self._said(said)

    def _belongs(self, text: str) -> bool:
        """Whether the line is of the traceback that has begun, or may be."""
        if len(self._held) >= _MOST:
            return False
        if self._held[0].text.startswith(" "):
            return text.startswith(" ")
        return not self._named or not text or (not self._held[-1].text and text.startswith(_LINKS))

    def _hold(self, said: Said) -> None:
        self._held.append(said)
        text = said.text
        if text.startswith(_LINKS):
            self._named = 0
        ends = _GROUP_ENDS.fullmatch(text) or (text and not (text[0].isspace() or _is_between(text)))
        if ends and not self._named:
            self._named = 0 if text[0] == " " else len(self._held)
            self._wait(0)
        elif self._timer is None:
            self._wait(_PATIENCE)

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.finish)


def _is_between(text: str) -> bool:
    """Whether a line at the margin is within a chain of tracebacks, and does not name an exception."""
    return text.startswith(_LINKS) or _BEGINS.match(text) is not None
