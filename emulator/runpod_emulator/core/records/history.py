"""What became of each job: every transition and its time, also of jobs that are gone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.job import Job, JobStatus, Transition
from runpod_emulator.core.jobs.script_state import INWARD
from runpod_emulator.core.records.expired import Expired
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.records.ring import KEPT_BYTES

KEPT = 10_000
"""Jobs; those that came longest ago are forgotten."""


_MOMENT = 160
"""Bytes that a moment takes."""

Noted = tuple[int, type[Any], "JobStatus | None", "str | None", int, int]
"""A moment as it is noted with each transition: only what is asked for is put into words."""


class Told(NamedTuple):
    """What a history remembers: the moments of each job, oldest first, and the records of those that expired."""

    noted: Sequence[tuple[tuple[str, str], tuple[Noted, ...]]]
    expired: Sequence[Job]


class Moment(NamedTuple):
    """One transition of a job."""

    at: int
    event: str
    status: str
    """After it; GONE when the job was deleted."""
    worker: str | None
    retries: int
    ttl: int = 0
    """Milliseconds of the job's life (TTL), where that was over and so the job is gone."""


class History(Effect):
    """The moments of one emulator's jobs, and the records of those that expired: in `most_bytes` of memory each."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = max(2, most_bytes // _MOMENT)
        self._count = 0
        self._noted: dict[tuple[str, str], list[Noted]] = {}
        self._order: deque[tuple[str, str]] = deque()
        """The jobs, first come first: a dictionary that loses its first key again and again gets slow."""
        self._expired = Expired(most_bytes)
        self.age = 0
        """How often jobs were forgotten other than for their number."""

    def heard(self, transition: Transition) -> None:
        """Note a transition."""
        if type(transition.event) in INWARD:
            return
        job = transition.job
        status = None if transition.after is None else job.status
        ttl = 0 if status is not None or transition.at < job.expires_at else job.expires_at - job.submitted_at
        noted = transition.at, type(transition.event), status, job.worker, job.retries, ttl
        key = job.endpoint, job.id
        if status is None and (ttl or job.status.terminal):  # else a user has purged it, or a fault has lost it
            self._expired.add(job)
        self._count += 1
        if self._count > self._most:
            self._forget(key)
        earlier = self._noted.get(key)
        if earlier is not None:
            earlier.append(noted)
            return
        self._noted[key] = [noted]
        self._order.append(key)
        if len(self._order) > KEPT:
            self._drop_oldest()

    def _forget(self, present: tuple[str, str]) -> None:
        """Make room: forget the oldest job, or what is oldest of this one but for its beginning."""
        oldest = self._order[0]
        if oldest != present:
            self._drop_oldest()
            return
        moments = self._noted[present]
        half = len(moments) // 2
        del moments[1:half]
        self._count -= max(0, half - 1)
        self._order.rotate(-1)  # the next one's turn comes first

    def _drop_oldest(self) -> None:
        oldest = self._order.popleft()
        self._count -= len(self._noted.pop(oldest))
        self._expired.forget(oldest)

    def record(self, endpoint: str, job: str) -> Job | None:
        """The last record of a job whose time was over; None for any other, and for one that expired long ago."""
        return self._expired.get((endpoint, job))

    def expired(self) -> Iterator[Job]:
        """Those records, oldest first."""
        return iter(self._expired)

    def of(self, endpoint: str, job: str) -> list[Moment]:
        """The moments of one job, oldest first; empty for one that nobody remembers."""
        return [
            Moment(at, event.__name__, "GONE" if status is None else status.value, worker, retries, ttl)
            for at, event, status, worker, retries, ttl in self._noted.get((endpoint, job), ())
        ]

    def noted(self, endpoint: str, job: str) -> Sequence[Noted]:
        """The same as they were noted, for somebody who asks for ten thousand jobs."""
        return self._noted.get((endpoint, job), ())

    def last(self, endpoint: str, job: str) -> tuple[int, str]:
        """How many moments of a job are known, and what the last one made of it; 0 and "" for none."""
        noted = self._noted.get((endpoint, job))
        if not noted:
            return 0, ""
        status = noted[-1][2]
        return len(noted), "GONE" if status is None else status.value

    def reached(self, status: JobStatus) -> Iterator[tuple[str, str]]:
        """Endpoint and id of every job that was in this state, and is remembered."""
        for key, moments in self._noted.items():
            if any(noted[2] is status for noted in moments):
                yield key

    def jobs(self, endpoint: str | None = None) -> Iterator[tuple[str, str]]:
        """Endpoint and id of every job that is remembered, oldest first."""
        return (key for key in self._noted if endpoint in (None, key[0]))

    def dump(self) -> Told:
        """All that is remembered, as it is now."""
        return Told([(key, tuple(noted)) for key, noted in self._noted.items()], self._expired.dump())

    def load(self, told: Told) -> None:
        """Remember this too, as older than what is known; no more of it than there is room for."""
        here, self._noted, self._order, self._count = self._noted, {}, deque(), 0
        for key, noted in [*told.noted, *((key, tuple(noted)) for key, noted in here.items())]:
            if key not in self._noted:
                self._order.append(key)
            self._noted.setdefault(key, []).extend(noted)
            self._count += len(noted)
        while len(self._order) > 1 and (len(self._order) > KEPT or self._count > self._most):
            self._drop_oldest()
        for job in told.expired:
            if (job.endpoint, job.id) in self._noted:
                self._expired.add(job)
        self.age += 1

    def removed(self, endpoint: str) -> None:
        """Forget the jobs of an endpoint that was taken away."""
        self.cleared(endpoint)

    def cleared(self, endpoint: str | None = None) -> None:
        """Forget all, or the jobs of one endpoint."""
        kept = {} if endpoint is None else {key: value for key, value in self._noted.items() if key[0] != endpoint}
        self.age += 1
        self._expired.clear(endpoint)
        free_later([self._noted, self._order])
        self._noted, self._order = kept, deque(kept)
        self._count = sum(map(len, kept.values()))
