"""One worker as the rules see it: its state, its jobs, and what /health counts it as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from runpod_emulator.core.time.timers import Timer

ENDED_BY_ITSELF = "it ended by itself"
REPLACED = "a fresh one took its place"
"""Why workers go of whom nothing better is known."""


class WorkerState(str, Enum):
    """What /health counts a worker as."""

    INITIALIZING = "initializing"
    IDLE = "idle"
    RUNNING = "running"
    THROTTLED = "throttled"
    UNHEALTHY = "unhealthy"


@dataclass(slots=True)
class Worker:
    """One worker as the rules see it."""

    id: str
    state: WorkerState = WorkerState.THROTTLED
    number: int = 0
    """The how manyth of its endpoint's workers it is, from 1: a short name for people."""
    concurrency: int = 1
    jobs: set[str] = field(default_factory=set)
    idle_timer: Timer | None = None
    coming: Timer | None = None
    """The next step of its coming up."""
    boots: bool = False
    """Whether its program has been started and is not ready; virtual time stands meanwhile."""
    over_http: bool = False
    ours: bool = True
    """Whether we started it: only such a worker counts against the maximum, and is ever stopped."""
    is_shared: bool = False
    """Whether it polls, and every server over the store knows it."""
    version: int = 0
    """Counts the changes of code before its start."""
    outdated: bool = False
    """Whether it runs old code or is one too many, and only finishes what it holds."""
    reason: str = ""
    """Why it is unhealthy, in its own last words, or why it goes."""
    changed: Callable[[Worker, WorkerState | None], None] | None = None
    """Called with its new state, None as it goes."""
    followers: Sequence[object] = ()
    """Who hears of that: while there is none it is not called, for every job changes its worker twice."""

    def become(self, state: WorkerState) -> None:
        """Get into a state."""
        if self.state is not state:
            self.state = state
            self.tell(state)

    def tell(self, state: WorkerState | None) -> None:
        """Let those hear who follow it."""
        if self.followers and self.changed is not None:
            self.changed(self, state)

    def leave(self, reason: str = "") -> None:
        """It is no longer one of its endpoint's, for this reason; one that it has already comes first."""
        self.reason = self.reason or reason
        self.tell(None)

    @property
    def is_coming_up(self) -> bool:
        """Whether it has not been ready yet."""
        return self.state in (WorkerState.INITIALIZING, WorkerState.THROTTLED)

    @property
    def counts(self) -> bool:
        """Whether it is one of ours that serves, or soon will."""
        return self.ours and not self.outdated and self.state is not WorkerState.UNHEALTHY

    def begin_initializing(self) -> None:
        """It has its machine."""
        if self.state is WorkerState.THROTTLED:
            self.become(WorkerState.INITIALIZING)

    @property
    def free_slots(self) -> int:
        """How many jobs it could take now, or once it is up."""
        if self.outdated or self.state is WorkerState.UNHEALTHY:
            return 0
        free = self.concurrency - len(self.jobs)
        return free if free > 0 else 0


class WorkerChange(NamedTuple):
    """A worker has come, is in another state or is gone."""

    at: int
    endpoint: str
    worker: str
    state: WorkerState | None
    """None for one that is gone."""
    number: int = 0
    reason: str = ""
    """Why it is unhealthy, or gone; "" where nothing is said."""


class Said(NamedTuple):
    """What a worker has printed in one line."""

    text: str
    """All of it can be seen, and nothing is coloured."""
    coloured: str = ""
    """The same with its colours, "" where it has none."""
    level: str = "info"
    """`info`, `warning` or `error`, as far as the emulator knows."""
    more: bool = False
    """Whether the next line belongs to it: they are of one traceback, and come in one step."""


class Line(NamedTuple):
    """A line that a worker has printed; `Said` says more of it."""

    at: int
    endpoint: str
    worker: str
    job: str
    """The job that has printed it, "" where nobody knows."""
    text: str
    """Secrets are masked when it is shown."""
    level: str = "info"
    number: int = 0
    """The worker's, 0 where it is unknown."""
    coloured: str = ""
    more: bool = False


class WorkerCounts(NamedTuple):
    """The worker half of /health."""

    idle: int
    initializing: int
    ready: int
    running: int
    throttled: int
    unhealthy: int
