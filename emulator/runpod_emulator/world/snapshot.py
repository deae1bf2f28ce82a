"""What is in one world, as it is in one step: to be written down, and to come back.

It holds records that nobody changes, so whoever has one may work on it later, in any thread. Times that are written are
those that people are shown: they mean the same to the next server.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.records.history import Told
from runpod_emulator.core.records.news import Attempt
from runpod_emulator.core.records.streams import Piece
from runpod_emulator.stores.snapshot import NOTHING, Contents

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
