"""Clients that ask again and again how a job is: an automatic clock leaves out time for them too.

A poll that would find its job as its client saw it last finds it after its next change, if nothing runs and only time
stands between. All deadlines on the way fire in their order. So whoever polls sees every state, and waits for none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.jobs.job import Job, JobStatus, Transition
from runpod_emulator.core.jobs.store import JobStore
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.time.clock import ticks
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.world.unread import Unread

_LONGEST_STEP = 0.05
"""Seconds of real time for which a poll waits for what is under way: what takes longer really runs, in a process."""
_STILL = 5.0
"""Seconds of real time since its last poll for which a client counts as one that polls."""
_NEAR = 1_000
"""Milliseconds before the next change of a job that is to be seen first: they pass as its client pauses."""

Key = tuple[str, str]


class _Seen(NamedTuple):
    """What the last poll of a job has shown."""

    status: JobStatus
    output: bytes | None
    error: str | None
    at: float
    """In ticks of the machine, in s."""

    def is_of(self, job: Job) -> bool:
        """Whether the job still looks so."""
        return self.status is job.status and self.output == job.output and self.error == job.error


class Polls(Effect):
    """Those of one world with an automatic clock. What was seen is kept a job, whoever has asked."""

    def __init__(
        self, timeline: Timeline, store: JobStore, unread: Unread, find: Callable[[str], Endpoint | None]
    ) -> None:
        self._timeline = timeline
        self._store = store
        self._unread = unread
        self._find = find
        self._seen: dict[Key, _Seen] = {}
        self._unseen: dict[Key, Job] = {}
        """Unfinished jobs that have changed since their last poll, as they are now."""

    def seen(self, job: Job) -> None:
        """A client has seen the job as it is."""
        key = job.endpoint, job.id
        self._unread.seen(job)
        self._seen[key] = _Seen(job.status, job.output, job.error, ticks())
        self._unseen.pop(key, None)

    async def moved_on(self, endpoint: Endpoint, job: Job) -> Job:
        """The job as a poll shall show it: as it is, or after its next change. Raises JobNotFound."""
        last = self._seen.get((job.endpoint, job.id))
        if last is None or job.status.terminal:
            return job
        job = await self._settled(endpoint, job)
        while last.is_of(job) and self._needs_time(endpoint, job) and await self._timeline.leaps.leap(self._may_leap):
            job = await self._settled(endpoint, job)
        return job

    async def _settled(self, endpoint: Endpoint, job: Job) -> Job:
        """The job once what was under way is over."""
        await self._timeline.settle(_LONGEST_STEP)
        return await endpoint.status(job.id)

    @staticmethod
    def _needs_time(endpoint: Endpoint, job: Job) -> bool:
        """Whether only time stands between the job and its next change: no poll, and nobody's work elsewhere."""
        if job.script is not None or job.held:
            return not endpoint.scripts.stands(job)
        worker = endpoint.fleet.workers.get(job.worker or "")
        return endpoint.settings.starts_workers and (worker is None or worker.ours)

    async def _may_leap(self, due: int) -> bool:
        """Whether no client that still polls would miss something: a state, or its result."""
        over = ticks() - _STILL
        first = await self._store.first_due()
        expiring = None if first is None or first[0] > due else first[1]
        if expiring is not None and (last := self._seen.get(expiring)) and last.status.terminal and last.at > over:
            return False
        polled = (job for key, job in self._unseen.items() if self._seen[key].at > over)
        return all(due + _NEAR < self._next_change(job) for job in polled)

    def _next_change(self, job: Job) -> int:
        """When the job changes next; a time that is over where that can't be told."""
        endpoint, end = self._find(job.endpoint), job.next_deadline
        if endpoint is None or end is None:
            return 0
        if endpoint.scripts.stands(job):
            return end
        return min(end, endpoint.scripts.next_step(job) or 0)

    def heard(self, transition: Transition) -> None:
        """Note what those who poll have not seen yet; forget jobs with their results."""
        key = transition.job.endpoint, transition.job.id
        last = self._seen.get(key)
        if last is None:
            return
        if transition.after is None:
            del self._seen[key]
        if transition.after is None or transition.after.status.terminal or last.is_of(transition.after):
            self._unseen.pop(key, None)
        else:
            self._unseen[key] = transition.after

    def cleared(self, endpoint: str | None) -> None:
        """Forget the jobs of one endpoint, or all."""
        for key in [key for key in self._seen if endpoint in (None, key[0])]:
            del self._seen[key]
            self._unseen.pop(key, None)

    def removed(self, endpoint: str) -> None:
        """Nobody can ask for the endpoint's jobs any more."""
        self.cleared(endpoint)
