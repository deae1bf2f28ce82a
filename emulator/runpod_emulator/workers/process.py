"""One worker process, seen from the server: its life, its frames and its log.

It must guarantee three things. Each job of the child ends once at most here, under its own lease. No
handler outlives its worker. A job that must stop costs its siblings nothing. What ends a worker is the exit
of its child; an end of the channel alone does not, for the child's log may still have something to say.

    starting ── READY ──> serving ─────────────────────> ended    stopped: it holds nothing, has --stop-grace to leave
        │                    │ takes no more jobs          ^      replaced: a fresh one comes at once
        │                    v                             │      it died by itself: its jobs are tried again
        │                 retiring ── its last job ends ───┤
        └── ended before READY: broken ────────────────────┘      its last lines say why

While it serves, `_lane` takes jobs whenever there is a free slot, and each goes into the child as one frame.
What the child says comes back in order, through `_handle`. A job that must stop is asked to; if the child
still holds it after `OBEY_GRACE`, the worker retires. A plain handler cannot hear that: when its job is the
only one, its process ends at once. Jobs that play a script are performed here, beside the child.

`run` is a task of the endpoint's `Pool`, which calls the other public methods. All happen in the event loop:
nothing runs at the same time as a step of this class, except where that step awaits the endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket

import orjson

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.fleet.worker import REPLACED, Said
from runpod_emulator.core.jobs.drops import EMPTY_INPUT
from runpod_emulator.core.jobs.handout import handout
from runpod_emulator.core.jobs.job import Emitted, Job, JobStatus, Progressed
from runpod_emulator.core.jobs.results import ending, is_oversized, split_chunk, told_of_its_size
from runpod_emulator.core.jobs.store import patiently
from runpod_emulator.core.settings import named
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.workers.child import CLOSING_GRACE, Child
from runpod_emulator.workers.environment import host_name, joined
from runpod_emulator.workers.held import HeldJobs
from runpod_emulator.workers.incoming import READ, read_frames
from runpod_emulator.workers.ports import Placeholders
from runpod_emulator.workers.program import NO_START, Program
from runpod_emulator.workers.runner.frames import Frame, Kind, pieces, unpack_result
from runpod_emulator.workers.scripted import Stage
from runpod_emulator.workers.served import ProcessJobs
from runpod_emulator.workers.stops import AT_A_BREAKPOINT, Stops

log, ends = logging.getLogger("runpod_emulator.worker"), logging.getLogger("runpod_emulator.jobs")

OBEY_GRACE = 5.0
"""Seconds that an async handler has to obey a stop before its process ends."""


class WorkerProcess:
    """A child that runs a handler; `run` is its whole life."""

    def __init__(self, worker: str, endpoint: ProcessJobs, program: Program) -> None:
        self.id = worker
        self._endpoint = endpoint
        self._program = program
        self._caller = Caller()
        self._jobs = HeldJobs(endpoint.shared.timeline)
        self._scripted: set[str] = set()
        """Jobs that play a script here instead of running in the child."""
        self._stage = Stage(endpoint, self._performed, lambda: self._child.kill(signal.SIGKILL))
        self._capacity = 0
        self._was_ready = False
        self._cooperative = False
        self._retiring = False
        self._wants_successor = True
        self._ended = False
        self._slot = asyncio.Event()
        self._taking = False
        """Whether it asks for jobs just now: two who ask at once would get more than there are slots."""
        self._child = Child(f"{endpoint.id}/{worker}", self._printed)
        self._own = Placeholders(worker, program.ports)
        self._writer: asyncio.StreamWriter | None = None
        self._stops = Stops(self._stopped, lambda: self._child.kill(signal.SIGINT))
        self._broken: str | None = None
        self._given_up = ""  # the only job that it held when it was told to end

    async def run(self) -> None:
        """Start the child, serve it until it has ended, and report that."""
        async with self._program.turn(self.retire):
            await self._live()

    async def _live(self) -> None:
        lane: asyncio.Task[None] | None = None
        try:
            reader = await self._start()
            lane = asyncio.ensure_future(self._lane())
            frames = asyncio.ensure_future(read_frames(reader, self._handle, self._emit))
            frames.add_done_callback(self._channel_over)
            await self._child.ended(frames)
        except OSError:
            pass  # what was wrong is in the report of its end
        finally:
            self._drop_jobs()
            self._own.release()
            self._stops.close()
            if lane is not None:
                lane.cancel()
            if self._writer is not None:
                self._writer.close()
            await self._report_end()

    def stop_job(self, job: str, lease: int) -> None:
        """Stop a job that no longer belongs to this worker; its siblings go on."""
        if self._stage.stop(job) or not self._jobs.may_stop(job, lease):
            return
        replaces = self._endpoint.platform.blocked_stop == "replace"
        if replaces and len(self._jobs) == 1 and not self._cooperative:
            self.replace()
            return
        self._send(Kind.STOP, job)
        self._jobs.stop(job, OBEY_GRACE, self._disobeyed)

    def replace(self) -> None:
        """End the child now; a fresh one takes its place, unless it was retired.

        One that holds a job still goes on with what nobody wants: it has no time to leave in peace.
        """
        if not self._ended:
            self._ended = True
            self._caller.hang_up()
            gone = self._endpoint.worker_gone(self.id, replace=self._wants_successor, reason=REPLACED)
            self._hand_over = asyncio.ensure_future(gone)
            self._end_process(None if self._jobs else self._program.stop_grace)

    def kill(self) -> None:
        """Let the child die as it would of a crash: nobody has asked for it."""
        self._child.kill(signal.SIGKILL)

    def retire(self) -> None:
        """Give the child no job more, and end it when those that it holds are over."""
        self._wants_successor = False
        self._take_no_more()
        self._retire()

    def stop(self) -> None:
        """End the child, which holds no job."""
        self._end(self._program.stop_grace)

    def close(self) -> None:
        """End the child soon."""
        self._end(CLOSING_GRACE)

    def _end(self, grace: float) -> None:
        self._ended = True
        self._caller.hang_up()
        self._end_process(grace)

    def _end_process(self, grace: float | None = None) -> None:
        if self._jobs:
            self._send(Kind.GIVE_UP)
            self._given_up = self._jobs.only
        for job in self._jobs:
            self._child.catch_up_log(job, alone=False)
        self._drop_jobs()
        self._child.end(grace)

    async def _start(self) -> asyncio.StreamReader:
        """Start the child; returns the reader of its channel."""
        ours, theirs = socket.socketpair()
        descriptors = [theirs.fileno(), *self._stops.begin(self._program.terminal)]
        arguments = self._program.arguments(*descriptors)
        try:
            python = (self._program.python,)
            await self._child.start(python, arguments, self._environment(), descriptors, self._program.directory)
        except OSError as error:
            ours.close()
            self._broken = f"{self._program.python} could not be started: {error}"
            raise
        finally:
            theirs.close()
            self._stops.begun()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=2 * READ)
        if self._ended:
            self._end_process()
        return reader

    def _environment(self) -> dict[str, str]:
        own = {
            "RUNPOD_ENDPOINT_ID": named(self._endpoint.id),
            "RUNPOD_POD_ID": self.id,
            "RUNPOD_POD_HOSTNAME": host_name(self.id),
        }
        return joined({**own, **self._program.protocol(self.id)}, self._own.fill_all(self._program.environment))

    def _channel_over(self, frames: asyncio.Future[None]) -> None:
        failed = None if self._ended or frames.cancelled() else frames.exception()
        if failed is not None and not isinstance(failed, ConnectionError):  # that is a child which left frames unread
            log.error("%s: the worker's channel is spoilt, so it is ended", self._endpoint.fleet.numbers.name(self.id))
            self._child.kill(signal.SIGKILL)

    async def _handle(self, frame: Frame) -> None:
        kind, job, body = frame
        if kind is Kind.DONE:
            await self._done(job, body)
        elif kind is Kind.PROGRESS:
            lease = self._jobs.leases.get(job)
            if lease is not None:
                await self._endpoint.report(job, Progressed(lease, body))
        elif kind is Kind.STOPPED:
            self._catch_up_log(job)
            self._release(job)
            self._slot.set()
        elif kind is Kind.REFUSED:
            await self._dropped(job, EMPTY_INPUT)
        elif kind is Kind.LOST:
            loss = orjson.loads(body)
            await self._dropped(job, loss["reason"], leaves=loss["leaves"])
        elif kind is Kind.READY:
            facts = orjson.loads(body)
            self._cooperative = facts["cooperative"]
            if not facts["started"]:
                self._warn_of_no_start()
            await self._wants(facts["concurrency"])
        elif kind is Kind.CAPACITY:
            await self._wants(int(body))
        elif kind is Kind.FILES:
            self._program.imported(*orjson.loads(body))
        elif kind is Kind.PRINTED:
            await self._child.printed(job, body, goes_on=job in self._jobs)
        elif kind is Kind.BROKEN:
            self._broken = body.decode("utf-8", "replace")

    def _catch_up_log(self, job: str) -> None:  # what it has printed comes before the word of its end
        self._child.catch_up_log(job, alone=len(self._jobs) == 1)

    def _stopped(self, place: str, job: str) -> None:
        """It has stopped at a breakpoint: what it has printed is shown before it gets the terminal."""
        self._catch_up_log(job)
        if place:
            self._printed(job, Said(f"stopped at {place}. {AT_A_BREAKPOINT}"))

    def _warn_of_no_start(self) -> None:
        """Once for each version of the code, whichever worker of whichever world tells first."""
        known = self._endpoint.fleet.workers.get(self.id)
        if self._program.is_news_that_it_never_starts(known.version if known is not None else 0):
            log.warning("%s: %s", self._endpoint.id, NO_START.format(file=self._program.handler))

    async def _dropped(self, job_id: str, reason: str, leaves: bool = False) -> None:
        """The child will never report on a job; one that `leaves` gives back what it holds by its end."""
        self._catch_up_log(job_id)
        lease = self._release(job_id)
        if lease is not None and not leaves:
            with contextlib.suppress(JobNotFound):
                job = await patiently(self._endpoint.shared.store, lambda: self._endpoint.status(job_id))
                if job.lease == lease and job.status is JobStatus.IN_PROGRESS:
                    await self._endpoint.drop(self.id, job, reason)
        if leaves:
            self._take_no_more()
            self._retire()
        self._slot.set()

    async def _wants(self, concurrency: int) -> None:
        """The child wants so many jobs at once; one that wants none is like one that does not ask."""
        self._capacity = concurrency
        self._slot.set()
        if not self._ended and concurrency:
            self._was_ready = True
            await self._endpoint.worker_ready(self.id, concurrency)

    async def _emit(self, job: str, chunks: list[bytes]) -> None:
        lease = self._jobs.leases.get(job)
        if lease is None:
            return
        platform = self._endpoint.platform
        split = [part for chunk in chunks for part in split_chunk(chunk, platform)]
        await self._endpoint.report(job, Emitted(lease, tuple(split)))

    async def _done(self, job: str, body: bytes) -> None:
        if ends.isEnabledFor(logging.INFO):
            self._catch_up_log(job)
        lease = self._release(job)
        result = unpack_result(body)
        platform = self._endpoint.platform
        if lease is not None:
            if is_oversized(job, result.output, platform):
                self._printed(job, Said(told_of_its_size(job, platform), level="warning"))
            await self._endpoint.report(job, ending(job, lease, result.output, result.error, platform))
        if result.stop_worker:
            self._take_no_more()
            self._retire()
        await self._take_waiting()

    async def _take_waiting(self) -> None:
        """Fill a free slot with a job that waits already, in the same step; else the lane waits for one.

        The lane itself does so while it takes: it knows how many it asked for.
        """
        if self._taking or (free := self._free_slots) <= 0:
            return
        if not self._endpoint.fleet.queued or await self._take(free, 0) < free:
            self._slot.set()

    async def _take(self, most: int, until: int | None) -> int:
        """Take up to `most` jobs, waiting for the first until then; returns how many there were."""
        self._taking = True
        try:
            jobs = await self._endpoint.take(self.id, most, until, self._caller)
        finally:
            self._taking = False
        for job in jobs:
            self._hand_out(job)
        return len(jobs)

    def _release(self, job: str) -> int | None:
        """The child no longer holds the job; returns the lease it had."""
        lease = self._jobs.remove(job)
        if lease is not None:
            self._retire()
        return lease

    def _drop_jobs(self) -> None:
        """Nothing that it holds will be reported on any more."""
        self._stage.close()
        self._jobs.clear()

    def _performed(self, job: str) -> None:
        """A script is over."""
        self._scripted.discard(job)
        self._slot.set()
        self._retire()

    def _disobeyed(self, job: str) -> None:
        log.warning("%s/%s: the handler did not stop within %g s: its worker is replaced",
                    self._endpoint.id, job, OBEY_GRACE)  # fmt: skip
        self._take_no_more()
        self._retire()

    def _take_no_more(self) -> None:
        self._retiring = True
        self._caller.hang_up()

    def _retire(self) -> None:
        """Replace a worker that gets no new job, once its last job that counts has ended."""
        if self._retiring and not self._scripted and not self._jobs.wanted:
            self.replace()

    @property
    def _free_slots(self) -> int:
        if self._retiring or self._ended:
            return 0
        return self._capacity - len(self._jobs.leases) - len(self._scripted)

    async def _lane(self) -> None:
        """Take jobs whenever the child has a free slot."""
        while not self._ended:
            free = self._free_slots
            if free <= 0 or self._taking:
                self._slot.clear()
                await self._slot.wait()
                continue
            if not await self._take(free, None):
                return
            assert self._writer is not None
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    def _hand_out(self, job: Job) -> None:
        running = self._endpoint.scripts.get(job)
        if running is not None:
            self._scripted.add(job.id)
            self._stage.perform(job, running)
            return
        self._jobs.add(job.id, job.lease)
        if self._endpoint.tracing is not None:
            self._send(Kind.TRACE, job.id, self._endpoint.tracing.of_run(job).encode())
        self._send(Kind.JOB, job.id, handout(job, self._endpoint.platform))

    def _send(self, kind: Kind, job: str = "", body: bytes = b"") -> None:
        if self._writer is not None and not self._writer.is_closing():
            for piece in pieces(kind, job, body):
                self._writer.write(piece)

    def _printed(self, job: str, said: Said) -> None:
        """The child has printed a line; what it does not tell apart is of the only job there is."""
        self._endpoint.printed(self.id, job or self._jobs.only or self._given_up, said)

    async def _report_end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._was_ready:
            how = self._child.how_it_ended()
            log.warning("%s: the worker %s", self._endpoint.fleet.numbers.name(self.id), how)
            await self._endpoint.worker_gone(self.id, reason=f"it {how}")
            return
        reason = self._broken or "\n".join((*self._child.last_lines, f"the worker {self._child.how_it_ended()}"))
        await self._endpoint.worker_broken(self.id, await self._program.not_started(reason))
