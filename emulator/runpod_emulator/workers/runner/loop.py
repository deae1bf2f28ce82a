"""The worker's loop: takes jobs from the channel, runs them, reports how they ended.

It stands for the official worker's job loop. A job has one of these ends: DONE with a result; STOPPED, because the
server asked for it; LOST, because the official worker would never report on it; REFUSED, because it had no input.
What ends the process (`sys.exit` in a handler, a modifier that raises) leaves `run` as the exception that it is.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
from typing import Any

from . import official, sdk_log, tracing
from .capture import Capture, handlers_are_captured, install
from .channel import Channel
from .concurrency import Concurrency
from .frames import Frame, Kind, Result, pack_result
from .imported import OwnFiles
from .installed import rules, runpod_version
from .jobs import Jobs
from .output import flush_output, say
from .prestart import Gate, hooks
from .results import Lost, Outcome, Unsendable, result
from .running import is_cooperative, run

IDLE_REVIEW = 10.0
"""Seconds. The official worker asks its modifier before each job-take poll, and an idle poll is held this long."""
FULL_REVIEW = 1.0
"""Seconds. A worker that wants no job asks its modifier this often."""

_WANTS_NOTHING = (
    "concurrency_modifier gives {answer}: this worker asks for no job, and is not ready, until it gives 1 or more. "
    "The official worker does the same."
)
SELF_CANCELLED = "asyncio.CancelledError left the handler, and nobody stopped the job"


class JobLoop:
    """What `runpod.serverless.start` runs until the process ends."""

    def __init__(
        self, config: Any, channel: Channel, jobs: Jobs, files: OwnFiles | None, concurrency: int, started: bool = True
    ) -> None:
        self.ready = False
        self._started = started
        self._config = config
        self._channel = channel
        self._jobs = jobs
        self._files = files
        self._concurrency = Concurrency(config.get("concurrency_modifier") or None, concurrency)
        self._captures = handlers_are_captured()
        self._gate = Gate(config.get("prestart_timeout"), self._wait_for_a_job, self._drain)
        self._stopped: set[str] = set()
        self._traces: dict[str, str] = {}
        """The traces of jobs that are about to come."""
        self._leaving = False
        self._departs = 0
        """The signal that has asked it to leave."""
        self._takes_no_more = False
        self._given_up = False
        self._has_taken = asyncio.Event()
        self._process = os.getpid()

    async def run(self) -> None:
        """Take jobs until SIGTERM finds the worker idle; raises what ends the official worker's loop."""
        self._loop = loop = asyncio.get_running_loop()
        install(has_hooks=bool(hooks))
        self._finished: asyncio.Future[None] = loop.create_future()
        self._concurrency.review(0)
        self._jobs.overlap = self._concurrency.slots > 1
        loop.add_reader(self._channel.fileno(), self._read)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._terminate(number))
        if self._concurrency.modifier is not None:
            loop.call_later(self._pause, self._review_when_idle, loop)
        if self._concurrency.slots:
            self._announce()
        else:
            say(_WANTS_NOTHING.format(answer=self._concurrency.applied))
        self._gate.begin()
        try:
            await self._finished
        finally:
            self._leaving = True
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            loop.remove_reader(self._channel.fileno())

    def _finish(self, error: BaseException | None = None) -> None:
        if self._finished.done():
            return
        if error is None:
            self._finished.set_result(None)
        else:
            self._finished.set_exception(error)

    def _announce(self) -> None:
        self._tell_files()
        body = {
            "concurrency": self._concurrency.slots,
            "cooperative": is_cooperative(self._config.get("handler")),
            "runpod_version": runpod_version(),
            "started": self._started,
        }
        self._channel.send(Kind.READY, body=json.dumps(body).encode())
        self.ready = True

    def _read(self) -> None:
        for frame in self._channel.receive():
            if frame.kind is Kind.JOB:
                self._take(frame)
            elif frame.kind is Kind.TRACE:
                self._traces[frame.job] = frame.body.decode()
            elif frame.kind is Kind.STOP and frame.job in self._jobs.tasks:
                self._stopped.add(frame.job)
                # Not before the task's first step: a task cancelled earlier would end without a word.
                asyncio.get_running_loop().call_soon(self._jobs.tasks[frame.job].cancel)
            elif frame.kind is Kind.GIVE_UP:
                self._given_up = True
                if self._departs:  # the signal came while this was read
                    _die(self._departs)

    def _take(self, frame: Frame) -> None:
        try:
            job = self._parse(frame.body)
        except Exception as error:
            say(f"Failed to get job. | Error Type: {type(error).__name__} | Error Message: {error}")
            self._channel.send(Kind.REFUSED, frame.job)
            return
        self._has_taken.set()
        official.begin(job)
        # The modifier is asked again as soon as a job has come: in 1.x before it begins, which takes up to 0.1 s there.
        if rules() < (2, 0) and not self._review(coming=1):
            return
        task = asyncio.get_running_loop().create_task(self._run(frame.job, job))
        if not task.done():  # an eager task factory runs it on the spot
            self._jobs.tasks[frame.job] = task
        if rules() >= (2, 0):
            self._review()

    def _parse(self, body: bytes) -> Any:
        job = json.loads(body)
        # The official worker checks the one job that job-take gave it, and not those that job-take-batch gave.
        asks_for_one = self._concurrency.slots - len(self._jobs.tasks) == 1
        if asks_for_one and ("id" not in job or "input" not in job):
            raise Exception("Job has missing field(s): id or input.")
        return job

    async def _run(self, name: str, job: Any) -> None:
        self._jobs.enter(name)
        tracing.enter(self._traces.pop(name, ""))
        try:
            failure = await self._gate.passed()
            self._takes_no_more = self._takes_no_more or bool(failure)
            outcome = Outcome(error=failure) if failure else await self._call(name, job)
            if self._is_broken(name, job, outcome):
                return
            self._end(name, job, Kind.DONE, pack_result(self._result(outcome)))
            if sdk_log.shows("INFO") and (broken := sdk_log.breaks()):
                self._finish(broken)
        except asyncio.CancelledError:
            self._end_cancelled(name, job)
        except Lost as lost:
            self._lose(name, job, lost)
        except (KeyboardInterrupt, SystemExit):
            self._leaving = True
            raise
        except BaseException as error:
            self._lose(name, job, Lost(f"{type(error).__name__}: {error}"))

    async def _call(self, name: str, job: Any) -> Outcome:
        emit = functools.partial(self._channel.send, Kind.CHUNK, name)
        outcome = await run(self._config, job, emit, Capture(self._captures, name))
        return official.ran(self._config, outcome)

    def _is_broken(self, name: str, job: Any, outcome: Outcome) -> bool:
        """Whether the handler has broken what the official worker needs to report: its log, or the job's id."""
        if job.get("id") != name:
            say(f"The handler changed the id of job {name}: the official worker neither reports on it nor takes more")
            return True
        broken = sdk_log.breaks() if sdk_log.shows("DEBUG") else None
        if broken is not None:
            self._finish(broken)
        elif outcome.raised and sdk_log.shows("ERROR") and (broken := sdk_log.breaks()):
            raise Lost(f"The standard output is spoilt, where the official worker logs the error: {broken}")
        return broken is not None

    def _result(self, outcome: Outcome) -> Result:
        return result(outcome, bool(self._config.get("refresh_worker", False)))

    def _end_cancelled(self, name: str, job: Any) -> None:
        if self._leaving or self._finished.cancelled():  # the loop ends, and the process with it
            return
        if name in self._stopped:
            self._end(name, job, Kind.STOPPED)
        else:
            self._lose(name, job, Lost(SELF_CANCELLED))

    def _lose(self, name: str, job: Any, lost: Lost) -> None:
        """Say that nothing will ever come of a job; with `refresh_worker` the official worker leaves if it goes on."""
        leaves = bool(self._config.get("refresh_worker", False)) and isinstance(lost, Unsendable) and lost.goes_on
        body = json.dumps({"reason": str(lost), "leaves": leaves}).encode()
        self._end(name, job, Kind.LOST, body)

    def _end(self, name: str, job: Any, kind: Kind, body: bytes = b"") -> None:
        flush_output()
        official.end(job)
        # The worker is idle before the server hears of it: the server's next word may be SIGTERM, or the next job.
        self._jobs.tasks.pop(name, None)
        self._stopped.discard(name)
        self._review()
        if self._takes_no_more:
            self._channel.send(Kind.CAPACITY, body=b"0")
        self._channel.send(kind, name, body)
        self._tell_files()
        if self._departs:
            self._depart()

    def _tell_files(self) -> None:
        files = self._files.news() if self._files is not None else None
        if files is not None:
            self._channel.send(Kind.FILES, body=json.dumps(files).encode())

    @property
    def _pause(self) -> float:
        return IDLE_REVIEW if self._concurrency.slots else FULL_REVIEW

    def _review(self, coming: int = 0) -> bool:
        """Ask the modifier; what it raises ends the worker, as it ends the official one. Returns whether it goes on."""
        if self._leaving:
            return True
        try:
            changed = self._concurrency.review(len(self._jobs.tasks) + coming)
        except Exception as error:
            self._leaving = self._takes_no_more = True
            self._finish(error)
            return False
        self._jobs.overlap = self._jobs.overlap or self._concurrency.slots > 1
        if not self.ready and self._concurrency.slots:
            self._announce()
        elif changed:
            self._channel.send(Kind.CAPACITY, body=str(self._concurrency.slots).encode())
        return True

    def _review_when_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._jobs.tasks:
            self._review()
        loop.call_later(self._pause, self._review_when_idle, loop)

    async def _wait_for_a_job(self, seconds: float) -> None:
        """Wait until there was a job, but no longer than that."""
        await asyncio.wait({asyncio.ensure_future(self._has_taken.wait())}, timeout=seconds)

    async def _drain(self) -> None:
        """Wait until every job that came has ended."""
        while running := self._running:
            await asyncio.wait(running)

    @property
    def _running(self) -> set[asyncio.Task[None]]:
        return {task for task in self._jobs.tasks.values() if not task.done()}

    def _terminate(self, number: int) -> None:
        """SIGTERM and SIGINT: an idle worker leaves, one with jobs when they are over, as the official one does.

        One whose jobs the server has given up ends at once.
        """
        ends = self._given_up or self._channel.is_given_up()
        if os.getpid() != self._process or ends:  # a job may have come that nothing was seen of yet
            _die(number)
        self._departs = number
        self._takes_no_more = True
        self._loop.call_soon_threadsafe(self._depart)

    def _depart(self) -> None:
        """Leave, if no job runs."""
        others = self._running - {asyncio.current_task()}
        if not others:
            self._finish()
        elif self.ready:
            self._channel.send(Kind.CAPACITY, body=b"0")


def _die(number: int) -> None:
    """End as a process does that has no handler for this signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
