"""The last records of jobs whose time was over: clients are told of them no more, and people still ask why."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.job import Job

_RECORD = 2_000
"""Bytes that a record takes without its texts."""

Key = tuple[str, str]
"""Endpoint and id of a job."""


class Expired:
    """Records in `most_bytes` of memory: those that expired longest ago are forgotten. The newest is always kept."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._jobs: dict[Key, Job] = {}
        self._order: deque[Key] = deque()
        """Oldest first, also of those that are forgotten since."""

    def add(self, job: Job) -> None:
        """Keep the record of one that has just expired."""
        key = job.endpoint, job.id
        self.forget(key)
        if job.script is not None:
            job = job._replace(script=None)  # nobody plays it again
        self._jobs[key] = job
        self._order.append(key)
        self._held += _size(job)
        while self._held > self._most and len(self._jobs) > 1:
            self.forget(self._order[0])

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, key: Key) -> Job | None:
        """The record; None where none is kept."""
        return self._jobs.get(key)

    def forget(self, key: Key) -> None:
        """Forget one, if it is kept."""
        job = self._jobs.pop(key, None)
        if job is not None:
            self._held -= _size(job)
        while self._order and self._order[0] not in self._jobs:
            self._order.popleft()

    def dump(self) -> list[Job]:
        """All of them, those that expired longest ago first."""
        return list(self._jobs.values())

    def clear(self, endpoint: str | None) -> None:
        """Forget all, or those of one endpoint."""
        kept = {} if endpoint is None else {key: job for key, job in self._jobs.items() if key[0] != endpoint}
        free_later([self._jobs, self._order])
        self._jobs, self._order = kept, deque(kept)
        self._held = sum(map(_size, kept.values()))


def _size(job: Job) -> int:
    return _RECORD + len(job.input) + len(job.output or b"") + len(job.error or "") + len(job.webhook or "")
