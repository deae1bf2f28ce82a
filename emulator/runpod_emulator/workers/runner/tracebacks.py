"""Tracebacks as the author of a handler wants them: without the frames that started it."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Iterator

_OURS = (os.path.dirname(os.path.abspath(__file__)) + os.sep, "<frozen importlib", str(importlib.__file__))


def user_traceback(error: BaseException) -> str:
    """The text of `error`, with the frames of the handler's code only."""
    shown = traceback.TracebackException(type(error), error, error.__traceback__)
    for part in _parts(shown):
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(_OURS)]
    return "".join(shown.format())


def _parts(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """An exception with all that caused it."""
    waiting = [shown]
    while waiting:
        part = waiting.pop()
        yield part
        nested = getattr(part, "exceptions", None) or ()  # exception groups came with Python 3.11
        waiting += [other for other in (part.__cause__, part.__context__, *nested) if other is not None]
