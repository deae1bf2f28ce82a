"""Which script each job of an endpoint plays, and how far it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from runpod_emulator.core.errors import IllegalTransition, JobNotFound
from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.job import Job, JobStatus, Released, Returned, Taken, Transition
from runpod_emulator.core.mocks.script import Ending, Pause, Scene, Script
from runpod_emulator.core.mocks.stubs import UNMATCHED, Question, Stub, StubBook
from runpod_emulator.core.settings import Span
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom

if TYPE_CHECKING:
    from runpod_emulator.core.jobs.job import Event
    from runpod_emulator.core.time.timeline import Timeline


class Jobs(Protocol):
    """What running scripts need of their endpoint."""

    id: str

    async def change(self, job_id: str, event: Event) -> None:
        """Apply an event to a job; raises IllegalTransition, JobNotFound."""
        ...

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a timer caused."""
        ...


class RunningScript:
    """One job's script in one run; before the first, that of which it has drawn the number, or else of the first."""

    def __init__(self, question: Question, stub: Stub) -> None:
        self.question = question
        self.stub = stub
        self.polls = 0
        """By clients, since the last pause began."""
        self.held_until: int | None = None
        self.call = stub.matched
        self.run = 0
        """The number of the present run, or of the one to come; 0 for one that is not drawn yet."""
        self._began = False
        if stub.holds:
            self.run = stub.draw()
        self.script: Script = stub.script(max(1, self.run))

    def begin(self) -> None:
        """A worker has the job: a run begins."""
        if self._began or not self.run:
            self.run = self.stub.draw()
            self.script = self.stub.script(self.run)
        self._began = True
        self.stub.played += 1

    def take_back(self) -> None:
        """The run that has just begun was none: the job waits as before."""
        self._began = False
        self.stub.played -= 1
        if not self.stub.holds:
            self.forgo()

    def forgo(self) -> None:
        """The job waits for no run any more: what it would have played is for another."""
        if self.run and not self._began:
            self.stub.give_back(self.run)
            self.run = 0


class RunningScripts:
    """The scripts of one endpoint's jobs. Where it has no handler, a job that no stub matches plays a failure."""

    def __init__(
        self,
        jobs: Jobs,
        timeline: Timeline,
        room: WaitingRoom,
        book: StubBook,
        chance: random.Random,
        has_handler: bool,
    ) -> None:
        self._jobs = jobs
        self._timeline = timeline
        self._room = room
        self._book = book
        self._chance = chance
        self._dice = chance.getstate()
        self.has_handler = has_handler
        self.waits: Callable[[], None] | None = None
        """Called when a job with a script can be taken, where the endpoint's own workers play none."""
        self.waiting: set[str] = set()
        """Jobs with a script that can be taken, where the endpoint's own workers play none."""
        self.waiting_scaled = 0
        """How many of them would bring up a worker."""
        self._running: dict[str, RunningScript] = {}
        self._seeded: dict[Span, random.Random] = {}

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._running

    def get(self, job_id: str) -> RunningScript | None:
        """What the job plays; None when a handler runs it."""
        return self._running.get(job_id)

    def begin(self, job_id: str, question: Question) -> bool:
        """Choose the script of a job that is about to be queued; returns whether it is held back."""
        stub = self._book.choose(question)
        if stub is None:
            if self.has_handler:
                return False
            stub = self._unmatched(question)
        running = self._running[job_id] = RunningScript(question, stub)
        return self._hold(job_id, running)

    def begin_again(self, job_id: str) -> bool:
        """Choose the script of a job that a client retries; returns whether it is held back."""
        running = self._running.pop(job_id, None)
        return running is not None and self.begin(job_id, running.question)

    def heard(self, transition: Transition) -> None:
        """Follow a job into its next run, or forget it."""
        running = self._running.get(transition.job.id) if self._running else None
        if running is None:
            return
        event = type(transition.event)
        if event is Taken:
            running.begin()
        elif event is Returned:
            running.take_back()
        elif transition.ended or transition.after is None:
            running.forgo()
        if transition.after is None:
            del self._running[transition.job.id]
        if self.waits is not None:
            self._note(transition, self.waits)

    def _note(self, transition: Transition, waits: Callable[[], None]) -> None:
        job, after = transition.job, transition.after
        if after is not None and after.status is JobStatus.IN_QUEUE and not after.held:
            if job.id not in self.waiting:
                self.waiting.add(job.id)
                self.waiting_scaled += job.scales
            waits()
        elif job.id in self.waiting:
            self.waiting.remove(job.id)
            self.waiting_scaled -= not job.low_priority

    def clear(self) -> None:
        """Forget every script, and begin the dice anew."""
        if any(stub.holds for stub in self._book):
            for running in self._running.values():
                running.forgo()
        free_later([self._running])
        self._running = {}
        self.waiting.clear()
        self.waiting_scaled = 0
        self._seeded.clear()
        self._chance.setstate(self._dice)

    async def polled(self, job_id: str) -> None:
        """A client has looked at the job; the next look finds what this one brings about."""
        running = self._running.get(job_id)
        if running is not None:
            running.polls += 1
            if self._may_go(running):
                await self._release(job_id, running)
            self._room.call(("poll", self._jobs.id, job_id))

    def scene(self, job: Job, running: RunningScript) -> Scene:
        """What the values of the job's script can be made of."""
        time = self._timeline.now() + self._timeline.drift()
        return Scene(job.endpoint, job.id, running.question, running.call, running.run, time, self._chance)

    async def pause(self, job_id: str, running: RunningScript, pause: Pause, caller: Caller) -> bool:
        """Let a pause pass; False when the caller hung up or the emulator stops."""
        due = self._timeline.now() + self.draw(pause.time)
        running.polls = 0
        while self._timeline.now() < due or running.polls < pause.polls:
            until = due if running.polls >= pause.polls else None
            outcome = await self._room.wait(("poll", self._jobs.id, job_id), until, caller)
            if outcome in (Outcome.HUNG_UP, Outcome.CLOSED):
                return False
        return not caller.gone

    def draw(self, span: Span) -> int:
        """A duration within the span, in ms; a span with a seed of its own has dice of its own."""
        if span.low == span.high:
            return span.low
        chance = self._chance
        if span.seed is not None:
            chance = self._seeded.setdefault(span, random.Random(span.seed))
        return chance.randint(span.low, span.high)

    def _hold(self, job_id: str, running: RunningScript) -> bool:
        pause = running.script.in_queue
        if pause.nothing:
            return False
        running.polls = 0
        running.held_until = self._timeline.now() + self.draw(pause.time)
        self._timeline.at(running.held_until, lambda: self._look_again(job_id))
        return True

    def _may_go(self, running: RunningScript) -> bool:
        """Whether the time and the polls of a held job have come."""
        due = running.held_until
        return due is not None and self._timeline.now() >= due and running.polls >= running.script.in_queue.polls

    def _look_again(self, job_id: str) -> None:
        running = self._running.get(job_id)  # by name: a timer keeps no input alive that is forgotten since
        if running is not None and self._may_go(running):
            self._jobs.later(self._release(job_id, running))

    async def _release(self, job_id: str, running: RunningScript) -> None:
        running.held_until = None
        with suppress(IllegalTransition, JobNotFound):
            await self._jobs.change(job_id, Released())

    def _unmatched(self, question: Question) -> Stub:
        reason = f"no stub matches this job; {self._book.missed(question)}"
        return Stub(UNMATCHED, (Script(Ending.ERROR, error=lambda scene: reason),))
