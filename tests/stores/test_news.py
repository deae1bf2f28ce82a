"""Two emulators over one server: each hears of every transition, once and in order, and of what was before it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from runpod_emulator.core.jobs.job import Completed, Emitted, Event, Job, Taken, Transition, apply, submit
from runpod_emulator.core.jobs.store import Cleared
from runpod_emulator.stores.redis.store import RedisStore

from tests.core.jobs.test_job import QUEUED
from tests.stores.servers import shared_server
from tests.waits import until


class Emulator:
    """One of the emulators, and what it has heard."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.heard: list[Transition | Cleared] = []
        self.past: list[Transition | Cleared] = []
        store.news.transitions.append(self.heard.append)
        store.news.clears.append(self.heard.append)
        store.news.past.append(self.past.append)
        store.news.follow("ep")

    async def create(self, job_id: str, **changes: object) -> Job:
        place = await self.store.next_place()
        job = QUEUED._replace(id=job_id, place=place, lease=0, retries=0, **changes)
        await self.store.create(submit(job))
        return job

    async def apply(self, job_id: str, event: Event) -> None:
        await self.store.update("ep", job_id, lambda job: apply(job, event, 2_000))

    async def hears(self, count: int) -> list[Transition | Cleared]:
        """What it has heard, once that is so much."""
        await until(lambda: len(self.heard) >= count)
        return self.heard


def told(pieces: list[Transition | Cleared]) -> list[str]:
    return [
        f"clear {piece.endpoint}" if isinstance(piece, Cleared) else f"{piece.job.id} {type(piece.event).__name__}"
        for piece in pieces
    ]


Join = Callable[[], Awaitable[Emulator]]


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """One emulator more over the same world."""
    address = shared_server().address()
    stores: list[RedisStore] = []

    async def joined() -> Emulator:
        store = RedisStore(address)
        stores.append(store)
        emulator = Emulator(store)
        await store.open()
        return emulator

    yield joined
    for store in stores:
        await store.close()


def without_s3(piece: Transition | Cleared) -> Transition:
    """A transition as news tells it: nobody who only hears of it needs `s3Config`."""
    assert isinstance(piece, Transition)
    before, after = (one and one._replace(s3_config=None) for one in (piece.before, piece.after))
    return piece._replace(before=before, after=after, job=piece.job._replace(s3_config=None))


async def test_both_hear_of_every_transition_in_the_order_of_the_writes(join: Join):
    one, other = await join(), await join()
    await one.create("a")
    await other.apply("a", Taken("w1"))
    await one.apply("a", Emitted(1, (b'"x"', b'"y"')))
    await other.create("b")
    await one.apply("a", Completed(1, b'"done"'))
    first, second = await one.hears(5), await other.hears(5)
    assert told(first) == told(second) == ["a Submitted", "a Taken", "a Emitted", "b Submitted", "a Completed"]
    assert [without_s3(piece) for piece in first] == [without_s3(piece) for piece in second]


async def test_of_its_own_write_an_emulator_has_heard_when_the_write_returns(join: Join):
    one, other = await join(), await join()
    await asyncio.gather(
        *(each.create(f"{name}{number}") for number in range(50) for name, each in (("a", one), ("b", other)))
    )
    await one.create("last")
    assert told(one.heard)[-1] == "last Submitted" and len(one.heard) == 101
    assert told(await other.hears(101)) == told(one.heard)


async def test_who_comes_later_is_told_what_was_before(join: Join):
    one = await join()
    await one.create("a")
    await one.apply("a", Taken("w1"))
    other = await join()
    await one.apply("a", Completed(1, b'"done"'))
    assert told(other.past) == ["a Submitted", "a Taken"]
    assert told(await other.hears(1)) == ["a Completed"]


@pytest.mark.parametrize(("endpoint", "at_the_other"), [("ep", "clear ep"), (None, "clear ep")])
async def test_all_hear_of_a_clear_in_its_place(join: Join, endpoint: str | None, at_the_other: str):
    one, other = await join(), await join()
    await one.create("a")
    await one.store.clear(endpoint)
    await one.create("b")
    assert told(one.heard) == ["a Submitted", f"clear {endpoint}", "b Submitted"]
    assert told(await other.hears(3)) == ["a Submitted", at_the_other, "b Submitted"]


async def test_a_large_text_is_not_told_but_in_the_record(join: Join):
    one, other = await join(), await join()
    large = b'"' + b"x" * 100_000 + b'"'
    await one.create("a", input=large)
    await one.apply("a", Taken("w1"))
    await one.apply("a", Completed(1, large))
    submitted, _, completed = await other.hears(3)
    assert isinstance(submitted, Transition) and submitted.job.input == b"null"
    assert isinstance(completed, Transition) and completed.event == Completed(1, None)
    found = await other.store.get("ep", "a")
    assert (found.input, found.output) == (large, large)
