"""One endpoint as the contract has it: its queue, its counters, who polls, and what each verb answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.model.deliveries import Deliveries
from tests.model.jobs import LEASE, NO_JOB, NOTHING, Answer, Job, Terms
from tests.model.workers import Worker

LOST = "job timed out after 1 retries"
PAUSED = {
    "status": 409, "title": "Conflict",
    "detail": "Endpoint is paused (max_workers=0). Set max_workers > 0 to accept work.", "code": "ENDPOINT_PAUSED",
}  # fmt: skip


@dataclass(eq=False)
class Poll:
    """A request that is held until there is something to say; `subject` is a job's id, or a worker's."""

    kind: str
    subject: str
    until: int
    most: int = 1
    batch: bool = False
    answer: Answer | None = None


@dataclass
class Settings:
    """What an admin may change."""

    workers_max: int = 3
    workers_min: int = 0
    execution_timeout: int = 600_000
    job_ttl: int = 86_400_000
    idle_timeout: int = 5_000


class Endpoint:
    """The jobs of one endpoint, and the workers that poll for them."""

    def __init__(
        self,
        name: str,
        kind: str,
        settings: Settings,
        terms: Terms,
        deliveries: Deliveries,
        numbers: Iterator[int],
    ) -> None:
        self.name = name
        self.kind = kind
        self.settings = settings
        self.terms = terms
        self.deliveries = deliveries
        self.jobs: dict[str, Job] = {}
        self.gone: list[str] = []
        self.workers: dict[str, Worker] = {}
        self.polls: list[Poll] = []
        self.totals = Counter[str]()
        self._numbers = numbers
        self.now = 0
        self.is_in_time = self.is_late = False
        """Whether it is time that acts, and whether workers are to be told of what it did."""
        self.spared: set[str] = set()
        """Workers that were busy when `workers_max` was lowered: those too many go when their jobs are over."""

    # What there is

    @property
    def queue(self) -> list[Job]:
        """The jobs that wait, in the order in which workers get them."""
        waiting = [job for job in self.jobs.values() if job.status == "IN_QUEUE"]
        return sorted(waiting, key=lambda job: (job.low, job.place))

    def running(self, worker: str | None = None) -> list[Job]:
        """The jobs in progress, of one worker or of all."""
        return [job for job in self.jobs.values() if job.status == "IN_PROGRESS" and worker in (None, job.worker)]

    @property
    def is_paused(self) -> bool:
        """Whether it takes no jobs."""
        return self.settings.workers_max == 0

    def counts(self) -> dict[str, int]:
        """The job counters of /health."""
        totals = self.totals
        return {
            "completed": totals["COMPLETED"], "failed": totals["FAILED"] + totals["TIMED_OUT"],
            "inProgress": len(self.running()), "inQueue": len(self.queue), "retried": totals["retried"],
        }  # fmt: skip

    def newest_first(self) -> list[Job]:
        """Every job there is."""
        return sorted(self.jobs.values(), key=lambda job: -job.number)

    # What clients do

    def submit(self, job_id: str, wish: dict[str, Any], kept: int) -> Job:
        """A job that was accepted."""
        policy = wish.get("policy", {})
        number = next(self._numbers)
        job = Job(
            job_id, number, wish["input"], self.now,
            policy.get("ttl", self.settings.job_ttl), policy.get("executionTimeout", self.settings.execution_timeout),
            kept, wish.get("webhook"), policy.get("lowPriority", False), place=number,
        )  # fmt: skip
        self.jobs[job_id] = job
        self.serve()
        return job

    def status(self, job_id: str, ttl: int | None = None) -> Answer:
        """The job's body; with `ttl`, its result goes sooner."""
        job = self.jobs.get(job_id)
        if job is None:
            return NO_JOB
        if ttl is not None:
            job.shortened = True
            if job.kept_until is not None:
                job.kept_until = min(job.kept_until, self.now + ttl)
            else:
                job.kept = min(job.kept, ttl)
        return 200, job.body(self.now)

    def cancel(self, job_id: str) -> Answer:
        """End a job; one that has ended stays as it is."""
        job = self.jobs.get(job_id)
        if job is None:
            return NO_JOB
        if not job.is_over:
            self._end(job, "CANCELLED")
        return 200, job.brief()

    def retry(self, job_id: str) -> Answer:
        """Run a job anew."""
        job = self.jobs.get(job_id)
        if job is None:
            return NO_JOB
        if job.status not in ("FAILED", "TIMED_OUT"):
            detail = f"job is not in a retryable state: {job.status}"
            return 400, {"status": 400, "title": "Bad Request", "detail": detail}
        job.wait_again(next(self._numbers))
        job.born, job.retries = self.now, 0
        answer = job.brief()
        self.serve()
        return 200, answer

    def purge(self) -> Answer:
        """Remove what waits."""
        waiting = self.queue
        for job in waiting:
            self._forget(job)
        return 200, {"removed": len(waiting), "status": "completed"}

    def reset(self) -> None:
        """Forget every job and counter; who holds a job has to stop it."""
        for job in self.jobs.values():
            if job.status == "IN_PROGRESS":
                self._part(job)
        self.jobs, self.gone = {}, []
        self.totals.clear()
        self.serve()

    def hold(self, poll: Poll) -> Poll:
        """A request that waits if need be."""
        self.polls.append(poll)
        self.serve()
        return poll

    # What workers do

    def heard(self, worker_id: str, idle: bool) -> Worker:
        """A worker polls for jobs, and says whether it holds none."""
        worker = self.workers.setdefault(worker_id, Worker(worker_id, self.now))
        if idle:
            worker.dropped |= {job.id for job in self.running(worker_id) if worker.has(job)}
        worker.heard, worker.ready = self.now, True
        return worker

    def finish(self, worker: Worker, job_id: str, output: Any, error: str | None) -> None:
        """A worker reports the end of a job; too late, or of another's, it changes nothing."""
        job = self.jobs.get(job_id)
        worker.runs.pop(job_id, None)
        if job is not None and worker.has(job):
            job.output, job.error = output, error
            self._end(job, "COMPLETED" if error is None else "FAILED", reported=True)
        worker.let_go(job_id)
        self.serve()

    def progress(self, worker: Worker, job_id: str, value: Any) -> None:
        """A worker reports how far it is."""
        job = self.jobs.get(job_id)
        if job is not None and worker.has(job):
            job.output, job.progress_at = value, self.now

    def emit(self, worker: Worker, job_id: str, chunk: Any) -> None:
        """A worker yields a chunk."""
        job = self.jobs.get(job_id)
        if job is not None and worker.has(job):
            job.chunks.append(chunk)
            self.serve()

    def worker_gone(self, worker: Worker) -> None:
        """A worker has ended or is lost, and so is its hold on jobs."""
        self.workers.pop(worker.id, None)
        self.polls = [poll for poll in self.polls if poll.kind not in ("take", "stop") or poll.subject != worker.id]
        for job in self.running(worker.id):
            if job.id not in worker.refused | worker.dropped:
                self._lose(job)
        self.serve()

    def dismiss(self, worker: Worker) -> None:
        """The emulator ends a worker, whose polls are answered, so that it can leave."""
        for poll in self.polls:
            if poll.kind in ("take", "stop") and poll.subject == worker.id:
                poll.answer = 204, None
        self.worker_gone(worker)

    def change_max(self, value: int) -> None:
        """Busy workers may be above a lower one until their jobs are over; which of them go is nobody's promise."""
        self.settings.workers_max = value
        self.spared |= set(self.workers) if len(self.workers) > value else set()
        self.free_the_spared()
        self.serve()

    def free_the_spared(self) -> None:
        """One that has nothing to do is spared no longer."""
        there = self.workers
        self.spared = {one for one in self.spared if one in there and (there[one].runs or not there[one].ready)}

    def may_have(self, workers: list[str]) -> bool:
        """Whether there may be all of these workers."""
        self.free_the_spared()
        return len(workers) <= self.settings.workers_max or self.spared >= set(workers)

    # What time does

    def events(self) -> Iterator[tuple[int, int, Any]]:
        """What time alone will bring: when, in which order, and what to call."""
        for job in self.jobs.values():
            due, what = job.deadline()
            yield due, 1, lambda at, job=job, what=what: self._meet(job, what)
        for worker in self.workers.values():
            if self.kind == "remote":
                yield worker.heard + LEASE, 2, lambda at, worker=worker: self.worker_gone(worker)
        if self.is_late:
            yield self.now, 4, lambda at: self._serve_workers()
        for poll in self.polls:
            yield poll.until, 3, lambda at, poll=poll: self._time_out(poll)
            if poll.kind == "stop":
                for due in self.workers[poll.subject].stops.values():
                    yield max(due, self.now), 4, lambda at: self._serve_workers()

    def _meet(self, job: Job, what: str) -> None:
        if what == "lose":
            self._lose(job)
        elif what == "exceed":
            job.output, job.error = NOTHING, "executionTimeout exceeded"
            if self.terms.timeout_end == "TIMED_OUT":
                job.error = "job timed out"
            self._end(job, self.terms.timeout_end)
        elif what == "expire" and job.status == "IN_QUEUE" and self.terms.queued_ttl_end == "TIMED_OUT":
            job.error = "job timed out"
            self._end(job, "TIMED_OUT")
        else:
            self._forget(job)
        self.serve()

    def _lose(self, job: Job) -> None:
        """Its worker is lost, or has let go of it without a word: it is tried once more."""
        self._part(job)
        if job.retries:
            job.output, job.error = NOTHING, LOST
            self._end(job, self.terms.lost_end, reported=True)
            return
        job.wait_again(job.place)
        job.retries = 1
        self.totals["retried"] += 1

    def _end(self, job: Job, status: str, reported: bool = False) -> None:
        if job.status == "IN_PROGRESS" and not reported:
            self._part(job)
        job.end(status, self.now)
        self.totals[status] += 1
        self.deliveries.owe(self.name, job, self.now)
        self.serve()

    def _part(self, job: Job) -> None:
        worker = self.workers.get(job.worker) if isinstance(job.worker, str) else None
        if worker is not None:
            worker.lose(job.id, self.now)

    def _forget(self, job: Job) -> None:
        if job.status == "IN_PROGRESS":
            self._part(job)
        del self.jobs[job.id]
        self.gone.append(job.id)
        self.serve()

    # Who waits

    def serve(self) -> None:
        """Answer every poll that has something to be told, in the order in which they came.

        Polls of workers come last in a moment that time brings: all that happens in it is told together.
        """
        self.is_late = self.is_late or self.is_in_time
        for poll in list(self.polls):
            if poll.kind == "stop" or (poll.kind == "take" and self.is_in_time):
                continue
            answer = self._say(poll)
            if answer is not None:
                poll.answer = answer
                self.polls.remove(poll)

    def _serve_workers(self) -> None:
        self.is_late = False
        for poll in list(self.polls):
            answer = self._say(poll) if poll.kind in ("take", "stop") else None
            if answer is not None:
                poll.answer = answer
                self.polls.remove(poll)

    def _say(self, poll: Poll, now: bool = False) -> Answer | None:
        """What a poll is told; None for nothing yet, which `now` no longer allows."""
        if poll.kind == "take":
            return self._hand_out(poll) or ((204, None) if now else None)
        if poll.kind == "stop":
            stops = self.workers[poll.subject].due_stops(self.now)
            return (200, {"jobsToStop": sorted(stops)}) if stops else (204, None) if now else None
        job = self.jobs.get(poll.subject)
        if job is None:
            return NO_JOB
        if poll.kind == "sync":
            return (200, job.body(self.now)) if job.is_over or now else None
        if not (job.chunks or job.is_over or now):
            return None
        chunks, job.chunks = job.chunks, []
        return 200, {"status": job.status, "stream": [{"output": chunk} for chunk in chunks]}

    def _hand_out(self, poll: Poll) -> Answer | None:
        worker = self.workers[poll.subject]
        if worker.leaving:
            return 204, None
        jobs = [job for job in self.queue if job.id not in worker.refused][: poll.most]
        for job in jobs:
            worker.take(job, self.now)
        if not jobs:
            return None
        told = [job.handout() for job in jobs]
        return 200, told if poll.batch else told[0]

    def _time_out(self, poll: Poll) -> None:
        poll.answer = self._say(poll, now=True)
        self.polls.remove(poll)
