"""Random lives of many jobs, compared step by step with a naive model."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound, NotRetryable
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, Progressed, Transition

from tests.core.steps import envelope, finish
from tests.tables import table
from tests.worlds import make_world

# No two deadlines of one job may fall together, so no two of these differ by whole seconds.
TTL, LIMIT, LEASE, KEPT, SHORTER = 30_000, 7_001, 4_003, 20_007, (2_009, 15_011)
UNFINISHED = ("IN_QUEUE", "IN_PROGRESS")


@dataclass
class Model:
    """What is known of one job."""

    id: str
    number: int
    born: int
    ttl: int
    limit: int
    low: bool = False
    status: str = "IN_QUEUE"
    runs: int = 0
    lease: int = 0
    worker: str | None = None
    held: bool = False
    taken: int | None = None
    silent_at: int | None = None
    retries: int = 0
    kept: int = KEPT
    kept_until: int | None = None

    def deadline(self) -> tuple[int, str]:
        """When time alone changes it next, and how."""
        if self.status == "IN_QUEUE":
            return self.born + self.ttl, "gone"
        if self.kept_until is not None:
            return self.kept_until, "gone"
        assert self.taken is not None
        ends = [(self.born + self.ttl, "gone")]
        if self.limit:
            ends.append((self.taken + self.limit, "exceeded"))
        if self.silent_at is not None:
            ends.append((self.silent_at, "lost"))
        return min(ends)


class Town:
    """An endpoint, two workers with three slots each, and the model of all jobs there are."""

    def __init__(self) -> None:
        self.world = make_world(
            init_timeout=0,  # workers that the endpoint starts by itself never come up
            rate_limits=False, workers_max=10_000, job_ttl=TTL, run_retention=KEPT, worker_lease=LEASE,
            settings=lambda settings: dataclasses.replace(settings, idle_timeout=10**12, execution_timeout=LIMIT),
        )  # fmt: skip
        self.world.emulator.room.close()
        self.endpoint = self.world.endpoint
        self.jobs: dict[str, Model] = {}
        self.ever: list[str] = []
        self.queue: list[str] = []
        self.totals = Counter[str]()
        self.ends = Counter[tuple[str, int]]()
        self.world.emulator.store.news.transitions.append(self.note_end)
        self.workers = [self.new_worker(), self.new_worker()]

    def note_end(self, transition: Transition) -> None:
        if transition.ended:
            self.ends[transition.job.id, self.jobs[transition.job.id].runs] += 1

    def new_worker(self) -> str:
        return str(finish(self.world.worker(concurrency=3)))

    @property
    def now(self) -> int:
        return int(self.world.clock.now())

    def pick(self, number: int, *statuses: str) -> Model | None:
        """Some job in one of these states."""
        fitting = [job for job in self.jobs.values() if job.status in statuses or not statuses]
        return fitting[number % len(fitting)] if fitting else None

    def add(self, model: Model) -> None:
        self.ever.append(model.id)
        self.jobs[model.id] = model
        self.wait(model)

    def wait(self, model: Model) -> None:
        """It stands in line by its number, behind all others if its priority is low."""
        self.queue.append(model.id)
        self.queue.sort(key=lambda job_id: (self.jobs[job_id].low, self.jobs[job_id].number))

    def end(self, job: Model, status: str, at: int) -> None:
        if job.id in self.queue:
            self.queue.remove(job.id)
        job.status, job.kept_until, job.held = status, at + job.kept, False
        self.totals[status] += 1

    def lose(self, job: Model, at: int) -> None:
        """The worker of a running job is lost."""
        if job.retries:
            self.end(job, "FAILED", at)
            return
        self.totals["retried"] += 1
        job.status, job.retries, job.held, job.taken, job.silent_at = "IN_QUEUE", 1, False, None, None
        self.wait(job)

    def drop(self, job: Model) -> None:
        if job.id in self.queue:
            self.queue.remove(job.id)
        del self.jobs[job.id]

    # What may happen; `number` chooses among the ways, `seldom` one that is out of the ordinary

    def submit(self, number: int, seldom: bool) -> None:
        ttl, limit = (60_000 if seldom else None), (None, 0, 11_002)[number % 3]
        for _ in range(1 + number % 4):
            job = finish(self.endpoint.submit(Submission(b'{"a":1}', None, limit, ttl, seldom)))
            life, longest = ttl or TTL, LIMIT if limit is None else limit
            self.add(Model(job.id, len(self.ever), self.now, life, longest, seldom))

    def cancel(self, number: int, seldom: bool) -> None:
        job = self.pick(number, "COMPLETED", "FAILED", "CANCELLED") if seldom else self.pick(number)
        if job is None:
            return
        answer = finish(self.endpoint.cancel(job.id))
        if job.status in UNFINISHED:
            self.end(job, "CANCELLED", self.now)
        assert answer.status.value == job.status

    def retry(self, number: int, seldom: bool) -> None:
        job = self.pick(number) if seldom else self.pick(number, "FAILED")
        if job is None:
            return
        if job.status != "FAILED":
            with pytest.raises(NotRetryable):
                finish(self.endpoint.retry(job.id))
            return
        assert finish(self.endpoint.retry(job.id)).id == job.id
        again = Model(job.id, len(self.ever), self.now, job.ttl, job.limit, job.low)
        again.runs, again.lease, again.kept = job.runs + 1, job.lease, job.kept
        self.add(again)

    def shorten(self, number: int, seldom: bool) -> None:
        job = self.pick(number)
        if job is None:
            return
        ttl = SHORTER[seldom]
        finish(self.endpoint.status(job.id, ttl=ttl))
        if job.kept_until is None:
            job.kept = min(job.kept, ttl)
        else:
            job.kept_until = min(job.kept_until, self.now + ttl)

    def purge(self, number: int, seldom: bool) -> None:
        if seldom:
            assert finish(self.endpoint.purge()) == len(self.queue)
            for job in [self.jobs[job_id] for job_id in self.queue]:
                self.drop(job)

    def take(self, number: int, seldom: bool) -> None:
        worker, most = self.workers[number % 2], 1 + number // 2 % 3
        taken = finish(self.world.take(worker, most, LEASE if seldom else None))
        assert [job.id for job in taken] == self.queue[:most]
        del self.queue[:most]
        for job in taken:
            model = self.jobs[job.id]
            model.status, model.worker, model.taken, model.held = "IN_PROGRESS", worker, self.now, True
            model.silent_at = self.now + LEASE if seldom else None
            model.lease += 1
            assert (job.lease, job.worker) == (model.lease, worker)

    def report(self, number: int, seldom: bool) -> None:
        job = self.pick(number) if seldom else self.pick(number, "IN_PROGRESS")
        if job is None:
            return
        lease = job.lease - (seldom and number % 2)
        kinds = (Failed("boom", None, lease), Completed(lease, b"1"), Progressed(lease, b"2"), Emitted(lease, (b"3",)))
        event = kinds[number // 2 % 4]
        counts = job.status == "IN_PROGRESS" and lease == job.lease
        assert finish(self.endpoint.work.report(job.id, event)) is counts
        if counts and isinstance(event, Completed | Failed):
            self.end(job, "COMPLETED" if isinstance(event, Completed) else "FAILED", self.now)

    def refuse(self, number: int, seldom: bool) -> None:
        job = self.pick(number, "IN_PROGRESS")
        if job is not None:
            finish(self.endpoint.work.refuse(str(job.worker), job.id, job.lease))
            job.silent_at, job.held = self.now + LEASE, False

    def worker_gone(self, number: int, seldom: bool) -> None:
        worker = self.workers[number % 2]
        finish(self.endpoint.work.worker_gone(worker))
        for job in list(self.jobs.values()):
            if job.worker == worker and job.held:
                self.lose(job, self.now)
        self.workers[number % 2] = self.new_worker()

    def time_passes(self, number: int, seldom: bool) -> None:
        to = self.now + 1_000 * (40 if seldom and number % 3 == 0 else 1 + number % 8)
        if seldom:
            self.world.clock.move_to(to)
            finish(self.endpoint.health())
        else:
            finish(self.world.advance(to - self.now))
        while self.jobs:
            (due, what), _, job = min((job.deadline(), job.number, job) for job in self.jobs.values())
            if due > to:
                break
            if what == "gone":
                self.drop(job)
            elif what == "exceeded":
                self.end(job, "FAILED", due)
            else:
                self.lose(job, due)

    # What must hold after every step

    def check(self) -> None:
        self.counters_agree()
        self.jobs_agree()
        assert all(count == 1 for count in self.ends.values())
        for job in self.jobs.values():
            assert self.ends[job.id, job.runs] == (job.status not in UNFINISHED)
        for job_id in set(self.ever[-5:]) - set(self.jobs):
            with pytest.raises(JobNotFound):
                finish(self.endpoint.status(job_id))

    def counters_agree(self) -> None:
        health = finish(self.endpoint.health())
        states = Counter(job.status for job in self.jobs.values())
        assert (health.queued, health.running) == (states["IN_QUEUE"], states["IN_PROGRESS"])
        totals = (self.totals["COMPLETED"], self.totals["FAILED"], self.totals["retried"])
        assert (health.completed, health.failed, health.retried) == totals
        busy = {job.worker for job in self.jobs.values() if job.held}
        assert (health.workers.running, health.workers.idle) == (len(busy), 2 - len(busy))

    def jobs_agree(self) -> None:
        listed, total = finish(self.endpoint.requests(0, 10_000))
        assert total == len(self.jobs)
        assert {job.id: job.status.value for job in listed} == {job.id: job.status for job in self.jobs.values()}
        for job in listed:
            self.times_agree(job)

    def times_agree(self, job: Job) -> None:
        model = self.jobs[job.id]
        body = envelope(job, self.now, self.endpoint.platform)
        if model.taken is None:
            assert set(body) <= {"id", "status"}
            return
        assert body["delayTime"] == model.taken - model.born >= 0
        assert body.get("executionTime", 0) >= 0
        assert body.get("retries", 0) == (0 if model.status == "CANCELLED" else model.retries)


ACTIONS = (
    ["submit", "take", "report", "worker_gone", "retry", "time_passes"] * 3
    + ["take", "take", "report", "cancel", "shorten", "purge", "refuse"]
)  # fmt: skip


class Lives(RuleBasedStateMachine):
    """Clients, workers and time do what they like; what goes wrong is cut down to the least."""

    @initialize()
    def begin(self) -> None:
        self.town = Town()

    @rule(action=st.sampled_from(ACTIONS), number=st.integers(0, 23), seldom=st.sampled_from([False] * 3 + [True]))
    def something_happens(self, action: str, number: int, seldom: bool) -> None:
        getattr(self.town, action)(number, seldom)

    @invariant()
    def all_agrees(self) -> None:
        self.town.check()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=20, stateful_step_count=40, deadline=None, derandomize=True, database=None)


@table("seed", range(3))
def test_a_long_life(seed: int):
    chance = random.Random(seed)
    town = Town()
    for _ in range(1_000):
        getattr(town, chance.choice(ACTIONS))(chance.randrange(24), chance.random() < 0.25)
        town.check()
    assert min(town.totals["COMPLETED"], town.totals["FAILED"], town.totals["CANCELLED"], town.totals["retried"]) > 0
