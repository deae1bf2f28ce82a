"""What workers took at this server, for the case that nobody can be told what became of it.

Who hears of every transition needs none of this. Where news was lost, each job is looked for in the store: what is not
its worker's any more is taken from it, and what still is counts as its own though nobody has heard of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Job, JobStatus, Transition
from runpod_emulator.core.jobs.store import patiently

if TYPE_CHECKING:
    from runpod_emulator.core.endpoint.next_job import NextJob
    from runpod_emulator.core.endpoint.shared import Shared
    from runpod_emulator.core.endpoint.workforce import Balance
    from runpod_emulator.core.fleet.fleet import Fleet


class Holders(Protocol):
    """What is needed of the work of an endpoint."""

    id: str
    shared: Shared
    fleet: Fleet
    next_job: NextJob

    @property
    def balance(self) -> Balance:
        """Starts the workers that are needed now."""
        ...


class HeldHere:
    """The jobs that workers took here, without their texts; kept only where other servers use the store.

    `stop` tells a worker that a job, as it was, is its own no more.
    """

    def __init__(self, work: Holders, stop: Callable[[Job], None]) -> None:
        self._work = work
        self._stop = stop
        self._jobs: dict[str, Job] = {}

    def took(self, jobs: Iterable[Job]) -> None:
        """A worker has these now."""
        self._jobs.update((job.id, job._replace(input=b"", output=None)) for job in jobs)

    def let_go(self, transition: Transition) -> None:
        """A worker has a job no more."""
        self._jobs.pop(transition.job.id, None)

    async def look_again(self) -> None:
        """Take from workers what is not theirs any more, and see what there is for them."""
        work = self._work
        work.next_job.look_again()
        for job in list(self._jobs.values()):
            assert job.worker is not None
            if await self._is_theirs(job):
                work.fleet.give(job.worker, job.id)
            elif self._jobs.pop(job.id, None) is not None:
                work.fleet.release(job.worker, job.id)
                self._stop(job)
        await work.balance()

    async def _is_theirs(self, held: Job) -> bool:
        store = self._work.shared.store
        try:
            job = await patiently(store, lambda: store.get(held.endpoint, held.id))
        except JobNotFound:
            return False
        return job.status is JobStatus.IN_PROGRESS and (job.worker, job.lease) == (held.worker, held.lease)
