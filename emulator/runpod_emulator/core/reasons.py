"""What went wrong, in one line."""

from __future__ import annotations

_TRACED = ('File "', "Traceback (most recent call last)")
_HOW_IT_ENDED = "the worker "


def gist(reason: str) -> str:
    """The line of a worker's last words that says most: the error of a traceback, else the first below the head."""
    lines = [line for line in reason.splitlines() if line.strip()]
    said = [line for line in lines[1:] if not line.startswith(_HOW_IT_ENDED)] or lines[-1:]
    traced = [at for at, line in enumerate(said) if line.lstrip().startswith(_TRACED)]
    if not traced:
        return "".join(said[:1]).strip()
    return next((line for line in said[traced[-1] + 1 :] if not line.startswith(" ")), said[-1]).strip()
