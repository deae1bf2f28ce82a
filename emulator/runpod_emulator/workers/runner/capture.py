"""What a handler prints, kept for the report of its failure: `RUNPOD_LOG_CAPTURE` of SDK 2.0.

`all` keeps what handlers and prestart hooks print, `auto` (the default) what the hooks print, `off` nothing.
Whoever prints is known by the context: a task, what it starts, and the thread of a plain hook.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar, Token
from typing import Any

from .installed import rules

KEPT = 16 * 1024
"""Characters of the end of what was printed."""
_LINE = 4096
"""Characters of a log line of the SDK; a longer one loses its middle."""

_present: ContextVar[Capture | None] = ContextVar("capture", default=None)


class Capture:
    """Keeps the end of what is printed within it; one that is not `enabled` keeps nothing."""

    def __init__(self, enabled: bool = True, job: str = "") -> None:
        self.enabled = enabled
        self._job = job
        self._kept = ""
        self._token: Token[Capture | None] | None = None

    def __enter__(self) -> Capture:
        if self.enabled:
            self._token = _present.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            with contextlib.suppress(ValueError):  # an abandoned generator is closed in another context
                _present.reset(token)

    def write(self, text: str) -> None:
        """Keep what was printed."""
        self._kept = (self._kept + text)[-KEPT:]

    def text(self) -> str:
        """All that was kept."""
        return self._kept

    def log(self, message: str) -> None:
        """Keep a line that the SDK writes into its log at this point, where it prints those of level DEBUG."""
        if not self.enabled:
            return
        if len(message) > _LINE:
            half = _LINE // 2
            cut = f"\n...TRUNCATED {len(message) - _LINE} CHARACTERS...\n"
            message = message[:half] + cut + message[-half:]
        self.write(json.dumps({"requestId": self._job, "message": message, "level": "DEBUG"}) + "\n")


class Tee:
    """A text stream that also gives what it is given to the present capture."""

    def __init__(self, stream: Any) -> None:
        self.beneath = stream

    def write(self, text: str) -> int:
        """Print, and keep."""
        written: int = self.beneath.write(text)
        capture = _present.get()
        if capture is not None:
            with contextlib.suppress(Exception):
                capture.write(text)
        return written

    def writelines(self, lines: Any) -> None:
        """Print line by line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


io.TextIOBase.register(Tee)


def handlers_are_captured() -> bool:
    """Whether the failure of a handler tells what it printed."""
    return rules() >= (2, 0) and _mode() == "all"


def install(has_hooks: bool) -> None:
    """Let everything that is printed pass by, where the mode wants it."""
    if rules() < (2, 0) or _mode() == "off" or (_mode() == "auto" and not has_hooks):
        return
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), Tee):
            setattr(sys, name, Tee(getattr(sys, name)))


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Keep nothing of what is printed meanwhile."""
    token = _present.set(None)
    try:
        yield
    finally:
        _present.reset(token)


def _mode() -> str:
    mode = os.environ.get("RUNPOD_LOG_CAPTURE", "auto").strip().lower()
    return mode if mode in ("auto", "all", "off") else "auto"
