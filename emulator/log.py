"""The log on standard error: plain lines, or coloured ones for people."""

from __future__ import annotations

import logging
import os
import sys

import click

from emulator.core.masks import Masks

_PLAIN = "%(asctime)s %(levelname)-7s %(message)s"
_LEVELS = {"DEBUG": "bright_black", "INFO": "green", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class ColouredLines(logging.Formatter):
    """The time dimmed, the level in its colour, and where a worker's line comes from in a third."""

    def format(self, record: logging.LogRecord) -> str:
        """One record in colours; what went wrong is red as a whole."""
        color = _LEVELS.get(record.levelname, "white")
        time = click.style(self.formatTime(record, "%H:%M:%S"), dim=True)
        level = click.style(f"{record.levelname.lower():7}", fg=color)
        return f"{time} {level} {self._text(record, color)}"

    def _text(self, record: logging.LogRecord, color: str) -> str:
        plain = logging.Formatter("%(message)s").format(record)
        if record.levelno >= logging.WARNING:
            return click.style(plain, fg=color)
        where, bar, line = plain.partition(" | ")
        return f"{click.style(where + bar, fg='cyan')}{line}" if bar and record.name == "emulator.worker" else plain


class WithoutSecrets(logging.Filter):
    """Masks what looks like a secret, in tracebacks too, before a line is made of it."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        if record.name == "emulator.jobs" and record.levelno < logging.WARNING:
            return True  # how a job ended: the commonest line, and it repeats nothing that anybody has sent
        record.msg, record.args = self._masks.text(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._masks.text(logging.Formatter().formatException(record.exc_info))
        return True


def begin_log(level: str, color: bool, masks: Masks | None = None) -> None:
    """Log from now on, from `level` up; coloured ones only to a terminal, and where NO_COLOR is not set.

    `masks` know secrets that no line may show.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WithoutSecrets(masks or Masks()))
    coloured = color and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(ColouredLines() if coloured else logging.Formatter(_PLAIN))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("uvicorn", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
