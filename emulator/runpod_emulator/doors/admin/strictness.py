"""What a strict test fails for: what it prepared and nobody used, and what went wrong and it did not look at."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from runpod_emulator.core.jobs.deliveries import DeliveryStatus
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.records.news import Entry
from runpod_emulator.core.secrets.shown import visible
from runpod_emulator.doors.admin.told import lines
from runpod_emulator.doors.admin.whereabouts import hook_line
from runpod_emulator.mocking.profiles import PROFILES
from runpod_emulator.world.world import World

_LEFT = 499
"""A client that hung up was not refused."""
_MOST = 10
"""Reasons of a kind."""


def unmet(world: World, asserted: Collection[int]) -> list[str]:
    """The reasons; `asserted` are the numbers of requests that the test has asked for. Secrets are masked."""
    return [visible(world.masks.text(reason)) for reason in _reasons(world, asserted)]


def _reasons(world: World, asserted: Collection[int]) -> Iterator[str]:
    for stub in world.stubs.added():
        if not stub.matched:
            yield f"stub {stub.id} was never used"
    for fault in world.faults.added():
        if not fault.struck and not _by_chance(fault):
            yield f"fault {fault.id} ({fault.kind.value}) never struck; it was asked {fault.asked} times"
    for miss in list(world.stubs.misses)[:_MOST]:
        yield f"a job of {miss.endpoint} met no stub: {miss.why}"
    for attempt in world.attempts:
        if attempt.delivery.status is DeliveryStatus.GIVEN_UP:
            yield hook_line(world, attempt)
    refused = [(one, "") for one in world.journal if _is_refused(one) and one.number not in asserted]
    for line in lines(refused, world.masks, _MOST):
        yield f"a request was refused, and nobody asked for it: {line}"


def _by_chance(fault: Fault) -> bool:
    """Whether dice decide that it strikes, or it came with others of a profile, of which each is for some requests."""
    return fault.probability < 1 or fault.id.partition(".")[0] in PROFILES


def _is_refused(entry: Entry) -> bool:
    """Whether the emulator refused a request: no fault did, and no worker of a load-balancing endpoint."""
    return entry.status >= 400 and entry.status != _LEFT and not entry.fault and entry.operation != "balanced"
