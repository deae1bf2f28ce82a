"""The servers over one store: which of them live, what their workers are, and what a dead one leaves behind.

A job whose worker's process is watched names its owner, the server that watches it (`Job.owner`). Nothing in the job
says how long that will last: an owner's heartbeat is the lease of all its jobs at once, so a beat writes no job.

    unknown ── beat ──> living ── time over ──> over: its jobs are lost one by one ── `forget` ──> unknown
                          ^                      │
                          └──────── beat ────────┘

Any server may find that another's time is over, and several may at the same moment: each job is lost inside `update`,
where only one of them still finds it the owner's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from runpod_emulator.core.jobs.crews import Crews
from runpod_emulator.core.jobs.job import Job

LEASE = 40_000
"""Milliseconds after its last beat in which an owner is given up: as for a silent worker (`Platform.worker_lease`),
so that a job comes back as soon whoever was to watch it."""
BEAT = 10_000
"""Milliseconds between two beats: three in a row may be lost, or late by a long pause, before anything follows."""

Numbers = Sequence[int]
"""An owner's workers of one endpoint, counted by state; a store adds nothing up."""


class Owners(Protocol):
    """The registry of a store that several servers use."""

    @property
    def crews(self) -> Crews:
        """The workers of each endpoint, over all servers."""
        ...

    async def beat(self, owner: str, until: int, workers: Mapping[str, Numbers]) -> None:
        """The owner lives until the time `until`, with these workers by endpoint: in place of what it said before."""
        ...

    async def over(self, now: int) -> list[str]:
        """The owners whose time is over by `now`.

        One that is named by jobs and not on the list, killed before it could beat, has `LEASE` since it took the last.
        """
        ...

    async def held(self, owner: str) -> list[Job]:
        """The jobs that name this owner."""
        ...

    async def forget(self, owner: str, now: int) -> None:
        """Take an owner off the list, unless it has beaten since and lives by `now`."""
        ...

    async def workers(self, endpoint: str, now: int) -> Mapping[str, Numbers]:
        """The workers of an endpoint, by those owners who live by `now`."""
        ...
