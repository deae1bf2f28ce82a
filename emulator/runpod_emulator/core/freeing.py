"""What is left after a reset: freeing 10,000 records takes 10 ms, and nobody should wait for that."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

_AT_ONCE = 250
"""Items freed in one step of the loop: some tenths of a millisecond."""
_PAUSE = 0.005
"""Seconds between two steps: a thread that waits for the answer to a reset gets the interpreter at once."""


def free_later(containers: Iterable[dict[Any, Any] | list[Any] | deque[Any]]) -> None:
    """Empty containers that nobody uses any more, bit by bit, between other steps of the loop."""
    left = deque(container for container in containers if len(container) > _AT_ONCE)
    if left:
        asyncio.get_running_loop().call_later(_PAUSE, _free, left)


def _free(left: deque[dict[Any, Any] | list[Any] | deque[Any]]) -> None:
    container = left[0]
    pop = container.popitem if isinstance(container, dict) else container.pop
    for _ in range(min(_AT_ONCE, len(container))):
        pop()
    if not container:
        left.popleft()
    if left:
        asyncio.get_running_loop().call_later(_PAUSE, _free, left)
