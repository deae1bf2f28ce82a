"""One endpoint: the parts of which it is made, and what clients do with its jobs; what workers do is in `work.py`.

Each verb reads the time once, after it has caught up with
every deadline that passed. On the memory store no verb suspends, except to wait.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from runpod_emulator.core.dice import Dice
from runpod_emulator.core.endpoint.faults import Faults
from runpod_emulator.core.endpoint.scripts import RunningScripts
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.submission import Health, Submission
from runpod_emulator.core.endpoint.waiters import Waiters
from runpod_emulator.core.endpoint.work import Work
from runpod_emulator.core.endpoint.workforce import follow
from runpod_emulator.core.errors import (  # fmt: skip
    EndpointNotFound,
    EndpointPaused,
    IllegalTransition,
    JobNotFound,
    NotCancellable,
    NotRetryable,
    QueueFull,
    RequestError,
)
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.fleet.worker import WorkerCounts
from runpod_emulator.core.jobs.job import (
    BEHIND,
    TRANSITIONS,
    Cancelled,
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Requeued,
    Retried,
    Shortened,
    Taken,
    TimedOut,
    Transition,
)  # fmt: skip
from runpod_emulator.core.jobs.listeners import ALL, LEAVES, QUEUES, Kinds, Listener, by_kind
from runpod_emulator.core.jobs.script_state import Looked, ScriptState
from runpod_emulator.core.jobs.store import Admit, Counts
from runpod_emulator.core.jobs.tracing import parent_in
from runpod_emulator.core.mocks.stubs import Question
from runpod_emulator.core.rates import Limits
from runpod_emulator.core.settings import EndpointSettings, is_of_batches, named
from runpod_emulator.core.time.waiting import Caller, Outcome


class Endpoint:
    """One queue-based endpoint: its parts, and what clients do with its jobs."""

    def __init__(self, settings: EndpointSettings, shared: Shared, launch: Callable[[Work], Launcher]) -> None:
        self.id = settings.id
        self.shared = shared
        self.platform = shared.platform
        self.limits = Limits(shared.platform, self.id, shared.counter, self._running_workers)
        dice = Dice(None if shared.ids.seed is None else f"{shared.ids.seed} {self.id} plays")
        self.scripts = RunningScripts(
            self, shared.timeline, shared.room, shared.stubs, dice, has_handler=not settings.mock
        )
        self.work = Work(settings, shared, launch, self.scripts)
        self.workforce = self.work.workforce
        self.fleet = self.workforce.fleet
        self.autoscaler = self.workforce.autoscaler
        self._engine = self.work.engine
        self.polling = self.work.polling
        self.work.hooks = self._hooks = Faults(self.work)
        self.waiters = Waiters(self.id, shared.room, shared.platform.stream_wakes_on_status)
        of_scripts = (self.scripts.heard, ALL)
        hears: tuple[tuple[Listener, Kinds], ...] = (
            (self._forget_faults, LEAVES),
            (functools.partial(follow, self.fleet), (Taken, *LEAVES)),
            of_scripts,
            *([] if shared.store.owners is None else [(self.work.held.let_go, LEAVES)]),
            (self.work.next_job.heard, QUEUES),
            (self.waiters.heard, self.waiters.events),
            (self.work.stopped, (Requeued, Failed, Cancelled, TimedOut, Forgotten)),
        )
        crew = self.work.crew
        if crew is not None:
            leaves: Kinds = (Taken, *LEAVES)
            hears = (*hears, (crew.heard_job, {*QUEUES, *leaves}), (crew.elsewhere.heard, leaves))
        """Who hears of which events of the jobs, in this order."""
        self._hears_of_scripted = by_kind(hears)
        self._hears = by_kind(row for row in hears if row is not of_scripts)
        """Of jobs without a script."""
        self._store = shared.store
        self._store.news.follow(self.id)
        self._timeline = shared.timeline
        self._now = shared.timeline.present
        self._closed = False
        self._name = named(self.id)
        self._is_limited = shared.rate_limits and shared.platform.queue_limit_rule and not is_of_batches(self.id)

    @property
    def settings(self) -> EndpointSettings:
        """The settings as they are now."""
        return self.workforce.settings

    @property
    def worker_counts(self) -> WorkerCounts:
        """The workers of this server, without those that come to any."""
        return self.fleet.counts(shared=False)

    def heard(self, transition: Transition) -> None:
        """Tell whom a transition concerns; called wherever it is heard of."""
        due = transition.due
        if due is not None and due < self._timeline.expected:
            self._timeline.expect(due)
        who = self._hears if transition.job.script is None else self._hears_of_scripted
        for hears in who[type(transition.event)]:
            hears(transition)

    def _forget_faults(self, transition: Transition) -> None:
        if self._hooks.runs or self._hooks.copies:
            self._hooks.heard(transition)

    # What clients do

    async def submit(self, submission: Submission) -> Job:
        """Queue a job and return its record; raises EndpointPaused, QueueFull."""
        at = await self._now()
        self._check_open()
        platform, settings = self.platform, self.workforce.settings
        if not settings.workers_max and platform.paused_endpoint == "conflict":
            raise EndpointPaused
        known = self._engine.counts
        if self._is_limited and known is not None and known.queued > self._queue_limit:  # before anything is drawn
            self._check_room(await self._store.counts(self.id))
        ttl = settings.job_ttl if submission.ttl is None else submission.ttl
        limit, low_priority = submission.execution_timeout, submission.low_priority
        job_id = submission.id or self.shared.ids.job(platform.id_suffix, submission.sync)
        script = self.scripts.choose(job_id, Question(self._name, submission.input, submission.headers), at)
        job = Job(
            endpoint=self.id,
            id=job_id,
            status=JobStatus.IN_QUEUE,
            input=submission.input,
            submitted_at=at,
            expires_at=at + ttl,
            retention=submission.retention(platform),
            execution_timeout=settings.execution_timeout if limit is None or settings.unlimited else limit,
            place=await self._store.next_place() + (low_priority and self._behind),
            low_priority=low_priority,
            webhook=submission.webhook,
            s3_config=submission.s3_config,
            held=script is not None and script.held_until is not None,
            script=script,
            trace=parent_in(submission.headers) if self.shared.tracing else "",
            batch=submission.batch,
        )
        job, events = self._hooks.submitted(job, submission.sync) if self.shared.faults.rules else (job, ())
        try:
            await self._engine.create(job, self._admit())
        except RequestError:
            self.scripts.forgo(job_id)
            raise
        await self.work.balance(self._engine.counts)
        for event in events:
            with suppress(JobNotFound):  # its endpoint was taken away meanwhile
                job = (await self._engine.change(job_id, event, at)).job
            await self.work.balance(self._engine.counts)
        return job

    async def status(self, job_id: str, ttl: int | None = None, at: int | None = None) -> Job:
        """The record; `ttl` ms shortens the result's life; `at` is the present, if it was read. Raises JobNotFound."""
        if at is None:
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

    async def wait(self, job_id: str, until: int | None, caller: Caller | None = None, at: int | None = None) -> Job:
        """The record once the job has ended, or as it is at the time `until`, if any.

        `at` is the present, if it was read. Raises JobNotFound.
        """
        with self.waiters:
            while True:
                since = self.waiters.calls
                at = await self._now() if at is None else at
                job = await self._engine.load(job_id, at)
                if job.status.terminal:
                    return job
                if await self.waiters.end(job_id, until, caller, since, at) is not Outcome.NEWS:
                    return await self.status(job_id)
                at = None

    async def next_chunks(
        self, job_id: str, until: int | None, caller: Caller | None = None
    ) -> tuple[JobStatus, list[bytes]]:
        """The status, and the stream chunks that nobody has read yet.

        Held until there is one, the job has ended or the time is `until`. A caller who
        left meanwhile takes none; one who leaves as the store takes them has lost them, as
        one does who leaves while they are sent. Raises JobNotFound.
        """
        with self.waiters:
            outcome = None
            while True:
                since = self.waiters.calls
                at = await self._now()
                job = await self._engine.load(job_id, at)
                if caller is not None and caller.gone:
                    return job.status, []
                read = await self._store.unread(self.id, job_id)
                status, chunks = read.job.status, read.chunks
                if caller is not None and caller.gone:  # while the store was asked
                    return status, []
                if chunks and not await self._store.acknowledge(read):
                    continue  # they went to another reader, or with their run
                if chunks or status.terminal or outcome not in (None, Outcome.NEWS):
                    return status, chunks
                if self.platform.stream_wakes_on_status and outcome is Outcome.NEWS:
                    return status, chunks
                outcome = await self.waiters.chunk(job_id, until, caller, since, at)

    async def cancel(self, job_id: str) -> Job:
        """End the job; one that has ended stays as it is. Raises JobNotFound, NotCancellable."""
        at = await self._now()
        job = await self._engine.load(job_id, at)
        if not job.status.terminal:
            cancelled = await self._engine.change_if(job_id, _cancel_unended, at)
            if cancelled is not None:
                await self.work.balance(self._engine.counts)
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
        chosen: list[tuple[ScriptState | None, Callable[[], None]]] = []

        def again(job: Job) -> Event:
            self._check_open()
            if not chosen and Retried in TRANSITIONS[job.status]:  # once, though the store may ask again
                chosen.append(self.scripts.choose_again(job, at))
            return Retried(place, chosen[0][0] if chosen else None)

        try:
            transition = await self._engine.change_if(job_id, again, at)
        except (IllegalTransition, RequestError) as error:
            for _, take_back in chosen:  # the store has asked again, after a write of somebody else's
                take_back()
            if isinstance(error, IllegalTransition):
                raise NotRetryable(error.status, self.platform.retry_wrong_state_status) from error
            raise
        assert transition is not None
        await self.work.balance(self._engine.counts)
        return transition.job

    async def purge(self) -> int:
        """Remove every waiting job; returns how many."""
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
            workers=await self.workforce.with_others(self.fleet.counts()),
            timed_out=counts.ended[JobStatus.TIMED_OUT],
        )

    async def requests(self, offset: int, limit: int) -> tuple[list[Job], int]:
        """One page of the jobs, newest first, and how many there are."""
        await self._now()
        return await self._store.recent(self.id, offset, limit)

    # Its life

    async def change(self, job_id: str, event: Event) -> None:
        """Apply what a script causes; raises IllegalTransition, JobNotFound."""
        await self._engine.change(job_id, event, await self._now(), patient=True)
        await self.work.balance(self._engine.counts)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a timer caused; virtual time waits for it."""
        self.workforce.later(work)

    async def expire(self, job_id: str, at: int) -> None:
        """Let the job meet its deadline, if that is not later than `at`; raises JobNotFound."""
        await self._engine.expire(job_id, at)

    async def configure(self, settings: EndpointSettings) -> None:
        """Go on with other settings; those of a job are for jobs to come."""
        await self.workforce.configure(settings)

    def reset(self) -> None:
        """Begin anew after every job was forgotten: those who wait for one are told."""
        self.waiters.reset()
        self.scripts.clear()
        if self.work.crew is not None:
            self.work.crew.elsewhere.clear()
        self._engine.counts = None
        self.later(self.work.balance())

    async def close(self) -> None:
        """Cancel every job, and start no worker any more: the endpoint is about to be taken away.

        From its beginning no job comes in. At its end, who waited for one of the jobs has seen how it ended.
        """
        at = await self._now()
        self._closed = True
        self.autoscaler.stop()
        jobs, _ = await self._store.recent(self.id, 0, 1 << 31)
        for job in jobs:
            if not job.status.terminal:
                with suppress(JobNotFound):
                    await self._engine.change_if(job.id, _cancel_unended, at)
        await self.waiters.answered()

    def leave(self) -> None:
        """Let go of all workers, of whom those from elsewhere get their polls answered, and of the scripts."""
        self.polling.close()
        self.scripts.clear()
        self.workforce.leave()

    async def _running_workers(self) -> int:
        return (await self.workforce.with_others(self.fleet.counts())).running

    @property
    def _behind(self) -> int:
        """What the queue rank of a job of low priority is above that of any other."""
        return BEHIND if self.platform.low_priority_order == "behind" else 0

    def _check_open(self) -> None:
        """Let no job in any more; it may have been closed since the request has found it."""
        if self._closed:
            raise EndpointNotFound

    def _admit(self) -> Admit:
        """Whether a job may come in; its check raises EndpointNotFound, QueueFull."""
        return Admit(self._check_room, self._queue_limit if self._is_limited else None)

    def _check_room(self, counts: Counts) -> None:
        self._check_open()
        if self._is_limited and counts.queued > self._queue_limit:
            raise QueueFull(self._queue_limit)

    @property
    def _queue_limit(self) -> int:
        """Jobs that may wait and still let another one in."""
        platform = self.platform
        return max(platform.queue_limit_floor, self.workforce.settings.workers_max * platform.queue_limit_per_worker)


def _cancel_unended(job: Job) -> Cancelled | None:
    return None if job.status.terminal else Cancelled()


def _look(job: Job) -> Looked | None:
    return Looked() if job.script is not None and job.script.polls_owed else None
