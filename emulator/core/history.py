"""What became of each job: every transition and its time, also of jobs that are gone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from emulator.core.job import Transition
from emulator.core.remains import free_later

KEPT = 10_000
"""Jobs; those that came longest ago are forgotten."""


class Moment(NamedTuple):
    """One transition of a job."""

    at: int
    event: str
    status: str
    """After it; GONE when the job was deleted."""
    worker: str | None
    retries: int


class History:
    """The moments of one emulator's jobs."""

    def __init__(self) -> None:
        self._moments: dict[tuple[str, str], list[Moment]] = {}
        self._order: deque[tuple[str, str]] = deque()
        """The jobs, first come first: a dictionary that loses its first key again and again gets slow."""

    def heard(self, transition: Transition) -> None:
        """Note a transition."""
        job = transition.job
        status = "GONE" if transition.after is None else job.status.value
        moment = Moment(transition.at, type(transition.event).__name__, status, job.worker, job.retries)
        key = job.endpoint, job.id
        moments = self._moments.get(key)
        if moments is not None:
            moments.append(moment)
            return
        self._moments[key] = [moment]
        self._order.append(key)
        if len(self._order) > KEPT:
            del self._moments[self._order.popleft()]

    def of(self, endpoint: str, job: str) -> list[Moment]:
        """The moments of one job, oldest first; empty for one that nobody remembers."""
        return self._moments.get((endpoint, job), [])

    def jobs(self, endpoint: str | None = None) -> Iterator[tuple[str, str]]:
        """Endpoint and id of every job that is remembered, oldest first."""
        return (key for key in self._moments if endpoint in (None, key[0]))

    def clear(self, endpoint: str | None = None) -> None:
        """Forget all, or the jobs of one endpoint."""
        kept = {} if endpoint is None else {key: value for key, value in self._moments.items() if key[0] != endpoint}
        free_later([self._moments, self._order])
        self._moments, self._order = kept, deque(kept)
