"""What this process knows of records from its last look: they may have changed since, so each has its version."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from runpod_emulator.core.jobs.job import Job

MOST = 5_000
"""Records that are remembered."""
MOST_BYTES = 32 << 20
"""Bytes of their texts."""


class Seen(NamedTuple):
    """A record, and the number of the write that has made it what it is."""

    version: str
    job: Job


class Known:
    """The records that were looked at last; those longest ago are forgotten first."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._seen: OrderedDict[tuple[str, str], Seen] = OrderedDict()
        self._bytes = 0

    def get(self, endpoint: str, job: str) -> Seen | None:
        """What was seen last of a job, if that is remembered."""
        return self._seen.get((endpoint, job))

    def note(self, endpoint: str, seen: Seen) -> None:
        """Remember a record as it is now."""
        key = endpoint, seen.job.id
        self.forget(*key)
        self._seen[key] = seen
        self._bytes += _size(seen)
        while len(self._seen) > self._most or self._bytes > self._most_bytes:
            self._bytes -= _size(self._seen.popitem(last=False)[1])

    def forget(self, endpoint: str, job: str) -> None:
        """Somebody else has changed a job, or it is gone."""
        seen = self._seen.pop((endpoint, job), None)
        if seen is not None:
            self._bytes -= _size(seen)

    def clear(self) -> None:
        """Forget all."""
        self._seen.clear()
        self._bytes = 0


def _size(seen: Seen) -> int:
    job = seen.job
    return len(job.input) + len(job.output or b"") + len(job.s3_config or b"")
