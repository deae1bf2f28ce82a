"""Senders of several worlds over one store: each delivery has one of them, and none is lost with a world that dies."""

from __future__ import annotations

from typing import Any

from runpod_emulator.effects.leases import LEASE
from runpod_emulator.effects.webhooks import PER_HOST
from runpod_emulator.stores.memory import MemoryStore

from tests.core.steps import turns
from tests.effects.test_webhooks import JOB, end, refusing
from tests.effects.test_webhooks_attempts import BlockingPost
from tests.worlds import RecordingPost, TestWorld, make_world


def shared_by(*posts: RecordingPost, **changes: Any) -> list[TestWorld]:
    """Worlds over one store and one clock, each with its own way of calling; the store says that it is shared."""
    first = make_world(post=posts[0], store=shared(), **changes)
    worlds = [first]
    for post in posts[1:]:
        worlds.append(make_world(post=post, clock=first.clock, store=first.emulator.store, **changes))
    return worlds


def shared() -> MemoryStore:
    store = MemoryStore()
    store.deliveries.shared = True
    return store


async def pass_time(worlds: list[TestWorld], milliseconds: int, dead: int = 0) -> None:
    """Let time pass for all but those that have died, a second at a time."""
    for _ in range(milliseconds // 1_000):
        worlds[0].clock.move_to(worlds[0].clock.now() + 1_000)
        for world in worlds[dead:]:
            await world.emulator.timeline.catch_up()
        await turns()


async def test_the_world_that_won_makes_the_call_and_no_other():
    posts = [RecordingPost() for _ in range(3)]
    worlds = shared_by(*posts)
    await end(worlds[1])
    await pass_time(worlds, 3 * LEASE)
    assert [len(post.calls) for post in posts] == [0, 1, 0]
    assert not await worlds[0].emulator.store.deliveries.owes()


async def test_a_call_that_takes_longer_than_a_lease_stays_with_its_sender():
    slow, other = BlockingPost(), RecordingPost()
    worlds = shared_by(slow, other)
    for _ in range(2 * PER_HOST):  # some wait in the line of their host
        await end(worlds[0])
    await pass_time(worlds, 5 * LEASE)
    assert (len(slow.open), other.calls) == (PER_HOST, [])
    for _ in range(2 * PER_HOST):
        slow.reply()
        await turns()
    await pass_time(worlds, LEASE)
    assert (len(slow.calls), other.calls) == (2 * PER_HOST, [])
    assert not await worlds[0].emulator.store.deliveries.owes()


async def test_what_a_dead_world_had_on_the_wire_is_made_by_another_at_the_attempt_it_had():
    dying, other = BlockingPost(), refusing()
    worlds = shared_by(dying, other)
    await end(worlds[0])
    await turns()
    assert len(dying.open) == 1
    await pass_time(worlds, LEASE - 1_000, dead=1)
    assert other.calls == []
    await pass_time(worlds, 1_000, dead=1)
    assert len(other.calls) == 1
    await pass_time(worlds, 5_000 + 15_000 + LEASE, dead=1)
    assert len(other.calls) == 3
    dying.reply()  # it comes back, and has nothing to say any more
    await turns()
    assert not await worlds[0].emulator.store.deliveries.owes()


async def test_what_a_dead_world_has_won_and_never_called_is_called_by_another():
    dying, other = RecordingPost(), RecordingPost()
    worlds = shared_by(dying, other, webhook_on_cancelled=True)
    job = await worlds[0].endpoint.submit(JOB)
    await worlds[0].emulator.stop()
    await worlds[0].endpoint.cancel(job.id)
    await pass_time(worlds, LEASE, dead=1)
    assert (len(dying.calls), len(other.calls)) == (0, 1)


async def test_a_world_that_stops_leaves_what_it_holds_at_once():
    slow, other = BlockingPost(), RecordingPost()
    worlds = shared_by(slow, other)
    await end(worlds[0])
    await turns()
    await worlds[0].emulator.stop()
    await end(worlds[1])  # which wakes its sender
    await turns()
    assert len(other.calls) == 2


async def test_a_call_that_comes_back_after_its_lease_counts_once():
    late, other = BlockingPost(), BlockingPost()
    worlds = shared_by(late, other)
    await end(worlds[0])
    await turns()
    await pass_time(worlds, LEASE, dead=1)
    assert len(other.open) == 1
    late.reply()
    await turns()
    assert await worlds[0].emulator.store.deliveries.owes()
    other.reply(problem="answered 500")
    await turns()
    await pass_time(worlds, 6_000)
    (again,) = late.open + other.open  # whichever world was faster
    assert len(late.calls) + len(other.calls) == 3
    again[1].set_result("")
    await turns()
    assert not await worlds[0].emulator.store.deliveries.owes()


async def test_in_a_store_of_its_own_a_delivery_is_its_senders_for_as_long_as_it_takes():
    slow = BlockingPost()
    world = make_world(post=slow)
    await end(world)
    await turns()
    world.clock.move_to(world.clock.now() + 100 * LEASE)
    assert await world.emulator.store.deliveries.next_due() is None
    slow.reply()
    await world.emulator.timeline.settle()
    assert (len(slow.calls), await world.emulator.store.deliveries.owes()) == (1, False)
