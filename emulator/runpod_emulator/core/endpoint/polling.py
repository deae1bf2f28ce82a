"""Workers that come over HTTP: they poll for jobs and stops, ping, and are lost when they fall silent.

On their wire there is no lease number: a worker's lease on a job is the pair of both. What this file must
guarantee follows from that. A report counts only if the job is that worker's at that moment. A worker that
lost a job without reporting on it (cancel, timeout, retry) is not given that job again until a ping of it no
longer lists the job; until then its reports on it do not count. A poll whose caller left takes no job.

    unknown ── first poll ──> known ── silent for `worker_lease`, with no poll open ──> lost: its jobs are tried again
                               │ │
                               │ └── `retire` ──> takes no more ── its last job ends ──> `once_free`
                               └── `dismiss` ──> leaving: polls are answered at once ── `left` ──> unknown

Each job of a known worker is held, then perhaps must be stopped (`must_stop`), and then is let go of, as a ping
or a late result shows. `stops` says a job's id again every SAY_AGAIN until then. A worker that says that it is
idle has dropped what it was given: those jobs count as its own, but it need not be told to stop them.

Over a store that other servers use too, a worker from elsewhere comes to any of them. So each knows all (`crew`): it is
told who has come to another, what a worker has let go of, and who is gone; of jobs it hears like everybody. Silence is
decided by when the worker was last heard at any server. A ping renews what the records say that the worker holds.

`doors/worker.py` calls `take`, `stops`, `ping` and `report`. `Work` calls `must_stop` and `forget` as jobs and
workers go. Workers that were started from a command (`workers/command.py`) call `dismiss`, `retire` and `left`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING

from runpod_emulator.core.endpoint.visitors import JobSource, Visitor
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.drops import EMPTY_INPUT, UNSENT
from runpod_emulator.core.jobs.job import Completed, Failed, JobStatus, Progressed
from runpod_emulator.core.jobs.owners import BEAT
from runpod_emulator.core.jobs.store import patiently
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom

if TYPE_CHECKING:
    from runpod_emulator.core.endpoint.crew import Crew
    from runpod_emulator.core.endpoint.next_job import NextJob
    from runpod_emulator.core.endpoint.stray_runs import StrayRuns
    from runpod_emulator.core.fleet.worker import Worker
    from runpod_emulator.core.jobs.job import Job
    from runpod_emulator.core.jobs.results import Report
    from runpod_emulator.core.time.timeline import Timeline

log = logging.getLogger("runpod_emulator.worker")

SAY_AGAIN = 1_000
"""Milliseconds between two mentions of a job to stop; a stop that reaches the SDK too early is lost."""
GOODBYES = 20
"""Polls of a leaving worker that are answered at once; one that goes on asking has not heard, and would only spin."""
SILENT = "it fell silent"
"""Why a worker goes."""
OBEY = 10_000
"""Milliseconds that a worker of ours has to stop a job before its process ends."""


class Either(Container[str]):
    """What is in one of two containers."""

    def __init__(self, one: Container[str], other: Container[str]) -> None:
        self._both = one, other

    def __contains__(self, key: object) -> bool:
        one, other = self._both
        return isinstance(key, str) and (key in one or key in other)


class PollingWorkers:
    """The verbs of one endpoint's HTTP workers."""

    def __init__(
        self, endpoint: JobSource, timeline: Timeline, room: WaitingRoom, stray_runs: StrayRuns, next_job: NextJob
    ) -> None:
        self._endpoint = endpoint
        self._timeline = timeline
        self._room = room
        self._stray_runs = stray_runs
        self._next_job = next_job
        self.visitors: dict[str, Visitor] = {}
        """What is remembered of each worker that polls, by its id."""
        self.crew: Crew | None = None
        """The workers of all servers over the store; None where that is this server's own."""
        self._leaving: dict[str, int] = {}
        """Workers whose end has begun, and their polls since; some poll until the very last."""

    async def take(self, worker: str, most: int, idle: bool, until: int, caller: Caller) -> list[Job]:
        """Up to `most` jobs, waiting for the first until the time `until`.

        A worker that says it is `idle` holds nothing: what it was given it has dropped.
        A worker nobody knew is welcome, one that is leaving gets nothing, at once.
        """
        if idle and self._stray_runs.workers:
            self._stray_runs.end_all(worker)
        if worker in self._leaving:
            await self._say_goodbye(worker, until, caller)
            return []
        known = self._endpoint.fleet.workers.get(worker)
        if (
            known is not None and not known.over_http
        ):  # a child of a handler that is a worker itself, by the SDK's rules
            await self._room.wait(("never", self._endpoint.id, worker), until, caller)
            return []
        visitor = await self._welcome(worker, most, idle)
        if worker in self._leaving:  # no sooner up than idle, it gives its place to another endpoint's worker
            return []
        visitor.takes.add(caller)
        try:
            if visitor.once_free is not None:
                # Held all the same: an answer at once would be asked for again at once.
                await self._room.wait(("retired", self._endpoint.id, worker), until, caller)
                return []
            lease = self._endpoint.platform.worker_lease
            # A program can't play a script.
            jobs = await self._endpoint.take(worker, most, until, caller, lease, visitor.stopping, scripted=False)
            visitor.dropped.difference_update(job.id for job in jobs)
            return jobs
        finally:
            visitor.takes.discard(caller)
            self._heard_from(worker, visitor)

    async def stops(self, worker: str, until: int, caller: Caller) -> list[str]:
        """Ids of jobs the worker must stop, waiting for one until the time `until`.

        An id is said again, a second apart, until the worker has let go of the job.
        """
        visitor = self.visitors.get(worker)
        if visitor is None:
            return []
        visitor.listens.add(caller)
        try:
            return await self._stops(worker, visitor, until, caller)
        finally:
            visitor.listens.discard(caller)
            self._heard_from(worker, visitor)

    async def ping(self, worker: str, jobs: Iterable[str]) -> None:
        """A sign of life that lists the jobs the worker holds. It creates and revives nobody."""
        visitor, known = self.visitors.get(worker), self._endpoint.fleet.workers.get(worker)
        held = set(jobs)
        mine = held - {""} if self.crew is not None else set[str]()
        if visitor is not None and known is not None:
            self._heard_from(worker, visitor)
            self._let_go(worker, visitor, visitor.stopping.keys() - held)
            mine = mine - visitor.dropped or known.jobs & held
        for job_id in mine:
            await self._endpoint.renew(worker, job_id)

    async def report(self, worker: str, job_id: str, event: Callable[[int], Report]) -> bool:
        """What a worker says of a job, given the lease it has; False when it has none any more.

        While the store is away it is kept: the SDK would try three times, within seconds, and drop it.
        """
        lease = self._stray_runs.lease(worker, job_id) if self._stray_runs.workers else None
        if lease is not None:
            counts = await self._endpoint.report(job_id, event(lease))
            self._check_free(worker)
            return counts
        visitor = self.visitors.get(worker)
        if visitor is not None:
            self._heard_from(worker, visitor)
        try:
            job = await patiently(self._endpoint.shared.store, lambda: self._endpoint.status(job_id))
        except JobNotFound:
            job = None
        if job is None or job.worker != worker or job.status is not JobStatus.IN_PROGRESS:
            self._refused(worker, job_id, event(0))
            return False
        if visitor is not None and job_id in visitor.stopping:
            self._refused(worker, job_id, event(0))
            return False
        counts = await self._endpoint.report(job_id, event(job.lease))
        self._check_free(worker)
        return counts

    def must_stop(self, worker: str, job_id: str) -> None:
        """A job was taken from the worker: tell it, unless it has dropped the job already."""
        visitor = self.visitors.get(worker)
        if visitor is None:
            return
        if job_id in visitor.dropped:
            visitor.dropped.remove(job_id)
        else:
            visitor.stopping[job_id] = 0
            self._room.call(("stop", self._endpoint.id, worker))
            # The job may wait again, and the worker that is now barred from it may wait first.
            self._next_job.look_again()
        self._check_free(worker)

    def obeyed(self, worker: str, job_id: str) -> bool:
        """Whether the worker has let go of a job that it must stop."""
        visitor = self.visitors.get(worker)
        return visitor is None or job_id not in visitor.stopping

    def bars(self, job_id: str) -> bool:
        """Whether some worker may not have this job now."""
        return any(job_id in visitor.stopping for visitor in self.visitors.values())

    def resume(self, worker: str, job_id: str) -> None:
        """A worker that was started elsewhere had this job before this server began: silence ends that, as ever."""
        fleet = self._endpoint.fleet
        if worker not in fleet.workers:
            fleet.welcome(worker)
            fleet.ready(worker, 1)
        fleet.give(worker, job_id)
        self._heard_from(worker, self.visitors.setdefault(worker, Visitor()))

    def dismiss(self, worker: str) -> None:
        """Answer the worker's polls at once from now on, so that it can leave."""
        self._leaving.setdefault(worker, 0)
        self.release_polls(worker)

    def retire(self, worker: str, once_free: Callable[[], None]) -> None:
        """Give the worker no job more, and call `once_free` when those that it has are over."""
        visitor = self.visitors.setdefault(worker, Visitor())
        visitor.once_free = once_free
        for caller in list(visitor.takes):
            caller.hang_up()
        self._check_free(worker)

    def left(self, worker: str) -> None:
        """The worker's program has ended: nothing of it will poll any more."""
        self._leaving.pop(worker, None)
        self.forget(worker)

    def release_polls(self, worker: str) -> None:
        """Answer the polls that the worker has open."""
        visitor = self.visitors.get(worker)
        if visitor is not None:
            for caller in [*visitor.takes, *visitor.listens]:
                caller.hang_up()

    def forget(self, worker: str) -> None:
        """The worker is gone."""
        visitor = self.visitors.pop(worker, None)
        if visitor is not None and visitor.silence is not None:
            visitor.silence.cancel()

    def close(self) -> None:
        """Let go of every worker: the endpoint is gone here; other servers may know its workers still."""
        for known in self._endpoint.fleet.workers.values():
            known.is_shared = False
        for worker in list(self.visitors):
            self.release_polls(worker)
            self.forget(worker)

    # Workers that come to any server

    def meet(self, worker: str, slots: int) -> None:
        """A worker has come to another server, or takes another number of jobs at once."""
        fleet = self._endpoint.fleet
        known = fleet.workers.get(worker)
        if known is None:
            visitor = self.visitors.setdefault(worker, Visitor())
            fleet.welcome(worker, is_shared=True)
            fleet.ready(worker, slots)
            self._watch(worker, visitor, self._timeline.now())
        elif known.is_shared and known.concurrency != slots:
            fleet.ready(worker, slots)

    def part(self, worker: str) -> None:
        """Another server has found that the worker is gone, and what it held is lost."""
        known, visitor = self._endpoint.fleet.workers.get(worker), self.visitors.get(worker)
        if known is None:
            return
        if visitor is not None and (visitor.takes or visitor.listens) and self.crew is not None:
            self.crew.heard_of(known)  # it is not: it waits for an answer here
            return
        known.is_shared = False
        self.forget(worker)
        self._endpoint.fleet.forget(worker, SILENT)

    def freed(self, worker: str, jobs: Iterable[str]) -> None:
        """The worker has let go of jobs, as another server has heard."""
        visitor = self.visitors.get(worker)
        if visitor is None:
            return
        for job_id in jobs:
            visitor.stopping.pop(job_id, None)
        self._next_job.look_again()

    async def _ask_whether_silent(self, worker: str, visitor: Visitor) -> None:
        """It has not come here for long: perhaps it has come to others."""
        assert self.crew is not None
        now, lease = self._timeline.now(), self._endpoint.platform.worker_lease
        heard = await self.crew.last_heard(worker, now - lease)
        if heard:
            if self.visitors.get(worker) is visitor:
                self._watch(worker, visitor, max(heard, now - lease + BEAT))
            return
        known = self._endpoint.fleet.workers.get(worker)
        if known is not None:
            known.is_shared = False  # all others know
        log.warning("%s: the worker has fallen silent", self._endpoint.fleet.numbers.name(worker))
        await self._endpoint.worker_gone(worker, reason=SILENT)

    async def _say_goodbye(self, worker: str, until: int, caller: Caller) -> None:
        self._leaving[worker] += 1
        if self._leaving[worker] > GOODBYES:
            await self._room.wait(("retired", self._endpoint.id, worker), until, caller)

    async def _stops(self, worker: str, visitor: Visitor, until: int, caller: Caller) -> list[str]:
        while True:
            now = self._timeline.now()
            due = [job_id for job_id, said in visitor.stopping.items() if now >= said + SAY_AGAIN]
            if due or worker in self._leaving or caller.gone:
                visitor.stopping.update(dict.fromkeys(due, now))
                return due
            again = min((said + SAY_AGAIN for said in visitor.stopping.values()), default=until)
            outcome = await self._room.wait(("stop", self._endpoint.id, worker), min(until, again), caller)
            if (outcome is not Outcome.NEWS and self._timeline.now() >= until) or outcome is Outcome.CLOSED:
                return []

    async def _welcome(self, worker: str, concurrency: int, idle: bool) -> Visitor:
        visitor = self.visitors.get(worker)
        if visitor is None:
            visitor = self.visitors[worker] = Visitor()
        fleet = self._endpoint.fleet
        known = fleet.workers.get(worker)
        if known is None:
            if self.crew is not None:
                await self.crew.welcome(worker, concurrency)
            if worker not in fleet.workers:
                fleet.welcome(worker, is_shared=self.crew is not None)
            log.info("%s: worker %s has come", fleet.numbers.name(worker), worker)
        elif idle:
            await self._dropped(visitor, known)
        known = fleet.workers.get(worker)
        wanted = concurrency + len(known.jobs if known else ())
        if known is None or known.is_coming_up or known.concurrency != wanted:
            await self._endpoint.worker_ready(worker, wanted)
        self._heard_from(worker, visitor)
        return visitor

    async def _dropped(self, visitor: Visitor, worker: Worker) -> None:
        for job_id in list(worker.jobs):
            visitor.dropped.add(job_id)
            with contextlib.suppress(JobNotFound):
                job = await self._endpoint.status(job_id)
                stripped = job.input_is_empty and self._endpoint.platform.strip_empty_input != "keep"
                if job.worker == worker.id and job.status is JobStatus.IN_PROGRESS:
                    await self._endpoint.drop(worker.id, job, EMPTY_INPUT if stripped else UNSENT)
            self._endpoint.fleet.release(worker.id, job_id)

    def _let_go(self, worker: str, visitor: Visitor, jobs: Iterable[str]) -> None:
        freed = [job_id for job_id in jobs if visitor.stopping.pop(job_id, None) is not None]
        if freed:
            self._next_job.look_again()  # it may have the jobs again
            if self.crew is not None:
                self.crew.freed(worker, freed)

    def _check_free(self, worker: str) -> None:
        visitor = self.visitors.get(worker)
        known = self._endpoint.fleet.workers.get(worker)
        if visitor is not None and visitor.once_free is not None and not (known and known.jobs):
            once_free, visitor.once_free = visitor.once_free, None
            once_free()

    def _heard_from(self, worker: str, visitor: Visitor) -> None:
        if self.visitors.get(worker) is not visitor:
            return
        self._watch(worker, visitor, self._timeline.now())
        if self.crew is not None:
            known = self._endpoint.fleet.workers.get(worker)
            if known is not None and known.is_shared:
                self.crew.heard_of(known)

    def _watch(self, worker: str, visitor: Visitor, heard: int) -> None:
        """Look again when it has been silent for too long, since it was heard."""
        if visitor.silence is not None:
            visitor.silence.cancel()
        due = heard + self._endpoint.platform.worker_lease
        visitor.silence = self._timeline.at(due, lambda: self._silent(worker))

    def _silent(self, worker: str) -> None:
        visitor = self.visitors.get(worker)
        if visitor is not None and not (visitor.takes or visitor.listens) and worker not in self._leaving:
            known = self._endpoint.fleet.workers.get(worker)
            if known is not None and known.is_shared and self.crew is not None:
                self._endpoint.later(self._ask_whether_silent(worker, visitor))
                return
            log.warning("%s: the worker has fallen silent", self._endpoint.fleet.numbers.name(worker))
            if known is not None and known.ours:
                self._endpoint.refresh(worker)
            else:
                self._endpoint.later(self._endpoint.worker_gone(worker, reason=SILENT))

    def _refused(self, worker: str, job_id: str, event: object) -> None:
        if not isinstance(event, Progressed):
            visitor = self.visitors.get(worker)
            if visitor is not None and isinstance(event, Completed | Failed):
                self._let_go(worker, visitor, [job_id])
            log.info("%s/%s: its %s came too late and does not count", worker, job_id, type(event).__name__)
