"""Faults to be put into the emulator on purpose: a model that does not find them is worth nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.jobs.job import Forgotten, JobStatus, Retried, Transition
from runpod_emulator.core.jobs.store import Change, FirstDue, Unread, Written
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.world.worlds import Worlds

LATE = 700
"""ms."""


def late_deadlines(patch: pytest.MonkeyPatch) -> None:
    """A deadline of a job fires too late."""
    first_due = MemoryStore.first_due

    async def late_first_due(self: MemoryStore) -> FirstDue | None:
        first = await first_due(self)
        return None if first is None else (first[0] + LATE, first[1])

    patch.setattr(MemoryStore, "first_due", late_first_due)


def chunks_twice(patch: pytest.MonkeyPatch) -> None:
    """The last chunk of an answer is in the next one too."""
    unread = MemoryStore.unread
    given: dict[tuple[int, str, str], list[bytes]] = {}

    async def read_again(self: MemoryStore, endpoint: str, job: str) -> Unread:
        read = await unread(self, endpoint, job)
        again = given.pop((id(self), endpoint, job), [])
        if read.chunks:
            given[id(self), endpoint, job] = read.chunks[-1:]
        return read._replace(chunks=[*again, *read.chunks])

    patch.setattr(MemoryStore, "unread", read_again)


def kept_output(patch: pytest.MonkeyPatch) -> None:
    """A retry keeps the output of the run before it."""

    def keep(transition: Transition | None) -> Transition | None:
        before, after = (transition.before, transition.after) if transition else (None, None)
        if transition and isinstance(transition.event, Retried) and before is not None and after is not None:
            after = after._replace(output=before.output)
            return transition._replace(after=after, job=after)
        return transition

    _patch_update(patch, keep)


def greedy_purge(patch: pytest.MonkeyPatch) -> None:
    """A purge takes running jobs too."""
    purge = Endpoint.purge

    async def purge_all(self: Endpoint) -> int:
        removed = await purge(self)
        jobs, _ = await self.requests(0, 1_000)
        running = [job for job in jobs if job.status is JobStatus.IN_PROGRESS]
        for job in running:
            await self.change(job.id, Forgotten())
        return removed + len(running)

    patch.setattr(Endpoint, "purge", purge_all)


def stuck_counter(patch: pytest.MonkeyPatch) -> None:
    """A running job that is cancelled goes on counting as in progress."""
    update = MemoryStore.update

    async def update_and_miscount(
        self: MemoryStore, endpoint: str, job: str, change: Change, patient: bool = False
    ) -> Written:
        transition, counts = written = await update(self, endpoint, job, change)
        before, after = (transition.before, transition.after) if transition else (None, None)
        if before and after and (before.status, after.status) == (JobStatus.IN_PROGRESS, JobStatus.CANCELLED):
            counts.running += 1
        return written

    patch.setattr(MemoryStore, "update", update_and_miscount)


def kept_places(patch: pytest.MonkeyPatch) -> None:
    """A world that is dropped keeps the process places of its workers."""
    drop = Worlds.drop

    async def drop_and_keep(self: Worlds, namespace: str) -> bool:
        if namespace in self.names:
            world = self.named(namespace)
            for one in world.endpoints.values():
                counts, capacity = one.fleet.counts(), one.shared.capacity
                if one.workforce.launcher.kind == "command" and capacity.limit is not None:
                    capacity.limit -= counts.idle + counts.running + counts.initializing
        return await drop(self, namespace)

    patch.setattr(Worlds, "drop", drop_and_keep)


def _patch_update(patch: pytest.MonkeyPatch, alter: Callable[[Transition | None], Transition | None]) -> None:
    update = MemoryStore.update

    async def altered(self: MemoryStore, endpoint: str, job: str, change: Any, patient: bool = False) -> Written:
        return await update(self, endpoint, job, lambda before: alter(change(before)))

    patch.setattr(MemoryStore, "update", altered)


DEFECTS = {
    "a deadline that fires late": late_deadlines,
    "a chunk given twice": chunks_twice,
    "a retry that keeps its output": kept_output,
    "a purge that takes running jobs": greedy_purge,
    "a count that is not lowered": stuck_counter,
    "a world that keeps its places": kept_places,
}
