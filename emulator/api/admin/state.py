"""What happened and what time it is: jobs, requests, webhooks, the clock, waits, reset, the event feed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette.event import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from emulator.api.admin import shapes
from emulator.api.guards import HttpCaller, world_of_client
from emulator.api.public import Events
from emulator.core.clock import AutoClock, VirtualClock
from emulator.core.errors import InvalidBody, JobNotFound
from emulator.core.job import JobStatus, Transition
from emulator.core.journal import Entry, Journal
from emulator.core.stubs import Question
from emulator.core.waiting import Caller
from emulator.emulator import Emulator
from emulator.mocking.checks import input_check
from emulator.values import Milliseconds

router = APIRouter(tags=["what happened"])

_PATIENCE, _VIRTUAL_PATIENCE = 10_000, 24 * 3_600_000
"""Milliseconds that a wait lasts which does not say how long."""


async def _world(request: Request) -> Emulator:
    # A plain function would run in a thread, where there is no event loop.
    return world_of_client(request)


World = Annotated[Emulator, Depends(_world)]


class Wish(BaseModel):
    """What a caller asks for; an unknown member is refused."""

    model_config = ConfigDict(extra="forbid")


class Reset(Wish):
    """What to forget."""

    endpoint: str | None = Field(None, description="only this endpoint's jobs and requests; without it everything")


@router.post("/reset", status_code=204)
async def reset(world: World, wish: Reset | None = None) -> None:
    """Forget jobs, requests, webhooks, and what was stubbed since the start; for use before each test."""
    await world.reset(wish.endpoint if wish else None)


# Jobs


@router.get("/jobs")
async def jobs(
    world: World, endpoint: str | None = None, status: JobStatus | None = None, limit: int = 100
) -> Response:
    """The jobs there are, newest first."""
    found = await shapes.all_jobs(world, endpoint)
    wanted = [job for job in found if status is None or job["status"] == status.value]
    return _json({"jobs": wanted[:limit], "total": len(wanted)})


@router.get("/jobs/{job_id}")
async def job(world: World, job_id: str) -> Response:
    """One job with every transition and its time, also when it is gone."""
    for endpoint in world.endpoints:
        moments = world.history.of(endpoint, job_id)
        if not moments:
            continue
        try:
            record = shapes.record(await world.store.get(endpoint, job_id))
        except JobNotFound:
            record = {"id": job_id, "endpoint": endpoint, "status": "GONE"}
        return _json({**record, "transitions": [shapes.moment(moment) for moment in moments]})
    raise JobNotFound


# Requests


class Filter(Wish):
    """Which requests are meant; what is not said may be anything."""

    endpoint: str | None = None
    operation: str | None = Field(None, description="run, runsync, status, status_sync, stream, cancel, retry, purge …")
    method: str | None = None
    path: str | None = None
    status: int | None = Field(None, description="of the answer")
    job: str | None = None
    body: Any = Field(None, description="a part of the JSON body: members that must be there with these values")
    headers: dict[str, str] = Field({}, description="headers that must be there with these values")

    def differences(self, entry: Entry) -> list[str]:
        """What keeps a request from being meant."""
        told = {name: getattr(self, name) for name in ("endpoint", "operation", "method", "path", "status", "job")}
        found = [
            f"{name}: expected {value!r}, got {getattr(entry, name)!r}"
            for name, value in told.items()
            if value is not None and value != getattr(entry, name)
        ]
        if self.body is not None:
            difference = input_check(self.body)(Question("", entry.body or b"null"))
            found += [difference.replace("input", "body", 1)] if difference else []
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in entry.headers}
        found += [
            f"header {name}: expected {value!r}, got {given.get(name.lower())!r}"
            for name, value in self.headers.items()
            if given.get(name.lower()) != value
        ]
        return found

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not self.model_fields_set


@router.post("/requests/find")
async def find_requests(world: World, wish: Filter) -> Response:
    """The requests that are meant, oldest first."""
    return _json({"requests": [shapes.entry(one) for one in world.journal.find(lambda one: not wish.differences(one))]})


@router.get("/requests")
async def requests(
    world: World, endpoint: str | None = None, operation: str | None = None, limit: int = 100
) -> Response:
    """The last requests of clients, oldest first."""
    wish = Filter.model_validate({"endpoint": endpoint, "operation": operation})
    found = world.journal.find(lambda one: not wish.differences(one))
    return _json({"requests": [shapes.entry(one) for one in found[-limit:]], "total": len(found)})


class Verification(Wish):
    """How many requests of a kind must have come."""

    match: Filter
    count: int | None = Field(None, ge=0, description="exactly so many; without it at least one")
    at_least: int | None = Field(None, ge=0)
    at_most: int | None = Field(None, ge=0)


class Verified(BaseModel):
    """What came."""

    ok: bool
    count: int
    detail: str = Field("", description="what came instead, when it is not as expected")


@router.post("/requests/verify")
async def verify(world: World, wish: Verification) -> Verified:
    """Compare what came with what was expected. A match that says nothing is refused."""
    return verified(world.journal, wish.match, wish.count, wish.at_least, wish.at_most)


def verified(
    journal: Journal, match: Filter, count: int | None = None, at_least: int | None = None, at_most: int | None = None
) -> Verified:
    """Whether as many requests fit as were expected; raises InvalidBody for a match that says nothing."""
    if match.is_empty:
        raise InvalidBody("match: say which requests are meant; an empty one would fit any")
    found = sum(not match.differences(one) for one in journal)
    low, high = count, count
    if count is None:
        low, high = at_least if at_least is not None else int(at_most is None), at_most
    assert low is not None
    if low <= found and (high is None or found <= high):
        return Verified(ok=True, count=found, detail="")
    expected = str(low) if high == low else f"at least {low}" if high is None else f"{low} to {high}"
    return Verified(
        ok=False, count=found, detail=f"expected {expected} such requests, got {found}{_others(match, journal)}"
    )


def _others(match: Filter, journal: Journal) -> str:
    """The requests that came instead, the nearest first."""
    others = [(differences, entry) for entry in journal if (differences := match.differences(entry))]
    if not others:
        return "; no other request came"
    ranked = sorted(others, key=lambda other: len(other[0]))
    return "".join(f"\n{entry.method} {entry.path}: {'; '.join(differences)}" for differences, entry in ranked[:5])


@router.get("/webhooks")
async def webhooks(world: World, job: str | None = None) -> Response:
    """The webhook calls that were made, oldest first."""
    return _json({"webhooks": [shapes.attempt(one) for one in world.attempts if job in (None, one.delivery.job)]})


# Time


class Time(BaseModel):
    """What time it is."""

    mode: Literal["real", "virtual", "auto"]
    now: int


class Advance(Wish):
    """How far to move a virtual clock."""

    by: Milliseconds | None = Field(None, ge=0, description="a duration: 1500, 2s, 10m, 24h")
    to: int | None = Field(None, description="milliseconds since the epoch")


class Advanced(Time):
    """What time it is now, and the deadlines that fired on the way, in order."""

    fired: list[int]


@router.get("/clock")
async def clock(world: World) -> Time:
    """What time it is."""
    return Time(mode=_mode(world), now=world.timeline.now())


@router.post("/clock/advance")
async def advance(world: World, wish: Advance) -> Advanced:
    """Move a virtual clock, deadline by deadline; waits for whatever really runs."""
    _need_virtual(world)
    if (wish.by is None) == (wish.to is None):
        raise InvalidBody("write either by or to")
    now = world.timeline.now()
    fired = await world.timeline.advance(now + wish.by if wish.by is not None else wish.to or 0)
    return Advanced(mode="virtual", now=world.timeline.now(), fired=fired)


class UntilIdle(Wish):
    """How far a virtual clock may run."""

    most: Milliseconds = Field(7 * 24 * 3_600_000, ge=0, description="give up after this much virtual time")


@router.post("/clock/run-until-idle")
async def run_until_idle(world: World, wish: UntilIdle | None = None) -> Advanced:
    """Move a virtual clock until no job waits or runs and no webhook is owed; results are kept."""
    _need_virtual(world)
    fired = await world.run_until_idle((wish or UntilIdle.model_validate({})).most)
    return Advanced(mode="virtual", now=world.timeline.now(), fired=fired)


def _mode(world: Emulator) -> Literal["real", "virtual", "auto"]:
    clock = world.timeline.clock
    return "virtual" if isinstance(clock, VirtualClock) else "auto" if isinstance(clock, AutoClock) else "real"


def _need_virtual(world: Emulator) -> None:
    if _mode(world) != "virtual":
        raise InvalidBody("only a virtual clock can be moved: start the server with --clock virtual")


# Waiting


class Awaited(Wish):
    """What to wait for: all that is said must hold."""

    idle: bool = Field(False, description="no job waits or runs, and no webhook is owed")
    job: str | None = Field(None, description="this job has ended, or is gone")
    status: JobStatus | None = Field(None, description="the state that `count` jobs must have reached")
    count: int = Field(1, ge=1)
    endpoint: str | None = Field(None, description="only jobs of this endpoint")
    webhooks: int | None = Field(None, ge=1, description="so many webhook calls were acknowledged")
    timeout: Milliseconds | None = Field(
        None, ge=0, description="on the emulator's clock; 10 s of real time, a day of any other when left out"
    )


class Met(BaseModel):
    """Whether it came in time."""

    ok: bool
    detail: str = Field("", description="what is the case instead, when it did not")


@router.post("/wait")
async def wait(world: World, request: Request, wish: Awaited) -> Met:
    """Hold the answer until something has happened, so that nobody needs to sleep."""
    if not (wish.idle or wish.job or wish.status or wish.webhooks):
        raise InvalidBody("say what to wait for: idle, job, status or webhooks")
    caller = HttpCaller(request)
    try:
        problem = await wait_until(world, wish, caller)
    finally:
        caller.answered()
    return Met(ok=not problem, detail=problem)


async def wait_until(world: Emulator, wish: Awaited, caller: Caller) -> str:
    """Wait for what is wished; answers what is missing when the time is over, "" for nothing."""
    caller.hurries = True
    problem = ""

    async def done() -> bool:
        nonlocal problem
        problem = await missing(world, wish)
        return not problem

    usual = _PATIENCE if _mode(world) == "real" else _VIRTUAL_PATIENCE
    await world.wait_for(done, world.timeline.now() + (usual if wish.timeout is None else wish.timeout), caller)
    return problem


async def missing(world: Emulator, wish: Awaited) -> str:
    """What does not hold yet, empty for nothing."""
    if wish.idle and not await world.idle():
        return "jobs wait or run, or a webhook is owed"
    if wish.job is not None:
        moments = [moments for endpoint in world.endpoints if (moments := world.history.of(endpoint, wish.job))]
        if not moments:
            return f"job {wish.job} was never there"
        if moments[0][-1].status in ("IN_QUEUE", "IN_PROGRESS"):
            return f"job {wish.job} is {moments[0][-1].status}"
    if wish.status is not None:
        reached = sum(
            any(moment.status == wish.status.value for moment in world.history.of(*key))
            for key in world.history.jobs(wish.endpoint)
        )
        if reached < wish.count:
            return f"{reached} of {wish.count} jobs were {wish.status.value}"
    acknowledged = sum(not attempt.problem for attempt in world.attempts)
    if wish.webhooks is not None and acknowledged < wish.webhooks:
        return f"{acknowledged} of {wish.webhooks} webhook calls were acknowledged"
    return ""


@router.get("/events")
async def events(world: World, endpoint: str | None = None) -> Events:
    """Every transition from now on, as server-sent events."""
    news: deque[Transition] = deque(maxlen=10_000)
    ready = asyncio.Event()

    def heard(transition: Transition) -> None:
        if endpoint in (None, transition.job.endpoint):
            news.append(transition)
            ready.set()

    listening = ExitStack()
    listening.enter_context(world.listening(heard, ready.set))
    return Events(_feed(world, news, ready)).counted(listening)


async def _feed(world: Emulator, news: deque[Transition], ready: asyncio.Event) -> AsyncIterator[ServerSentEvent]:
    while not world.room.closed:
        await ready.wait()
        ready.clear()
        while news:
            yield ServerSentEvent(event="transition", data=shapes.transition(news.popleft()), sep="\n")


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
