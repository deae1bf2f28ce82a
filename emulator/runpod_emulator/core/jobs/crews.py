"""The workers of an endpoint over all servers that share a store: who they are, and which server decides of new ones.

Every member is an entry of its own. A worker of ours has its server as owner, and an entry before its program starts:
so an entry is a place, and there are never more places than the endpoint may have workers, whoever wants one. One
that polls and was started elsewhere has no owner: it comes to any server, and the entry says when it was last heard.

    no entry ── `join`, if there is a place ──> ordered, never heard ── its server joins it too ──> there
                                                       │                                             │
                                                       └────────────── `leave` ──> no entry <────────┘

What changes is told to every server, in the order of the writes and in its place among the endpoint's transitions
(`StoreNews.words`). So each server knows all members without asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from runpod_emulator.core.jobs.job import Job


class Member(NamedTuple):
    """One worker."""

    owner: str
    """The server that starts and ends it; "" for one that was started elsewhere, and polls."""
    slots: int
    """How many jobs it takes at once."""
    is_up: bool
    """Whether it takes jobs, and none is to go in its place."""
    heard: int
    """When it, or its server, was last heard of, in ms since the epoch; 0 for one that another server has ordered."""


class Word(NamedTuple):
    """Something that servers tell each other of an endpoint."""

    endpoint: str
    worker: str = ""
    """The worker that has changed; "" where the servers that start workers, or the one that decides, are others now."""
    member: Member | None = None
    """What it is now; None for one that has left."""
    freed: tuple[str, ...] = ()
    """Jobs that were to be stopped and of which it has let go; then the worker is as it was."""


class Lead(NamedTuple):
    """Who decides, and who starts workers."""

    leader: str
    hosts: Sequence[str]


class Crews(Protocol):
    """The entries of all endpoints of a store. Each call is one step."""

    async def members(self, endpoint: str) -> Mapping[str, Member]:
        """All workers of the endpoint, by their ids."""
        ...

    async def join(self, endpoint: str, worker: str, member: Member, most: int | None = None) -> bool:
        """Write an entry; False, and nothing, for a new one where `most` workers with an owner are there already."""
        ...

    async def leave(self, endpoint: str, worker: str, unheard_since: int | None = None) -> bool:
        """Take an entry away; False, and nothing, for one that was heard after the time `unheard_since`."""
        ...

    async def spare(self, endpoint: str, worker: str, fewest: int) -> bool:
        """Count a worker with an owner as up no more; False, and nothing, unless more than `fewest` are up."""
        ...

    async def free(self, endpoint: str, worker: str, jobs: Sequence[str]) -> None:
        """Tell everybody that the worker has let go of these jobs, which it was to stop."""
        ...

    async def lead(self, endpoint: str, kind: str, owner: str, now: int, until: int) -> Lead:
        """The owner starts workers of this kind until the time `until`, and decides of new ones if nobody else does.

        With an `until` that is not later than `now` it does neither any more.
        """
        ...

    async def polled(self, endpoint: str) -> list[Job]:
        """The jobs that workers without an owner hold."""
        ...
