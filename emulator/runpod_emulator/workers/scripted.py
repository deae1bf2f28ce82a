"""Workers that perform a script instead of code: all mocking. Time is the emulator's, there is no process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from runpod_emulator.core.endpoint.scripts import RunningScript
from runpod_emulator.core.jobs.handout import handout
from runpod_emulator.core.jobs.job import Emitted, Failed, Job, Progressed
from runpod_emulator.core.jobs.results import ending, split_chunk
from runpod_emulator.core.mocks.script import FOR_EVER, NO_PAUSE, Ending, Pause, Reply, Script, ScriptError, Value
from runpod_emulator.core.time.clock import turn, work_time
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.workers.functions import Died, Function, FunctionCall, Handler, Progress
from runpod_emulator.workers.runner.frames import Result
from runpod_emulator.workers.served import ScriptedJobs, TakenJobs

log = logging.getLogger("runpod_emulator.worker")

_IN_A_ROW = 50
"""Scripts played in the worker's own step before others get their turn: each takes 0.1 ms."""
_LONGEST = 0.005
"""Seconds of work, as templates are, after which others get their turn earlier."""


class Stage:
    """Where one worker's scripts are performed.

    `over` is called with each job that the worker has done with, `crash` when a script
    says that the worker dies.
    """

    def __init__(self, endpoint: ScriptedJobs, over: Callable[[str], None], crash: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._over = over
        self._crash = crash
        self._stops: dict[str, Callable[[], None]] = {}
        """How to end what each job does."""
        self._tasks: set[asyncio.Task[None]] = set()

    def perform(self, job: Job, running: RunningScript) -> None:
        """Begin the job's script; virtual time stands whenever it does not pause."""
        caller = Caller()
        self._begin(job.id, caller.hang_up, self.play(job, running, caller))

    def call(self, job: Job, function: Function) -> None:
        """Run the job in a function of this process; virtual time stands until it ends."""
        call = FunctionCall(function, handout(job, self._endpoint.platform))
        self._begin(job.id, call.stop, self._run(job, call))

    def stop(self, job_id: str) -> bool:
        """End what the job does; returns whether it did anything."""
        stop = self._stops.pop(job_id, None)
        if stop is None:
            return False
        stop()
        return True

    def close(self) -> None:
        """End every script."""
        for job_id in list(self._stops):
            self.stop(job_id)

    def _begin(self, job_id: str, stop: Callable[[], None], work: Coroutine[Any, Any, None]) -> None:
        self._stops[job_id] = stop
        self._endpoint.shared.timeline.begin()
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(job_id, stop, done))

    def _done(self, job_id: str, stop: Callable[[], None], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._endpoint.shared.timeline.end()
        if self._stops.get(job_id) is stop:
            del self._stops[job_id]
        if not task.cancelled() and task.exception() is not None:
            log.error("the script of %s/%s failed", self._endpoint.id, job_id, exc_info=task.exception())
        self._over(job_id)

    async def play(self, job: Job, running: RunningScript, caller: Caller) -> None:
        """Perform the job's script to its end, or until the caller hangs up."""
        script = running.script
        began = work_time() if script.steps else 0.0
        try:
            if script.reply is not None:
                await self._reply(job, running, script.reply, caller)
                return
            for step in script.steps:
                if work_time() - began > _LONGEST:
                    await turn()
                    began = work_time()
                if not await self._pause(job, step.pause, caller):
                    return
                await self._endpoint.report(job.id, self._step(job, running, step.value, step.is_chunk))
            if await self._pause(job, _before_end(script, job), caller):
                await self._end(job, running)
        except ScriptError as error:
            await self._endpoint.report(job.id, Failed(str(error), None, job.lease))
        except Exception as error:
            log.exception("the script of %s/%s failed", self._endpoint.id, job.id)
            await self._endpoint.report(job.id, Failed(f"{type(error).__name__}: {error}", None, job.lease))

    async def _reply(self, job: Job, running: RunningScript, reply: Reply, caller: Caller) -> None:
        """Say each piece at its moment, counted from the beginning so that no lateness adds up; then the end."""
        timeline, platform = self._endpoint.shared.timeline, self._endpoint.platform
        start, began = timeline.now(), work_time()
        all_of_it: list[bytes] = []
        waiting: list[bytes] = []
        with contextlib.closing(reply(self._endpoint.scripts.scene(job, running))) as pieces:
            for at, chunk in pieces:
                due = start + round(at)
                is_late = work_time() - began > _LONGEST
                if due > timeline.now() or is_late:
                    await self._emit(job, waiting)
                    if is_late:
                        await turn()
                    if not await self._reach(job, due, caller):
                        return
                    began = work_time()
                if chunk is not None:
                    all_of_it.append(chunk)
                    waiting.append(chunk)
            await self._emit(job, waiting)
        output = b"[%s]" % b",".join(all_of_it)
        await self._endpoint.report(job.id, ending(job.id, job.lease, output, None, platform))

    async def _emit(self, job: Job, chunks: list[bytes]) -> None:
        """Report these chunks as one, and forget them."""
        parts = tuple(part for chunk in chunks for part in split_chunk(chunk, self._endpoint.platform))
        chunks.clear()
        if parts:
            await self._endpoint.report(job.id, Emitted(job.lease, parts))

    async def _reach(self, job: Job, due: int, caller: Caller) -> bool:
        timeline = self._endpoint.shared.timeline
        timeline.end()
        try:
            return await self._endpoint.scripts.reach(job, due, caller)
        finally:
            timeline.begin()

    async def _run(self, job: Job, call: FunctionCall) -> None:
        platform = self._endpoint.platform
        async for said in call.reports():
            if isinstance(said, Result):
                await self._endpoint.report(job.id, ending(job.id, job.lease, said.output, said.error, platform))
            elif isinstance(said, Died):
                self._crash()
            elif isinstance(said, Progress):
                await self._endpoint.report(job.id, Progressed(job.lease, said.output))
            else:
                await self._endpoint.report(job.id, Emitted(job.lease, split_chunk(said, platform)))

    async def _pause(self, job: Job, pause: Pause, caller: Caller) -> bool:
        if pause is NO_PAUSE or pause.nothing:
            return not caller.gone
        timeline = self._endpoint.shared.timeline
        timeline.end()
        try:
            return await self._endpoint.scripts.pause(job, pause, caller)
        finally:
            timeline.begin()

    def _step(self, job: Job, running: RunningScript, value: Value, is_chunk: bool) -> Progressed | Emitted:
        text = value(self._endpoint.scripts.scene(job, running))
        if is_chunk:
            return Emitted(job.lease, split_chunk(text, self._endpoint.platform))
        return Progressed(job.lease, text)

    async def _end(self, job: Job, running: RunningScript) -> None:
        script, platform = running.script, self._endpoint.platform
        if script.ending is Ending.CRASH:
            self._crash()
        elif script.ending is Ending.TIMEOUT:
            await self._endpoint.strike(job.id, job.lease)
        else:
            scene = self._endpoint.scripts.scene(job, running)
            output = script.output(scene) if script.output else None
            error = script.error(scene) if script.error else None
            await self._endpoint.report(job.id, ending(job.id, job.lease, output, error, platform))


def _before_end(script: Script, job: Job) -> Pause:
    """How long the run goes on after its steps; a job that shall exceed a limit it does not have does so at once."""
    if script.ending is Ending.NEVER:
        return FOR_EVER
    has_no_end = script.ending is Ending.TIMEOUT and not job.execution_timeout
    return NO_PAUSE if has_no_end and script.before_end is FOR_EVER else script.before_end


class ScriptedWorker:
    """One worker, ready at once, that does `concurrency` jobs at a time; `handler` runs those without a script."""

    def __init__(self, worker: str, endpoint: TakenJobs, concurrency: int, handler: Handler) -> None:
        self.id = worker
        self._stage = Stage(endpoint, self._over, self.kill)
        self._endpoint = endpoint
        self._room = endpoint.shared.room
        self._timeline = endpoint.shared.timeline
        self._concurrency = concurrency
        self._handler = handler
        self._jobs = 0
        self._in_a_row = 0
        self._caller = Caller()
        self._takes = Caller()
        """Who asks for jobs; leaves before the worker when that is retired."""
        self._ended = asyncio.Event()
        self._timeline.begin()  # from its start on, not only from the first turn of its task

    async def run(self) -> None:
        """Take jobs and do them until it has ended; virtual time stands meanwhile, except while it waits."""
        try:
            await self._live()
        finally:
            self._timeline.end()
        await self._ended.wait()  # where all waits have ended, it takes no more, but its functions go on

    def stop(self) -> None:
        """End for good."""
        self._ended.set()
        self._takes.hang_up()
        self._caller.hang_up()
        self._stage.close()

    close = stop

    def retire(self) -> None:
        """Take no job more, and leave when those that it has are over."""
        self._takes.hang_up()

    def replace(self) -> None:
        """End in the middle of things; its jobs are lost, and a fresh worker comes."""
        if not self._ended.is_set():
            self.stop()
            self._endpoint.later(self._endpoint.worker_gone(self.id, replace=True, reason="a stub or fault crashed it"))

    kill = replace

    def stop_job(self, job: str, lease: int) -> None:
        """End the script of one job."""
        self._stage.stop(job)

    async def _live(self) -> None:
        await self._endpoint.worker_ready(self.id, self._concurrency)
        while not self._caller.gone:
            if self._takes.gone and not self._jobs:
                self._leave()
                return
            free = 0 if self._takes.gone else self._concurrency - self._jobs
            jobs = await self._idly(free)
            if self._room.closed:
                return
            while jobs:
                if self._caller.gone:
                    return
                await self._do(jobs.pop(0))  # while it waits for more, it holds none of these

    def _leave(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._endpoint.later(self._endpoint.worker_gone(self.id))

    async def _do(self, job: Job) -> None:
        running = self._endpoint.scripts.get(job)
        if running is not None and running.script.is_instant and not self._endpoint.shared.faults.rules:
            began = work_time()
            await self._stage.play(job, running, self._caller)
            self._in_a_row += 1
            if self._in_a_row >= _IN_A_ROW or work_time() - began > _LONGEST:
                self._in_a_row = 0
                await turn()
            return
        self._jobs += 1
        if running is not None:
            self._stage.perform(job, running)
        else:
            self._stage.call(job, self._handler.function)

    async def _idly(self, free: int) -> list[Job]:
        """Wait for a free slot, or for jobs to fill it; virtual time passes meanwhile."""
        self._timeline.end()
        try:
            if free:
                return await self._endpoint.take(self.id, free, None, self._takes)
            await self._room.wait(("slot", self._endpoint.id, self.id), None, self._caller)
            return []
        finally:
            self._timeline.begin()

    def _over(self, job_id: str) -> None:
        self._jobs -= 1
        self._room.call(("slot", self._endpoint.id, self.id))
