"""The whole life of one job, to keep or to look at elsewhere: as JSON, or as a trace for Perfetto."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from starlette.responses import Response

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.records.phases import Phase, phases
from runpod_emulator.doors.admin import listings, shapes
from runpod_emulator.doors.admin.chrome import chrome_trace
from runpod_emulator.doors.admin.state import Chosen
from runpod_emulator.world.world import World

router = APIRouter(tags=["what happened"])


@router.get("/jobs/{job_id}/trace")
async def trace(world: Chosen, job_id: str, format: Literal["json", "chrome"] = "json") -> Response:
    """A job's whole life: its record and transitions, phases, lines, webhook calls and the requests about it.

    `chrome` is the trace event format, which https://ui.perfetto.dev opens.
    """
    life = await life_of(world, job_id)
    if format == "json":
        return listings.answer(listings.json_of(life))
    answer = listings.answer(listings.json_of(chrome_trace(life, world.timeline.now() + world.timeline.drift())))
    answer.headers["content-disposition"] = f'attachment; filename="{_file_name(job_id)}.trace.json"'
    return answer


async def life_of(world: World, job_id: str) -> dict[str, Any]:
    """All that is remembered of a job, without secrets; raises JobNotFound for one that nobody remembers."""
    endpoint = next((name for name in world.endpoints.queues if world.history.of(name, job_id)), None)
    if endpoint is None:
        raise JobNotFound
    masks, drift = world.masks, world.timeline.drift()
    arrivals = world.endpoints.queues[endpoint].fleet.arrivals
    parts = phases(world.history.of(endpoint, job_id), arrivals.of)
    lines = await listings.chosen(list(world.lines), lambda one: (one.job, one.endpoint) == (job_id, endpoint))
    entries = await listings.chosen(list(world.journal), lambda one: (one.job, one.endpoint) == (job_id, endpoint))
    calls = [one for one in world.attempts if (one.delivery.job, one.delivery.endpoint) == (job_id, endpoint)]
    return {
        "job": await shapes.one_job(world, job_id, shapes.folded),
        "phases": [_phase(world, one, drift) for one in parts],
        "lines": [shapes.log_line(one, masks, drift) for one in lines],
        "webhooks": [shapes.attempt(one, masks, drift) for one in calls],
        "requests": [shapes.entry(one, masks, drift) for one in entries],
    }


def _phase(world: World, one: Phase, drift: int) -> dict[str, Any]:
    return {
        "name": one.name,
        "began": one.began + drift,
        "ended": None if one.ended is None else one.ended + drift,
        "worker": one.worker and world.masks.text(one.worker),
        "retries": one.retries,
        "outcome": one.outcome or None,
    }


def _file_name(job_id: str) -> str:
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "_" for sign in job_id)[:100]
