"""How long a namespace is kept: an hour without use, or until its place is needed, but never with unfinished work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import NamespaceInvalid, NamespacesFull
from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.settings import default_settings
from runpod_emulator.world import worlds as module
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

from tests.worlds import make_world


class Clock:
    """Seconds that are moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def make(name: str = "") -> World:
    world = make_world().emulator
    world.endpoints.add_remote(default_settings("far", world.platform))
    return world


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "ticks", clock)
    return clock


@pytest.fixture
async def three(clock: Clock) -> AsyncIterator[Worlds]:
    """Worlds of which three may have a name, and have: a, b and c, in this order."""
    worlds = Worlds(make(), make, most=3)
    for name in "abc":
        worlds.of(name)
        clock.now += 1
    yield worlds
    await worlds.stop()


async def submit(world: World) -> None:
    await world.endpoints["far"].submit(Submission(b"{}"))


OPEN = contextlib.ExitStack()
"""Feeds that do not end."""


def feed(world: World) -> None:
    OPEN.enter_context(world.feeds.listening(ignore, lambda: None))


def ignore(transition: Transition) -> None:
    pass


def request(world: World) -> None:
    world.open_requests += 1


async def test_the_longest_unused_makes_room(three: Worlds):
    gone = three.of("b")
    three.of("a")
    three.of("b")
    third = three.of("c")
    three.of("d")
    assert three.names == ["b", "c", "d"]
    assert three.of("b") is gone and three.of("c") is third
    await asyncio.sleep(0)
    await asyncio.gather(*three._tasks)
    assert not three._leaving


@pytest.mark.parametrize("use", [submit, feed, request])
async def test_work_that_is_not_finished_keeps_it(three: Worlds, clock: Clock, use: Callable[[World], object]):
    if (asked := use(three.of("a"))) is not None:
        await asked  # type: ignore[misc]
    three.of("b"), three.of("c")
    three.of("d")
    assert sorted(three.names) == ["a", "c", "d"]
    clock.now += 4_000
    three._look()
    assert three.names == ["a"]


async def test_when_all_are_in_use_there_is_no_room(three: Worlds, clock: Clock):
    for name in three.names:
        await submit(three.of(name))
    for _ in range(2):
        with pytest.raises(NamespacesFull, match=r"3 namespaces.* --max-namespaces"):
            three.of("d")
    assert three.known("d") is None
    await three.drop("b")
    assert three.of("d") is three.known("d")


async def test_all_are_not_looked_through_for_each_refusal(
    three: Worlds, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    looks: list[World] = []
    monkeypatch.setattr(World, "is_in_use", property(lambda world: looks.append(world) or True))
    for _ in range(100):
        with pytest.raises(NamespacesFull):
            three.of("d")
    assert len(looks) == 3
    clock.now += 2
    with pytest.raises(NamespacesFull):
        three.of("d")
    assert len(looks) == 6


async def test_an_hour_without_use_is_enough(three: Worlds, clock: Clock):
    clock.now += 3_590
    three.of("b")
    three._look()
    assert three.names == ["c", "b"] or three.names == ["a", "c", "b"]
    clock.now += 20
    three._look()
    assert three.names == ["b"]


async def test_what_is_dropped_is_stopped_and_freed(three: Worlds, clock: Clock):
    world = three.of("a")
    clock.now += 4_000
    three._look()
    await asyncio.gather(*three._tasks)
    assert world.room.closed
    assert three.of("a") is not world


async def test_what_nobody_may_make_is_not_known(three: Worlds):
    assert three.known("x") is None
    assert three.known("") is three.first
    with pytest.raises(NamespaceInvalid):
        three.of("a b")
