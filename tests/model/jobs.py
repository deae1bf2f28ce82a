"""One job as a client may know it: its states, times and bodies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LEASE = 40_000
RUN_KEPT, SYNC_KEPT = 1_800_000, 60_000
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
NOTHING = object()
"""The output of a job that has none."""

Answer = tuple[int, Any]
NO_JOB: Answer = (404, {"status": 404, "title": "Not Found", "detail": "job not found"})
NO_ENDPOINT: Answer = (404, {"status": 404, "title": "Not Found", "detail": "endpoint not found"})


@dataclass(frozen=True)
class Between:
    """Equal to any whole number from `low` to `high`: the contract does not say which."""

    low: int
    high: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and self.low <= other <= self.high


@dataclass
class Terms:
    """Where the two readings of the service differ: what an end is called, and what is shown."""

    timeout_end: str = "FAILED"
    lost_end: str = "FAILED"
    queued_ttl_end: str = "GONE"
    webhook_delays: tuple[int, int] = (5_000, 15_000)

    def fields(self) -> list[str]:
        """The same as fields of the platform."""
        delays = ",".join(map(str, self.webhook_delays))
        ends = {"execution_timeout_end": self.timeout_end, "lost_worker_end": self.lost_end}
        queued = "deleted" if self.queued_ttl_end == "GONE" else "timed_out"
        return [
            *(f"{name}={end.lower()}" for name, end in ends.items()),
            f"queued_ttl_end={queued}", f"webhook_retry_delays={delays}",
        ]  # fmt: skip


DOCUMENTED = Terms("TIMED_OUT", "TIMED_OUT", "TIMED_OUT", (10_000, 10_000))


@dataclass
class Job:
    """One job; times are ms of its world's clock."""

    id: str
    number: int
    input: dict[str, Any]
    born: int
    life: int
    limit: int
    kept: int
    webhook: str | None = None
    low: bool = False
    status: str = "IN_QUEUE"
    place: int = 0
    """Its place in the queue, which it keeps when its worker is lost."""
    worker: Any = None
    taken: int | None = None
    lease_until: int | None = None
    ended: int | None = None
    kept_until: int | None = None
    retries: int = 0
    output: Any = NOTHING
    error: str | None = None
    progress_at: int | None = None
    shortened: bool = False
    chunks: list[Any] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in TERMINAL

    def deadline(self) -> tuple[int, str]:
        """When time alone changes it next, and to what."""
        if self.kept_until is not None:
            return self.kept_until, "forget"
        ends = [(self.born + self.life, "expire")]
        if self.taken is not None and self.limit:
            ends.append((self.taken + self.limit, "exceed"))
        if self.lease_until is not None:
            ends.append((self.lease_until, "lose"))
        return min(ends)

    def brief(self) -> dict[str, Any]:
        """What /run, /cancel and /retry answer."""
        return {"id": self.id, "status": self.status}

    def body(self, now: int) -> dict[str, Any]:
        """What /status answers."""
        body = self.brief()
        if self.taken is None:
            return body | ({"error": self.error} if self.error is not None else {})
        body |= {"delayTime": self.taken - self.born, "workerId": self.worker}
        if self.retries and self.status != "CANCELLED":
            body["retries"] = self.retries
        if self.ended is not None:
            body["executionTime"] = self.ended - self.taken
        elif self.progress_at is not None:
            body["executionTime"] = Between(self.progress_at - self.taken, now - self.taken)
        if self.output is not NOTHING and self.status != "CANCELLED":
            body["output"] = self.output
        if self.error is not None:
            body["error"] = self.error
        return body

    def told(self) -> dict[str, Any]:
        """What its webhook carries."""
        body = {name: value for name, value in self.body(0).items() if name != "workerId"}
        return body | {"input": self.input, "webhook": self.webhook}

    def handout(self) -> dict[str, Any]:
        """What a worker gets: an empty input is taken out on the way."""
        return {"id": self.id} | ({"input": self.input} if self.input else {})

    def begin(self, worker: Any, at: int, lease: bool) -> None:
        """A worker takes it."""
        self.status, self.worker, self.taken = "IN_PROGRESS", worker, at
        self.lease_until = at + LEASE if lease else None
        self.output, self.progress_at = NOTHING, None

    def wait_again(self, place: int) -> None:
        """Back to the queue, as if no worker had had it."""
        self.status, self.place = "IN_QUEUE", place
        self.worker = self.taken = self.lease_until = self.ended = self.kept_until = self.progress_at = None
        self.output, self.error, self.chunks = NOTHING, None, []

    def end(self, status: str, at: int) -> None:
        """It ends."""
        self.status, self.ended, self.kept_until = status, at, at + self.kept
        self.lease_until = None
