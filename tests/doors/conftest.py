"""What the tests of the doors share."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from types import FrameType

import pytest

from tests import worlds
from tests.stores.both import STORES
from tests.stores.counted import close_made

LIMIT = 60


@pytest.fixture(autouse=True)
async def store_of_the_run(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """The whole run may be on a store other than that in memory; a test that can't be says why in `MEMORY_ONLY`."""
    chosen = STORES[os.environ.get("EMULATOR_TEST_STORE", "memory")]
    worlds.STORE = chosen
    yield
    worlds.STORE = None
    await close_made()


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
