"""What one endpoint is configured to do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import Platform


class Span(NamedTuple):
    """A duration somewhere from `low` to `high` milliseconds; the seed decides where, None the server's."""

    low: int = 0
    high: int = 0
    seed: int | None = None


AT_ONCE = Span()
MOST_WORKERS = 10_000
"""Of one endpoint."""
LONGEST_ID = 200
"""Characters of an endpoint's id, with which patterns are compared on each request; RunPod's have 14."""
ID = re.compile(r"[a-zA-Z0-9_-]+")
"""What the id of an endpoint is made of."""
FLASH = "flash"
"""No endpoint's id: below it, Flash clients name an endpoint in their headers."""


BATCHES = "~batch"
"""Ends the id of the queue beside an endpoint's own, for the requests of its batches; no endpoint has such an id."""


def of_batches(endpoint: str) -> str:
    """The id of the queue that runs the batches of an endpoint."""
    return endpoint + BATCHES


def is_of_batches(queue: str) -> bool:
    """Whether this is the id of such a queue."""
    return queue.endswith(BATCHES)


def named(queue: str) -> str:
    """The endpoint as clients, stubs and faults name it, of which this is the id of either queue."""
    return queue.removesuffix(BATCHES)


ONLY_BALANCED = "this is for load-balancing endpoints only"


class FlashAddress(NamedTuple):
    """How a Flash client names an endpoint."""

    app: str
    environment: str
    name: str


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One endpoint's settings; durations in milliseconds. Raises ConfigurationError when they contradict."""

    id: str
    workers_min: int
    workers_max: int
    idle_timeout: int
    execution_timeout: int
    """Limit of a job without a policy of its own; 0 is none."""
    job_ttl: int
    scaler: Literal["REQUEST_COUNT", "QUEUE_DELAY"] = "REQUEST_COUNT"
    scaler_requests: int = 1
    scaler_delay: int = 4_000
    worker_capacity: int = 0
    """Requests in flight that a load-balancing worker takes at most; 0 is no limit."""
    init_timeout: int = 0
    """How long a worker's process may take to be ready; 0 is for ever."""
    throttle: Span = AT_ONCE
    """Simulated wait for a machine before each worker."""
    cold_start: Span = AT_ONCE
    """Simulated start of a container before each worker's process."""
    mock: bool = False
    """Whether no handler runs what no stub matches."""
    keeps_warm: bool = False
    """Whether the last worker that is up stays however long it is idle: newer code may be broken."""
    batch_workers_max: int | None = None
    """Workers that its batches may have, beside those of all other jobs; None for as many as these."""
    starts_workers: bool = True
    """False where only workers that were started elsewhere serve."""
    unlimited: bool = False
    """Whether no job is ended for the time that it takes, whatever its policy says: it may stop at a breakpoint."""
    flash: FlashAddress | None = None
    """What it is called in a Flash app, if it is a function of one."""

    share: int = field(init=False, repr=False, compare=False)
    """Jobs, or requests in flight, that one worker is there for: never more than it takes."""

    def debugged(self) -> EndpointSettings:
        """The same for one worker, in which people look at a job for as long as they like."""
        return replace(
            self, workers_min=1, workers_max=1, execution_timeout=0, init_timeout=0, worker_capacity=0, unlimited=True
        )

    def __post_init__(self) -> None:
        share = max(1, min(self.scaler_requests, self.worker_capacity or self.scaler_requests))
        object.__setattr__(self, "share", share)
        check_id(named(self.id))
        if self.workers_max > MOST_WORKERS:
            raise ConfigurationError(f"endpoint {self.id}: workers_max is above {MOST_WORKERS}")
        if (self.batch_workers_max or 0) > MOST_WORKERS:
            raise ConfigurationError(f"endpoint {self.id}: batch_workers_max is above {MOST_WORKERS}")
        if self.workers_min > self.workers_max:
            raise ConfigurationError(
                f"endpoint {self.id}: workers_min ({self.workers_min}) is above workers_max ({self.workers_max})"
            )


def default_settings(endpoint: str, platform: Platform, **changes: Any) -> EndpointSettings:
    """An endpoint with the platform's defaults and some `changes`.

    Raises ConfigurationError for a time outside the platform's range.
    """
    names = (
        "workers_min", "workers_max", "idle_timeout", "execution_timeout", "job_ttl", "scaler", "scaler_requests",
        "scaler_delay", "init_timeout",
    )  # fmt: skip
    return checked(
        EndpointSettings(id=endpoint, **({name: getattr(platform, name) for name in names} | changes)), platform
    )


def checked(settings: EndpointSettings, platform: Platform) -> EndpointSettings:
    """The settings; raises ConfigurationError for a time outside the platform's range."""
    _check("job_ttl", settings.job_ttl, platform.job_ttl_min, platform.job_ttl_max)
    if settings.execution_timeout:
        low, high = platform.execution_timeout_min, platform.execution_timeout_max
        _check("execution_timeout", settings.execution_timeout, low, high)
    return settings


def check_id(endpoint: str) -> None:
    """Refuse an id that is not free for endpoints; raises ConfigurationError."""
    if not ID.fullmatch(endpoint):
        raise ConfigurationError(f"{endpoint[:20]!r} can't be an endpoint id (letters, digits, - and _)")
    if endpoint == FLASH:
        raise ConfigurationError(
            f"no endpoint may be called {FLASH}: under /v2/{FLASH} Flash clients reach the endpoint that their headers "
            "name. Choose another id"
        )
    if len(endpoint) > LONGEST_ID:
        raise ConfigurationError(f"endpoint {endpoint[:20]}…: an id has at most {LONGEST_ID} characters")


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{name} must be from {low} to {high} ms, got {value}")
