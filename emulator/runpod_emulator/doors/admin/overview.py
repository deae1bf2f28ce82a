"""All that is there at this moment, in one answer: the clock, endpoints with their queues and workers, and how many."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from runpod_emulator import __version__
from runpod_emulator.config.examples import example_input
from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.fleet.standing import reason_of
from runpod_emulator.core.fleet.worker import Worker, WorkerState
from runpod_emulator.doors.admin import listings
from runpod_emulator.doors.admin.questions import mode
from runpod_emulator.doors.admin.state import Chosen
from runpod_emulator.http.access import Access
from runpod_emulator.world.endpoints import Served
from runpod_emulator.world.standing import deadlines
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

router = APIRouter(tags=["what happened"])
Examples = Callable[[Served, int], "dict[str, Any] | None"]
_DEADLINES, _LOOKED_AT = 20, 100
"""Of those to come, the first; and of the jobs of one worker."""


def examples_of_handlers() -> Examples:
    """Finds the example input of what is served, once for each version of its code."""

    @functools.lru_cache(maxsize=100)
    def find(served: Served, version: int) -> dict[str, Any] | None:
        return example_input(served.handler, served.directory) if served.handler else None

    return find


@router.get("/overview")
async def overview(world: Chosen, request: Request) -> Response:
    """The clock and its next deadlines, every endpoint with its queue, workers and scaling, and how much there is."""
    worlds: Worlds = request.app.state.worlds
    access: Access | None = request.app.state.admin_access
    drift = world.timeline.drift()
    told = {
        "version": __version__,
        "namespace": worlds.shown(worlds.name_of(world)),
        "clock": await _clock(world, drift),
        "endpoints": [
            await _endpoint(world, one, drift, request.app.state.examples) for one in world.endpoints.values()
        ],
        "counts": await _counts(world),
        "adminKeyNeeded": access is not None and access.required,
    }
    return listings.answer(listings.json_of(told))


async def _clock(world: World, drift: int) -> dict[str, Any]:
    dues = await deadlines(world, _DEADLINES)
    shown = world.masks.text
    return {
        "mode": mode(world),
        "now": world.timeline.now() + drift,
        "next": [{"at": due.at + drift, "what": shown(due.what)} for due in dues],
    }


async def _counts(world: World) -> dict[str, int]:
    jobs = [sum((await world.store.counts(name)).now.values()) for name in world.endpoints.queues]
    return {
        "jobs": sum(jobs),
        "requests": len(world.journal),
        "webhooks": len(world.attempts),
        "stubs": len(list(world.stubs)),
        "faults": len(list(world.faults)),
    }


async def _endpoint(world: World, one: Endpoint | Balancer, drift: int, examples: Examples) -> dict[str, Any]:
    endpoint_id, shown = one.settings.id, world.masks.text
    served = world.endpoints.programs.get(endpoint_id)
    words = await one.work.demand.words() if isinstance(one, Endpoint) else one.words()
    return {
        "id": shown(endpoint_id),
        "kind": one.workforce.launcher.kind,
        "handler": shown(served.text) if served else "",
        "flaw": shown(one.workforce.flaw) or None,
        **(await _queue(world, endpoint_id, drift) if isinstance(one, Endpoint) else {"queue": None, "jobs": {}}),
        "workers": [await _worker(world, one, worker, drift) for worker in one.fleet.workers.values()]
        + _others(world, one),
        "scaler": {**_scaler(one), "words": words},
        "example": world.masks.value(copy.deepcopy(examples(served, one.fleet.version))) if served else None,
    }


async def _queue(world: World, endpoint_id: str, drift: int) -> dict[str, Any]:
    counts = await world.store.counts(endpoint_id)
    oldest = None
    for first in await world.store.queued(endpoint_id, 1):
        with contextlib.suppress(JobNotFound):
            oldest = (await world.store.get(endpoint_id, first)).submitted_at + drift
    return {
        "queue": {"jobs": counts.queued, "oldestAt": oldest},
        "jobs": {status.value: count for status, count in counts.now.items()},
    }


def _scaler(one: Endpoint | Balancer) -> dict[str, Any]:
    settings = one.settings
    is_delay = settings.scaler == "QUEUE_DELAY"
    return {
        "type": settings.scaler,
        "value": settings.scaler_delay / 1000 if is_delay else settings.scaler_requests,
        "min": settings.workers_min,
        "max": settings.workers_max,
        "idleTimeout": settings.idle_timeout,
    }


async def _worker(world: World, one: Endpoint | Balancer, worker: Worker, drift: int) -> dict[str, Any]:
    since = await _since(world, one, worker)
    return {
        "id": world.masks.text(worker.id),
        "number": worker.number,
        "state": worker.state.value,
        "reason": world.masks.text(reason_of(worker, one.fleet, world.timeline.now())),
        "jobs": sorted(worker.jobs),
        "since": None if since is None else since + drift,
        "outdated": worker.outdated,
        "version": worker.version,
    }


def _others(world: World, one: Endpoint | Balancer) -> list[dict[str, Any]]:
    """The workers of other servers over the store, of which less is known here."""
    crew = one.workforce.crew
    return [] if crew is None else [
        {
            "id": world.masks.text(other.id), "number": 0, "state": other.state.value,
            "reason": f"of server {other.server[:8]}", "jobs": other.jobs, "since": None, "outdated": False,
            "version": 0,
        }
        for other in crew.elsewhere.workers()
    ]  # fmt: skip


async def _since(world: World, one: Endpoint | Balancer, worker: Worker) -> int | None:
    """When the worker got into its state, in ms since the epoch; None where nobody has noted it."""
    arrival = one.fleet.arrivals.of(worker.id)
    if worker.state is WorkerState.IDLE and worker.idle_timer is not None:
        return worker.idle_timer.due - one.settings.idle_timeout
    if worker.state is WorkerState.THROTTLED:
        return None if arrival is None else arrival.wanted_at
    if worker.state is WorkerState.INITIALIZING:
        return None if arrival is None else arrival.container_at or arrival.program_at
    if worker.state is WorkerState.RUNNING and isinstance(one, Endpoint):
        taken = [at for job in list(worker.jobs)[:_LOOKED_AT] if (at := await _taken_at(world, one.id, job))]
        return min(taken, default=None)
    return arrival.ready_at if arrival is not None and worker.state is WorkerState.IDLE else None


async def _taken_at(world: World, endpoint: str, job: str) -> int | None:
    try:
        return (await world.store.get(endpoint, job)).taken_at
    except JobNotFound:
        return None
