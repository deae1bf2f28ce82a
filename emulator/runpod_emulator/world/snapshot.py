"""One world as it is in one step, so that it can be written down and come back: what is in it, and its way in and out.

`taken` copies references to records that nobody changes, in some milliseconds also for 100,000 jobs. Everything slow
comes later, in any thread. Times are those that people are shown, so that they mean the same to the next server.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from runpod_emulator.core.endpoint.resumption import resume
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.records.history import Told
from runpod_emulator.core.records.news import Attempt
from runpod_emulator.core.records.streams import Piece
from runpod_emulator.core.time.clock import AutoClock, RealClock
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.stores.snapshot import NOTHING, Contents
from runpod_emulator.world.world import World

log = logging.getLogger("runpod_emulator")

Key = tuple[str, str]
"""Endpoint and id of a job."""


class KeptStub(NamedTuple):
    """One stub: as it was written, and what it has counted."""

    id: str
    source: Any
    place: str
    counted: Sequence[Any]
    of_start: bool
    """Whether it was there from the start, as those of files are."""


class KeptFault(NamedTuple):
    """One fault: as it was written, and what it has counted."""

    id: str
    source: Any
    expires_at: int | None
    counted: Sequence[Any]
    of_start: bool


class Snapshot(NamedTuple):
    """A world. Requests, lines that workers printed and calls that its own receiver got are not in it."""

    namespace: str
    mode: str
    """Of its clock: real, virtual or auto."""
    now: int
    loads: int
    """How often it has come back from a snapshot: each time ids are minted that were not before."""
    store: Contents = NOTHING
    told: Told = Told((), ())
    said: Sequence[tuple[Key, Sequence[Piece]]] = ()
    calls: Sequence[Attempt] = ()
    unread: frozenset[Key] = frozenset()
    stubs: Sequence[KeptStub] = ()
    faults: Sequence[KeptFault] = ()

    @property
    def jobs(self) -> int:
        """How many jobs are in it."""
        return sum(len(shelf.jobs) for shelf in self.store.shelves)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has happened in it: a namespace that is made anew is the same."""
        since = [one for one in self.stubs if not one.of_start], [one for one in self.faults if not one.of_start]
        return not (self.jobs or self.told.noted or self.store.deliveries or any(since))

    def of(self, endpoints: Collection[str]) -> Snapshot:
        """The jobs of these endpoints, with all that is kept of them, and nothing else."""
        store = Contents(0, [shelf for shelf in self.store.shelves if shelf.endpoint in endpoints], [])
        noted = [one for one in self.told.noted if one[0][0] in endpoints]
        told = Told(noted, [job for job in self.told.expired if job.endpoint in endpoints])
        said = [one for one in self.said if one[0][0] in endpoints]
        return self._replace(store=store, told=told, said=said, calls=(), unread=frozenset(), stubs=(), faults=())

    def without(self, endpoints: Collection[str]) -> Snapshot:
        """All but the jobs of these endpoints."""
        others = {one.endpoint for one in self.store.shelves} | {one[0][0] for one in self.told.noted}
        rest = self.of(others - set(endpoints))
        return self._replace(store=self.store._replace(shelves=rest.store.shelves), told=rest.told, said=rest.said)

    def also(self, other: Snapshot) -> Snapshot:
        """The same with the jobs of another one, of other endpoints."""
        store = self.store._replace(shelves=[*self.store.shelves, *other.store.shelves])
        told = Told([*self.told.noted, *other.told.noted], [*self.told.expired, *other.told.expired])
        return self._replace(store=store, told=told, said=[*self.said, *other.said])


class Taken(NamedTuple):
    """What `taken` has copied: the rest of the work may be done later, in any thread."""

    inside: Snapshot
    """At the times that are inside."""
    drift: int
    unserved: Snapshot | None

    def snapshot(self) -> Snapshot:
        """The world at the times that people were shown, with what it keeps for endpoints that nobody serves."""
        shown = moved(self.inside, self.drift)
        return shown if self.unserved is None else shown.also(self.unserved)

    def is_as(self, other: Taken) -> bool:
        """Whether nothing has happened between the two but that time went by."""
        inside = self.inside
        at = inside.now if inside.mode == "virtual" else other.inside.now
        return self._replace(inside=inside._replace(now=at)) == other


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
    world.timeline.expect(await world.store.next_due())
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


def moved(snapshot: Snapshot, by: int) -> Snapshot:
    """The same with each of its times `by` ms later."""
    if not by:
        return snapshot

    def job(one: Job) -> Job:
        times = {name: value + by for name in _TIMES if (value := getattr(one, name)) is not None}
        script = one.script
        if script is not None and script.held_until is not None:
            times["script"] = script._replace(held_until=script.held_until + by)
        return one._replace(**times)

    def call(one: Attempt) -> Attempt:
        return one._replace(at=one.at + by, delivery=one.delivery._replace(due=one.delivery.due + by))

    store, told = snapshot.store, snapshot.told
    return snapshot._replace(
        now=snapshot.now + by,
        store=Contents(
            store.places,
            [shelf._replace(jobs=list(map(job, shelf.jobs))) for shelf in store.shelves],
            [one._replace(due=one.due + by) for one in store.deliveries],
        ),
        told=Told(
            [(key, tuple((noted[0] + by, *noted[1:]) for noted in one)) for key, one in told.noted],
            list(map(job, told.expired)),
        ),
        said=[(key, [one._replace(at=one.at + by) for one in pieces]) for key, pieces in snapshot.said],
        calls=list(map(call, snapshot.calls)),
        faults=[
            one if one.expires_at is None else one._replace(expires_at=one.expires_at + by) for one in snapshot.faults
        ],
    )


_TIMES = ("submitted_at", "expires_at", "lease_until", "taken_at", "ended_at", "kept_until")
"""Fields of a job that are times; the one of its script is another."""
