"""The official worker's log, as far as what it does to jobs goes.

It prints a line at nearly every step, into whatever `sys.stdout` is by then. A handler that closes or spoils the
standard output so breaks the worker: where a line of the level in force would be printed, the worker ends.
"""

from __future__ import annotations

import os
import sys

from .output import is_marked

_LEVELS = ("NOTSET", "TRACE", "DEBUG", "INFO", "WARN", "ERROR")
_told: list[str] = []


def set_level(level: str) -> None:
    """Take a level by its name, in the place of the environment's; raises ValueError for none."""
    _told[:] = [_checked(level)]


def begin() -> None:
    """Look at the environment's level; raises ValueError for none, as the import of the official package does."""
    _checked(_of_environment())


def shows(level: str) -> bool:
    """Whether lines of this level are printed."""
    wanted = _told[0] if _told else _of_environment().upper()
    return wanted != "NOTSET" and _LEVELS.index(wanted) <= _LEVELS.index(level)


def breaks() -> Exception | None:
    """What the next printed line would raise, None when it can be printed."""
    stream = sys.stdout
    try:
        if stream is None:
            return None
        if is_marked(stream):
            os.fstat(stream.fileno())
        else:
            print("", end="", flush=True)
    except Exception as error:
        return error
    return None


def _of_environment() -> str:
    return os.environ.get("RUNPOD_LOG_LEVEL", os.environ.get("RUNPOD_DEBUG_LEVEL", "DEBUG"))


def _checked(level: str) -> str:
    if level.upper() not in _LEVELS:
        raise ValueError(f"Invalid debug level: {level.upper()}")
    return level.upper()
