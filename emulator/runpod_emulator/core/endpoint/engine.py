"""How events reach the jobs of one endpoint. The only caller of `apply`.

It must guarantee that whatever decides about a job decides on the record as it is in that very step of the store, so
no step of somebody else's can come between a look and its change. The time is the caller's, who has read it once;
a deadline that has passed by then comes first, stamped with its own time. Who hears of a transition is a list of the
endpoint's; effects that run once, where the write won, are those of the shared.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.workforce import Balance
from runpod_emulator.core.jobs.deadlines import deadline_event, owes_delivery, unheard_event, within_ttl
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import BEHIND, Event, Job, Taken, Transition, apply, submit
from runpod_emulator.core.jobs.store import Admit, Change, Counts
from runpod_emulator.core.store_errors import Unavailable

Decide = Callable[[Job], Event | None]
"""What happens to a job as it is; None for nothing."""


class Engine:
    """Applies events to the jobs of one endpoint."""

    def __init__(self, endpoint_id: str, shared: Shared, balance: Balance, run_of: Callable[[Job], int]) -> None:
        self._id = endpoint_id
        self._run_of = run_of
        """The number of the run that begins when a job that plays a script is taken."""
        self._balance = balance
        self._shared = shared
        self._platform = shared.platform
        self._store = shared.store
        self.counts: Counts | None = None
        """What the newest of its writes has left; None before the first."""
        self.store_back_at: int | None = None
        """Since when the store is there again; None for one that was never away."""

    async def create(self, job: Job, admit: Admit) -> None:
        """Bring a new record into the store; raises what `admit` does, and then there is none."""
        transition = submit(job)
        self._note(await self._store.create(transition, admit))
        self._won(transition)

    async def change(self, job_id: str, event: Event, at: int, patient: bool = False) -> Transition:
        """Apply the event, as `patient` as the store's `update`; raises IllegalTransition, JobNotFound."""
        transition, counts = await self._store.update(self._id, job_id, lambda job: self._step(job, event, at), patient)
        assert transition is not None
        self._note(counts)
        self._won(transition)
        return transition

    async def change_if(self, job_id: str, decide: Decide, at: int, patient: bool = False) -> Transition | None:
        """Apply what `decide` says of the record as it is; raises IllegalTransition, JobNotFound."""

        def step(job: Job) -> Transition | None:
            event = decide(job)
            return None if event is None else self._step(job, event, at)

        return await self._update(job_id, step, patient)

    async def load(self, job_id: str, at: int) -> Job:
        """The record as it is at the time `at`; raises JobNotFound."""
        while True:
            job = await self._store.get(self._id, job_id)
            due = job.next_deadline
            if due is None or due > at:
                return job
            await self.expire(job_id, at)

    async def expire(self, job_id: str, at: int) -> None:
        """Let the job meet its deadline, if that is not later than `at`; raises JobNotFound."""

        def step(job: Job) -> Transition | None:
            due = job.next_deadline
            if due is None or due > at:
                return None
            return self._step(job, self._deadline_event(job), due)

        transition = await self._update(job_id, step)
        if transition is not None and transition.before is not None and not transition.before.status.terminal:
            await self._balance()

    async def claim(
        self, most: int, taken: Taken, at: int, barred: Container[str] = (), scripted: bool | None = None
    ) -> list[Job]:
        """Give up to `most` jobs to a worker, but none of the `barred` ones.

        `scripted` True is for one that takes only jobs that play scripts, False for one that takes only others.
        """

        def step(job: Job) -> Transition | None:
            if job.id in barred or scripted is (job.script is None):
                return None
            due = job.next_deadline
            if due is not None and due <= at:
                return self._overdue_step(job, due)
            if job.script is not None:
                return apply(job, taken.beginning(self._run_of(job)), at)
            return apply(job, taken, at)

        jobs: list[Job] = []
        while len(jobs) < most:
            try:
                transitions, counts = await self._store.claim(self._id, most - len(jobs), step)
            except Unavailable:
                if not jobs:
                    raise
                break  # these are the worker's already
            if not transitions:
                break
            self._note(counts)
            for transition in transitions:
                self._won(transition)
                if isinstance(transition.event, Taken):
                    jobs.append(transition.job)
        return jobs

    async def _update(self, job_id: str, step: Change, patient: bool = False) -> Transition | None:
        transition, counts = await self._store.update(self._id, job_id, step, patient)
        self._note(counts)
        if transition is not None:
            self._won(transition)
        return transition

    def _deadline_event(self, job: Job) -> Event:
        back_at = self.store_back_at
        unheard = None if back_at is None else unheard_event(job, self._platform, back_at)
        return unheard or deadline_event(job, self._platform)

    def _overdue_step(self, job: Job, due: int) -> Transition | None:
        """What a deadline that is over makes of a job; None when that fails, which was logged when it was due."""
        try:
            return self._step(job, deadline_event(job, self._platform), due)
        except Exception:
            return None

    def _step(self, job: Job, event: Event, at: int) -> Transition:
        transition = apply(job, event, at)
        if not transition.ended:
            return transition
        if self._platform.ended_ttl == "deleted":
            transition = within_ttl(transition)
        if transition.job.webhook is not None and owes_delivery(transition.job, self._platform):
            return transition._replace(delivery=self._delivery(transition.job, at))
        return transition

    def _delivery(self, job: Job, at: int) -> Delivery:
        assert job.webhook is not None
        body = self._shared.webhook_body(job, self._platform)
        return Delivery(self._id, job.id, job.place % BEHIND, job.webhook, body, due=at)

    def _note(self, counts: Counts) -> None:
        """Keep the newest counts: of two writes, the first may be answered last."""
        if self.counts is None or counts.writes >= self.counts.writes:
            self.counts = counts

    def _won(self, transition: Transition) -> None:
        for told in self._shared.on_won[type(transition.event)]:
            told(transition)
