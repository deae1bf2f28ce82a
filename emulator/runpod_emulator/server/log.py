"""The log: on standard error, and in a file where that is asked for; lines for people, or JSON."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.server.log_file import LogFile
from runpod_emulator.server.log_lines import JsonLines, TextLines
from runpod_emulator.server.log_secrets import WithoutSecrets
from runpod_emulator.server.outlet import outlet_of

Write = Callable[[str], None]
"""Writes a line, which has no line break at its end."""


class Handler(logging.Handler):
    """Writes each record where it belongs, each way in its own form, after secrets are masked."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks
        self._secrets = WithoutSecrets(masks)
        self._ways: list[tuple[logging.Formatter, Write]] = []

    def add(self, formatter: logging.Formatter, write: Write) -> None:
        """Write records there too."""
        self._ways.append((formatter, write))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._secrets.filter(record)
        except Exception as error:
            record = self._lost(record, error)
        for formatter, write in self._ways:
            try:
                line = formatter.format(record)
            except Exception as error:
                line = formatter.format(self._lost(record, error))
            with contextlib.suppress(Exception):  # nobody can be told
                write(line)

    def _lost(self, record: logging.LogRecord, error: Exception) -> logging.LogRecord:
        """What is told instead of a record that no line can be made of."""
        text = f"a line of the logger {record.name} is lost: {type(error).__name__}: {error}"
        return _own(logging.ERROR, self._masks.text(text))


def begin_log(level: str, masks: Masks | None = None, *, form: str = "text", file: Path | None = None) -> None:
    """Log from now on, from `level` up, as `text` or `json`; to a `file` too.

    `masks` know secrets that no line may show. A terminal gets short lines. Colours are for terminals, unless NO_COLOR
    or FORCE_COLOR say otherwise. Raises ConfigurationError for a file that can't be written.
    """
    masks = masks or Masks()
    handler = Handler(masks)
    plain = JsonLines(masks) if form == "json" else TextLines()
    stream = sys.stderr
    shown = TextLines(short=stream.isatty(), coloured=wants_colours(stream)) if form == "text" else plain
    write = _writing(stream, shown)
    handler.add(shown, write)
    if file is not None:
        handler.add(plain, LogFile(file, lambda text: write(shown.format(_own(logging.WARNING, text)))).write)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("uvicorn", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _writing(stream: TextIO, formatter: logging.Formatter) -> Write:
    """What writes lines to a stream, and to an outlet by a shorter way."""
    outlet = outlet_of(stream)
    if outlet is None:

        def write(line: str) -> None:
            stream.write(f"{line}\n")
            stream.flush()

        return write
    dropped = "{} lines of the log were dropped: nobody read them"
    outlet.notice = lambda lines: formatter.format(_own(logging.WARNING, dropped.format(lines))) + "\n"

    def write_out(line: str) -> None:
        outlet.write(f"{line}\n".encode("utf-8", "backslashreplace"))

    return write_out


def wants_colours(stream: TextIO) -> bool:
    """Whether a stream gets colours: https://no-color.org and https://force-color.org go before what it is."""
    if os.environ.get("NO_COLOR"):
        return False
    if forced := os.environ.get("FORCE_COLOR"):
        return forced != "0"
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _own(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("runpod_emulator", level, __file__, 0, "%s", (text,), None)
