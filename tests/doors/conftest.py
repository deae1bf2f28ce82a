"""What the tests of the doors share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.stores import both

LIMIT = 60
store_of_the_run = both.store_of_the_run


@pytest.fixture(autouse=True)
def no_endless_wait() -> Iterator[None]:
    """Time stands still in these worlds: an answer that is wrongly held would be held for ever."""

    def over(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {LIMIT} s: an answer is held that should have come")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
