"""The machinery of one endpoint: how events reach its jobs, and who hears of it.

The only caller of `apply`. The verbs that clients and workers use are in `endpoint.py`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Container

from runpod_emulator.core.endpoint.parts import World
from runpod_emulator.core.endpoint.scripts import Plays
from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.jobs.deadlines import deadline_event, owes_delivery
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import (
    BEHIND,
    Cancelled,
    Emitted,
    Event,
    Failed,
    Forgotten,
    Job,
    Requeued,
    Returned,
    Taken,
    TimedOut,
    Transition,
    apply,
    within_ttl,
)
from runpod_emulator.core.rates import Limits
from runpod_emulator.core.settings import EndpointSettings


class Engine(Workforce):
    """Applies events to the jobs of one endpoint, and passes the news on."""

    def __init__(self, settings: EndpointSettings, world: World, launcher: Launcher) -> None:
        super().__init__(settings, world, launcher)
        self.limits = Limits(world.platform)
        chance = random.Random(None if world.ids.seed is None else f"{world.ids.seed} {self.id} plays")
        self.plays = Plays(self, world.timeline, world.room, world.stubs, chance, has_handler=not settings.mock)
        self.plays.waits = launcher.start_script_worker
        self._store = world.store
        self._closed = False

    async def expire(self, job_id: str, at: int) -> None:
        """Let the job meet its deadline, if that is not later than `at`."""
        job = await self._store.get(self.id, job_id)
        due = job.next_deadline
        if due is None or due > at:
            return
        await self._change(job_id, lambda job: deadline_event(job, self.platform), due)
        if not job.status.terminal:
            await self._balance()

    def heard(self, transition: Transition) -> None:
        """Wake whom a transition concerns; called wherever it is heard of."""
        job, event = transition.job, transition.event
        self._timeline.expect(transition.due)
        follow(self.fleet, transition)
        self.plays.heard(transition)
        if transition.queued:
            self._call_workers(job.id)
        if transition.ended or transition.after is None:
            self._room.call(("end", self.id, job.id))
            self._room.call(("stream", self.id, job.id))
        elif type(event) is Emitted or self._shows_start(event):
            self._room.call(("stream", self.id, job.id))
        if transition.left_worker and _unasked(event) and transition.before is not None:
            self.stop_job(transition.before)

    async def stop_work(self) -> None:
        """Take every job from its worker, without a word to anybody; workers stay."""
        for worker in list(self.fleet.workers.values()):
            for job_id in list(worker.jobs):
                self.fleet.release(worker.id, job_id)
                with contextlib.suppress(JobNotFound):
                    self.stop_job(await self._store.get(self.id, job_id))

    async def reset(self) -> None:
        """Begin anew after every job was forgotten: those who wait for one are told."""
        self.limits = Limits(self.platform)
        for topic in ("end", "stream"):
            self._room.call_all(topic, self.id)
        self.plays.clear()
        await self._balance()

    async def close(self) -> None:
        """Cancel every job and start no worker any more: the endpoint is about to be taken away."""
        at = await self._now()
        self._closed = True
        self.autoscaler.stop()
        jobs, _ = await self._store.recent(self.id, 0, 1 << 31)
        for job in jobs:
            if not job.status.terminal:
                await self._change(job.id, Cancelled(), at)

    def leave(self) -> None:
        """Let go of the workers, and of what the jobs would have played: the rest is a ring."""
        self.plays.clear()
        super().leave()

    def stop_job(self, job: Job) -> None:
        """Tell the worker that the job, as it was, is no longer its own."""
        if job.worker is not None:
            self._launcher.stop_job(job.worker, job.id, job.lease)

    def _call_workers(self, job_id: str) -> None:
        """A job waits for whichever worker has waited longest."""
        self._room.call(("queue", self.id), most=1)

    def _shows_start(self, event: Event) -> bool:
        return self.platform.stream_wakes_on_status and isinstance(event, Taken)

    async def _load(self, job_id: str, at: int) -> Job:
        job = await self._store.get(self.id, job_id)
        due = job.next_deadline
        if due is None or due > at:
            return job
        await self.expire(job_id, at)
        return await self._load(job_id, at)

    async def _claim(self, most: int, taken: Taken, at: int, barred: Container[str] = ()) -> list[Job]:
        def step(job: Job) -> Transition | None:
            if job.id in barred:
                return None
            due = job.next_deadline
            if due is not None and due <= at:
                return self._overdue_step(job, due)
            return apply(job, taken, at)

        jobs: list[Job] = []
        while len(jobs) < most:
            transitions = await self._store.claim(self.id, most - len(jobs), step)
            if not transitions:
                break
            for transition in transitions:
                self._won(transition)
                if isinstance(transition.event, Taken):
                    jobs.append(transition.job)
        return jobs

    def _overdue_step(self, job: Job, due: int) -> Transition | None:
        """What a deadline that is over makes of a job; None when that fails, which was logged when it was due."""
        try:
            return self._step(job, deadline_event(job, self.platform), due)
        except Exception:
            return None

    async def change(self, job_id: str, event: Event) -> None:
        """Apply what a script or the passing of time causes; raises IllegalTransition, JobNotFound."""
        await self._change(job_id, event, await self._now())
        await self._balance()

    async def _change(self, job_id: str, event: Event | Callable[[Job], Event], at: int) -> Transition:
        transition = await self._store.update(
            self.id, job_id, lambda job: self._step(job, event(job) if callable(event) else event, at)
        )
        self._won(transition)
        return transition

    def _step(self, job: Job, event: Event, at: int) -> Transition:
        transition = apply(job, event, at)
        if not transition.ended:
            return transition
        if self.platform.ended_ttl == "deleted":
            transition = within_ttl(transition)
        if owes_delivery(transition.job, self.platform):
            return transition._replace(delivery=self._delivery(transition.job, at))
        return transition

    def _delivery(self, job: Job, at: int) -> Delivery:
        assert job.webhook is not None
        body = self.world.webhook_body(job, self.platform)
        return Delivery(self.id, job.id, job.place % BEHIND, job.webhook, body, due=at)

    def _won(self, transition: Transition) -> None:
        for effect in self.world.on_won:
            effect(transition)

    async def _balance(self) -> None:
        counts = await self._store.counts(self.id)
        plays = self.plays
        self.fleet.queued = counts.queued - counts.held - len(plays.waiting)
        self.fleet.make_room()
        self.autoscaler.balance(counts.queued - counts.queued_unscaled - plays.waiting_scaled, counts.running)


def follow(fleet: Fleet, transition: Transition) -> None:
    """Let the fleet know to which worker a job has come, or from which it has gone."""
    event, before = transition.event, transition.before
    if type(event) is Taken:
        fleet.give(event.worker, transition.job.id)
    elif transition.left_worker and before is not None and before.worker is not None:
        fleet.release(before.worker, before.id)


def _unasked(event: Event) -> bool:
    """Whether the worker does not know yet that the job was taken from it."""
    if isinstance(event, Failed):
        return event.lease is None
    return isinstance(event, Cancelled | TimedOut | Forgotten | Requeued | Returned)
