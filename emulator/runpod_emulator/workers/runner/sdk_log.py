"""The official worker's log, as far as what it does to jobs goes.

It prints a line at nearly every step, into whatever `sys.stdout` is by then. A handler that closes or spoils the
standard output so breaks the worker: where a line of the level in force would be printed, the worker ends.
"""

from __future__ import annotations

import os
import sys

from .output import is_ours

_LEVELS = ("NOTSET", "TRACE", "DEBUG", "INFO", "WARN", "ERROR")
_shown: list[frozenset[str]] = [frozenset(_LEVELS)]


def set_level(level: str) -> None:
    """Take a level by its name; raises ValueError for none."""
    if level.upper() not in _LEVELS:
        raise ValueError(f"Invalid debug level: {level.upper()}")
    lowest = _LEVELS.index(level.upper())
    _shown[0] = frozenset(_LEVELS[lowest:] if lowest else ())


def begin() -> None:
    """Take the environment's level; raises ValueError for none, as the import of the official package does."""
    set_level(os.environ.get("RUNPOD_LOG_LEVEL", os.environ.get("RUNPOD_DEBUG_LEVEL", "DEBUG")))


def shows(level: str) -> bool:
    """Whether lines of this level are printed."""
    return level in _shown[0]


def breaks() -> Exception | None:
    """What the next printed line would raise, None when it can be printed."""
    stream = sys.stdout
    try:
        if stream is None:
            return None
        if is_ours(stream):
            os.fstat(stream.fileno())
        else:
            print("", end="", flush=True)
    except Exception as error:
        return error
    return None
