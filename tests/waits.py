"""How tests wait: for a state, with a bound. Nobody waits for a time that was guessed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

BOUND = 20.0
"""Seconds until what a test waits for must be so."""
_AGAIN = 0.002
"""Seconds between two looks."""
_TURNS = 100
Answer = TypeVar("Answer")


async def until(is_so: Callable[[], object], bound: float = BOUND, what: str = "it never came true") -> None:
    """Wait, in this loop, until a condition holds."""
    end = time.monotonic() + bound
    while not is_so():
        assert time.monotonic() < end, what
        await asyncio.sleep(_AGAIN)


async def answered(ask: Callable[[], Awaitable[Answer]], is_it: Callable[[Answer], object] = bool) -> Answer:
    """Ask until the answer is the one that is wanted; returns it."""
    end = time.monotonic() + BOUND
    while not is_it(answer := await ask()):
        assert time.monotonic() < end, f"the answer stays {answer!r}"
        await asyncio.sleep(_AGAIN)
    return answer


async def turns() -> None:
    """Let everything go on that is ready, and what that makes ready."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def until_seen(is_so: Callable[[], object], bound: float = BOUND, what: str = "it never came true") -> None:
    """Wait, where no loop runs, until a condition holds."""
    end = time.monotonic() + bound
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(_AGAIN)
