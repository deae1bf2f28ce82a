"""What a client hands in, and what /health says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runpod_emulator.core.fleet.worker import WorkerCounts
from runpod_emulator.core.platform import Platform


class Submission(NamedTuple):
    """What a client hands in; durations in ms, None where the endpoint decides."""

    input: bytes
    webhook: str | None = None
    execution_timeout: int | None = None
    ttl: int | None = None
    low_priority: bool = False
    s3_config: bytes | None = None
    sync: bool = False
    """Handed in through /runsync."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    """Of the request, as they came: stubs may look at them."""
    wait: int | None = None
    """How long the client of /runsync said that it would wait, in ms; may lengthen the life of the result."""
    id: str = ""
    """The job's id, where it has one already."""
    batch: str = ""
    """The batch of which it is a request."""

    def retention(self, platform: Platform) -> int:
        """How long the result is kept, in ms."""
        if not self.sync:
            return platform.run_retention
        kept = platform.runsync_retention
        if self.wait is None or platform.runsync_wait_retention == "fixed":
            return kept
        return max(kept, min(self.wait, platform.runsync_retention_max))


class Health(NamedTuple):
    """The counters of /health; those of ended jobs are cumulative."""

    queued: int
    running: int
    completed: int
    failed: int
    retried: int
    workers: WorkerCounts
    timed_out: int = 0
    """Jobs that TIMED_OUT; `failed` holds them too, if the platform says so."""
