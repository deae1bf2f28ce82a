"""What a record of the log looks like: a line for people, or a JSON object for programs."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

import click

from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import BAR, INDENT, block, traceback_block

WORKER, REQUESTS = "runpod_emulator.worker", "runpod_emulator.requests"
_OURS = "runpod_emulator"
_COLOURS = {"DEBUG": "bright_black", "INFO": "green", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_SHORT = {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error", "CRITICAL": "crit"}

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class TextLines(logging.Formatter):
    """A record is one line; what else belongs to it follows indented, so that nothing in it looks like a record.

    `short` lines have the time of day and a short level, others the date, milliseconds and the level's name.
    """

    def __init__(self, *, short: bool = False, coloured: bool = False) -> None:
        super().__init__()
        self._short = short
        self._coloured = coloured
        self._form = "%H:%M:%S" if short else "%Y-%m-%d %H:%M:%S"
        self._second = -1.0
        self._time = ""
        """The time as it was in that second."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level and text."""
        if record.created // 1 != self._second:
            self._second, self._time = record.created // 1, self.formatTime(record, self._form)
        name = record.levelname
        moment = self._time if self._short else f"{self._time},{int(record.msecs):03}"
        level = f"{_SHORT.get(name, name.lower()):5}" if self._short else f"{name:7}"
        if not self._coloured:
            return f"{moment} {level} {self._text(record)}"
        colour = _COLOURS.get(name, "white")
        return f"{click.style(moment, dim=True)} {click.style(level, fg=colour)} {self._in_colours(record, colour)}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The text alone."""
        return record.message if hasattr(record, "is_shown") else block(record.message)

    def formatException(self, ei: _ExcInfo) -> str:
        """The traceback, indented."""
        return traceback_block(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """The stack, indented."""
        return traceback_block(super().formatStack(stack_info))

    def _text(self, record: logging.LogRecord) -> str:
        """What it says, with its traceback."""
        if "is_shown" in record.__dict__ and not record.exc_info and not record.stack_info:
            return record.getMessage()
        return super().format(record)

    def _in_colours(self, record: logging.LogRecord, colour: str) -> str:
        """What went wrong is red or yellow as a whole; where a worker's line comes from has a colour of its own."""
        plain = self._text(record)
        if record.levelno >= logging.WARNING:
            return click.style(plain, fg=colour)
        if record.name == REQUESTS:
            return _of_request(plain, record)
        where, bar, line = plain.partition(BAR)
        if not bar or record.name != WORKER:
            return plain
        return f"{click.style(where + bar, fg='cyan')}{getattr(record, 'coloured', line)}"


class JsonLines(logging.Formatter):
    """A record is one JSON object in one line of ASCII. `masks` know secrets that no field may show."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event and message, then what is known of it."""
        facts: dict[str, Any] = getattr(record, "facts", {})
        shown = {
            "time": f"{datetime.fromtimestamp(record.created, timezone.utc):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": _event(record.name),
            "message": _message(record),
            **{name: self._masked(value) for name, value in facts.items() if value not in ("", None)},
        }
        if not record.name.startswith(_OURS):
            shown["logger"] = record.name
        if record.exc_info and not record.exc_text:
            record.exc_text = traceback_block(self.formatException(record.exc_info))
        if record.exc_text:
            shown["traceback"] = _unindented(record.exc_text)
        if record.stack_info:
            shown["stack"] = record.stack_info
        return json.dumps(shown)

    def _masked(self, value: Any) -> Any:
        """A fact without secrets; half a character, which no JSON may have, is shown as Python writes it."""
        if not isinstance(value, str):
            return value
        return self._masks.text(value if value.isascii() else value.encode("utf-8", "backslashreplace").decode())


def _message(record: logging.LogRecord) -> str:
    """What it says; of what a worker has printed the text alone: who it was is told beside."""
    message = _unindented(record.getMessage())
    return message.partition(BAR)[2] if record.name == WORKER and BAR in message else message


def _unindented(text: str) -> str:
    """Lines as they were before they were indented for people."""
    return text.removeprefix(INDENT).replace(f"\n{INDENT}", "\n")


def _event(logger: str) -> str:
    """What a record is called that has no name for it: the part of the emulator that it comes from."""
    return logger.removeprefix(_OURS).removeprefix(".") or "server" if logger.startswith(_OURS) else "log"


def _of_request(plain: str, record: logging.LogRecord) -> str:
    """A request that was refused is yellow, one that has failed red."""
    status = getattr(record, "facts", {}).get("status", 200)
    if not status or status >= 500:
        return click.style(plain, fg="red")
    return click.style(plain, fg="yellow") if status >= 400 else plain
