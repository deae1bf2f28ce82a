"""What goes wrong with the jobs and workers of an endpoint while faults are switched on.

Reports are dropped, delayed, repeated or emptied, workers are killed or given up, a job is
handed to a second worker. What becomes of the job the transition table alone decides, so no
fault can make a history that it forbids.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Container
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from runpod_emulator.core.endpoint.hooks import Hooks, SecondRun
from runpod_emulator.core.endpoint.work import Work
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.deadlines import lost_event
from runpod_emulator.core.jobs.job import (
    Completed,
    Emitted,
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Progressed,
    Shortened,
    Transition,
)  # fmt: skip
from runpod_emulator.core.jobs.results import Report
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.rates import Operation

log = logging.getLogger("runpod_emulator.worker")

_KEPT = 1_000
"""Jobs of which second runs are remembered."""


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
    killer: str = ""
    """The fault that has it die, in words; "" for none."""
    doomed: bool = False
    """Whether its worker is as good as dead: nothing it says arrives."""
    mute: bool | None = None
    """Whether its chunks are dropped; None before its first."""


class Faults(Hooks):
    """The faults of one endpoint. Without any they cost one truth test a verb."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._book = work.shared.faults
        self._timeline = work.shared.timeline
        self._age = 0
        """How often everything was forgotten."""
        self._stray_runs = work.stray_runs
        self.runs: dict[str, _Run] = {}
        """What is in store for each job that is out."""
        self.copies: dict[str, Job] = {}
        """Jobs that the next other worker gets as well, also when the first one has done with them."""
        self.second_runs: dict[str, list[SecondRun]] = {}
        """Which other workers got a job as well, of the last jobs that were executed twice."""
        work.fleet.arrivals.delay(
            lambda: self._held_up(FaultKind.THROTTLED_WORKERS), lambda: self._held_up(FaultKind.COLD_STARTS)
        )

    def heard(self, transition: Transition) -> None:
        """Forget what was in store for a hand-out that is over; a second worker may come too late for a result."""
        job_id = transition.job.id
        if transition.left_worker or transition.after is None:
            self.runs.pop(job_id, None)
            if type(transition.event) not in (Completed, Failed):
                self.copies.pop(job_id, None)

    def clear(self) -> None:
        """Forget what was in store for every hand-out, and reports that are on their way."""
        self._age += 1
        self.runs.clear()
        self.copies.clear()
        self.second_runs.clear()

    # Jobs that come in

    def submitted(self, job: Job, sync: bool) -> tuple[Job, tuple[Event, ...]]:
        """A job may be stuck, outstay its limit, get lost, or lose its result early."""
        operation = Operation.RUNSYNC if sync else Operation.RUN
        if self._draw(FaultKind.STUCK_IN_QUEUE, operation):
            job = job._replace(held=True, script=job.script and job.script.released())  # its script would let it go
        if job.execution_timeout and (late := self._draw(FaultKind.LATE_TIMEOUT, operation)):
            job = job._replace(execution_timeout=job.execution_timeout + late.draw_delay())
        if not sync and self._draw(FaultKind.LOST_JOB, operation):
            return job, (Forgotten(),)
        early = self._draw(FaultKind.OUTPUT_GONE_EARLY, operation)
        return job, (Shortened(early.draw_delay()),) if early else ()

    # Jobs that go out

    def barred(self, worker: str, most: int, barred: Container[str], scripted: bool | None) -> list[Job]:
        """Second runs of jobs that another worker has."""
        if not self.copies:
            return []
        others = (job for job in self.copies.values() if job.worker != worker and job.id not in barred)
        fitting = [job for job in others if scripted is not (job.script is None)]
        for job in fitting[:most]:
            del self.copies[job.id]
        return [self._copy(job, worker) for job in fitting[:most]]

    def _copy(self, job: Job, worker: str) -> Job:
        copy = self._stray_runs.copy(job, worker)
        self._work.scripts.played_again(job)
        self._end_in_time(copy)
        self.second_runs.setdefault(job.id, []).append(SecondRun(self._timeline.now(), worker))
        if len(self.second_runs) > _KEPT:
            del self.second_runs[next(iter(self.second_runs))]
        return copy

    def _end_in_time(self, stray: Job) -> None:
        """Stop a stray run when it would have exceeded its limit, or the job its life."""
        due = stray.expires_at if stray.runs_until is None else min(stray.expires_at, stray.runs_until)
        bare = stray._replace(input=b"", output=None)  # a timer keeps no input alive that is forgotten since
        self._timeline.at(due, lambda: self._stop(bare))

    def _stop(self, stray: Job) -> None:
        if self._stray_runs.knows(stray.id, stray.lease):
            self._work.stop_job(stray)
            self._stray_runs.end(stray.id, stray.lease)

    def handed_out(self, job: Job, at: int) -> None:
        """A worker has a job: it may be handed out twice, and its worker may die of it or be given up."""
        if not self._book.rules:
            return
        assert job.worker is not None
        run = self.runs[job.id] = _Run(job.lease, job.worker)
        if self._draw(FaultKind.EXECUTED_TWICE):
            self.copies[job.id] = job
            if not any(one.free_slots for one in self._work.fleet.workers.values() if one.id != job.worker):
                self._work.workforce.autoscaler.start_one()
            self._work.next_job.look_again()
        crash = self._draw(FaultKind.WORKER_CRASH)
        job_id, lease = job.id, job.lease  # a timer keeps no input alive that is forgotten since
        run.killer = "" if crash is None else _named(crash)
        if crash is not None and crash.count is not None:
            run.chunks_left = crash.count
        elif crash is not None:
            self._timeline.at(at + crash.draw_delay(), lambda: self._crash(job_id, lease))
        zombie = self._draw(FaultKind.ZOMBIE)
        if zombie is not None:
            cause = _named(zombie)
            self._timeline.at(at + zombie.draw_delay(), lambda: self._work.later(self._give_up(job_id, lease, cause)))

    # Workers

    def _crash(self, job_id: str, lease: int) -> None:
        run = self.runs.get(job_id)
        if run is None or run.lease != lease or run.doomed:
            return
        run.doomed = True
        known = self._work.fleet.workers.get(run.worker)
        if known is not None:
            known.reason = f"{run.killer} ended it"
        log.warning("%s: %s ends it with job %s", self._work.fleet.numbers.name(run.worker), run.killer, job_id)
        launcher = self._work.workforce.launcher
        if isinstance(launcher, Killer):
            launcher.kill(run.worker)
        elif known is not None and known.ours:
            launcher.replace(run.worker)
        else:
            self._work.later(self._work.worker_gone(run.worker))

    async def _give_up(self, job_id: str, lease: int, cause: str) -> None:
        """A worker counts as lost: all its jobs are tried again, while it goes on with them."""
        run = self.runs.get(job_id)
        worker = self._work.fleet.workers.get(run.worker) if run is not None else None
        if run is None or run.lease != lease or run.doomed or worker is None:
            return
        at = await self._timeline.present()
        lost = [job for job in sorted(worker.jobs) if self._stray_runs.lease(worker.id, job) is None]
        for held in lost:
            with suppress(JobNotFound):
                await self._lose(await self._work.shared.store.get(self._work.id, held), worker.id, at)
        is_here = self._work.fleet.workers.get(worker.id) is worker  # the store may have suspended this
        if is_here and worker.ours and not worker.outdated:
            self._work.fleet.outdate(worker, f"{cause} has it given up")
        await self._work.balance()

    async def _lose(self, job: Job, worker: str, at: int) -> None:
        """The worker goes on with a job that is tried again, if it holds that still."""
        self._stray_runs.add(job.id, job.lease, worker)

        def lost(now: Job) -> Event | None:
            is_held = now.status is JobStatus.IN_PROGRESS and (now.lease, now.worker) == (job.lease, worker)
            return lost_event(now, self._work.platform) if is_held else None

        try:
            transition = await self._work.engine.change_if(job.id, lost, at)
        except JobNotFound:
            transition = None
        if transition is None:
            self._stray_runs.end(job.id, job.lease)
            return
        self._stray_runs.settle(worker, job.id)
        self._end_in_time(job)

    def _held_up(self, kind: FaultKind) -> int:
        """How much longer than configured a worker takes to come up, in ms."""
        fault = self._draw(kind) if self._book.rules else None
        return 0 if fault is None else fault.draw_delay()

    # Reports

    def reported(self, job_id: str, event: Report) -> Awaitable[bool]:
        """What a worker says may not arrive, or late, twice or emptied."""
        return self._report(job_id, event)

    async def _report(self, job_id: str, event: Report) -> bool:
        if self._stray_runs.knows(job_id, event.lease):
            return await self._stray_report(job_id, event)
        run = await self._run(job_id, event.lease)
        if run is None or isinstance(event, Progressed):
            return (run is None or not run.doomed) and await self._work.accept(job_id, event)
        if run.doomed:
            return False
        if isinstance(event, Emitted):
            return await self._emitted(job_id, event, run)
        return await self._final(job_id, event, run)

    async def _stray_report(self, job_id: str, event: Report) -> bool:
        counts = await self._work.accept(job_id, event)
        if isinstance(event, Completed | Failed) and event.lease is not None:
            self._stray_runs.end(job_id, event.lease)
        return counts

    async def _run(self, job_id: str, lease: int | None) -> _Run | None:
        """The hand-out that a report is about; None when it is over."""
        await self._timeline.present()
        try:
            job = await self._work.shared.store.get(self._work.id, job_id)
        except JobNotFound:
            return None
        if job.status is not JobStatus.IN_PROGRESS or job.lease != lease or job.worker is None:
            return None
        return self.runs.setdefault(job_id, _Run(job.lease, job.worker))

    async def _emitted(self, job_id: str, event: Emitted, run: _Run) -> bool:
        if run.mute is None:
            run.mute = self._draw(FaultKind.EMPTY_STREAM) is not None
        dies = run.chunks_left is not None and len(event.chunks) >= run.chunks_left
        chunks = event.chunks if run.chunks_left is None else event.chunks[: run.chunks_left]
        counts = True
        if chunks and not run.mute:
            counts = await self._work.accept(job_id, Emitted(event.lease, chunks))
        if run.chunks_left is not None:
            run.chunks_left -= len(chunks)
        if dies:
            self._crash(job_id, run.lease)
        return counts

    async def _final(self, job_id: str, event: Completed | Failed, run: _Run) -> bool:
        if self._draw(FaultKind.DROPPED_REPORT):
            await self._work.refuse(run.worker, job_id, run.lease)
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
        return await self._work.accept(job_id, event)

    def _repeat(self, job_id: str, event: Completed | Failed, again: Fault, delay: int) -> None:
        for _ in range(again.count or 1):
            delay += again.draw_delay()
            self._arrive_in(delay, job_id, event)

    def _arrive_in(self, delay: int, job_id: str, event: Completed | Failed) -> None:
        due, age = self._timeline.now() + delay, self._age
        self._timeline.at(due, lambda: self._arrives(age, job_id, event))

    def _arrives(self, age: int, job_id: str, event: Completed | Failed) -> None:
        if age == self._age:  # after a reset another job may have this id
            self._work.later(self._arrived(job_id, event))

    async def _arrived(self, job_id: str, event: Completed | Failed) -> None:
        if self._stray_runs.knows(job_id, event.lease):
            await self._stray_report(job_id, event)
        else:
            await self._work.accept(job_id, event)
        await self._work.balance()

    def _draw(self, kind: FaultKind, operation: Operation | None = None) -> Fault | None:
        return self._book.draw(kind, self._work.id, operation)


def _named(fault: Fault) -> str:
    return f"fault {fault.id} ({fault.kind.value})"
