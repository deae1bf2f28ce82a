"""How a world is taken as it is, and brought back.

`taken` copies references, in some milliseconds also for 100,000 jobs; `bring_back` is the way of a start, and of
whoever replaces a world by another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from runpod_emulator.core.endpoint.resumption import resume
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.settings import is_of_batches
from runpod_emulator.core.time.clock import AutoClock, RealClock
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.world.snapshot import KeptFault, KeptStub, Snapshot, Taken, moved
from runpod_emulator.world.world import World


class Mocks(NamedTuple):
    """The stubs and faults of a snapshot, by their ids: made of what was written, before anything is changed."""

    stubs: Mapping[str, Stub]
    faults: Mapping[str, Fault]


class Loaded(NamedTuple):
    """What has come of a snapshot."""

    jobs: int
    lost: int
    """Those of them that ran, and have lost their worker."""
    unserved: dict[str, int]
    """Endpoints that nobody serves here, and how many jobs each has: they are kept, and can't be asked for."""


def store_of(world: World) -> MemoryStore:
    """The world's own store; raises ConfigurationError where it shares one with others, who would hear of nothing."""
    if not isinstance(world.store, MemoryStore):
        raise ConfigurationError("only what this server alone keeps can be saved: a shared store keeps its jobs itself")
    return world.store


def taken(world: World, namespace: str = "") -> Taken:
    """The world as it is in this step; raises ConfigurationError for one over a shared store."""
    clock = world.timeline.clock
    mode = "auto" if isinstance(clock, AutoClock) else "real" if isinstance(clock, RealClock) else "virtual"
    since = {id(one) for one in (*world.stubs.added(), *world.faults.added())}
    stubs = [KeptStub(one.id, one.source, one.place, one.counted(), id(one) not in since) for one in world.stubs]
    faults = [
        KeptFault(one.id, one.source, one.expires_at, one.counted(), id(one) not in since) for one in world.faults
    ]
    inside = Snapshot(
        namespace, mode, world.timeline.now(), world.loads, store_of(world).dump(), world.history.dump(),
        world.streams.dump(), list(world.attempts), frozenset(world.unread.jobs), stubs, faults,
    )  # fmt: skip
    lanes = [queue for queue in world.endpoints.queues if is_of_batches(queue)]
    inside = inside.without(lanes) if lanes else inside
    return Taken(inside, world.timeline.drift(), world.unserved)


async def bring_back(world: World, snapshot: Snapshot, mocks: Mocks, restarts: bool) -> Loaded:
    """Go on from a snapshot; the world is as after a start or a reset.

    With `restarts` this server goes on where it has ended: what was due meanwhile happens now, at its own time, and its
    files say which stubs and faults there are from the start. Otherwise no time has passed since: each job is as old
    as it was. A clock that can be moved goes on from the time of the snapshot anyway.
    """
    world.go_on(snapshot.loads + 1, snapshot.now)
    now = world.timeline.now()
    stood = snapshot.mode == "virtual" or snapshot.now > now or not world.timeline.clock.runs
    if stood or not restarts:
        snapshot = moved(snapshot, now - snapshot.now)
    _mock(world, snapshot, mocks, restarts)
    snapshot = _served(world, snapshot)
    _keep(world, snapshot)
    lost = 0
    for shelf in snapshot.store.shelves:
        lost += await resume(world.endpoints.queues[shelf.endpoint], shelf.jobs, snapshot.now)
    world.timeline.expect(await world.timeline.next_due())
    world.webhooks.wake()
    for told in world.news.loaded:
        told(snapshot.jobs)
    aside = () if world.unserved is None else world.unserved.store.shelves
    return Loaded(snapshot.jobs, lost, {shelf.endpoint: len(shelf.jobs) for shelf in aside if shelf.jobs})


def _served(world: World, snapshot: Snapshot) -> Snapshot:
    """What of it concerns endpoints that are served here; the rest is kept aside."""
    known = {shelf.endpoint for shelf in snapshot.store.shelves} | {key[0] for key, _ in snapshot.told.noted}
    strange = known - set(world.endpoints.queues)
    if not strange:
        return snapshot
    world.unserved = moved(snapshot.of(strange), world.timeline.drift())
    return snapshot.without(strange)


def _mock(world: World, snapshot: Snapshot, mocks: Mocks, restarts: bool) -> None:
    """Add stubs and faults in the order in which they were added, and let all count on."""
    for stub in reversed(snapshot.stubs):
        present = world.stubs.get(stub.id) if stub.of_start else None
        if present is None and not (stub.of_start and restarts) and stub.id in mocks.stubs:
            present = mocks.stubs[stub.id]
            world.stub(present)
        if present is not None:
            present.count_on(stub.counted)
    for fault in snapshot.faults:
        known = world.faults.get(fault.id) if fault.of_start else None
        if known is None and not (fault.of_start and restarts) and fault.id in mocks.faults:
            known = world.fault(mocks.faults[fault.id])
        if known is not None:
            known.count_on(fault.counted)
            known.expires_at = fault.expires_at


def _keep(world: World, snapshot: Snapshot) -> None:
    store_of(world).load(snapshot.store)
    world.history.load(snapshot.told)
    world.streams.load(snapshot.said)
    world.attempts.load(snapshot.calls)
    world.began_at = min([world.began_at, *(noted[0][0] for _, noted in snapshot.told.noted if noted)])
    if isinstance(world.timeline.clock, AutoClock):
        ended = {(job.endpoint, job.id) for shelf in snapshot.store.shelves for job in shelf.jobs if job.ended_at}
        world.unread.jobs |= ended & snapshot.unread if snapshot.mode == "auto" else ended
