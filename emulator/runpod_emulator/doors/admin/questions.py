"""What tests ask of what happened: which requests came, and whether something is the case yet."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runpod_emulator.core.errors import InvalidBody
from runpod_emulator.core.jobs.job import JobStatus, Transition
from runpod_emulator.core.mocks.stubs import Question
from runpod_emulator.core.records.journal import Journal
from runpod_emulator.core.records.news import Entry
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.time.clock import AutoClock, VirtualClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.doors.admin.listings import MOST, chosen, slowly
from runpod_emulator.mocking.checks import input_check
from runpod_emulator.values import Exact, Milliseconds
from runpod_emulator.world.world import World

_PATIENCE, _VIRTUAL_PATIENCE = 10_000, 24 * 3_600_000
"""Milliseconds that a wait lasts which does not say how long."""


class Parameters(Exact):
    """The JSON that a caller sends with a request; an unknown member is refused."""

    model_config = ConfigDict(extra="forbid")


_COMPARED = ("endpoint", "operation", "method", "path", "status", "job")
_compared = attrgetter(*_COMPARED)


class Filter(Parameters):
    """Which requests are meant; what is not said may be anything."""

    endpoint: str | None = None
    operation: str | None = Field(None, description="run, runsync, status, status_sync, stream, cancel, retry, purge …")
    method: str | None = None
    path: str | None = None
    status: int | None = Field(None, description="of the answer")
    job: str | None = None
    body: Any = Field(None, description="a part of the JSON body: members that must be there with these values")
    headers: dict[str, str] = Field({}, description="headers that must be there with these values")

    def fits(self, entry: Entry) -> bool:
        """Whether a request is meant; its body is looked at last, and only if all else fits."""
        expected = (getattr(self, name) for name in _COMPARED)
        if any(value not in (None, actual) for value, actual in zip(expected, _compared(entry), strict=True)):
            return False
        return not self.differences(entry)

    def differences(self, entry: Entry, masks: Masks | None = None) -> list[str]:
        """What keeps a request from being meant: secrets are compared as they are, and shown with `masks`."""
        expected = {name: getattr(self, name) for name in _COMPARED}
        found = [
            f"{name}: expected {value!r}, got {getattr(entry, name)!r}"
            for name, value in expected.items()
            if value is not None and value != getattr(entry, name)
        ]
        if self.body is not None and entry.is_cut:
            found.append(f"body: not compared, for {_unread(entry)}")
        elif self.body is not None:
            difference = input_check(self.body)(Question("", entry.body or b"null"))
            found += [difference.replace("input", "body", 1)] if difference else []
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in entry.headers}
        found = [masks.text(difference) for difference in found] if masks else found
        found += [
            f"header {masks.text(name) if masks else name}: expected {_shown(name, value, masks)}, "
            f"got {_shown(name, given.get(name.lower()), masks)}"
            for name, value in self.headers.items()
            if given.get(name.lower()) != value
        ]
        return found

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not self.model_fields_set


async def meant(journal: Journal, match: Filter) -> list[Entry]:
    """The requests that fit, oldest first."""
    return await chosen(list(journal), match.fits)


def _unread(entry: Entry) -> str:
    kept, whole = len(entry.body), entry.body_size
    return f"it was not read: {entry.unread}" if entry.unread else f"only {kept} of its {whole} bytes were kept"


def _shown(name: str, value: str | None, masks: Masks | None) -> str:
    return repr(masks.header(name, value) if masks and value is not None else value)


class Verified(BaseModel):
    """What came."""

    ok: bool
    count: int
    detail: str = Field("", description="what came instead, when it is not as expected")


async def verified(
    journal: Journal,
    masks: Masks,
    match: Filter,
    count: int | None = None,
    at_least: int | None = None,
    at_most: int | None = None,
) -> Verified:
    """Whether as many requests fit as were expected; raises InvalidBody for a match that says nothing."""
    if match.is_empty:
        raise InvalidBody("match: say which requests are meant; an empty one would fit any")
    found = len(await meant(journal, match))
    low, high = count, count
    if count is None:
        low, high = at_least if at_least is not None else int(at_most is None), at_most
    assert low is not None
    if low <= found and (high is None or found <= high):
        return Verified(ok=True, count=found, detail="")
    expected = str(low) if high == low else f"at least {low}" if high is None else f"{low} to {high}"
    return Verified(
        ok=False,
        count=found,
        detail=f"expected {expected} such requests, got {found}{await _others(match, journal, masks)}",
    )


async def _others(match: Filter, journal: Journal, masks: Masks) -> str:
    """The requests that came instead, the nearest first."""
    others = [
        (differences, entry)
        async for entry in slowly(list(journal))
        if (differences := match.differences(entry, masks))
    ]
    if not others:
        return "; no other request came"
    ranked = sorted(others, key=lambda other: len(other[0]))
    return "".join(
        f"\n{masks.text(f'{entry.method} {entry.path}')}: {'; '.join(differences)}" for differences, entry in ranked[:5]
    )


def mode(world: World) -> Literal["real", "virtual", "auto"]:
    """How the world's clock goes."""
    clock = world.timeline.clock
    return "virtual" if isinstance(clock, VirtualClock) else "auto" if isinstance(clock, AutoClock) else "real"


