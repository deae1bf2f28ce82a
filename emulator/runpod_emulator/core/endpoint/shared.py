"""What the endpoints of one emulator share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.fleet.worker import Line, WorkerChange
from runpod_emulator.core.jobs.ids import IdSource
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.jobs.listeners import ByKind
from runpod_emulator.core.jobs.store import JobStore
from runpod_emulator.core.mocks.faults import FaultBook
from runpod_emulator.core.mocks.stubs import StubBook
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.rates import Counter
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.waiting import WaitingRoom


@dataclasses.dataclass(frozen=True, slots=True)
class Shared:
    """One of each."""

    platform: Platform
    timeline: Timeline
    store: JobStore
    room: WaitingRoom
    ids: IdSource
    owner: str
    """This server, as jobs name it whose workers' processes it watches."""
    capacity: Capacity
    stubs: StubBook
    faults: FaultBook
    rate_limits: bool
    counter: Counter
    webhook_body: Callable[[Job, Platform], bytes]
    on_won: ByKind
    """Called once for every transition, where the write won; must not raise or wait."""
    on_worker: Sequence[Callable[[WorkerChange], None]] = ()
    """Called as a worker comes, gets into another state or goes; must not raise or wait."""
    on_line: Sequence[Callable[[Line], None]] = ()
    """Called with each line that a worker prints; must not raise or wait."""
    flaws: dict[str, str] = dataclasses.field(default_factory=dict)
    """Why the code of an endpoint can't be started as it is now, in a worker's last words, for those where it can't."""
