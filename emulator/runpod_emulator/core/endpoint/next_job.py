"""Who may have the next job of an endpoint.

Workers with a free slot wait here, first come, first served. Whoever is woken looks for itself whether there is a job,
in the same step. Mostly one job wakes one worker; but where some worker may not have that job, all are woken, for the
one that has waited longest may be just that one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized

from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom, no_wait


class NextJob:
    """The line of one endpoint's free workers."""

    def __init__(self, endpoint_id: str, room: WaitingRoom) -> None:
        self._topic = ("queue", endpoint_id)
        self._room = room
        self.bars: list[tuple[Sized, Callable[[str], bool]]] = []
        """Each says whether some worker may not have the job of this id now; none while what comes first is empty."""
        self.calls = 0
        """How often somebody was told to look."""

    def wait(self, until: int | None, caller: Caller, since: int, at: int) -> Awaitable[Outcome]:
        """Wait until there may be a job for a worker, from now, the time `at`, at most until the time `until`.

        `since` is what `calls` was before the caller looked: a store may have suspended it, and a job come meanwhile.
        """
        return self._room.wait(self._topic, until, caller, at) if since == self.calls else no_wait()

    def heard(self, transition: Transition) -> None:
        """A job may be there for a worker."""
        if transition.queued:
            self.is_there(transition.job.id)

    def is_there(self, job_id: str) -> None:
        """A job can be taken."""
        is_barred = any(some and bars(job_id) for some, bars in self.bars)
        self._call(None if is_barred else 1)

    def look_again(self) -> None:
        """Somebody may now have a job that it might not have before."""
        self._call()

    def pass_on(self) -> None:
        """Who was woken has left: the next one may look."""
        self._call(1)

    def _call(self, most: int | None = None) -> None:
        self.calls += 1
        self._room.call(self._topic, most=most)
