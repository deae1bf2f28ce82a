"""A `JobStore` on a Valkey or Redis server. Several emulators over the same one share a world.

A record is changed by its version: the change is worked out here, by the rules of the core, and `write.lua` writes
it, with all that follows, if the record still is as it was; else it is worked out again. What this process knows of a
record from its last look is tried first, so most changes take one round trip; only a change is never refused because of
what may be old.

    endpoint:job:ID     the record: version, fields, run, chunks taken, token of the last write, and its texts
    endpoint:job:ID:i   input, output (o) and s3Config (s) above 64 KB, beside the record; chunks: those nobody has
                        read; w: who has deleted it, for a minute
    endpoint:queue      ids that wait, by place; held: those no worker can see; due: all, by deadline
    endpoint:all        ids by the number of their first write; what is not in it is not there
    endpoint:running, owners, held:OWNER   what workers hold
    endpoint:counts     counts, and the number of the last write; news: what has happened (see news.py)
    endpoint:owes, owed, bodies, leases    deliveries (see deliveries.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.crews import Word
from runpod_emulator.core.jobs.job import Job, Transition
from runpod_emulator.core.jobs.store import (
    Admit,
    Change,
    Claimed,
    Cleared,
    Counts,
    FirstDue,
    Outage,
    StoreNews,
    Unread,
    Written,
    patiently,
)
from runpod_emulator.core.store_errors import StoreAway, Unavailable
from runpod_emulator.stores.redis.address import Address
from runpod_emulator.stores.redis.board import RedisBoard
from runpod_emulator.stores.redis.connection import Connection, Script
from runpod_emulator.stores.redis.counter import RedisCounter
from runpod_emulator.stores.redis.crews import RedisCrews, word_read
from runpod_emulator.stores.redis.deliveries import RedisDeliveries
from runpod_emulator.stores.redis.jobs import Records
from runpod_emulator.stores.redis.news import NewsReader, Piece
from runpod_emulator.stores.redis.opening import check_server
from runpod_emulator.stores.redis.owners import RedisOwners
from runpod_emulator.stores.redis.replies import scored
from runpod_emulator.stores.redis.transitions import KEPT, cleared_read, counts_of, run_of, transition_read

_ACKNOWLEDGE, _CLEAR, _SWEEP = Script("acknowledge"), Script("clear"), Script("sweep")
_DEEPER = 16
"""Jobs that are read of the queue where the first were not for this worker."""
_PAGE = 200
"""Records that are read or deleted in one go."""


class RedisStore:
    """The jobs of the world `namespace` at the server of `address`, for the emulator that calls itself `owner`."""

    def __init__(self, address: Address, namespace: str = "", owner: str = "") -> None:
        self.address = address
        self.connection = Connection(address)
        self.outage: Outage = self.connection
        self._world = address.world(namespace)
        self._namespace = namespace
        self._bases: dict[str, str] = {}
        self.news = StoreNews(self._follow)
        self._followed: dict[str, bool] = {}
        """The endpoints that are served here, and whether their news is read."""
        self._following: set[asyncio.Task[None]] = set()
        self._reader = NewsReader(self.connection, self.base, self._decoded, self._tell_past, self._tell, self._missed)
        self._records = Records(self.connection, self.base, self._reader)
        self.deliveries = RedisDeliveries(self.connection, self.endpoints, self.base)
        self.owner = owner or secrets.token_hex(8)
        self.board = RedisBoard(self.connection, self._world, self.owner)
        self.counter = RedisCounter(self.connection, self.base, self.owner)
        crews = RedisCrews(self.connection, self.base, self._reader, self._ready)
        self.owners = RedisOwners(self.connection, self._world, self.endpoints, self.base, crews)

    def base(self, endpoint: str) -> str:
        """What the keys of an endpoint begin with."""
        base = self._bases.get(endpoint)
        if base is None:
            base = self._bases[endpoint] = self.address.base(self._namespace, endpoint)
        return base

    async def endpoints(self) -> list[str]:
        """The endpoints that have jobs here, or had some."""
        names: set[bytes] = set(await self.connection.do("SMEMBERS", f"{self._world}:endpoints"))
        return sorted({name.decode() for name in names} | set(self._followed))

    # Who is told

    def _follow(self, endpoint: str) -> None:
        """Hear of this endpoint's jobs from now on; where no loop runs yet, from the first call on."""
        self._followed.setdefault(endpoint, False)
        with contextlib.suppress(RuntimeError):
            following = asyncio.get_running_loop().create_task(self._follow_quietly(endpoint))
            self._following.add(following)
            following.add_done_callback(self._following.discard)

    # Jobs

    async def next_place(self) -> int:
        """A queue rank above all earlier ones."""
        place = int(await self.connection.do("INCR", f"{self._world}:places"))
        if place == 1:
            await self.connection.do("PEXPIRE", f"{self._world}:places", KEPT)
        return place

    async def create(self, transition: Transition, admit: Admit | None = None) -> Counts:
        """Write a new job, unless `admit` raises; returns the endpoint's counters."""
        endpoint = transition.job.endpoint
        await self._ready(endpoint)
        if admit is not None:
            admit.check(Counts())
        won, counts = await self._records.write(endpoint, [("", transition)], admit and admit.most_waiting)
        if not won:
            if admit is not None and counts is not None:
                admit.check(counts)
            raise StoreAway
        return counts or await self.counts(endpoint)

    async def get(self, endpoint: str, job: str) -> Job:
        """The record; raises JobNotFound."""
        return (await self._records.read(endpoint, job)).seen.job

    async def update(self, endpoint: str, job: str, change: Change, patient: bool = False) -> Written:
        """Apply `change` to the record and write the outcome; raises JobNotFound."""
        if patient:
            return await patiently(self, lambda: self._update(endpoint, job, change, patient))
        return await self._update(endpoint, job, change, patient)

    async def _update(self, endpoint: str, job: str, change: Change, patient: bool) -> Written:
        await self._ready(endpoint)
        while True:
            seen = self._records.known.get(endpoint, job)
            transition = None if seen is None else _tried(change, seen.job)
            if seen is None or transition is None:
                seen = (await self._records.read(endpoint, job)).seen
                transition = change(seen.job)
            if transition is None:
                return Written(None, await self.counts(endpoint))
            won, counts = await self._records.write(endpoint, [(seen.version, transition)], patient=patient)
            if won:
                return Written(transition, counts or await self._known_counts(endpoint))

    async def claim(self, endpoint: str, most: int, change: Change) -> Claimed:
        """Apply `change` to the first jobs of the queue, `most` at most; those for which it returns None stay."""
        await self._ready(endpoint)
        claimed: list[Transition] = []
        left = 0
        while len(claimed) < most and self._may_wait(endpoint, left):
            wanted = max(most - len(claimed), left and _DEEPER)
            try:
                _, heads = await self._records.heads(endpoint, left, wanted)
            except Unavailable:
                if not claimed:
                    raise
                break  # these are the caller's already
            changed = [(seen.version, change(seen.job)) for seen in heads]
            chosen = [(version, transition) for version, transition in changed if transition is not None]
            chosen = chosen[: most - len(claimed)]
            won = (await self._records.write(endpoint, chosen, patient=True)).won if chosen else []
            claimed += won
            if won or not chosen:  # else somebody was faster: look again
                left += sum(transition is None for _, transition in changed)
                if len(heads) < wanted:
                    break
        return Claimed(claimed, await self._known_counts(endpoint))

    async def unread(self, endpoint: str, job: str) -> Unread:
        """The record and the chunks that no reader has taken; raises JobNotFound."""
        found = await self._records.read(endpoint, job, chunks=True)
        return Unread(found.seen.job, found.chunks, found.taken)

    async def acknowledge(self, read: Unread) -> bool:
        """Take the chunks that were read; False, and nothing, if another reader was faster or the run is over."""
        base, run = self.base(read.job.endpoint), run_of(read.job)
        if not run:
            return False
        taken = read.job.id, run, read.taken, len(read.chunks), secrets.token_hex(4)
        return bool(await self.connection.run(_ACKNOWLEDGE, base, *taken))

    async def queued(self, endpoint: str, most: int | None = None) -> list[str]:
        """Ids of the waiting jobs, `most` at most, first in the queue first."""
        last = -1 if most is None else most - 1
        lists = await self.connection.all(
            [("ZRANGE", f"{self.base(endpoint)}:{name}", 0, last, "WITHSCORES") for name in ("queue", "held")]
        )
        places = {name: score for found in lists for name, score in scored(found)}
        return sorted(places, key=lambda name: places[name])[:most]

    async def recent(self, endpoint: str, offset: int, limit: int) -> tuple[list[Job], int]:
        """One page of the jobs, newest first, and how many there are."""
        key = f"{self.base(endpoint)}:all"
        number, names = await self.connection.all([("ZCARD", key), ("ZREVRANGE", key, offset, offset + limit - 1)])
        jobs: list[Job] = []
        for start in range(0, len(names), _PAGE):
            reads = [self._records.read(endpoint, name.decode()) for name in names[start : start + _PAGE]]
            for found in await asyncio.gather(*reads, return_exceptions=True):
                if isinstance(found, JobNotFound):  # forgotten meanwhile
                    continue
                if isinstance(found, BaseException):
                    raise found
                jobs.append(found.seen.job)
        return jobs, number

    # Deadlines

    async def first_due(self) -> FirstDue | None:
        """The earliest deadline of any job of the endpoints that are served here."""
        endpoints = list(self._followed)
        keys = [("ZRANGE", f"{self.base(endpoint)}:due", 0, 0, "WITHSCORES") for endpoint in endpoints]
        firsts = zip(endpoints, map(scored, await self.connection.all(keys)), strict=True)
        return min(((due, (endpoint, name)) for endpoint, one in firsts for name, due in one), default=None)

    async def give_up_deadline(self, endpoint: str, job: str) -> None:
        """Take the job out of the deadlines until it is written again."""
        await self.connection.do("ZREM", f"{self.base(endpoint)}:due", job)

    # Counts

    def has_work(self) -> bool:
        """Whether a job waits or runs, or a delivery is owed, as far as is known here."""
        counts = self._records.counts.values()
        return self.deliveries.owes_any or any(one.queued or one.running for one in counts)

    async def counts(self, endpoint: str) -> Counts:
        """The endpoint's counters."""
        pairs = await self.connection.do("HGETALL", f"{self.base(endpoint)}:counts")
        return self._records.note_counts(endpoint, counts_of(pairs))

    async def _known_counts(self, endpoint: str) -> Counts:
        return self._records.counts.get(endpoint) or await self.counts(endpoint)

    # Forgetting

    async def clear(self, endpoint: str | None = None) -> None:
        """Forget jobs, counters and deliveries, of one endpoint or all, and tell whoever listens to clears."""
        if endpoint is not None:
            await self._ready(endpoint)
            await self._forget(endpoint, is_told=True, is_all=False)
            return
        running: list[Job] = []
        for one in await self.endpoints():
            await self._ready(one)
            running += await self._forget(one, is_told=True, is_all=True)
        self._tell(Cleared(None, running))

    async def drop(self, endpoint: str) -> None:
        """Forget an endpoint's jobs and counters, of which nobody hears; deliveries stay owed."""
        await self._forget(endpoint, is_told=False, is_all=False)

    async def open(self) -> None:
        """Look whether the server will do, and hear of what happens; raises ConfigurationError if it won't."""
        await check_server(self.connection)
        for endpoint in list(self._followed):
            await self._ready(endpoint)
        await self._reader.follow_board(self.board)

    async def close(self) -> None:
        """Let go of the server."""
        for following in self._following:
            following.cancel()
        await self._reader.close()
        await self.board.close()
        await self.counter.close()
        await self.connection.close()

    async def _forget(self, endpoint: str, is_told: bool, is_all: bool) -> list[Job]:
        """Forget the jobs of an endpoint; returns those that ran. Of all endpoints at once, nobody is told here."""
        told = "1" if is_told else ""
        by = self.owner if is_all else ""
        written, gone, records = await self.connection.run(_CLEAR, self.base(endpoint), told, told, KEPT, by)
        self._records.known.clear()
        self._records.counts.pop(endpoint, None)
        cleared = cleared_read(endpoint, {b"clear": b"[" + b",".join(records) + b"]"})
        await self._reader.written(endpoint, written, [None if is_all or not is_told else cleared])
        while await self.connection.run(_SWEEP, self.base(endpoint), gone, _PAGE):
            pass
        return cleared.running

    # News

    def _decoded(self, endpoint: str, fields: Mapping[bytes, bytes]) -> Piece | None:
        """A piece of news: after one by another server, what is known of its job is known no more."""
        if b"dropped" in fields:
            self._records.known.clear()
            return None
        if b"clear" in fields:
            self._records.known.clear()
            if fields[b"by"] == self.owner.encode():  # of all at once: it is told as one
                return None
            return cleared_read(endpoint, fields)
        if b"crew" in fields:
            return word_read(endpoint, fields)
        own = self._records.own(fields[b"w"])
        if own is not None:
            return own
        transition = transition_read(fields)
        self._records.known.forget(endpoint, transition.job.id)
        return transition

    def _tell_past(self, piece: Piece) -> None:
        if isinstance(piece, Word):
            return
        for listener in self.news.past:
            listener(piece)

    def _tell(self, piece: Piece) -> None:
        if isinstance(piece, Cleared):
            for of_clears in self.news.clears:
                of_clears(piece)
            return
        if isinstance(piece, Word):
            for of_words in self.news.words:
                of_words(piece)
            return
        for listener in self.news.transitions:
            listener(piece)

    def _missed(self, endpoint: str) -> None:
        self._records.known.clear()
        self._records.counts.pop(endpoint, None)
        if endpoint in self._followed:
            self._followed[endpoint] = False  # the server may not know of it any more
        for listener in self.news.losses:
            listener(endpoint)

    async def _ready(self, endpoint: str) -> None:
        """Hear of an endpoint before anything is written to it."""
        if not self._followed.get(endpoint):
            key = f"{self._world}:endpoints"
            await self.connection.all([("SADD", key, endpoint), ("PEXPIRE", key, KEPT)])
            await self._reader.follow(endpoint)
            self._followed[endpoint] = True

    async def _follow_quietly(self, endpoint: str) -> None:
        with contextlib.suppress(StoreAway):  # then the first call follows it
            await self._ready(endpoint)

    def _may_wait(self, endpoint: str, passed_over: int) -> bool:
        """Whether more jobs may wait than these; False only where it is known, up to what was told last."""
        counts = self._records.counts.get(endpoint)
        if counts is None or counts.writes < self._reader.position(endpoint):
            return True
        return counts.queued - counts.held > passed_over


def _tried(change: Change, job: Job) -> Transition | None:
    """What a change makes of a record that may be old; None where that has to be looked at first."""
    try:
        return change(job)
    except Exception:
        return None
