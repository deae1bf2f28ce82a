"""Jobs that have ended, and nobody has seen that: an automatic clock does not leave out time past their results."""

from __future__ import annotations

from collections.abc import Iterable

from runpod_emulator.core.jobs.job import Job, Transition
from runpod_emulator.core.records.news import Attempt, Effect
from runpod_emulator.core.time.timeline import Timeline


class Unread(Effect):
    """Those of one world, by endpoint and id. Told only where the clock is automatic."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.jobs: set[tuple[str, str]] = set()
        """Endpoint and id of each."""

    def __len__(self) -> int:
        return len(self.jobs)

    def __contains__(self, job: object) -> bool:
        return job in self.jobs

    def seen(self, job: Job) -> None:
        """A client, or a test, has seen the job as it is."""
        if job.status.terminal and (job.endpoint, job.id) in self.jobs:
            self.told(((job.endpoint, job.id),))

    def told(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Somebody knows that these have ended, if they have."""
        known = [key for key in jobs if key in self.jobs]
        if known:
            self.jobs.difference_update(known)
            self._timeline.leaps.hurry()

    def all_told(self) -> None:
        """Somebody knows of every end so far."""
        self.told(self.jobs)

    def tried(self, attempt: Attempt) -> None:
        """Whoever acknowledges a webhook call has the result."""
        if not attempt.problem:
            self.told(((attempt.delivery.endpoint, attempt.delivery.job),))

    def heard(self, transition: Transition) -> None:
        """Keep a job as it ends, until it is run again or forgotten."""
        job = transition.job
        if transition.ended:
            self.jobs.add((job.endpoint, job.id))
        elif transition.after is None or not job.status.terminal:
            self.jobs.discard((job.endpoint, job.id))

    def cleared(self, endpoint: str | None) -> None:
        """Forget all; those of one endpoint stay."""
        if endpoint is None:
            self.jobs.clear()

    def removed(self, endpoint: str) -> None:
        """Nobody can ask for the endpoint's jobs any more."""
        self.jobs = {key for key in self.jobs if key[0] != endpoint}
        self._timeline.leaps.hurry()
