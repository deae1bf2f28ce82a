"""The log on standard error: plain lines, or coloured ones for people."""

from __future__ import annotations

import logging
import os
import re
import sys
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

import click

from runpod_emulator.core.secrets.masks import HIDDEN, Masks
from runpod_emulator.core.secrets.shown import block, traceback_block
from runpod_emulator.server.outlet import outlet_of

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:  # Python 3.10 cannot subscript it
    _StreamHandler = logging.StreamHandler
_OF_A_KEY = re.compile(r"\s*(?:[A-Za-z0-9+/=]{1,80}|(?:Proc-Type|DEK-Info): .{1,100}|)\s*")
_LEVELS = {"DEBUG": "bright_black", "INFO": "green", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class PlainLines(logging.Formatter):
    """A record is one line; what else belongs to it follows indented, so that nothing in it looks like a record."""

    _second = -1.0
    _time = ""
    """The time of day as it was in that second."""

    def format(self, record: logging.LogRecord) -> str:
        """Date, time, level and text."""
        if record.created // 1 != self._second:
            self._second, self._time = record.created // 1, self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        return f"{self._time},{int(record.msecs):03} {record.levelname:7} {self.text(record)}"

    def text(self, record: logging.LogRecord) -> str:
        """What it says, with its traceback; a record of another library is made visible here, ours are already."""
        if "is_shown" in record.__dict__ and not record.exc_info and not record.stack_info:
            return record.getMessage()
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The text alone."""
        return record.message if hasattr(record, "is_shown") else block(record.message)

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """The traceback, indented."""
        return traceback_block(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """The stack, indented."""
        return traceback_block(super().formatStack(stack_info))


class ColouredLines(PlainLines):
    """The time dimmed, the level in its colour, and where a worker's line comes from in a third."""

    def format(self, record: logging.LogRecord) -> str:
        """One record in colours; what went wrong is red as a whole."""
        color = _LEVELS.get(record.levelname, "white")
        time = click.style(self.formatTime(record, "%H:%M:%S"), dim=True)
        level = click.style(f"{record.levelname.lower():7}", fg=color)
        return f"{time} {level} {self._text(record, color)}"

    def _text(self, record: logging.LogRecord, color: str) -> str:
        plain = self.text(record)
        if record.levelno >= logging.WARNING:
            return click.style(plain, fg=color)
        where, bar, line = plain.partition(" | ")
        if not bar or record.name != "runpod_emulator.worker":
            return plain
        return f"{click.style(where + bar, fg='cyan')}{getattr(record, 'coloured', line)}"


class Handler(_StreamHandler):
    """Writes to a stream, and by a shorter way to an outlet."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.outlet = outlet_of(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if self.outlet is None:
            super().emit(record)
            return
        try:
            self.outlet.write(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:
            self.handleError(record)


class WithoutSecrets(logging.Filter):
    """Masks what looks like a secret, in tracebacks too, before a line is made of it."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks
        self._in_keys: set[str] = set()
        """Where the lines of a private key are being printed."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        if record.name == "runpod_emulator.jobs" and record.levelno < logging.WARNING:
            return True  # how a job ended: the commonest line, and it repeats nothing that anybody has sent
        text = self._masks.text
        plain = record.getMessage()
        record.msg, record.args = text(plain), None
        if record.name == "runpod_emulator.worker" and (self._in_keys or "PRIVATE KEY-----" in plain):
            record.msg = self._without_key(plain, record.msg)
        if record.exc_info:
            record.exc_text = text(
                record.exc_text or traceback_block(logging.Formatter().formatException(record.exc_info))
            )
        if record.stack_info:
            record.stack_info = text(record.stack_info)
        if record.msg != plain and hasattr(record, "coloured"):
            delattr(record, "coloured")  # a colour within a secret, or its name, would hide it from the masks
        return True

    def _without_key(self, plain: str, shown: str) -> str:
        """A worker's line, without it if it is one of a private key: these come one by one."""
        where, bar, line = plain.partition(" | ")
        if "-----BEGIN " in line and "-----END " not in line:
            self._in_keys.add(where)
        elif where in self._in_keys:
            if _OF_A_KEY.fullmatch(line):
                return f"{where}{bar}{HIDDEN}"
            self._in_keys.discard(where)
        return shown


def begin_log(level: str, color: bool, masks: Masks | None = None) -> None:
    """Log from now on, from `level` up; coloured ones only to a terminal, and where NO_COLOR is not set.

    `masks` know secrets that no line may show.
    """
    handler = Handler(sys.stderr)
    handler.addFilter(WithoutSecrets(masks or Masks()))
    coloured = color and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    formatter = ColouredLines() if coloured else PlainLines()
    handler.setFormatter(formatter)
    if (outlet := handler.outlet) is not None:
        outlet.notice = lambda lines: formatter.format(_dropped(lines)) + "\n"
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("uvicorn", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _dropped(lines: int) -> logging.LogRecord:
    text = "%d lines of the log were dropped: nobody read them"
    return logging.LogRecord("runpod_emulator", logging.WARNING, __file__, 0, text, (lines,), None)
