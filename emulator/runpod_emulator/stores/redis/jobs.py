"""Records on the server: read, and written by their version."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Emitted, Progressed, Submitted, Transition
from runpod_emulator.core.jobs.store import Counts
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.stores.records import Texts, job_read
from runpod_emulator.stores.redis.connection import Connection, Script
from runpod_emulator.stores.redis.known import Known, Seen
from runpod_emulator.stores.redis.news import NewsReader
from runpod_emulator.stores.redis.transitions import KEPT, counts_of, step

_WRITE, _GROW = Script("write"), Script("write", needs_room=True)
_READ, _HEADS = Script("read"), Script("heads")
_GROWING = (Submitted, Emitted, Progressed)
"""Events that bring data in: a server that is full refuses them. What is there goes on, and comes to its end."""
_CONFLICT, _WRITTEN, _FULL = 0, 1, 2


class Found(NamedTuple):
    """A job as it was in one step."""

    seen: Seen
    taken: int
    """How many chunks of its present run readers have taken."""
    chunks: list[bytes]
    """Those that no reader has taken; empty unless they were asked for."""


class Outcome(NamedTuple):
    """What a write did."""

    won: list[Transition]
    """The transitions that were written: all, or none where a record was not as expected."""
    counts: Counts | None
    """Those of the endpoint after it; None where they are not known."""


class Records:
    """The records of one world's jobs."""

    def __init__(self, connection: Connection, base: Callable[[str], str], news: NewsReader) -> None:
        self._connection = connection
        self._base = base
        self._news = news
        self.known = Known()
        self.counts: dict[str, Counts] = {}
        """The newest known ones of each endpoint; not to be changed."""
        self._own = secrets.token_hex(4)
        self._calls = itertools.count()
        self._under_way: dict[str, list[Transition]] = {}
        """What is being written, by token: the news of it may come before the answer."""

    async def read(self, endpoint: str, job: str, chunks: bool = False) -> Found:
        """A record, with its unread chunks if they are wanted; raises JobNotFound."""
        seen = self.known.get(endpoint, job)
        version = "" if seen is None else seen.version
        answer = await self._connection.run(_READ, self._base(endpoint), job, version, "1" if chunks else "")
        if answer is None:
            self.known.forget(endpoint, job)
            raise JobNotFound
        if len(answer) > 3:
            seen = _seen(answer[0], *answer[3:])
            self.known.note(endpoint, seen)
        assert seen is not None
        return Found(seen, int(answer[1]), answer[2])

    async def heads(self, endpoint: str, skipped: int, most: int) -> tuple[Counts, list[Seen]]:
        """The first jobs of the queue, behind so many that are passed over; and the counts."""
        counts, *found = await self._connection.run(_HEADS, self._base(endpoint), skipped, most)
        heads = [_seen(*one[1:]) for one in found]
        for seen in heads:
            self.known.note(endpoint, seen)
        return self.note_counts(endpoint, counts_of(counts)), heads

    async def write(
        self,
        endpoint: str,
        changes: Sequence[tuple[str, Transition]],
        most_waiting: int | None = None,
        patient: bool = False,
    ) -> Outcome:
        """Write transitions of records that have these versions, all or none; returns once all was told here.

        With `most_waiting`, none is written while more jobs wait. A `patient` caller waits while the server is away,
        and so always knows whether it was written.
        """
        token = f"{self._own}-{next(self._calls)}"
        self._under_way[token] = [transition for _, transition in changes]
        try:
            return await self._write(endpoint, changes, most_waiting, token, patient)
        finally:
            del self._under_way[token]

    def own(self, written_by: bytes) -> Transition | None:
        """The transition that this news is of, if it is of a write of this process that still waits for its answer."""
        token, _, number = written_by.decode().rpartition(":")
        under_way = self._under_way.get(token)
        return None if under_way is None else under_way[int(number) - 1]

    async def _write(
        self,
        endpoint: str,
        changes: Sequence[tuple[str, Transition]],
        most_waiting: int | None,
        token: str,
        patient: bool,
    ) -> Outcome:
        arguments: list[Any] = [KEPT, token, "" if most_waiting is None else most_waiting, len(changes)]
        for version, transition in changes:
            arguments += step(transition, version)
        grows = any(isinstance(transition.event, _GROWING) for _, transition in changes)
        kind, *answer = await self._run(_GROW if grows else _WRITE, endpoint, arguments, patient)
        if kind == _FULL:
            return Outcome([], self.note_counts(endpoint, counts_of(answer[0])))
        if kind == _CONFLICT:
            return await self._not_as_expected(endpoint, changes, answer, token)
        last, counts = answer
        transitions = [transition for _, transition in changes]
        for number, transition in enumerate(transitions, last - len(transitions) + 1):
            if transition.after is None:
                self.known.forget(endpoint, transition.job.id)
            else:
                self.known.note(endpoint, Seen(str(number), transition.after))
        noted = self.note_counts(endpoint, counts_of(counts))
        await self._news.written(endpoint, last, transitions)
        return Outcome(transitions, noted)

    async def _run(self, script: Script, endpoint: str, arguments: Sequence[Any], patient: bool) -> Any:
        while True:
            try:
                return await self._connection.run(script, self._base(endpoint), *arguments)
            except Unavailable:
                if not patient:
                    raise
                await self._connection.back()

    def note_counts(self, endpoint: str, counts: Counts) -> Counts:
        """Keep the newest counts of an endpoint; returns these."""
        kept = self.counts.get(endpoint)
        if kept is None or counts.writes >= kept.writes:
            self.counts[endpoint] = counts
        return counts

    async def _not_as_expected(
        self, endpoint: str, changes: Sequence[tuple[str, Transition]], found: Sequence[Any], token: str
    ) -> Outcome:
        """Note the records as they are; those that this very call has written, before its connection broke, are won."""
        won: list[Transition] = []
        last = 0
        by_id = {transition.job.id: transition for _, transition in changes}
        for name, version, written_by, record, *texts in found:
            job = name.decode()
            if version:
                self.known.note(endpoint, _seen(version, record, *texts))
            else:
                self.known.forget(endpoint, job)
            if written_by == token.encode():
                won.append(by_id[job])
                last = max(last, int(version or 0))
        if won:
            await self._news.told(endpoint, last)
        return Outcome(won, None)


def _seen(version: bytes, record: bytes, text: bytes, output: bytes | None, s3_config: bytes | None) -> Seen:
    return Seen(version.decode(), job_read(record, Texts(text, output, s3_config)))