class Awaited(Parameters):
    """What to wait for: all that is said must hold."""

    idle: bool = Field(False, description="no job waits or runs, and no webhook is owed")
    job: str | None = Field(None, description="this job has ended, or is gone")
    status: JobStatus | None = Field(None, description="the state that `count` jobs must have reached")
    count: int = Field(1, ge=1, le=MOST)
    endpoint: str | None = Field(None, description="only jobs of this endpoint")
    webhooks: int | None = Field(None, ge=1, le=MOST, description="so many webhook calls were acknowledged")
    timeout: Milliseconds | None = Field(
        None, ge=0, description="on the emulator's clock; 10 s of real time, a day of any other when left out"
    )


async def wait_until(world: World, awaited: Awaited, caller: Caller) -> str:
    """Wait for what was asked for; returns what is missing when the time is over, "" for nothing."""
    caller.hurries = True
    problem = ""
    reached = Reached(world, awaited)

    async def done() -> bool:
        nonlocal problem
        problem = await missing(world, awaited, reached)
        return not problem

    usual = _PATIENCE if mode(world) == "real" else _VIRTUAL_PATIENCE
    until = world.timeline.now() + (usual if awaited.timeout is None else awaited.timeout)
    with world.feeds.listening(reached.heard, _nothing):
        await world.feeds.wait_for(done, until, caller)
    return problem


def _nothing() -> None:
    pass


class Reached:
    """The jobs that were in the state that is waited for: all are looked through once, and after a reset."""

    def __init__(self, world: World, awaited: Awaited) -> None:
        self._history = world.history
        self._awaited = awaited
        self._jobs: set[tuple[str, str]] = set()
        self._age = -1

    def heard(self, transition: Transition) -> None:
        """One transition more."""
        job = transition.job
        if transition.after is not None and job.status is self._awaited.status and self._is_meant(job.endpoint):
            self._jobs.add((job.endpoint, job.id))

    def count(self) -> int:
        """How many jobs there were."""
        if self._age != self._history.age:
            self._age = self._history.age
            status = self._awaited.status
            self._jobs = {key for key in self._history.reached(status) if self._is_meant(key[0])} if status else set()
        return len(self._jobs)

    def _is_meant(self, endpoint: str) -> bool:
        return self._awaited.endpoint in (None, endpoint)


async def missing(world: World, awaited: Awaited, reached: Reached) -> str:
    """What does not hold yet, empty for nothing."""
    if awaited.idle and not await world.idle():
        return "jobs wait or run, or a webhook is owed"
    if awaited.job is not None:
        moments = [
            moments for endpoint in world.endpoints.queues if (moments := world.history.of(endpoint, awaited.job))
        ]
        if not moments:
            return f"job {awaited.job} was never there"
        if moments[0][-1].status in ("IN_QUEUE", "IN_PROGRESS"):
            return f"job {awaited.job} is {moments[0][-1].status}"
    if awaited.status is not None:
        count = reached.count()
        if count < awaited.count:
            return f"{count} of {awaited.count} jobs were {awaited.status.value}"
    if awaited.webhooks is not None and world.attempts.acknowledged < awaited.webhooks:
        return f"{world.attempts.acknowledged} of {awaited.webhooks} webhook calls were acknowledged"
    return ""
