"""Which script each job of an endpoint plays, and how far it is.

It must guarantee that any process over the store can go on with a job that plays a script. So what the job waits for,
the number of its run and the stub are in its record (`core/jobs/script_state.py`): its release is a deadline like any
other, and a poll is an event. What is kept here concerns this process: its stubs, its dice, who performs what now.

    chosen ──> held in the queue ── `Released` ──> waiting ── `Taken`: the run has its number ──> played, pause by pause

Clients' verbs choose (`choose`, `choose_again`). Whoever claims a job asks for its run's number (`run_of`), and whoever
performs it for the script of that run (`get`) and for each pause (`pause`). What is heard keeps the counts of stubs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from runpod_emulator.core.dice import Dice
from runpod_emulator.core.errors import IllegalTransition, JobNotFound
from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.job import Job, Requeued, Returned, Taken, Transition
from runpod_emulator.core.jobs.script_state import Paused, ScriptState
from runpod_emulator.core.jobs.store import patiently
from runpod_emulator.core.mocks.script import FOR_EVER, NO_PAUSE, Ending, Pause, Reply, Scene, Script
from runpod_emulator.core.mocks.stubs import Question, Stub, StubBook
from runpod_emulator.core.settings import Span, named
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom

if TYPE_CHECKING:
    from runpod_emulator.core.endpoint.shared import Shared
    from runpod_emulator.core.jobs.job import Event
    from runpod_emulator.core.time.timeline import Timeline


class Jobs(Protocol):
    """What running scripts need of their endpoint."""

    id: str
    shared: Shared

    async def change(self, job_id: str, event: Event) -> None:
        """Apply an event to a job; raises IllegalTransition, JobNotFound."""
        ...

    async def status(self, job_id: str) -> Job:
        """The record; raises JobNotFound."""
        ...


class RunningScript(NamedTuple):
    """What one run of a job plays."""

    question: Question
    script: Script
    call: int
    """How many jobs the stub had matched, this one among them."""
    run: int
    """How many runs of the stub there were, this one among them."""


class _Known:
    """What this process knows of a job that it chose a stub for, or of which it drew the number of a run."""

    __slots__ = ("began", "question", "run", "stub")

    def __init__(self, question: Question, stub: Stub) -> None:
        self.question = question
        self.stub = stub
        """It may have left the book meanwhile."""
        self.run = 0
        """The number drawn here for the present run, or for the one to come; 0 for none."""
        self.began = False

    def draw(self) -> int:
        """The number of the run to come: the same, until that begins or will never."""
        if not self.run or self.began:
            self.run, self.began = self.stub.draw(), False
        return self.run

    def begin(self, run: int) -> None:
        """A worker has the job; where another process gave it away, that drew the number."""
        if self.run != run:
            self.forgo()
        self.began = True

    def take_back(self, keeps: bool) -> None:
        """The run that has just begun was none; a job that `keeps` its number waits with it."""
        self.began = False
        if not keeps:
            self.forgo()

    def forgo(self) -> None:
        """The job waits for no run any more: what it would have played is for another."""
        if self.run and not self.began:
            self.stub.give_back(self.run)
        self.run = 0


class RunningScripts:
    """The scripts of one endpoint's jobs.

    Where it has no handler, a job that no stub matches is answered by the `model`, or plays a failure.
    """

    def __init__(
        self,
        jobs: Jobs,
        timeline: Timeline,
        room: WaitingRoom,
        book: StubBook,
        dice: Dice,
        has_handler: bool,
    ) -> None:
        self._jobs = jobs
        self._timeline = timeline
        self._room = room
        self._book = book
        self._dice = dice
        self.has_handler = has_handler
        self.model: Reply | None = None
        self.waiting: Callable[[], int] = lambda: 0
        """Tells how many jobs of the endpoint are in the queue, as far as this process has heard."""
        self.waits: Callable[[], None] | None = None
        """Called when a job with a script can be taken, where the endpoint's own workers play none."""
        self._known: dict[str, _Known] = {}
        self._pauses: dict[str, tuple[int, Pause]] = {}
        """In which pause a worker with each of these jobs is, and when its time is over."""
        self._calls = 0
        """How often those who wait for polls were told to look."""
        self._seeded: dict[Span, Dice] = {}

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._known or job_id in self._pauses

    def choose(self, job_id: str, question: Question, at: int) -> ScriptState | None:
        """The script of a job that is about to be queued; None where a handler runs it."""
        stub = self._book.choose(question)
        if stub is None:
            if self.has_handler:
                return None
            if self.model is not None:
                return ScriptState(None, headers=question.raw_headers)
            reason = f"no stub matches this job; {self._book.missed(question)}"
            return ScriptState(None, headers=question.raw_headers, failure=reason)
        known = self._known[job_id] = _Known(question, stub)
        state = ScriptState(stub.id, stub.matched, question.raw_headers)
        return self._numbered(state, known, at) if stub.holds else state

    def choose_again(self, job: Job, at: int) -> tuple[ScriptState | None, Callable[[], None]]:
        """The script of a job that a client retries, None where a handler runs it; and what takes the choice back.

        Another retry may have chosen for the job meanwhile, here or elsewhere: only this choice is taken back.
        """
        if job.script is None:
            return None, functools.partial(self._take_back, job.id, None)
        state = self.choose(job.id, _question(job), at)
        known = None if state is None or state.stub is None else self._known[job.id]
        return state, functools.partial(self._take_back, job.id, known)

    def forgo(self, job_id: str) -> None:
        """What was chosen for the job is not played."""
        known = self._known.pop(job_id, None)
        if known is not None:
            known.forgo()

    def run_of(self, job: Job) -> int:
        """The number of the run that begins when a worker takes the job, which plays a script."""
        assert job.script is not None
        if job.script.run:
            return job.script.run
        known = self._known.get(job.id)
        if known is None:
            stub = self._in_book(job.script)
            if stub is None:
                return 1
            known = self._known[job.id] = _Known(_question(job), stub)
        return known.draw()

    def get(self, job: Job) -> RunningScript | None:
        """What the run plays that the job, as it was taken, has begun; None when a handler runs it."""
        state = job.script
        if state is None:
            return None
        known = self._known.get(job.id)
        if known is not None:
            return RunningScript(known.question, known.stub.script(state.run or 1), state.call, state.run)
        stub = self._in_book(state)
        script = self._without_stub(state) if stub is None else stub.script(state.run or 1)
        return RunningScript(_question(job), script, state.call, state.run)

    def played_again(self, job: Job) -> None:
        """A second worker has the job too."""
        stub = job.script and self._stub_of(job.id, job.script)
        if stub:
            stub.played += 1

    def heard(self, transition: Transition) -> None:
        """Follow a job into its next run, or forget it."""
        state = transition.job.script
        if state is None:
            return
        before = transition.before
        if before is not None and before.script is not None:
            self._follow(transition, before.script, state)
        if self.waits is not None and transition.queued:
            self.waits()

    def _follow(self, transition: Transition, before: ScriptState, state: ScriptState) -> None:
        job_id, event = transition.job.id, type(transition.event)
        known = self._known.get(job_id)
        if event is Taken or event is Returned:
            stub = self._stub_of(job_id, state)
            if stub is not None:
                stub.played += 1 if event is Taken else -1
            if known is not None:
                known.begin(state.run) if event is Taken else known.take_back(state.numbered)
        elif known is not None and (transition.ended or transition.after is None):
            self.forgo(job_id)
        elif known is not None and event is Requeued:
            known.run = 0
        if before.polls_owed and (transition.after is None or transition.ended or not state.polls_owed):
            self._calls += 1
            self._room.call(("poll", self._jobs.id, job_id))

    def resumed(self, job: Job) -> None:
        """A job that waits was handed in before this process began: the number that it keeps is its own again."""
        stub = job.script and self._in_book(job.script)
        if stub and job.script and job.script.run:
            known = self._known[job.id] = _Known(_question(job), stub)
            known.run = job.script.run

    def reseed(self, seed: str) -> None:
        """Throw the dice from another seed, from the next reset on."""
        self._dice.reseed(seed)

    def clear(self) -> None:
        """Forget every script, and begin the dice anew."""
        if any(stub.holds for stub in self._book):
            for known in self._known.values():
                known.forgo()
        free_later([self._known])
        self._known = {}
        self._seeded.clear()
        self._dice.reset()

    def scene(self, job: Job, running: RunningScript) -> Scene:
        """What the values of the job's script can be made of."""
        question, _, call, run = running
        chance, seed = self._dice.chance, self._dice.seed
        model, waiting = self.model, self.waiting
        return Scene(job.endpoint, job.id, question, call, run, self._shown, chance, seed, model, waiting)

    def _shown(self) -> int:
        return self._timeline.now() + self._timeline.drift()

    async def pause(self, job: Job, pause: Pause, caller: Caller) -> bool:
        """Let a pause of the job, as it was taken, pass; False when the caller hung up or the emulator stops."""
        due = self._timeline.now() + self.draw(pause.time)
        if pause.polls and not await self._polled(job, pause.polls, caller):
            return False
        return await self._pass(job, due, pause, caller)

    async def reach(self, job: Job, due: int, caller: Caller) -> bool:
        """Let time pass until `due`, in ms since the epoch; False when the caller hung up or the emulator stops."""
        return await self._pass(job, due, NO_PAUSE, caller)

    async def _pass(self, job: Job, due: int, pause: Pause, caller: Caller) -> bool:
        self._pauses[job.id] = due, pause
        try:
            while self._timeline.now() < due:
                if await self._wait(job, due, caller) in (Outcome.HUNG_UP, Outcome.CLOSED):
                    return False
        finally:
            self._pauses.pop(job.id, None)
        return not caller.gone

    def stands(self, job: Job) -> bool:
        """Whether no time brings the job on: it waits for polls first, or for ever."""
        state = job.script
        if state is None:
            return job.held
        if state.polls_owed:
            return True
        if job.held:
            return state.held_until is None
        _, pause = self._pauses.get(job.id, (0, None))
        running = self.get(job) if pause is FOR_EVER else None
        return running is not None and running.script.ending is Ending.NEVER

    def steps(self) -> Iterator[tuple[str, int]]:
        """The jobs that workers of this process play, and when each goes on by itself."""
        return ((job_id, due) for job_id, (due, pause) in self._pauses.items() if pause is not FOR_EVER)

    def next_step(self, job: Job) -> int | None:
        """When the job's script goes on, as far as that is known."""
        if job.held:
            return job.script and job.script.held_until
        return self._pauses[job.id][0] if job.id in self._pauses else None

    def draw(self, span: Span) -> int:
        """A duration within the span, in ms; a span with a seed of its own has dice of its own."""
        if span.low == span.high:
            return span.low
        dice = self._dice if span.seed is None else self._seeded.setdefault(span, Dice(span.seed))
        return dice.chance.randint(span.low, span.high)

    async def _polled(self, job: Job, polls: int, caller: Caller) -> bool:
        """Wait for so many polls; False when the caller hung up or the emulator stops."""
        try:
            await self._jobs.change(job.id, Paused(job.lease, polls))
        except (IllegalTransition, JobNotFound):
            return True  # it goes on with what is not its own any more: polls are not for this run
        while True:
            since = self._calls
            if not await self._waits_for_polls(job):
                return True
            if since == self._calls and await self._wait(job, None, caller) in (Outcome.HUNG_UP, Outcome.CLOSED):
                return False

    async def _waits_for_polls(self, run: Job) -> bool:
        try:
            job = await patiently(self._jobs.shared.store, lambda: self._jobs.status(run.id))
        except JobNotFound:
            return False
        is_same = job.lease == run.lease and not job.status.terminal
        return is_same and job.script is not None and job.script.polls_owed > 0

    async def _wait(self, job: Job, until: int | None, caller: Caller) -> Outcome:
        return await self._room.wait(("poll", self._jobs.id, job.id), until, caller)

    def _numbered(self, state: ScriptState, known: _Known, at: int) -> ScriptState:
        """The state of a job that has its number from the start, for it may have to be held back."""
        run = known.draw()
        pause = known.stub.script(run).in_queue
        held_until = None if pause.nothing else at + self.draw(pause.time)
        return state._replace(run=run, numbered=True, held_until=held_until, polls_owed=pause.polls)

    def _without_stub(self, state: ScriptState) -> Script:
        if self.model is not None and state.stub is None and not state.failure:
            return Script(Ending.OUTPUT, reply=self.model)
        return _failing(state)

    def _take_back(self, job_id: str, known: _Known | None) -> None:
        if known is not None:
            if self._known.get(job_id) is known:
                del self._known[job_id]
            known.forgo()

    def _stub_of(self, job_id: str, state: ScriptState) -> Stub | None:
        known = self._known.get(job_id)
        return self._in_book(state) if known is None else known.stub

    def _in_book(self, state: ScriptState) -> Stub | None:
        return None if state.stub is None else self._book.get(state.stub)


def _question(job: Job) -> Question:
    assert job.script is not None
    return Question(named(job.endpoint), job.input, job.script.headers)


def _failing(state: ScriptState) -> Script:
    """What a job plays that no stub matches, or of which the stub or the model is not known here."""
    played = "the model" if state.stub is None else f"the stub {state.stub}"
    reason = state.failure or f"{played} of this job is not there any more"
    return Script(Ending.ERROR, error=lambda scene: reason)
