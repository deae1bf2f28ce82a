"""One endpoint: the parts of which it is made, and what clients do with its jobs; what workers do is in `work.py`.

Each verb reads the time once, after it has caught up with
every deadline that passed. On the memory store no verb suspends, except to wait.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from runpod_emulator.core.endpoint.faults import Faults
from runpod_emulator.core.endpoint.scripts import RunningScripts
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.waiters import Waiters
from runpod_emulator.core.endpoint.work import Work, follow
from runpod_emulator.core.errors import (  # fmt: skip
    EndpointNotFound,
    EndpointPaused,
    IllegalTransition,
    JobNotFound,
    NotCancellable,
    NotRetryable,
    QueueFull,
)
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.fleet.worker import WorkerCounts
from runpod_emulator.core.jobs.job import (
    BEHIND,
    TRANSITIONS,
    Cancelled,
    Event,
    Forgotten,
    Job,
    JobStatus,
    Retried,
    Shortened,
    Transition,
)  # fmt: skip
from runpod_emulator.core.jobs.script_state import Looked, holds
from runpod_emulator.core.mocks.stubs import Question
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.rates import Limits
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.waiting import Caller, Outcome


class Submission(NamedTuple):
    """What a client hands in; durations in ms, None where the endpoint decides."""

    input: bytes
    webhook: str | None = None
    execution_timeout: int | None = None
    ttl: int | None = None
    low_priority: bool = False
    s3_config: bytes | None = None
    sync: bool = False
    """Handed in through /runsync."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    """Of the request, as they came: stubs may look at them."""
    wait: int | None = None
    """How long the client of /runsync said that it would wait, in ms; may lengthen the life of the result."""


class Health(NamedTuple):
    """The counters of /health; those of ended jobs are cumulative."""

    queued: int
    running: int
    completed: int
    failed: int
    retried: int
    workers: WorkerCounts
    timed_out: int = 0
    """Jobs that TIMED_OUT; `failed` holds them too, if the platform says so."""


class Endpoint:
    """One queue-based endpoint: its parts, and what clients do with its jobs."""

    def __init__(self, settings: EndpointSettings, shared: Shared, launch: Callable[[Work], Launcher]) -> None:
        self.id = settings.id
        self.shared = shared
        self.platform = shared.platform
        self.limits = Limits(shared.platform)
        chance = random.Random(None if shared.ids.seed is None else f"{shared.ids.seed} {self.id} plays")
        self.scripts = RunningScripts(
            self, shared.timeline, shared.room, shared.stubs, chance, has_handler=not settings.mock
        )
        self.work = Work(settings, shared, launch, self.scripts)
        self.workforce = self.work.workforce
        self.fleet = self.workforce.fleet
        self.autoscaler = self.workforce.autoscaler
        self._engine = self.work.engine
        self.polling = self.work.polling
        self.work.hooks = self._hooks = Faults(self.work)
        self._waiters = Waiters(self.id, shared.room, shared.platform.stream_wakes_on_status)
        self._hears = (
            self._hooks.heard,
            functools.partial(follow, self.fleet),
            self.scripts.heard,
            self.work.queued,
            self._waiters.heard,
            self.work.stopped,
        )
        """Who hears of a transition, in this order."""
        self._store = shared.store
        self._timeline = shared.timeline
        self._now = shared.timeline.present
        self._closed = False

    @property
    def settings(self) -> EndpointSettings:
        """The settings as they are now."""
        return self.workforce.settings

    def heard(self, transition: Transition) -> None:
        """Tell whom a transition concerns; called wherever it is heard of."""
        self._timeline.expect(transition.due)
        for hears in self._hears:
            hears(transition)

    # What clients do

    async def submit(self, submission: Submission) -> Job:
        """Queue a job and answer its record; raises EndpointPaused, QueueFull."""
        at = await self._now()
        if self._closed:  # since the request has found it
            raise EndpointNotFound
        platform = self.platform
        if not self.settings.workers_max and platform.paused_endpoint == "conflict":
            raise EndpointPaused
        await self._check_queue()
        ttl = self.settings.job_ttl if submission.ttl is None else submission.ttl
        limit, low_priority = submission.execution_timeout, submission.low_priority
        job_id = self.shared.ids.job(platform.id_suffix, submission.sync)
        script = self.scripts.choose(job_id, Question(self.id, submission.input, submission.headers), at)
        job = Job(
            endpoint=self.id,
            id=job_id,
            status=JobStatus.IN_QUEUE,
            input=submission.input,
            submitted_at=at,
            expires_at=at + ttl,
            retention=_sync_retention(submission, platform) if submission.sync else platform.run_retention,
            execution_timeout=self.settings.execution_timeout if limit is None else limit,
            place=await self._store.next_place() + (low_priority and self._behind),
            low_priority=low_priority,
            webhook=submission.webhook,
            s3_config=submission.s3_config,
            held=holds(script),
            script=script,
        )
        job, events = self._hooks.submitted(job, submission.sync)
        await self._engine.create(job)
        await self.work.balance()
        for event in events:
            job = (await self._engine.change(job_id, event, at)).job
            await self.work.balance()
        return job

    async def status(self, job_id: str, ttl: int | None = None) -> Job:
        """The record; `ttl` ms shortens the result's life. Raises JobNotFound."""
        at = await self._now()
        job = await self._engine.load(job_id, at)
        if ttl is not None:
            return (await self._engine.change(job_id, Shortened(ttl), at)).job
        return job

    async def looked(self, job_id: str) -> None:
        """A client has polled the job, whose script may wait for that: its next look finds what this brings about."""
        at = await self._now()
        with suppress(JobNotFound):
            looked = await self._engine.change_if(job_id, _look, at)
            if looked is not None and looked.due is not None and looked.due <= at:
                await self._engine.expire(job_id, at)

    async def wait(self, job_id: str, until: int | None, caller: Caller | None = None) -> Job:
        """The record once the job has ended, or as it is at the time `until`, if any. Raises JobNotFound."""
        while True:
            since = self._waiters.calls
            job = await self._engine.load(job_id, await self._now())
            if job.status.terminal:
                return job
            if await self._waiters.end(job_id, until, caller, since) is not Outcome.NEWS:
                return await self.status(job_id)

    async def next_chunks(
        self, job_id: str, until: int | None, caller: Caller | None = None
    ) -> tuple[JobStatus, list[bytes]]:
        """The status, and the stream chunks that nobody has read yet.

        Held until there is one, the job has ended or the time is `until`. A caller who
        left meanwhile consumes nothing. Raises JobNotFound.
        """
        outcome = None
        while True:
            since = self._waiters.calls
            at = await self._now()
            job = await self._engine.load(job_id, at)
            if caller is not None and caller.gone:
                return job.status, []
            job, chunks = await self._store.drain(self.id, job_id)
            status = job.status
            if caller is not None and caller.gone:  # while the store was asked
                await self._store.put_back(job, chunks)
                self._waiters.look_again(job_id)
                return status, []
            if chunks or status.terminal or outcome not in (None, Outcome.NEWS):
                return status, chunks
            if self.platform.stream_wakes_on_status and outcome is Outcome.NEWS:
                return status, chunks
            outcome = await self._waiters.chunk(job_id, until, caller, since)

    async def cancel(self, job_id: str) -> Job:
        """End the job; one that has ended stays as it is. Raises JobNotFound, NotCancellable."""
        at = await self._now()
        job = await self._engine.load(job_id, at)
        if not job.status.terminal:
            cancelled = await self._engine.change_if(job_id, _cancel_unended, at)
            if cancelled is not None:
                await self.work.balance()
                return cancelled.job
            job = await self._engine.load(job_id, at)
        if self.platform.cancel_terminal == "reject":
            raise NotCancellable(job.status.value)
        return job

    async def retry(self, job_id: str) -> Job:
        """Queue a failed job again under its id. Raises JobNotFound, NotRetryable."""
        at = await self._now()
        job = await self._engine.load(job_id, at)
        place = await self._store.next_place() + (job.low_priority and self._behind)
        script = self.scripts.choose_again(job, at) if Retried in TRANSITIONS[job.status] else None
        try:
            transition = await self._engine.change(job_id, Retried(place, script), at)
        except IllegalTransition as illegal:
            if script is not None:
                self.scripts.forgo(job_id)
            raise NotRetryable(illegal.status, self.platform.retry_wrong_state_status) from illegal
        await self.work.balance()
        return transition.job

    async def purge(self) -> int:
        """Remove every waiting job; answers how many."""
        at = await self._now()
        waiting = await self._store.queued(self.id)
        event = Cancelled() if self.platform.purged_job == "cancelled" else Forgotten()

        def if_it_waits(job: Job) -> Event | None:
            return event if job.status is JobStatus.IN_QUEUE else None

        purged = 0
        for job_id in waiting:
            with suppress(JobNotFound):
                purged += await self._engine.change_if(job_id, if_it_waits, at) is not None
        await self.work.balance()
        return purged

    async def health(self) -> Health:
        """The counters, true at this moment."""
        await self._now()
        counts = await self._store.counts(self.id)
        failed = counts.ended[JobStatus.FAILED]
        if self.platform.health_timed_out_failed:
            failed += counts.ended[JobStatus.TIMED_OUT]
        return Health(
            queued=counts.queued,
            running=counts.running,
            completed=counts.ended[JobStatus.COMPLETED],
            failed=failed,
            retried=counts.requeued,
            workers=self.fleet.counts(),
            timed_out=counts.ended[JobStatus.TIMED_OUT],
        )

    async def requests(self, offset: int, limit: int) -> tuple[list[Job], int]:
        """One page of the jobs, newest first, and how many there are."""
        await self._now()
        return await self._store.recent(self.id, offset, limit)

    # Its life

    async def change(self, job_id: str, event: Event) -> None:
        """Apply what a script causes; raises IllegalTransition, JobNotFound."""
        await self._engine.change(job_id, event, await self._now())
        await self.work.balance()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a timer caused; virtual time waits for it."""
        self.workforce.later(work)

    async def expire(self, job_id: str, at: int) -> None:
        """Let the job meet its deadline, if that is not later than `at`; raises JobNotFound."""
        await self._engine.expire(job_id, at)

    async def configure(self, settings: EndpointSettings) -> None:
        """Go on with other settings; those of a job are for jobs to come."""
        await self.workforce.configure(settings)

    async def reset(self) -> None:
        """Begin anew after every job was forgotten: those who wait for one are told."""
        self.limits = Limits(self.platform)
        self._waiters.reset()
        self.scripts.clear()
        await self.work.balance()

    async def close(self) -> None:
        """Cancel every job and start no worker any more: the endpoint is about to be taken away."""
        at = await self._now()
        self._closed = True
        self.autoscaler.stop()
        jobs, _ = await self._store.recent(self.id, 0, 1 << 31)
        for job in jobs:
            if not job.status.terminal:
                with suppress(JobNotFound):
                    await self._engine.change_if(job.id, _cancel_unended, at)

    def leave(self) -> None:
        """Let go of all workers, of whom those from elsewhere get their polls answered, and of the scripts."""
        self.polling.close()
        self.scripts.clear()
        self.workforce.leave()

    @property
    def _behind(self) -> int:
        """What the queue rank of a job of low priority is above that of any other."""
        return BEHIND if self.platform.low_priority_order == "behind" else 0

    async def _check_queue(self) -> None:
        platform = self.platform
        if not (self.shared.rate_limits and platform.queue_limit_rule):
            return
        per_workers = self.settings.workers_max * platform.queue_limit_per_worker
        limit = max(platform.queue_limit_floor, per_workers)
        if (await self._store.counts(self.id)).queued > limit:
            raise QueueFull(limit)


def _cancel_unended(job: Job) -> Cancelled | None:
    return None if job.status.terminal else Cancelled()


def _look(job: Job) -> Looked | None:
    return Looked() if job.script is not None and job.script.polls_owed else None


def _sync_retention(submission: Submission, platform: Platform) -> int:
    """How long the result of /runsync is kept, in ms."""
    kept = platform.runsync_retention
    if submission.wait is None or platform.runsync_wait_retention == "fixed":
        return kept
    return max(kept, min(submission.wait, platform.runsync_retention_max))
