"""The workers of one endpoint: their states, their jobs, and who may have another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runpod_emulator.core.fleet.arrivals import Arrivals, Step
from runpod_emulator.core.fleet.backoff import Backoff
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.fleet.everywhere import Everywhere
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.fleet.numbers import Numbers
from runpod_emulator.core.fleet.worker import ENDED_BY_ITSELF, Worker, WorkerCounts, WorkerState
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.timeline import Timeline


class Fleet:
    """Starts and ends workers through a `Launcher`, and knows what each of them holds."""

    def __init__(
        self,
        settings: EndpointSettings,
        timeline: Timeline,
        launcher: Launcher,
        capacity: Capacity | None = None,
        overdue: Step = lambda worker: None,
        seed: int | None = None,
        changed: Callable[[Worker, WorkerState | None], None] | None = None,
        followers: Sequence[object] = (),
    ) -> None:
        """`changed` is told each worker's new state, None as it goes, while there are `followers`."""
        self.settings = settings
        self.workers: dict[str, Worker] = {}
        self.queued = 0
        """Jobs that wait: as long as there are any, no worker is too many."""
        self.version = 0
        """Counts the changes of code; workers that start now run the newest."""
        self.keeps_last = False
        """Whether the last worker must stay, and no other may come: newer code is broken."""
        self.overfills = False
        """Whether a worker is given more than it has slots."""
        self._crowded = False
        """Whether more workers are busy than there may be, since the maximum was lowered."""
        self._timeline = timeline
        self._launcher = launcher
        self.capacity = capacity if capacity is not None and launcher.processes else Capacity()
        self.capacity.lend(self)
        self.arrivals = Arrivals(settings, timeline, launcher, self.capacity, self, overdue, seed)
        self.everywhere: Everywhere | None = None
        """The workers of all servers over the store; None where that is this server's own."""
        self.concurrency = 1
        """How many jobs a worker that starts will take at once, by those that came up before."""
        self.backoff = Backoff()
        self._changed, self._followers = changed, followers
        self.numbers = Numbers(settings.id)

    @property
    def alive(self) -> int:
        """Workers of ours that are up or coming up."""
        alive = 0
        for worker in self.workers.values():  # plain loops: these are asked for with every job
            alive += worker.ours and not worker.outdated and worker.state is not WorkerState.UNHEALTHY
        return alive

    @property
    def free_slots(self) -> int:
        """Jobs that the present workers could still take."""
        free = 0
        for worker in self.workers.values():
            free += worker.free_slots
        return free

    @property
    def hindrance(self) -> str:
        """Why no worker may start now; "" where one more is within the maximum, and none has failed just now."""
        settings = self.settings
        if not settings.starts_workers:
            return "its workers are started elsewhere"
        everywhere = self.everywhere
        alive = self.alive if everywhere is None else everywhere.alive
        if alive >= settings.workers_max:
            return "all are there" if alive else "it is paused"
        if self.keeps_last and self.alive:
            return "none starts before newer code can be started"
        if everywhere is None and self.backoff and not self.backoff.is_over(self._timeline.now()):
            return "none starts for a while, for the last one could not"
        return ""

    def start(self, worker_id: str, at_once: bool = False, is_candidate: bool = False) -> None:
        """Bring up one worker more; `at_once` without simulated delays.

        A candidate tries new code: it comes at once, and above the limit of processes if need be.
        """
        worker = self._new(worker_id)
        if is_candidate:
            self.arrivals.force(worker)
        else:
            self.arrivals.begin(worker, at_once)

    def _new(self, worker_id: str) -> Worker:
        self._bury_unhealthy()
        over_http = self._launcher.over_http
        worker = Worker(worker_id, concurrency=self.concurrency, over_http=over_http, version=self.version)
        self._join(worker)
        return worker

    def _join(self, worker: Worker) -> None:
        self.workers[worker.id] = worker
        worker.number = self.numbers.give(worker.id)
        worker.changed, worker.followers = self._changed, self._followers
        worker.tell(worker.state)

    def configure(self, settings: EndpointSettings) -> None:
        """Go on with other settings: workers above the new maximum end, busy ones when their jobs are over.

        Of workers that can take nothing more, the first that could again will be the one too many.
        """
        self.settings = settings
        for worker in self._superfluous():
            self.outdate(worker, self._too_many)
        for worker in self.workers.values():
            if worker.idle_timer is not None:
                self._stop_idling(worker)
                self._start_idling(worker)

    def _superfluous(self) -> list[Worker]:
        """The workers above the maximum, but for one that tries new code: those with the least to do, the youngest."""
        youngest_first = reversed(self.workers.values())
        counted = [one for one in youngest_first if one.counts and not (self.keeps_last and one.is_coming_up)]
        by_use = sorted(counted, key=lambda worker: (not worker.is_coming_up, len(worker.jobs)))
        excess = max(0, len(counted) - self.settings.workers_max)
        chosen = [worker for worker in by_use if worker.free_slots or self.overfills][:excess]
        self._crowded = len(chosen) < excess
        return chosen

    def leave(self) -> None:
        """Forget all workers, which have ended, and their places."""
        for worker in list(self.workers):
            self.forget(worker, "its endpoint is gone")
        self.capacity.leave(self)

    def welcome(self, worker_id: str, is_shared: bool = False) -> None:
        """A worker that was started elsewhere has come."""
        self._join(Worker(worker_id, over_http=True, ours=False, is_shared=is_shared))

    def ready(self, worker_id: str, concurrency: int) -> None:
        """A worker is up, or wants another number of jobs at once."""
        self.concurrency = concurrency
        worker = self.workers.get(worker_id)
        if worker is None or worker.is_coming_up:
            self.backoff.restart()
        if worker is not None:
            worker.concurrency = concurrency
            if not worker.outdated:
                worker.reason = ""
            self.arrivals.ready(worker)
            self._settle(worker)
            if self._crowded and worker.free_slots and self._is_one_too_many(worker):
                self.outdate(worker, self._too_many)

    def failed(self, worker_id: str, reason: str) -> int:
        """A worker ended before it was up; returns how long to wait before another try, in ms."""
        worker = self.workers.get(worker_id)
        if worker is not None:
            self._let_go(worker)
        return self.fell_ill(worker_id, reason)

    def fell_ill(self, worker_id: str, reason: str) -> int:
        """A worker cannot work, and keeps its place; returns how long to wait before another try, in ms."""
        worker = self.workers.get(worker_id)
        if worker is not None:
            worker.reason = reason
            worker.become(WorkerState.UNHEALTHY)
            self._stop_idling(worker)
            self.arrivals.end(worker)
        return self.backoff.failed(self._timeline.now())

    def forget(self, worker_id: str, reason: str = "") -> set[str]:
        """A worker is gone; returns the jobs it held."""
        worker = self.workers.pop(worker_id, None)
        if worker is None:
            return set()
        self._let_go(worker)
        jobs = set(worker.jobs)
        worker.jobs.clear()
        if self._holds_time(worker):
            for _ in jobs:
                self._timeline.end()
        self._leaves(worker, reason or ENDED_BY_ITSELF)
        return jobs

    def _leaves(self, worker: Worker, reason: str) -> None:
        worker.leave(reason)
        self.arrivals.gone(worker.id, worker.reason)

    def dismiss(self, worker: Worker, reason: str = "") -> None:
        """End a worker that holds no job, for this reason, and forget it."""
        del self.workers[worker.id]
        self._let_go(worker)
        self._leaves(worker, reason)
        self._launcher.stop(worker.id)

    def outdate(self, worker: Worker, reason: str = "") -> None:
        """End a worker that nobody needs any more, for this reason, at once or when its jobs are over."""
        if not worker.jobs:
            self.dismiss(worker, reason)
        elif not worker.outdated:
            worker.outdated = True
            worker.reason = reason
            self._launcher.retire(worker.id)

    @property
    def _too_many(self) -> str:
        return f"one too many: workers_max is {self.settings.workers_max}"

    def give(self, worker_id: str, job: str) -> None:
        """A worker has a job, or a request."""
        worker = self.workers.get(worker_id)
        if worker is not None:
            holds_time = job not in worker.jobs and self._holds_time(worker)
            worker.jobs.add(job)
            self._settle(worker)
            if holds_time:
                self._timeline.begin()

    def touch(self, worker_id: str) -> None:
        """A worker that holds nothing has done something: its idle time begins anew."""
        worker = self.workers.get(worker_id)
        if worker is not None and worker.idle_timer is not None:
            self._stop_idling(worker)
            self._start_idling(worker)

    def release(self, worker_id: str, job: str, at: int | None = None) -> None:
        """A worker dropped a job that still counts as its own; `at` is the present, if it was read."""
        worker = self.workers.get(worker_id)
        if worker is not None:
            holds_time = job in worker.jobs and self._holds_time(worker)
            worker.jobs.discard(job)
            if self._crowded and self._is_one_too_many(worker):
                self.outdate(worker, self._too_many)
            elif worker.state is not WorkerState.UNHEALTHY:
                self._settle(worker, at)
            if holds_time:
                self._timeline.end()

    def _is_one_too_many(self, worker: Worker) -> bool:
        """Whether the maximum was lowered below the number of busy workers, of which this is the first to end a job."""
        excess = self._up - self.settings.workers_max
        self._crowded = excess > worker.counts
        return worker.counts and excess > 0

    def counts(self, shared: bool = True) -> WorkerCounts:
        """How many workers are in each state; an idle one is `idle` and `ready`.

        Without the `shared` ones it is those that no other server knows.
        """
        tally = dict.fromkeys(WorkerState, 0)
        for worker in self.workers.values():
            tally[worker.state] += shared or not worker.is_shared
        idle = tally[WorkerState.IDLE]
        return WorkerCounts(
            idle=idle,
            initializing=tally[WorkerState.INITIALIZING],
            ready=idle,
            running=tally[WorkerState.RUNNING],
            throttled=tally[WorkerState.THROTTLED],
            unhealthy=tally[WorkerState.UNHEALTHY],
        )

    def _settle(self, worker: Worker, at: int | None = None) -> None:
        if worker.jobs:
            self._stop_idling(worker)
            worker.become(WorkerState.RUNNING)
        else:
            self._start_idling(worker, at)
            worker.become(WorkerState.IDLE)
            if self.capacity.waiting:
                self.make_room()

    def make_room(self) -> None:
        """End an idle worker if another endpoint's waits for a place."""
        if self.capacity.wanted_by_others(self):
            self.give_way()

    def give_way(self) -> bool:
        """End a worker that has nothing to do; returns whether there was one."""
        for worker in self.workers.values():
            if self._may_go(worker, lends=True):
                self.dismiss(worker, "another endpoint's worker gets its place (max_processes)")
                return True
        return False

    def _start_idling(self, worker: Worker, at: int | None = None) -> None:
        if worker.idle_timer is None and worker.ours:
            due = (self._timeline.now() if at is None else at) + self.settings.idle_timeout
            worker.idle_timer = self._timeline.at(due, lambda: self._idled_out(worker))

    def _stop_idling(self, worker: Worker) -> None:
        if worker.idle_timer is not None:
            worker.idle_timer.cancel()
            worker.idle_timer = None

    def _idled_out(self, worker: Worker) -> None:
        worker.idle_timer = None
        if worker.id not in self.workers or worker.jobs:
            return
        if self.everywhere is not None:
            self.everywhere.ask_to_go(worker, self._fewest())
        elif self._may_go(worker):
            self.go(worker)
        elif self.queued:
            self._start_idling(worker)

    def go(self, worker: Worker, waits: bool = False) -> bool:
        """End a worker whose idle timeout is over, unless it has got a job meanwhile; returns whether it goes.

        While a job `waits` it stays, and its idle timeout begins anew.
        """
        if worker.id not in self.workers or worker.state is not WorkerState.IDLE:
            return False
        if waits:
            self._start_idling(worker)
            return False
        self.dismiss(worker, f"idle for {self.settings.idle_timeout / 1000:g} s (idle_timeout)")
        return True

    def _fewest(self, lends: bool = False) -> int:
        """How many must be up besides one that goes. A warm one `lends` its place."""
        return max(int(self.keeps_last or (self.settings.keeps_warm and not lends)), self.settings.workers_min)

    def _may_go(self, worker: Worker, lends: bool = False) -> bool:
        """Whether it is one too many of those that are up; none is while jobs wait. A warm one `lends` its place."""
        fewest = self._fewest(lends)
        if not worker.ours or worker.state is not WorkerState.IDLE or self.queued:
            return False
        return (not fewest and worker.counts) or self._up > fewest

    @property
    def _up(self) -> int:
        """Workers of ours that serve, at all servers."""
        if self.everywhere is not None:
            return self.everywhere.up
        return sum(one.counts and not one.is_coming_up for one in self.workers.values())

    def _holds_time(self, worker: Worker) -> bool:
        """Whether virtual time stands for each job that it has: a program of ours works, which only we know of here."""
        return worker.over_http and worker.ours and self._launcher.real

    def _let_go(self, worker: Worker) -> None:
        self._stop_idling(worker)
        self.arrivals.end(worker)
        self.capacity.release(worker.id, self)

    def _bury_unhealthy(self) -> None:
        for worker in list(self.workers.values()):
            if worker.state is WorkerState.UNHEALTHY and not worker.jobs:
                self.dismiss(worker, "another one takes its place")
