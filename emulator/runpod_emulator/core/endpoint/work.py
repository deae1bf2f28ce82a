"""What the workers of one endpoint do with its jobs: take, report, drop, leave.

All kinds of workers meet the rules through these verbs, so none can make a history that the table forbids. Like those
of clients, each reads the time once, after everything that was due by then has happened; on the memory store none
suspends, but for `take`, which waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from runpod_emulator.core.endpoint.crew import Crew, Team
from runpod_emulator.core.endpoint.demand import Demand
from runpod_emulator.core.endpoint.engine import Engine
from runpod_emulator.core.endpoint.held import HeldHere
from runpod_emulator.core.endpoint.hooks import Hooks
from runpod_emulator.core.endpoint.next_job import NextJob
from runpod_emulator.core.endpoint.polling import Either, PollingWorkers
from runpod_emulator.core.endpoint.scripts import RunningScripts
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.stray_runs import StrayRuns
from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.errors import IllegalTransition, JobNotFound
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.jobs.deadlines import lost_event, overrun_event
from runpod_emulator.core.jobs.drops import Drop
from runpod_emulator.core.jobs.job import (
    Cancelled,
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Renewed,
    Requeued,
    Returned,
    Taken,
    TimedOut,
    Transition,
)  # fmt: skip
from runpod_emulator.core.jobs.results import Report
from runpod_emulator.core.jobs.store import patiently
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.core.time.waiting import Caller, Outcome

log = logging.getLogger("runpod_emulator.worker")


class Work:
    """The jobs of one endpoint as its workers see them."""

    def __init__(
        self, settings: EndpointSettings, shared: Shared, launch: Callable[[Work], Launcher], scripts: RunningScripts
    ) -> None:
        self.id = settings.id
        self.shared = shared
        self.platform = shared.platform
        self.scripts = scripts
        launcher = launch(self)
        scripts.waits = launcher.start_script_worker
        self.workforce = Workforce(settings, shared, launcher, lambda: self.balance())
        self.fleet = self.workforce.fleet
        self.printed = self.workforce.printed
        self.demand = Demand(self.id, shared.store, scripts, self.fleet, self.workforce.autoscaler)
        self.balance = self.demand.balance
        self.engine = Engine(self.id, shared, self.balance, scripts.run_of)
        scripts.waiting = lambda: 0 if self.engine.counts is None else self.engine.counts.queued
        self.hooks = Hooks()
        self.next_job = NextJob(self.id, shared.room)
        self.stray_runs = StrayRuns(self.fleet, self.next_job.look_again)
        self.polling = PollingWorkers(self, shared.timeline, shared.room, self.stray_runs, self.next_job)
        self.next_job.bars += (
            (self.polling.visitors, self.polling.bars),
            (self.stray_runs.workers, lambda job_id: True),
        )
        owners = shared.store.owners
        self.crew = None if owners is None else Crew(self._team(), owners.crews)
        self.demand.crew = self.workforce.crew = self.polling.crew = self.fleet.everywhere = self.crew
        self._store = shared.store
        self.tracing = shared.tracing
        self._owner = shared.owner
        self.held = HeldHere(self, self._stop_unless_stray)
        self._now = shared.timeline.present

    @property
    def settings(self) -> EndpointSettings:
        """The settings of the endpoint as they are now."""
        return self.workforce.settings

    def _team(self) -> Team:
        workforce = self.workforce
        return Team(
            self.id, self.shared, self.fleet, self.polling, workforce.launcher.kind,
            lambda: workforce.autoscaler.is_stopped, lambda: self.balance(), self.demand.waiting, workforce.later,
        )  # fmt: skip

    @property
    def is_faulty(self) -> bool:
        """Whether anything goes wrong on purpose, or has: without that, no hook has anything to do."""
        return bool(self.shared.faults.rules or self.hooks.runs or self.hooks.copies or self.stray_runs.workers)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a timer caused; virtual time waits for it."""
        self.workforce.later(work)

    # Jobs

    async def take(
        self,
        worker: str,
        most: int,
        until: int | None,
        caller: Caller,
        lease: int | None = None,
        barred: Container[str] = (),
        scripted: bool | None = None,
    ) -> list[Job]:
        """Hand out up to `most` jobs, waiting for the first until the time `until`.

        `lease` is how long the worker may stay silent, in ms; None for one whose
        process is watched. It is given none of the `barred` jobs, where `scripted` is
        True only jobs that play scripts, where it is False none of these. A caller
        who left gets nothing. While the store is away, one whose process is watched waits; others get Unavailable.
        """
        if lease is not None or self._store.owners is None:
            return await self._take(worker, most, until, caller, lease, barred, scripted)
        try:
            return await patiently(
                self._store, lambda: self._take(worker, most, until, caller, lease, barred, scripted)
            )
        except Unavailable:  # nobody shall wait any more
            return []

    async def _take(
        self,
        worker: str,
        most: int,
        until: int | None,
        caller: Caller,
        lease: int | None,
        barred: Container[str],
        scripted: bool | None,
    ) -> list[Job]:
        while True:
            since = self.next_job.calls
            at = await self._now()
            until_silent = None if lease is None else at + lease
            if caller.gone:
                self.next_job.pass_on()
                return []
            taken = Taken(worker, until_silent, self._owner if lease is None else None)
            claimed = await self._claim(most, taken, at, barred, scripted, caller)
            if claimed:
                if self._store.owners is not None:
                    self.held.took(claimed)
                await self.balance(self.engine.counts)
                return claimed
            outcome = await self.next_job.wait(until, caller, since, at)
            if outcome is not Outcome.NEWS:
                return []

    async def status(self, job_id: str) -> Job:
        """The record; raises JobNotFound."""
        return await self.engine.load(job_id, await self._now())

    async def report(self, job_id: str, event: Report) -> bool:
        """What a worker says of a job it holds; False when that comes too late to count.

        While the store is away it is kept, and delivered after: the table says whether it is too late by then.
        """
        instead = self.hooks.reported(job_id, event) if self.is_faulty else None
        return await self.accept(job_id, event) if instead is None else await instead

    async def accept(self, job_id: str, event: Report) -> bool:
        """A report has arrived; False when that is too late to count."""
        at = await self._now()
        try:
            await self.engine.change(job_id, event, at, patient=True)
        except (IllegalTransition, JobNotFound):
            return False
        return True

    async def strike(self, job_id: str, lease: int) -> None:
        """A script says that the run exceeds its execution timeout now; too late does not count."""
        at = await self._now()
        with suppress(IllegalTransition, JobNotFound):
            overrun = overrun_event(self.platform)
            await self.engine.change_if(job_id, lambda job: overrun if job.lease == lease else None, at, True)
        await self.balance(self.engine.counts)
        self.stray_runs.end(job_id, lease)

    async def renew(self, worker: str, job_id: str) -> None:
        """A worker that may fall silent has said that it still holds the job."""
        at = await self._now()
        lease_until = at + self.platform.worker_lease
        with suppress(IllegalTransition, JobNotFound):
            await self.engine.change_if(
                job_id, lambda job: Renewed(job.lease, lease_until) if job.worker == worker else None, at
            )

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
        if self.stray_runs.knows(job_id, lease):
            self.stray_runs.end(job_id, lease)
            return
        at = await self._now()
        try:
            await self.engine.change(job_id, Renewed(lease, at + self.platform.worker_lease), at, patient=True)
        except (IllegalTransition, JobNotFound):
            return
        self.fleet.release(worker, job_id)
        await self.balance()

    # Workers

    async def worker_ready(self, worker: str, concurrency: int) -> None:
        """A worker is up, or now wants `concurrency` jobs at once."""
        await self.workforce.worker_ready(worker, concurrency)

    async def worker_broken(self, worker: str, reason: str) -> None:
        """A worker ended before it was up. It stays unhealthy; another try comes later."""
        await self.workforce.worker_broken(worker, reason)

    async def worker_unhealthy(self, worker: str, reason: str) -> None:
        """A worker failed its own fitness check and leaves."""
        await self.workforce.worker_unhealthy(worker, reason)

    async def worker_gone(self, worker: str, replace: bool = False, reason: str = "") -> None:
        """A worker ended: its jobs are tried once more, or fail. `replace` brings up a fresh one at once.

        `reason` says how it ended, as "it was killed by SIGKILL", where that is known.
        """
        if self.stray_runs.workers:
            self.stray_runs.end_all(worker)
        at = await self._now()
        self.polling.forget(worker)
        self.workforce.release.failed(worker)
        for job_id in sorted(self.fleet.forget(worker, reason)):
            await self._lose(job_id, lambda job: job.worker == worker, at)
        if replace:
            self.workforce.autoscaler.start_one()
        await self.balance()

    async def owner_gone(self, held: Job) -> bool:
        """The server that watched the worker of a job is given up; False where that run was over already."""
        at = await self._now()
        is_lost = await self._lose(held.id, lambda job: (job.owner, job.lease) == (held.owner, held.lease), at)
        await self.balance()
        return is_lost

    def refresh(self, worker: str) -> None:
        """A worker asked to be replaced by a fresh one."""
        self.polling.release_polls(worker)
        self.workforce.launcher.replace(worker)

    def stop_all(self, forgotten: Mapping[str, Job]) -> None:
        """Take every job from its worker, without a word to anybody; workers stay.

        `forgotten` are the records of those that ran, by id, as they were before the store forgot them.
        """
        for worker_id in list(self.fleet.workers):
            self.stray_runs.end_all(worker_id)
        self.hooks.clear()
        for worker in list(self.fleet.workers.values()):
            for job_id in list(worker.jobs):
                self.fleet.release(worker.id, job_id)
                if job_id in forgotten:
                    self._stop_unless_stray(forgotten[job_id])

    def stop_job(self, job: Job) -> None:
        """Tell the worker that the job, as it was, is no longer its own."""
        if job.worker is not None:
            self.polling.must_stop(job.worker, job.id)
            self.workforce.launcher.stop_job(job.worker, job.id, job.lease)

    # What is heard of

    def stopped(self, transition: Transition) -> None:
        """A worker may hold a job that it does not know to be lost."""
        before = transition.before
        if not transition.left_worker or before is None or not _unasked(transition.event):
            return
        if before.owner in (None, self._owner):  # another server's worker is told there
            self._stop_unless_stray(before)

    def _stop_unless_stray(self, job: Job) -> None:
        if not self.stray_runs.knows(job.id, job.lease):
            self.stop_job(job)

    async def _claim(
        self, most: int, taken: Taken, at: int, barred: Container[str], scripted: bool | None, caller: Caller
    ) -> list[Job]:
        if self.stray_runs.workers:
            if self.stray_runs.given_up(taken.worker):
                return []
            barred = Either(barred, self.stray_runs.jobs_of(taken.worker))
        first = self.hooks.barred(taken.worker, most, barred, scripted) if self.is_faulty else []
        jobs = await self.engine.claim(most - len(first), taken, at, barred, scripted)
        if caller.gone:  # while the store was asked
            await self._give_back(first, jobs)
            return []
        if self.crew is not None and (late := [job for job in jobs if job.id in barred]):
            await self._give_back([], late)  # the worker has lost them elsewhere, as was heard only now
            jobs = [job for job in jobs if job not in late]
        if self.shared.faults.rules:
            for job in jobs:
                self.hooks.handed_out(job, at)
        return first + jobs

    async def _give_back(self, copies: list[Job], jobs: list[Job]) -> None:
        """Who asked for these has left: the next one may have the jobs, as if nothing had been."""
        for copy in copies:
            self.stray_runs.end(copy.id, copy.lease)
        at = await self._now()
        for job in reversed(jobs):
            with suppress(IllegalTransition, JobNotFound):
                await self.engine.change(job.id, Returned(job.lease), at, patient=True)
        await self.balance()

    async def _lose(self, job_id: str, is_held: Callable[[Job], bool], at: int) -> bool:
        def lost(job: Job) -> Event | None:
            is_lost = job.status is JobStatus.IN_PROGRESS and is_held(job)
            return lost_event(job, self.platform) if is_lost else None

        with suppress(JobNotFound):
            return await self.engine.change_if(job_id, lost, at, patient=True) is not None
        return False


def _unasked(event: Event) -> bool:
    """Whether the worker does not know yet that the job was taken from it."""
    if isinstance(event, Failed):
        return event.lease is None
    return isinstance(event, Cancelled | TimedOut | Forgotten | Requeued)
