"""What happened and what time it is: jobs, requests, webhooks, the clock, waits, reset, the event feed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from runpod_emulator.core.errors import InvalidBody, TooManyRequests
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.mocks.stubs import fits
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.records.news import Line
from runpod_emulator.core.time.timeline import LATEST
from runpod_emulator.doors.admin import listings, shapes
from runpod_emulator.doors.admin.feed import Feed
from runpod_emulator.doors.admin.happenings import known_kinds
from runpod_emulator.doors.admin.names import check_endpoint
from runpod_emulator.doors.admin.questions import Awaited, Filter, Parameters, mode, wait_until
from runpod_emulator.doors.admin.story import story
from runpod_emulator.doors.admin.verified import Verification, Verified
from runpod_emulator.doors.admin.whereabouts import whereabouts
from runpod_emulator.doors.public import Events
from runpod_emulator.http.access import world_of_admin
from runpod_emulator.http.call import HttpCaller
from runpod_emulator.values import Milliseconds
from runpod_emulator.world.standing import held_by
from runpod_emulator.world.world import World

router = APIRouter(tags=["what happened"])
Item = TypeVar("Item")


async def _world(request: Request) -> World:
    # A plain function would run in a thread, where there is no event loop.
    return world_of_admin(request)


Chosen = Annotated[World, Depends(_world)]
Limit = Annotated[int, Query(ge=0, le=listings.MOST)]
Offset = Annotated[int, Query(ge=0, le=listings.MOST)]


class Reset(Parameters):
    """What to forget."""

    endpoint: str | None = Field(None, description="only this endpoint's jobs and requests; without it everything")


@router.post("/reset", status_code=204)
async def reset(world: Chosen, given: Reset | None = None) -> None:
    """Forget jobs, requests, webhooks, and what was stubbed since the start; for use before each test."""
    await world.reset(given.endpoint if given else None)


# Jobs


@router.get("/jobs")
async def jobs(
    world: Chosen,
    endpoint: str | None = None,
    status: JobStatus | None = None,
    q: Annotated[str, Query(description="a text in its id, its endpoint or its input", max_length=1_000)] = "",
    since: Annotated[int | None, Query(description="submitted then or later, in ms since the epoch")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """The jobs there are, newest first."""
    drift = world.timeline.drift()
    meant = listings.telling(q, None if since is None else since - drift)
    found, total = await listings.jobs_of(world, endpoint, status, offset, limit, meant)
    return await listings.listed("jobs", found, lambda job: _shown(world, job, drift), total=total)


def _shown(world: World, job: Job, drift: int) -> dict[str, Any]:
    return shapes.read_record(world, job, drift, shapes.folded)


@router.get("/jobs/{job_id}")
async def job(world: Chosen, job_id: str) -> Response:
    """One job with every transition and its time, also when it is gone: then with what its record said at last."""
    return listings.answer(listings.json_of(await shapes.one_job(world, job_id, shapes.folded)))


# Requests


@router.post("/requests/find")
async def find_requests(world: Chosen, given: Filter) -> Response:
    """The requests that are meant, oldest first."""
    given.check(world)
    drift = world.timeline.drift()
    found = await listings.chosen(list(world.journal), given.fits)
    return await listings.listed("requests", found, lambda one: shapes.entry(one, world.masks, drift))


@router.get("/requests")
async def requests(
    world: Chosen,
    endpoint: str | None = None,
    operation: Operation | Literal["management", "graphql"] | None = None,
    job: str | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """The last requests of clients, oldest first; `offset` leaves out so many of the youngest."""
    drift = world.timeline.drift()
    given = Filter.model_validate(
        {"endpoint": endpoint, "operation": getattr(operation, "value", operation), "job": job}
    )
    given.check(world)
    found = await listings.chosen(list(world.journal), given.fits)
    page = _last(found, limit, offset)
    return await listings.listed("requests", page, lambda one: shapes.entry(one, world.masks, drift), total=len(found))


@router.post("/requests/verify")
async def verify(world: Chosen, given: Verification) -> Verified:
    """Compare what came with what was expected. A match that says nothing is refused."""
    return await given.verified(world)


@router.get("/webhooks")
async def webhooks(world: Chosen, job: str | None = None, limit: Limit = listings.MOST, offset: Offset = 0) -> Response:
    """The webhook calls that were made, oldest first; `offset` leaves out so many of the oldest."""
    drift = world.timeline.drift()
    found = [one for one in world.attempts if job in (None, one.delivery.job)]
    page = found[offset : offset + limit]
    return await listings.listed("webhooks", page, lambda one: shapes.attempt(one, world.masks, drift))


@router.get("/logs")
async def logs(
    world: Chosen,
    endpoint: str | None = None,
    worker: str | None = None,
    job: str | None = None,
    limit: Limit = 1_000,
    offset: Offset = 0,
) -> Response:
    """What workers have printed, a line each, oldest first; `offset` leaves out so many of the youngest."""
    drift = world.timeline.drift()

    def is_meant(line: Line) -> bool:
        if worker is not None and worker not in (line.worker, str(line.number)):
            return False
        return job in (None, line.job) and (endpoint is None or fits(endpoint, line.endpoint))

    found = await listings.chosen(list(world.lines), is_meant)
    page = _last(found, limit, offset)
    return await listings.listed("lines", page, lambda one: shapes.log_line(one, world.masks, drift), total=len(found))


def _last(found: list[Item], limit: int, offset: int) -> list[Item]:
    """The youngest ones, but for `offset` of them."""
    end = max(0, len(found) - offset)
    return found[max(0, end - limit) : end]


@router.get("/story", response_class=PlainTextResponse)
async def tell_story(world: Chosen) -> PlainTextResponse:
    """What happened since the start or the last reset, in at most 40 lines of text."""
    return PlainTextResponse(await story(world))


# Time


class Time(BaseModel):
    """What time it is."""

    mode: Literal["real", "virtual", "auto"]
    now: int


class Present(Time):
    """What time it is, and what holds it."""

    held_by: list[str] = Field(alias="heldBy", description="what really runs, or whom time waits for, one text each")


class Advance(Parameters):
    """How far to move a virtual clock."""

    by: Milliseconds | None = Field(None, ge=0, description="a duration: 1500, 2s, 10m, 24h")
    to: int | None = Field(None, ge=0, le=LATEST, description="milliseconds since the epoch; never back")


class Advanced(Time):
    """What time it is now, and the deadlines that fired on the way, in order."""

    fired: list[int]


@router.get("/clock")
async def clock(world: Chosen) -> Present:
    """What time it is, and what holds it at this moment."""
    now = world.timeline.now() + world.timeline.drift()
    return Present(mode=mode(world), now=now, heldBy=await held_by(world))


@router.post("/clock/advance")
async def advance(world: Chosen, given: Advance) -> Advanced:
    """Move a virtual clock, deadline by deadline; waits for whatever really runs."""
    _need_virtual(world)
    if (given.by is None) == (given.to is None):
        raise InvalidBody("write either by or to")
    now, drift = world.timeline.now(), world.timeline.drift()
    fired = await world.timeline.advance(now + given.by if given.by is not None else (given.to or 0) - drift)
    return _advanced(world, fired)


class UntilIdle(Parameters):
    """How far a virtual clock may run."""

    most: Milliseconds = Field(7 * 24 * 3_600_000, ge=0, description="give up after this much virtual time")


@router.post("/clock/run-until-idle")
async def run_until_idle(world: Chosen, given: UntilIdle | None = None) -> Advanced:
    """Move a virtual clock until no job waits or runs and no webhook is owed; results are kept."""
    _need_virtual(world)
    return _advanced(world, await world.run_until_idle((given or UntilIdle.model_validate({})).most))


def _advanced(world: World, fired: list[int]) -> Advanced:
    drift = world.timeline.drift()
    return Advanced(mode="virtual", now=world.timeline.now() + drift, fired=[due + drift for due in fired])


def _need_virtual(world: World) -> None:
    if mode(world) != "virtual":
        raise InvalidBody("only a virtual clock can be moved: start the server with --clock virtual")


# Waiting


class Met(BaseModel):
    """Whether it came in time."""

    ok: bool
    detail: str = Field("", description="what is the case instead, when it did not")


@router.post("/wait")
async def wait(world: Chosen, request: Request, given: Awaited) -> Met:
    """Hold the answer until something has happened, so that nobody needs to sleep."""
    if not (given.idle or given.job or given.status or given.webhooks):
        raise InvalidBody("say what to wait for: idle, job, status or webhooks")
    check_endpoint(world, given.endpoint)
    caller = HttpCaller(request)
    try:
        with world.visited():
            problem = await wait_until(world, given, caller)
    finally:
        caller.answered()
    return Met(ok=not problem, detail=problem and problem + await whereabouts(world, given))


MOST_READERS = 64
"""Of a world's news at a time: each costs every request something, and may leave `backlog.MOST` pieces unread."""


@router.get("/events")
async def events(world: Chosen, kinds: str = "transition", endpoint: str | None = None) -> Events:
    """What happens from now on, as server-sent events; a reader who is too slow is told how many are `left-out`.

    `kinds` are the wanted ones, with commas: transition, request, worker, webhook, log, reset. `endpoint` is a pattern
    as in a shell. An `id` rises from event to event. `left-out` stands where news is missing: its `count`, and that of
    each of the `kinds`, at least, for in a rush nobody counts. More than 64 readers at a time are refused with 429.
    """
    if len(world.feeds) >= MOST_READERS:
        raise TooManyRequests(f"{MOST_READERS} others read what happens here already", 1)
    feed = Feed(world, known_kinds(kinds), endpoint)
    return Events(feed.pieces()).within(feed.reading())
