"""An endpoint whose verbs can be made to fail: faults in the engine act around the verbs.

Reports are dropped, delayed, repeated or emptied, workers are killed or given up, a job is
handed to a second worker. What becomes of the job the transition table alone decides, so no
fault can make a history that it forbids.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from runpod_emulator.core.endpoint.endpoint import Endpoint, Submission
from runpod_emulator.core.endpoint.parts import World
from runpod_emulator.core.endpoint.polling import Either
from runpod_emulator.core.endpoint.stray_runs import Ghosts, HauntedPolling
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.jobs.deadlines import lost_event
from runpod_emulator.core.jobs.job import (
    Completed,
    Emitted,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Progressed,
    Shortened,
    Taken,
    Transition,
)
from runpod_emulator.core.jobs.results import Report
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import EndpointSettings


@runtime_checkable
class Killer(Protocol):
    """A `Launcher` whose workers can be made to die in the middle of things."""

    def kill(self, worker: str) -> None:
        """End a worker without a word; that it is gone is found out as usual."""
        ...


@dataclass(slots=True)
class _Run:
    """What the faults have in store for one hand-out of a job."""

    lease: int
    worker: str
    chunks_left: int | None = None
    """Chunks until the worker dies."""
    doomed: bool = False
    """Whether its worker is as good as dead: nothing it says arrives."""
    mute: bool | None = None
    """Whether its chunks are dropped; None before its first."""


class FaultyEndpoint(Endpoint):
    """One queue-based endpoint, and what goes wrong with it. Without faults it costs one truth test a verb."""

    def __init__(self, settings: EndpointSettings, world: World, launcher: Launcher) -> None:
        super().__init__(settings, world, launcher)
        self.ghosts = Ghosts(self.fleet, lambda: self._room.call(("queue", self.id)))
        self.polling = HauntedPolling(self, world.timeline, world.room, self.ghosts)
        self.fleet.delay_arrivals(
            lambda: self._held_up(FaultKind.THROTTLED_WORKERS), lambda: self._held_up(FaultKind.COLD_STARTS)
        )
        self._faults = world.faults
        self._runs: dict[str, _Run] = {}
        self._copies: dict[str, Job] = {}
        """Jobs that the next other worker gets as well."""

    def heard(self, transition: Transition) -> None:
        """Forget what was in store for a hand-out that is over."""
        job_id = transition.job.id
        if (self._runs or self._copies) and (transition.left_worker or transition.after is None):
            self._runs.pop(job_id, None)
            self._copies.pop(job_id, None)
        super().heard(transition)
        if self.ghosts and transition.queued:  # the worker that waits first may be one that may not have it
            self._room.call(("queue", self.id))

    async def stop_work(self) -> None:
        """Take every job from its worker, with what the faults had in store for it."""
        for worker in list(self.fleet.workers):
            self.ghosts.lay(worker)
        self._runs.clear()
        self._copies.clear()
        await super().stop_work()

    def stop_job(self, job: Job) -> None:
        """Tell the worker to stop, unless it is to go on."""
        if not self.ghosts.knows(job.id, job.lease):
            super().stop_job(job)

    # Jobs that come in

    async def submit(self, submission: Submission) -> Job:
        """Queue a job that may get lost, be stuck, outstay its limit or lose its result early."""
        if not self._faults:
            return await super().submit(submission)
        await self._now()
        await self._check_queue()
        operation = Operation.RUNSYNC if submission.sync else Operation.RUN
        stuck = self._draw(FaultKind.STUCK_IN_QUEUE, operation)
        own = submission.execution_timeout
        limit = self.settings.execution_timeout if own is None else own
        if limit and (late := self._draw(FaultKind.LATE_TIMEOUT, operation)):
            limit += late.draw_delay()
        job = await super().submit(submission._replace(execution_timeout=limit, held=stuck is not None))
        play = self.plays.get(job.id)
        if stuck and play is not None:
            play.held_until = None  # its script would let it go
        return await self._shorten(job, operation)

    async def _shorten(self, job: Job, operation: Operation) -> Job:
        if operation is Operation.RUN and self._draw(FaultKind.LOST_JOB, operation):
            await self._change(job.id, Forgotten(), job.submitted_at)
            await self._balance()
            return job
        early = self._draw(FaultKind.OUTPUT_GONE_EARLY, operation)
        if early is None:
            return job
        return (await self._change(job.id, Shortened(early.draw_delay()), job.submitted_at)).job

    # Jobs that go out

    async def _claim(self, most: int, taken: Taken, at: int, barred: Container[str] = ()) -> list[Job]:
        if self.ghosts:
            if self.ghosts.given_up(taken.worker):
                return []
            barred = Either(barred, self.ghosts.jobs_of(taken.worker))
        copies = self._copies_for(taken.worker, most, barred) if self._copies else []
        jobs = await super()._claim(most - len(copies), taken, at, barred)
        if self._faults:
            for job in jobs:
                self._handed_out(job, at)
        return copies + jobs

    def _copies_for(self, worker: str, most: int, barred: Container[str]) -> list[Job]:
        fitting = [job for job in self._copies.values() if job.worker != worker and job.id not in barred]
        for job in fitting[:most]:
            del self._copies[job.id]
        return [self._copy(job, worker) for job in fitting[:most]]

    def _copy(self, job: Job, worker: str) -> Job:
        copy = self.ghosts.copy(job, worker)
        self._end_in_time(copy)
        return copy

    def _end_in_time(self, ghost: Job) -> None:
        """Stop a ghost when its run would have exceeded its limit, or the job its life."""
        due = ghost.expires_at if ghost.runs_until is None else min(ghost.expires_at, ghost.runs_until)
        bare = ghost._replace(input=b"", output=None)  # a timer keeps no input alive that is forgotten since
        self._timeline.at(due, lambda: self._stop_ghost(bare))

    def _stop_ghost(self, ghost: Job) -> None:
        if self.ghosts.knows(ghost.id, ghost.lease):
            super().stop_job(ghost)
            self.ghosts.end(ghost.id, ghost.lease)

    def _handed_out(self, job: Job, at: int) -> None:
        assert job.worker is not None
        run = self._runs[job.id] = _Run(job.lease, job.worker)
        if self._draw(FaultKind.EXECUTED_TWICE):
            self._copies[job.id] = job
            if not any(one.free_slots for one in self.fleet.workers.values() if one.id != job.worker):
                self.autoscaler.start_one()
            self._room.call(("queue", self.id))
        crash = self._draw(FaultKind.WORKER_CRASH)
        job_id, lease = job.id, job.lease  # a timer keeps no input alive that is forgotten since
        if crash is not None and crash.count is not None:
            run.chunks_left = crash.count
        elif crash is not None:
            self._timeline.at(at + crash.draw_delay(), lambda: self._crash(job_id, lease))
        zombie = self._draw(FaultKind.ZOMBIE)
        if zombie is not None:
            self._timeline.at(at + zombie.draw_delay(), lambda: self.later(self._give_up(job_id, lease)))

    # Workers

    def _crash(self, job_id: str, lease: int) -> None:
        run = self._runs.get(job_id)
        if run is None or run.lease != lease or run.doomed:
            return
        run.doomed = True
        known = self.fleet.workers.get(run.worker)
        if isinstance(self._launcher, Killer):
            self._launcher.kill(run.worker)
        elif known is not None and known.ours:
            self._launcher.replace(run.worker)
        else:
            self.later(self.worker_gone(run.worker))

    async def _give_up(self, job_id: str, lease: int) -> None:
        """A worker counts as lost: all its jobs are tried again, while it goes on with them."""
        run = self._runs.get(job_id)
        worker = self.fleet.workers.get(run.worker) if run is not None else None
        if run is None or run.lease != lease or run.doomed or worker is None:
            return
        at = await self._now()
        lost = [job for job in sorted(worker.jobs) if self.ghosts.lease(worker.id, job) is None]
        for held in lost:
            job = await self._store.get(self.id, held)
            self.ghosts.haunt(held, job.lease, worker.id)
            await self._change(held, lambda job: lost_event(job, self.platform), at)
            self.ghosts.settle(worker.id, held)
            self._end_in_time(job)
        if worker.ours and not worker.outdated:
            self.fleet.outdate(worker)
        await self._balance()

    async def worker_gone(self, worker: str, replace: bool = False) -> None:
        """A worker ended, and what it was a ghost of with it."""
        if self.ghosts:
            self.ghosts.lay(worker)
        await super().worker_gone(worker, replace)

    def _held_up(self, kind: FaultKind) -> int:
        """How much longer than configured a worker takes to come up, in ms."""
        fault = self._draw(kind) if self._faults else None
        return 0 if fault is None else fault.draw_delay()

    # Reports

    async def report(self, job_id: str, event: Report) -> bool:
        """What a worker says, if it arrives; False when it does not, or comes too late to count."""
        if not (self._faults or self._runs or self.ghosts):
            return await super().report(job_id, event)
        if self.ghosts.knows(job_id, event.lease):
            return await self._haunted(job_id, event)
        run = await self._run(job_id, event.lease)
        if run is None or isinstance(event, Progressed):
            return (run is None or not run.doomed) and await super().report(job_id, event)
        if run.doomed:
            return False
        if isinstance(event, Emitted):
            return await self._emitted(job_id, event, run)
        return await self._final(job_id, event, run)

    async def refuse(self, worker: str, job_id: str, lease: int) -> None:
        """A worker dropped the job and will never report."""
        if self.ghosts.knows(job_id, lease):
            self.ghosts.end(job_id, lease)
        else:
            await super().refuse(worker, job_id, lease)

    async def strike(self, job_id: str, lease: int) -> None:
        """A script says that the run exceeds its execution timeout now."""
        await super().strike(job_id, lease)
        if self.ghosts.knows(job_id, lease):
            self.ghosts.end(job_id, lease)

    async def _haunted(self, job_id: str, event: Report) -> bool:
        counts = await super().report(job_id, event)
        if isinstance(event, Completed | Failed) and event.lease is not None:
            self.ghosts.end(job_id, event.lease)
        return counts

    async def _run(self, job_id: str, lease: int | None) -> _Run | None:
        """The hand-out that a report is about; None when it is over."""
        await self._now()
        try:
            job = await self._store.get(self.id, job_id)
        except JobNotFound:
            return None
        if job.status is not JobStatus.IN_PROGRESS or job.lease != lease or job.worker is None:
            return None
        return self._runs.setdefault(job_id, _Run(job.lease, job.worker))

    async def _emitted(self, job_id: str, event: Emitted, run: _Run) -> bool:
        if run.mute is None:
            run.mute = self._draw(FaultKind.EMPTY_STREAM) is not None
        dies = run.chunks_left is not None and len(event.chunks) >= run.chunks_left
        chunks = event.chunks if run.chunks_left is None else event.chunks[: run.chunks_left]
        counts = True
        if chunks and not run.mute:
            counts = await super().report(job_id, Emitted(event.lease, chunks))
        if run.chunks_left is not None:
            run.chunks_left -= len(chunks)
        if dies:
            self._crash(job_id, run.lease)
        return counts

    async def _final(self, job_id: str, event: Completed | Failed, run: _Run) -> bool:
        if self._draw(FaultKind.DROPPED_REPORT):
            await self.refuse(run.worker, job_id, run.lease)
            return False
        if isinstance(event, Completed) and event.output is not None and self._draw(FaultKind.EMPTY_OUTPUT):
            event = Completed(event.lease)
        again = self._draw(FaultKind.REPEATED_REPORT)
        late = self._draw(FaultKind.LATE_REPORT)
        delay = late.draw_delay() if late else 0
        if again is not None:
            self._repeat(job_id, event, again, delay)
        if delay:
            self._arrive_in(delay, job_id, event)
            return True
        return await super().report(job_id, event)

    def _repeat(self, job_id: str, event: Completed | Failed, again: Fault, delay: int) -> None:
        for _ in range(again.count or 1):
            delay += again.draw_delay()
            self._arrive_in(delay, job_id, event)

    def _arrive_in(self, delay: int, job_id: str, event: Completed | Failed) -> None:
        due = self._timeline.now() + delay
        self._timeline.at(due, lambda: self.later(self._arrived(job_id, event)))

    async def _arrived(self, job_id: str, event: Completed | Failed) -> None:
        if self.ghosts.knows(job_id, event.lease):
            await self._haunted(job_id, event)
        else:
            await super().report(job_id, event)
        await self._balance()

    def _draw(self, kind: FaultKind, operation: Operation | None = None) -> Fault | None:
        return self._faults.draw(kind, self.id, operation)
