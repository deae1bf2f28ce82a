"""Clients that wait for a job: for its end, or for the next chunk of its stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from runpod_emulator.core.jobs.job import Emitted, Forgotten, Taken, Transition
from runpod_emulator.core.jobs.listeners import ENDS, Kinds
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom, no_wait


class Waiters:
    """Those who wait for jobs of one endpoint; `sees_start` is whether a stream's reader is woken as the job starts.

    Whoever looks, and waits, and looks again does so `with` them, until it has its answer.
    """

    def __init__(self, endpoint_id: str, room: WaitingRoom, sees_start: bool) -> None:
        self._id = endpoint_id
        self._room = room
        self.events: Kinds = (Emitted, *ENDS, Forgotten, Taken) if sees_start else (Emitted, *ENDS, Forgotten)
        """Kinds of events that concern those who wait."""
        self.calls = 0
        """How often there were news for those who wait for some job."""
        self._here = 0
        self._empty: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        self._here += 1

    def __exit__(self, *error: object) -> None:
        self._here -= 1
        if self._empty is not None and not self._here:
            self._empty.set_result(None)
            self._empty = None

    async def answered(self) -> None:
        """Wait until everybody has an answer; to be asked once there is one for all."""
        while self._here:
            if self._empty is None:
                self._empty = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._empty)

    def end(self, job_id: str, until: int | None, caller: Caller | None, since: int, at: int) -> Awaitable[Outcome]:
        """Wait for the job's end, from now, the time `at`, at most until the time `until`, if any.

        `since` is what `calls` was before the caller looked: a store may have suspended it, and the end come meanwhile.
        """
        return self._room.wait(("end", self._id, job_id), until, caller, at) if since == self.calls else no_wait()

    def chunk(self, job_id: str, until: int | None, caller: Caller | None, since: int, at: int) -> Awaitable[Outcome]:
        """Wait for a chunk or the job's end; `until`, `since` and `at` as for `end`."""
        return self._room.wait(("stream", self._id, job_id), until, caller, at) if since == self.calls else no_wait()

    def heard(self, transition: Transition) -> None:
        """Wake those whom the transition concerns."""
        job_id = transition.job.id
        if transition.ended or transition.after is None:
            self.calls += 1
            self._room.call(("end", self._id, job_id), ("stream", self._id, job_id))
        else:
            self.look_again(job_id)

    def look_again(self, job_id: str) -> None:
        """There may be something new in the job's stream."""
        self.calls += 1
        self._room.call(("stream", self._id, job_id))

    def reset(self) -> None:
        """Wake everybody: the jobs were forgotten."""
        self.calls += 1
        for topic in ("end", "stream"):
            self._room.call_all(topic, self._id)
