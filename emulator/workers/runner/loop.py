"""The worker's loop: takes jobs from the channel, runs them, reports how they ended."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from .channel import Channel
from .concurrency import Concurrency
from .frames import Frame, Kind, pack_result
from .imported import OwnFiles
from .installed import runpod_version
from .jobs import Jobs
from .output import flush_output, say
from .results import Outcome, result
from .running import is_cooperative, run

IDLE_REVIEW = 10.0
"""Seconds. The official worker asks its modifier before each job-take poll, and an idle poll is held this long."""

SELF_CANCELLED = "The handler was cancelled from within: asyncio.CancelledError left it, and nobody stopped the job."


class JobLoop:
    """What `runpod.serverless.start` runs until the process ends."""

    def __init__(self, config: Any, channel: Channel, jobs: Jobs, files: OwnFiles | None, concurrency: int) -> None:
        self.ready = False
        self._config = config
        self._channel = channel
        self._jobs = jobs
        self._files = files
        self._concurrency = Concurrency(config.get("concurrency_modifier"), concurrency)
        self._stopped: set[str] = set()
        self._leaving = False
        self._process = os.getpid()

    async def run(self) -> None:
        """Take jobs until SIGTERM finds the worker idle."""
        loop = asyncio.get_running_loop()
        finished = asyncio.Event()
        self._concurrency.review(0)
        loop.add_reader(self._channel.fileno(), self._read)
        signal.signal(signal.SIGTERM, lambda *_: self._terminate(lambda: loop.call_soon_threadsafe(finished.set)))
        if self._concurrency.modifier is not None:
            loop.call_later(IDLE_REVIEW, self._review_when_idle, loop)
        self._announce()
        try:
            await finished.wait()
        finally:
            self._leaving = True
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            loop.remove_reader(self._channel.fileno())

    def _announce(self) -> None:
        self._tell_files()
        body = {
            "concurrency": self._concurrency.applied,
            "cooperative": is_cooperative(self._config["handler"]),
            "runpod_version": runpod_version(),
        }
        self._channel.send(Kind.READY, body=json.dumps(body).encode())
        self.ready = True

    def _read(self) -> None:
        for frame in self._channel.receive():
            if frame.kind is Kind.JOB:
                self._take(frame)
            elif frame.kind is Kind.STOP and frame.job in self._jobs.tasks:
                self._stopped.add(frame.job)
                # Not before the task's first step: a task cancelled earlier would end without a word.
                asyncio.get_running_loop().call_soon(self._jobs.tasks[frame.job].cancel)

    def _take(self, frame: Frame) -> None:
        try:
            job = self._parse(frame.body)
        except Exception as error:
            say(f"Failed to get job. | Error Type: {type(error).__name__} | Error Message: {error}")
            self._channel.send(Kind.REFUSED, frame.job)
            return
        task = asyncio.get_running_loop().create_task(self._run(frame.job, job))
        if not task.done():  # an eager task factory runs it on the spot
            self._jobs.tasks[frame.job] = task
        self._review()

    def _parse(self, body: bytes) -> Any:
        job = json.loads(body)
        # The official worker checks what job-take gave it, and not what job-take-batch gave.
        if self._concurrency.applied == 1 and ("id" not in job or "input" not in job):
            raise Exception("Job has missing field(s): id or input.")
        return job

    async def _run(self, name: str, job: Any) -> None:
        self._jobs.enter(name)
        try:
            outcome = await run(self._config, job, functools.partial(self._channel.send, Kind.CHUNK, name))
            self._report(name, outcome)
        except asyncio.CancelledError:
            self._report_cancelled(name)
        except Exception as error:
            self._report(name, Outcome(error=f"{type(error).__name__}: {error}"))
        except BaseException:
            self._leaving = True
            raise
        self._review()

    def _report_cancelled(self, name: str) -> None:
        if self._leaving:
            return
        if name in self._stopped:
            self._end(name, Kind.STOPPED)
        else:
            self._report(name, Outcome(error=SELF_CANCELLED))

    def _report(self, name: str, outcome: Outcome) -> None:
        refresh = bool(self._config.get("refresh_worker", False))
        self._end(name, Kind.DONE, pack_result(result(outcome, refresh)))

    def _end(self, name: str, kind: Kind, body: bytes = b"") -> None:
        flush_output()
        # The worker is idle before the server hears of it: the server's next word may be SIGTERM.
        self._jobs.tasks.pop(name, None)
        self._stopped.discard(name)
        self._channel.send(kind, name, body)
        self._tell_files()

    def _tell_files(self) -> None:
        files = self._files.news() if self._files is not None else None
        if files is not None:
            self._channel.send(Kind.FILES, body=json.dumps(files).encode())

    def _review(self) -> None:
        if not self._leaving and self._concurrency.review(len(self._jobs.tasks)):
            self._channel.send(Kind.CAPACITY, body=str(self._concurrency.applied).encode())

    def _review_when_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(IDLE_REVIEW, self._review_when_idle, loop)
        if not self._jobs.tasks:
            self._review()

    def _terminate(self, finish: Callable[[], object]) -> None:
        """An idle worker leaves as the official one does; a busy one at once, for its jobs are given up already."""
        if self._jobs.tasks or os.getpid() != self._process:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        finish()
