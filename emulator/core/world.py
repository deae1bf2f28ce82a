"""What the endpoints of one emulator share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from emulator.core.capacity import Capacity
from emulator.core.faults import FaultBook
from emulator.core.ids import Ids
from emulator.core.job import Job, Transition
from emulator.core.platform import Platform
from emulator.core.store import JobStore
from emulator.core.stubs import StubBook
from emulator.core.timeline import Timeline
from emulator.core.waiting import WaitingRoom


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """One of each."""

    platform: Platform
    timeline: Timeline
    store: JobStore
    room: WaitingRoom
    ids: Ids
    capacity: Capacity
    stubs: StubBook
    faults: FaultBook
    rate_limits: bool
    webhook_body: Callable[[Job, Platform], bytes]
    on_won: Sequence[Callable[[Transition], None]]
    """Called once for every transition, where the write won; must not raise or wait."""
