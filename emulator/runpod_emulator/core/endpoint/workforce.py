"""The workers of one endpoint from the import check to the last of them: how they come up, fail and are renewed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from runpod_emulator.core.endpoint.crew import Crew
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.fleet.autoscaler import Autoscaler
from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.fleet.release import Release
from runpod_emulator.core.fleet.worker import Line, Said, Worker, WorkerChange, WorkerCounts, WorkerState
from runpod_emulator.core.jobs.job import Taken, Transition
from runpod_emulator.core.reasons import gist
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.core.time.waiting import Outcome

log = logging.getLogger("runpod_emulator.engine")

Balance = Callable[[], Coroutine[Any, Any, None]]
"""Starts the workers that are needed now."""


class Workforce:
    """The workers of one endpoint, whatever they do; `balance` starts those that are needed now."""

    def __init__(
        self,
        settings: EndpointSettings,
        shared: Shared,
        launcher: Launcher,
        balance: Balance,
    ) -> None:
        self.id = settings.id
        self.settings = settings
        self._on_worker, self._on_line = shared.on_worker, shared.on_line
        self._owner, self._owners = shared.owner, shared.store.owners
        self.fleet = Fleet(
            settings, shared.timeline, launcher, shared.capacity, self._overdue, shared.ids.seed, self._changed,
            self._on_worker,
        )  # fmt: skip
        self.autoscaler = Autoscaler(self.fleet, shared.timeline, shared.ids.worker)
        self.release = Release(self.id, self.fleet, self.autoscaler)
        self._checked = False
        """Whether the import check is over: until then its caller tells what went wrong."""
        self._flaws = shared.flaws
        self._said_still = ""
        """What was said last of a flaw that was known already."""
        self.launcher = launcher
        self.crew: Crew | None = None
        """The workers of all servers over the store; None where that is one's own, and where there is no queue."""
        self._balance = balance
        self._tasks: set[asyncio.Future[None]] = set()
        self._timeline = shared.timeline
        self._now = shared.timeline.present
        self._room = shared.room
        self._faults = shared.faults

    @property
    def flaw(self) -> str:
        """Why the code as it is now can't be started, in a worker's last words; empty where it can, as far as known."""
        return self._flaws.get(self.id, "")

    def printed(self, worker: str, job: str, said: Said) -> None:
        """A worker has printed a line; `job` is empty where nobody knows of which it is."""
        text, coloured, level, more = said
        number = self.fleet.numbers.of(worker)
        line = Line(self._timeline.now(), self.id, worker, job, text, level, number, coloured, more)
        for told in self._on_line:
            told(line)

    async def worker_ready(self, worker: str, concurrency: int) -> None:
        """A worker is up, or now wants `concurrency` jobs at once."""
        await self._now()
        known = self.fleet.workers.get(worker)
        if self.flaw and known is not None and known.version == self.fleet.version:
            del self._flaws[self.id]
        self.fleet.ready(worker, concurrency)
        self.release.ready(worker)
        if self.crew is not None and known is not None:
            self.crew.changed(known, known.state)
        self._room.call(("fleet", self.id))
        await self._balance()

    async def worker_broken(self, worker: str, reason: str) -> None:
        """A worker ended before it was up. It stays unhealthy; another try comes later."""
        await self._now()
        self._broken(worker, reason)

    async def worker_unhealthy(self, worker: str, reason: str) -> None:
        """A worker failed its own fitness check and leaves."""
        known = self.fleet.workers.get(worker)
        log.warning("%s: %s", self.fleet.numbers.name(worker), reason)
        if known is None or known.is_coming_up:
            await self.worker_broken(worker, reason)

    async def with_others(self, own: WorkerCounts) -> WorkerCounts:
        """The workers of all servers over the store, given those that this one knows, `own` and shared."""
        if self._owners is None:
            return own
        all_workers = {**await self._owners.workers(self.id, self._timeline.now()), self._owner: own}
        return WorkerCounts(*map(sum, zip(*all_workers.values(), strict=True)))

    @property
    def has_good_worker(self) -> bool:
        """Whether a worker is up that takes jobs."""
        return any(worker.counts and not worker.is_coming_up for worker in self.fleet.workers.values())

    async def first_worker(self) -> None:
        """Start a worker and wait until it is up: that is the import check.

        Raises ConfigurationError with the worker's own words when it cannot start.
        """
        if self.crew is None:
            for _ in range(max(1, self.settings.workers_min)):
                self.autoscaler.start_one(at_once=True)
        else:  # whichever server leads sees to it that there are enough
            await self.crew.attend()
            await self.crew.start_first()
        while any(worker.is_coming_up for worker in self.fleet.workers.values()):
            if await self._room.wait(("fleet", self.id), None) is not Outcome.NEWS:
                return
        self._checked = True
        for worker in list(self.fleet.workers.values()):
            if worker.state is WorkerState.UNHEALTHY:
                raise ConfigurationError(worker.reason)
        self.cool_down_if_simulated()

    def begin(self) -> None:
        """Serve without an import check: what goes wrong is logged, and workers come when there are jobs."""
        self._checked = True
        self.later(self._balance())

    async def reload(self) -> bool | None:
        """Bring the workers to the code as it is now; returns whether it could be started.

        None when it was not found out: a newer reload or the server's end came first.
        """
        await self._now()
        outcome: list[bool | None] = []

        def done(good: bool | None) -> None:
            outcome.append(good)
            self._room.call(("fleet", self.id))

        self.release.begin(done)
        while not outcome:
            if await self._room.wait(("fleet", self.id), None) is not Outcome.NEWS:
                return None
        return outcome[0]

    async def configure(self, settings: EndpointSettings) -> None:
        """Go on with other settings; those of a job are for jobs to come."""
        self.settings = settings
        self.fleet.configure(settings)
        self._room.call(("fleet", self.id))
        await self._balance()

    def leave(self) -> None:
        """Give the places of all workers back: they have ended, and no other will come."""
        self.fleet.leave()
        self._flaws.pop(self.id, None)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a timer caused; virtual time waits for it."""
        self._timeline.begin()
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        self._timeline.end()
        failed = None if task.cancelled() else task.exception()
        if failed is not None and not isinstance(failed, Unavailable):  # of a store that is away is told once
            log.error("a step of %s failed", self.id, exc_info=failed)

    def restart(self) -> None:
        """Begin anew: nobody waits for a simulated start any more, and failures are forgotten."""
        self.fleet.backoff.restart()
        for worker in list(self.fleet.workers.values()):
            if worker.ours and worker.coming is not None and not worker.boots:
                self.fleet.dismiss(worker, "a reset begins anew")
        self.cool_down_if_simulated()

    def cool_down_if_simulated(self) -> None:
        """Where cold starts are simulated, no worker that is there already may spare the first job one."""
        if self.settings.throttle.high or self.settings.cold_start.high or self._faults.delays_workers(self.id):
            self.cool_down()

    def cool_down(self) -> None:
        """End idle workers, but for those that are always on."""
        for worker in list(self.fleet.workers.values())[self.settings.workers_min :]:
            if worker.ours and worker.state is WorkerState.IDLE:
                self.fleet.dismiss(worker, "the next job is to see a cold start")

    def _changed(self, worker: Worker, state: WorkerState | None) -> None:
        if self.crew is not None:
            self.crew.changed(worker, state)
        change = WorkerChange(
            self._timeline.now(), self.id, worker.id, state, self.fleet.numbers.of(worker.id), worker.reason
        )
        for told in self._on_worker:
            told(change)

    def _overdue(self, worker: Worker) -> None:
        """A worker takes too long to be ready: end it, and try again later."""
        reason = f"the worker was not ready within {self.settings.init_timeout / 1000:g} s (init_timeout)"
        self.launcher.stop(worker.id)
        self._broken(worker.id, f"endpoint {self.id}: {reason}")

    def _broken(self, worker: str, reason: str) -> None:
        if self._checked:
            self._log_flaw(reason)
        known = self.fleet.workers.get(worker)
        if known is not None and known.version == self.fleet.version:
            self._flaws[self.id] = reason
        self.autoscaler.try_again_in(self.fleet.failed(worker, reason))
        self.release.failed(worker)
        self._room.call(("fleet", self.id))

    def _log_flaw(self, reason: str) -> None:
        """A known flaw is a short line, and that once for each version and number of jobs that wait."""
        if reason != self.flaw:
            log.error("%s", block(reason))
            self._said_still = ""
            return
        waiting = self.fleet.queued
        jobs = f"{waiting} {'job waits' if waiting == 1 else 'jobs wait'}" if waiting else "no job waits"
        if (version_and_jobs := f"{self.fleet.version} {jobs}") != self._said_still:
            log.error("%s: still broken: %s; %s", self.id, block(gist(reason)), jobs)
        self._said_still = version_and_jobs


def follow(fleet: Fleet, transition: Transition) -> None:
    """Let the fleet know to which worker a job has come, or from which it has gone."""
    event, before = transition.event, transition.before
    if type(event) is Taken:
        fleet.give(event.worker, transition.job.id)
    elif transition.left_worker and before is not None and before.worker is not None:
        fleet.release(before.worker, before.id, transition.at)
