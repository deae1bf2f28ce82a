"""Who looks for garbage, and when: nobody while the server works, everything once it rests."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import Iterator

import pytest
from runpod_emulator.core.time.clock import turn
from runpod_emulator.server import garbage
from runpod_emulator.server.garbage import Sweeper

from tests.waits import until


@pytest.fixture(autouse=True)
def collections() -> Iterator[list[int]]:
    """The generations that were looked through; the interpreter's own ways come back afterwards."""
    seen: list[int] = []

    def noted(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            seen.append(info["generation"])

    thresholds, enabled = gc.get_threshold(), gc.isenabled()
    gc.callbacks.append(noted)
    try:
        yield seen
    finally:
        gc.callbacks.remove(noted)
        gc.set_threshold(*thresholds)
        (gc.enable if enabled else gc.disable)()
        gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def _frozen_again() -> Iterator[None]:
    """What `tests/conftest.py` has left alone is left alone again for the tests of other files."""
    yield
    gc.collect()
    gc.freeze()


async def test_all_is_looked_through_once_the_process_rests(
    collections: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_WATCH", 0.01)
    monkeypatch.setattr(garbage, "_work", lambda: 1.0)
    sweeper = Sweeper()
    sweeper.begin()
    try:
        assert gc.get_freeze_count()
        kept = [[number] for number in range(10_000)]
        gc.collect(1)
        await until(lambda: 2 in collections)
        young = {id(one) for one in gc.get_objects()}
        assert not any(id(one) in young for one in kept)
        assert collections.count(2) == 1
    finally:
        sweeper.end()


async def test_never_while_it_works(collections: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    work = 0.0
    looks = asyncio.Event()

    def works() -> float:
        nonlocal work
        work += 1.0
        if work > 20:
            looks.set()
        return work

    monkeypatch.setattr(garbage, "_WATCH", 0.001)
    monkeypatch.setattr(garbage, "_work", works)
    sweeper = Sweeper()
    sweeper.begin()
    try:
        gc.collect(1)
        await asyncio.wait_for(looks.wait(), 10)
        assert 2 not in collections
    finally:
        sweeper.end()


async def test_many_dropped_namespaces_do_not_wait_for_a_rest(
    collections: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, dropped = itertools.count(0.0), itertools.count(0, 100)
    monkeypatch.setattr(garbage, "_WATCH", 0.001)
    monkeypatch.setattr(garbage, "_work", lambda: next(work))
    told: list[int] = []
    sweeper = Sweeper(lambda: told.append(next(dropped)) or told[-1])
    sweeper.begin()
    try:
        gc.collect(1)
        await until(lambda: 2 in collections)
        assert told[-1] == 1_000
    finally:
        sweeper.end()


async def test_nothing_wakes_a_server_that_has_made_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "_WATCH", 0.001)
    sweeper = Sweeper()
    sweeper.begin()
    try:
        gc.disable()
        await turn()
        assert sweeper._timer is None
    finally:
        sweeper.end()


async def test_what_was_kept_and_is_garbage_now_is_found(
    collections: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    monkeypatch.setattr(garbage, "_WATCH", 0.01)
    monkeypatch.setattr(garbage, "_work", lambda: 1.0)
    sweeper = Sweeper()
    sweeper.begin()
    try:
        ring = Ring()
        gone = weakref.ref(ring)
        gc.collect(1)
        await until(lambda: 2 in collections)
        assert gone() is ring
        del ring
        collections.clear()
        gc.collect(1)
        await until(lambda: 2 in collections)
        assert gone() is None
    finally:
        sweeper.end()
