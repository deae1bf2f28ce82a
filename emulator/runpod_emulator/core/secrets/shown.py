"""How text that others wrote is shown: in one line, or in lines that cannot pass for lines of the log.

Ids, URLs, errors and inputs come from clients and handlers. What of them would break a line, move the cursor or turn
the direction of writing is shown as Python writes it, `\\n` for a line break. The emulator's own loggers do so
by a filter, before any handler sees the record: so it holds for the handlers of a program that uses the emulator as a
library too.
"""

from __future__ import annotations

import contextlib
import logging
import re

LOGGERS = (
    "runpod_emulator",
    *(
        f"runpod_emulator.{part}"
        for part in (
            "api",
            "engine",
            "jobs",
            "proxy",
            "reload",
            "requests",
            "server",
            "stubs",
            "timers",
            "webhooks",
            "worker",
        )
    ),
)
"""Every logger of the emulator: a filter holds for what is logged by its own logger, not for those below."""
HIDDEN = (
    "\x00-\x1f\x7f-\x9f"  # control characters of ASCII and Latin-1
    "\u2028\u2029"  # line and paragraph separator
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of writing
    # What else is there and is not seen (category Cf), but for the joiners of letters and of emoji:
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
    "\ud800-\udfff"  # half characters, which no stream can write
)
"""Characters that are not shown as they are, for a class of a regular expression."""
INDENT = "  "
BAR = " │ "
"""Between the names of a worker and its job, and what it has printed."""
_HIDDEN = re.compile(f"[{HIDDEN}]")
_AS_THEY_ARE = (int, float, type(None))


class Shown(str):
    """Text that may stand in a log as it is."""

    __slots__ = ()


def visible(text: str) -> str:
    """One line, and each character of it can be seen."""
    return text if text.isprintable() else _HIDDEN.sub(_escape, text)


def block(text: str) -> Shown:
    """Text of several lines: those after the first are indented, so that none looks like a line of the log."""
    return Shown(("\n" + INDENT).join(map(visible, text.expandtabs().split("\n"))))


def traceback_block(text: str) -> str:
    """A traceback, indented as a whole."""
    return INDENT + block(text)


class OneLine(logging.Filter):
    """Makes what a record of ours quotes visible; its own text, and a `block`, keep their lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always logged."""
        if isinstance(record.args, tuple) and not all(map(_is_shown, record.args)):
            record.args = tuple(map(_argument, record.args))
        if record.exc_info and not record.exc_text:
            record.exc_text = traceback_block(logging.Formatter().formatException(record.exc_info))
        record.is_shown = True
        return True


def guard_loggers() -> None:
    """Let every logger of the emulator show only what can be seen."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_ONE_LINE)


_ONE_LINE = OneLine()


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _is_shown(value: object) -> bool:
    kind = type(value)
    return kind is int or kind is Shown or (kind is str and value.isprintable())  # type: ignore[attr-defined]


def _argument(value: object) -> object:
    if isinstance(value, (Shown, *_AS_THEY_ARE)):
        return value
    with contextlib.suppress(Exception):  # it is somebody's __str__
        return Shown(visible(str(value)))
    return Shown(f"a {type(value).__name__} that cannot be shown")
