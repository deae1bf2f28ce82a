"""The workers of endpoints over all servers, on the store itself (`core/jobs/crews.py`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from runpod_emulator.core.jobs.crews import Lead, Member, Word
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.stores.records import job_read
from runpod_emulator.stores.redis.connection import Connection, Script
from runpod_emulator.stores.redis.news import NewsReader
from runpod_emulator.stores.redis.replies import named
from runpod_emulator.stores.redis.transitions import KEPT, untold

_CREW, _LEAD = Script("crew"), Script("lead")


class RedisCrews:
    """The `Crews` of one world. `ready` returns once an endpoint's news is followed."""

    def __init__(
        self,
        connection: Connection,
        base: Callable[[str], str],
        news: NewsReader,
        ready: Callable[[str], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._base = base
        self._news = news
        self._ready = ready

    async def members(self, endpoint: str) -> Mapping[str, Member]:
        """All workers of the endpoint."""
        await self._ready(endpoint)
        found = await self._connection.do("HGETALL", f"{self._base(endpoint)}:crew")
        return {worker: member for worker, text in named(found).items() if (member := _member(text)) is not None}

    async def join(self, endpoint: str, worker: str, member: Member, most: int | None = None) -> bool:
        """Write an entry, if there is a place."""
        limit = "" if most is None else most
        return await self._change(
            endpoint, "join", worker, member.owner, member.slots, int(member.is_up), member.heard, limit
        )

    async def leave(self, endpoint: str, worker: str, unheard_since: int | None = None) -> bool:
        """Take an entry away, unless it was heard since."""
        return await self._change(endpoint, "leave", worker, "" if unheard_since is None else unheard_since)

    async def spare(self, endpoint: str, worker: str, fewest: int) -> bool:
        """Count a worker as up no more, if there are enough."""
        return await self._change(endpoint, "spare", worker, fewest)

    async def free(self, endpoint: str, worker: str, jobs: Sequence[str]) -> None:
        """Tell of jobs that the worker has let go of."""
        await self._change(endpoint, "free", worker, orjson.dumps(list(jobs)))

    async def lead(self, endpoint: str, kind: str, owner: str, now: int, until: int) -> Lead:
        """Who decides, and who starts workers of this kind."""
        await self._ready(endpoint)
        written, leader, *hosts = await self._connection.run(_LEAD, self._base(endpoint), KEPT, kind, owner, now, until)
        if written:
            await self._news.written(endpoint, written, [Word(endpoint)])
        return Lead(leader.decode(), sorted(host.decode() for host in hosts))

    async def polled(self, endpoint: str) -> list[Job]:
        """The jobs that workers without an owner hold."""
        base = self._base(endpoint)
        names = await self._connection.do("SMEMBERS", f"{base}:running")
        records = await self._connection.all([("HGET", f"{base}:job:{name.decode()}", "r") for name in names])
        jobs = [job_read(record, untold()) for record in records if record is not None]
        return [job for job in jobs if job.owner is None]

    async def _change(self, endpoint: str, what: str, worker: str, *more: Any) -> bool:
        await self._ready(endpoint)
        written, done, entry = await self._connection.run(_CREW, self._base(endpoint), KEPT, what, worker, *more)
        if written:
            freed = tuple(orjson.loads(more[0])) if what == "free" else ()
            await self._news.written(endpoint, written, [Word(endpoint, worker, _member(entry), freed)])
        return bool(done)


def word_read(endpoint: str, fields: Mapping[bytes, bytes]) -> Word:
    """The word of which this is the news."""
    worker = fields[b"crew"].decode()
    if b"free" in fields:
        return Word(endpoint, worker, freed=tuple(orjson.loads(fields[b"free"])))
    return Word(endpoint, worker, _member(fields[b"is"]))


def _member(text: bytes) -> Member | None:
    if not text:
        return None
    owner, slots, is_up, heard = text.decode().split(" ")
    return Member(owner, int(slots), is_up == "1", int(heard))
