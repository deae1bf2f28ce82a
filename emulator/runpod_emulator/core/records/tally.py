"""What is counted of requests, jobs and webhook calls, for whoever draws curves of them."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable

from runpod_emulator.core.jobs.job import Job, Transition
from runpod_emulator.core.jobs.listeners import ENDS
from runpod_emulator.core.records.news import Attempt, Effect, Entry

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
"""Seconds: from what a warm worker takes to what a cold one with a large model does."""
_OTHER = ""
"""The endpoint of requests to one that there is not: whoever tries a thousand names makes one series of them."""


class Histogram:
    """How many durations there were up to each bound, and their sum."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, milliseconds: int) -> None:
        """One duration more."""
        seconds = milliseconds / 1000
        self._counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def rows(self) -> list[tuple[str, float]]:
        """For each bound, `+Inf` last, how many durations were no longer."""
        names, total, rows = [*map(str, BOUNDS), "+Inf"], 0, []
        for name, count in zip(names, self._counts, strict=True):
            total += count
            rows.append((name, float(total)))
        return rows


class Tally(Effect):
    """Counts from the moment at which it is made; what is remembered then is counted in.

    `knows` says whether there is an endpoint of this id: only those are counted by name.
    """

    events = ENDS

    def __init__(
        self,
        knows: Callable[[str], bool],
        entries: Iterable[Entry] = (),
        attempts: Iterable[Attempt] = (),
        ended: Iterable[Job] = (),
    ) -> None:
        self._knows = knows
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By endpoint, operation and status."""
        self.calls: Counter[tuple[str, str]] = Counter()
        """Webhook calls by endpoint and outcome: acknowledged, or failed."""
        self.delays: dict[str, Histogram] = {}
        """By endpoint: from a job's submission until its last worker had it."""
        self.runs: dict[str, Histogram] = {}
        """By endpoint: how long that worker worked."""
        for entry in entries:
            self.answered(entry)
        for attempt in attempts:
            self.tried(attempt)
        for job in ended:
            self._count(job)

    def answered(self, entry: Entry) -> None:
        """Count a request."""
        endpoint = entry.endpoint if self._knows(entry.endpoint) else _OTHER
        self.requests[endpoint, entry.operation, entry.status] += 1

    def tried(self, attempt: Attempt) -> None:
        """Count a webhook call."""
        self.calls[attempt.delivery.endpoint, "failed" if attempt.problem else "acknowledged"] += 1

    def heard(self, transition: Transition) -> None:
        """Count a job that has ended."""
        self._count(transition.job)

    def _count(self, job: Job) -> None:
        if job.taken_at is None or job.ended_at is None:
            return
        self.delays.setdefault(job.endpoint, Histogram()).add(job.taken_at - job.submitted_at)
        self.runs.setdefault(job.endpoint, Histogram()).add(job.ended_at - job.taken_at)

    def cleared(self, endpoint: str | None) -> None:
        """Begin anew, for one endpoint or for all."""
        for counted in (self.requests, self.calls):
            for key in [key for key in counted if endpoint in (None, key[0])]:
                del counted[key]
        for histograms in (self.delays, self.runs):
            for name in [name for name in histograms if endpoint in (None, name)]:
                del histograms[name]

    def removed(self, endpoint: str) -> None:
        """An endpoint that was taken away has no series any more."""
        self.cleared(endpoint)
