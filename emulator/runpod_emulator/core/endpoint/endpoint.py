"""The verbs of one endpoint: what clients, workers and deadlines may do to its jobs.

Each verb reads the time once, after it has caught up with
every deadline that passed. On the memory store no verb suspends, except to wait.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from contextlib import suppress
from typing import NamedTuple

from runpod_emulator.core.endpoint.engine import Engine
from runpod_emulator.core.endpoint.parts import World
from runpod_emulator.core.endpoint.polling import PollingWorkers
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
from runpod_emulator.core.jobs.deadlines import lost_event, overrun_event
from runpod_emulator.core.jobs.drops import Drop
from runpod_emulator.core.jobs.job import (  # fmt: skip
    BEHIND,
    TRANSITIONS,
    Cancelled,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Renewed,
    Retried,
    Shortened,
    Taken,
    submit,
)
from runpod_emulator.core.jobs.results import Report
from runpod_emulator.core.mocks.stubs import Question
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.waiting import Caller, Outcome

log = logging.getLogger("runpod_emulator.worker")


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
    held: bool = False
    """Whether no worker ever sees it."""
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


class Endpoint(Engine):
    """One queue-based endpoint."""

    def __init__(self, settings: EndpointSettings, world: World, launcher: Launcher) -> None:
        super().__init__(settings, world, launcher)
        self.polling = PollingWorkers(self, world.timeline, world.room)

    @property
    def scripted(self) -> Container[str]:
        """Jobs that play a script."""
        return self.plays

    def _call_workers(self, job_id: str) -> None:
        super()._call_workers(job_id)
        if self.polling.bars(job_id):  # the worker that has waited longest may not have it
            self._room.call(("queue", self.id))

    def stop_job(self, job: Job) -> None:
        """Tell the worker that the job, as it was, is no longer its own."""
        if job.worker is not None:
            self.polling.must_stop(job.worker, job.id)
        super().stop_job(job)

    def leave(self) -> None:
        """Let go of all workers, those that were started elsewhere too: their polls are answered."""
        self.polling.close()
        super().leave()

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
        job_id = self.world.ids.job(platform.id_suffix, submission.sync)
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
            held=self.plays.begin(job_id, Question(self.id, submission.input, submission.headers)) or submission.held,
        )
        transition = submit(job)
        await self._store.create(transition)
        self._won(transition)
        await self._balance()
        return job

    async def status(self, job_id: str, ttl: int | None = None) -> Job:
        """The record; `ttl` ms shortens the result's life. Raises JobNotFound."""
        at = await self._now()
        job = await self._load(job_id, at)
        if ttl is not None:
            return (await self._change(job_id, Shortened(ttl), at)).job
        return job

    async def wait(self, job_id: str, until: int | None, caller: Caller | None = None) -> Job:
        """The record once the job has ended, or as it is at the time `until`, if any. Raises JobNotFound."""
        while True:
            job = await self._load(job_id, await self._now())
            if job.status.terminal:
                return job
            if await self._room.wait(("end", self.id, job_id), until, caller) is not Outcome.NEWS:
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
            at = await self._now()
            job = await self._load(job_id, at)
            if caller is not None and caller.gone:
                return job.status, []
            status, chunks = await self._store.drain(self.id, job_id)
            if chunks or status.terminal or outcome not in (None, Outcome.NEWS):
                return status, chunks
            if self.platform.stream_wakes_on_status and outcome is Outcome.NEWS:
                return status, chunks
            outcome = await self._room.wait(("stream", self.id, job_id), until, caller)

    async def cancel(self, job_id: str) -> Job:
        """End the job; one that has ended stays as it is. Raises JobNotFound, NotCancellable."""
        at = await self._now()
        job = await self._load(job_id, at)
        if job.status.terminal:
            if self.platform.cancel_terminal == "reject":
                raise NotCancellable(job.status.value)
            return job
        cancelled = (await self._change(job_id, Cancelled(), at)).job
        await self._balance()
        return cancelled

    async def retry(self, job_id: str) -> Job:
        """Queue a failed job again under its id. Raises JobNotFound, NotRetryable."""
        at = await self._now()
        job = await self._load(job_id, at)
        place = await self._store.next_place() + (job.low_priority and self._behind)
        held = Retried in TRANSITIONS[job.status] and self.plays.begin_again(job_id)
        try:
            transition = await self._change(job_id, Retried(place, held), at)
        except IllegalTransition as illegal:
            raise NotRetryable(illegal.status, self.platform.retry_wrong_state_status) from illegal
        await self._balance()
        return transition.job

    async def purge(self) -> int:
        """Remove every waiting job; answers how many."""
        at = await self._now()
        waiting = await self._store.queued(self.id)
        event = Cancelled() if self.platform.purged_job == "cancelled" else Forgotten()
        for job_id in waiting:
            await self._change(job_id, event, at)
        await self._balance()
        return len(waiting)

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

    # What workers do

    async def worker_gone(self, worker: str, replace: bool = False) -> None:
        """A worker ended: its jobs are tried once more, or fail. `replace` brings up a fresh one at once."""
        at = await self._now()
        self.polling.forget(worker)
        self._release.failed(worker)
        for job_id in sorted(self.fleet.forget(worker)):
            await self._change(job_id, lambda job: lost_event(job, self.platform), at)
        if replace:
            self.autoscaler.start_one()
        await self._balance()

    def refresh(self, worker: str) -> None:
        """A worker asked to be replaced by a fresh one."""
        self.polling.release_polls(worker)
        self._launcher.replace(worker)

    async def take(
        self,
        worker: str,
        most: int,
        until: int | None,
        caller: Caller,
        lease: int | None = None,
        barred: Container[str] = (),
    ) -> list[Job]:
        """Hand out up to `most` jobs, waiting for the first until the time `until`.

        `lease` is how long the worker may stay silent, in ms; None for one whose
        process is watched. It is given none of the `barred` jobs. A caller who left
        gets nothing.
        """
        while True:
            at = await self._now()
            until_silent = None if lease is None else at + lease
            if caller.gone:
                self._room.call(("queue", self.id), most=1)
                return []
            claimed = await self._claim(most, Taken(worker, until_silent), at, barred)
            if claimed:
                await self._balance()
                return claimed
            outcome = await self._room.wait(("queue", self.id), until, caller)
            if outcome is not Outcome.NEWS:
                return []

    async def report(self, job_id: str, event: Report) -> bool:
        """What a worker says of a job it holds; False when that comes too late to count."""
        at = await self._now()
        try:
            await self._change(job_id, event, at)
        except (IllegalTransition, JobNotFound):
            return False
        return True

    async def strike(self, job_id: str, lease: int) -> None:
        """A script says that the run exceeds its execution timeout now; too late does not count."""
        at = await self._now()
        with suppress(IllegalTransition, JobNotFound):
            overrun = overrun_event(self.platform)
            await self._change(job_id, lambda job: overrun if job.lease == lease else Renewed(lease, None), at)
        await self._balance()

    async def renew(self, worker: str, job_id: str) -> None:
        """A worker that may fall silent has said that it still holds the job."""
        at = await self._now()
        lease_until = at + self.platform.worker_lease
        with suppress(IllegalTransition, JobNotFound):
            await self._change(job_id, lambda job: Renewed(_lease_of(job, worker), lease_until), at)

    async def drop(self, worker: str, job: Job, reason: str) -> None:
        """A worker has let go of a job on which it will never report, for a reason that clients may see."""
        dropped = Drop(job, reason, self.platform)
        log.warning("%s/%s: %s", self.id, job.id, dropped)
        if dropped.fails_at_once:
            await self.report(job.id, Failed(reason, None, job.lease))
        elif job.lease_until is None:
            await self.refuse(worker, job.id, job.lease)
        else:  # the lease of a worker that may fall silent runs already
            self.fleet.release(worker, job.id)

    async def refuse(self, worker: str, job_id: str, lease: int) -> None:
        """A worker dropped the job and will never report: the lease runs out, the worker is free."""
        at = await self._now()
        try:
            await self._change(job_id, Renewed(lease, at + self.platform.worker_lease), at)
        except (IllegalTransition, JobNotFound):
            return
        self.fleet.release(worker, job_id)
        await self._balance()

    @property
    def _behind(self) -> int:
        """What the queue rank of a job of low priority is above that of any other."""
        return BEHIND if self.platform.low_priority_order == "behind" else 0

    async def _check_queue(self) -> None:
        platform = self.platform
        if not (self.world.rate_limits and platform.queue_limit_rule):
            return
        per_workers = self.settings.workers_max * platform.queue_limit_per_worker
        limit = max(platform.queue_limit_floor, per_workers)
        if (await self._store.counts(self.id)).queued > limit:
            raise QueueFull(limit)


def _sync_retention(submission: Submission, platform: Platform) -> int:
    """How long the result of /runsync is kept, in ms."""
    kept = platform.runsync_retention
    if submission.wait is None or platform.runsync_wait_retention == "fixed":
        return kept
    return max(kept, min(submission.wait, platform.runsync_retention_max))


def _lease_of(job: Job, worker: str) -> int:
    """The job's lease if the worker has it, else one that nobody has."""
    return job.lease if job.worker == worker else -1
