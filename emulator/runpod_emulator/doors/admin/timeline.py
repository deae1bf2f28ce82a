"""What the page shows of jobs: what became of each and when, what it has said, how well its answers are known.

These are looks of somebody who is not the client: they take no chunk from a stream, and no result counts as read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound, NotFound
from runpod_emulator.core.fidelity import LEDGER, weakest
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Renewed
from runpod_emulator.core.missing import how_to_install, missing_module
from runpod_emulator.core.records.history import KEPT, Noted
from runpod_emulator.core.records.phases import COLD_START, Phase, phases
from runpod_emulator.core.records.streams import Piece
from runpod_emulator.doors.admin import listings, shapes
from runpod_emulator.doors.admin.state import Chosen, Offset
from runpod_emulator.world.world import World

router = APIRouter(prefix="/timeline", tags=["what happened"])

_MOMENTS = 200
"""Changes of one job that are told; of more those in the middle are left out."""
Most = Annotated[int, Query(ge=0, le=KEPT)]


class NoCall(NotFound):
    """There is no call that could be made once more."""


@router.get("")
async def timeline(world: Chosen, limit: Most = KEPT) -> Response:
    """Every job that is remembered, oldest first: its changes as `[at, event, status, worker, retries]`, its calls."""
    keys = list(world.history.jobs())
    keys = keys[len(keys) - min(limit, len(keys)) :]
    shape = _life(world)
    return await listings.listed("jobs", keys, shape, now=world.timeline.now() + world.timeline.drift())


def _life(world: World) -> Callable[[tuple[str, str]], dict[str, Any]]:
    masked = functools.lru_cache(1_000)(world.masks.text)
    drift, hooks = world.timeline.drift(), _hooks(world)

    def shape(key: tuple[str, str]) -> dict[str, Any]:
        noted = world.history.noted(*key)
        told = [
            (at + drift, event.__name__, "GONE" if status is None else status.value, worker and masked(worker), retries)
            for at, event, status, worker, retries, _ in _few(noted)
        ]
        calls = [[at + drift, is_known] for at, is_known in hooks.get(key, ())]
        cold = [[one.began + drift, one.ended + drift] for one in _colds(world, key, noted) if one.ended]
        more = {"hooks": calls, "cold": cold}
        return {
            "endpoint": masked(key[0]),
            "id": key[1],
            "moments": told,
            **{name: one for name, one in more.items() if one},
        }

    return shape


def _colds(world: World, key: tuple[str, str], noted: Sequence[Noted]) -> list[Phase]:
    """When the job waited for a worker that came up for it; most find theirs up, which is seen at a glance."""
    served = world.endpoints.queues.get(key[0])
    if served is None or not noted:
        return []
    arrival_of, came_at = served.fleet.arrivals.of, noted[0][0]
    for worker in {one[3] for one in noted if one[3]}:
        arrival = arrival_of(worker)
        if arrival is not None and (arrival.ready_at is None or arrival.ready_at > came_at):
            return [one for one in phases(world.history.of(*key), arrival_of) if one.name == COLD_START]
    return []


def _few(noted: Sequence[Noted]) -> Sequence[Noted]:
    changes = [one for one in noted if one[1] is not Renewed]
    half = _MOMENTS // 2
    return changes if len(changes) <= _MOMENTS else changes[:half] + changes[-half:]


def _hooks(world: World) -> dict[tuple[str, str], list[tuple[int, bool]]]:
    """When the webhooks of jobs were called, and whether each call was acknowledged."""
    found: dict[tuple[str, str], list[tuple[int, bool]]] = {}
    for one in world.attempts:
        delivery: Delivery = one.delivery
        found.setdefault((delivery.endpoint, delivery.job), []).append((one.at, not one.problem))
    return found


@router.get("/fidelity")
async def fidelity(world: Chosen) -> dict[str, dict[str, str]]:
    """Every row of the ledger: how well that answer of the real service is known, and from what."""
    return {
        row.id: {"evidence": weakest(row, world.platform).label, "text": row.text}
        for row in LEDGER.values()
    }  # fmt: skip


@router.get("/search")
async def search(world: Chosen, q: Annotated[str, Query(max_length=1_000)]) -> Response:
    """Which jobs hold a text in their id, their endpoint or their input: `[endpoint, id]` of each, newest first.

    Those that are gone because their time was over come last.
    """
    is_meant = listings.telling(q, None)
    found, _ = await listings.jobs_of(world, None, None, 0, KEPT, is_meant)
    expired = list(world.history.expired())[::-1]
    found += await listings.chosen(expired, lambda one: is_meant is None or is_meant(one))
    return await listings.listed("jobs", found, lambda one: [world.masks.text(one.endpoint), one.id])


@router.get("/misses")
async def misses(world: Chosen) -> list[dict[str, str]]:
    """Jobs that no stub took since the last reset, oldest first: their endpoint, the nearest stub and what differed."""
    return [
        {"endpoint": world.masks.text(one.endpoint), "why": world.masks.text(one.why)} for one in world.stubs.misses
    ]


@router.get("/{job_id}")
async def job(world: Chosen, job_id: str) -> Response:
    """One job with every change, as in `/jobs/{job_id}`, but nobody counts as having seen its end.

    `workers` are those that had it, by id: the number of each, and why it went, null for one that is here. `missing`
    says how to install the module for want of which it has failed, null for another end.
    """
    told = await shapes.one_job(world, job_id, shapes.folded, is_look=True)
    endpoint = _endpoint_of(world, job_id)
    more = {"workers": _workers(world, endpoint, job_id), "missing": _missing(world, endpoint, told.get("error") or "")}
    return listings.answer(listings.json_of({**told, **more}))


def _missing(world: World, endpoint: str, error: str) -> str | None:
    module, program = missing_module(error), world.endpoints.programs.get(endpoint)
    return world.masks.text(how_to_install(module, program.python if program else "")) if module else None


def _workers(world: World, endpoint: str, job_id: str) -> dict[str, dict[str, Any]]:
    fleet = world.endpoints.queues[endpoint].fleet
    had = dict.fromkeys(one.worker for one in world.history.of(endpoint, job_id) if one.worker)
    arrivals = {worker: fleet.arrivals.of(worker) for worker in had}
    return {
        world.masks.text(worker): {
            "number": fleet.numbers.of(worker),
            "gone": None if arrival is None else world.masks.text(arrival.gone) or None,
        }
        for worker, arrival in arrivals.items()
    }


@router.get("/{job_id}/pieces")
async def pieces(world: Chosen, job_id: str, offset: Offset = 0) -> Response:
    """What a job has said while it ran: chunks of its stream and progress updates, oldest first."""
    endpoint = _endpoint_of(world, job_id)
    found = world.streams.of(endpoint, job_id)
    drift = world.timeline.drift()

    def shape(one: Piece) -> dict[str, Any]:
        kind = "progress" if one.is_progress else "chunk"
        return {"at": one.at + drift, "kind": kind, "output": shapes.folded(one.output, world.masks)}

    return await listings.listed("pieces", found[offset:], shape, total=len(found))


@router.post("/{job_id}/again", status_code=201)
async def again(world: Chosen, job_id: str) -> dict[str, str]:
    """Hand the same in once more: its input, webhook and policy as they came, which nobody is shown whole.

    Also one that is gone because its time was over, as long as its last record is kept.
    """
    endpoint = world.endpoints.queue(_endpoint_of(world, job_id))
    old = world.history.record(endpoint.id, job_id) or await world.store.get(endpoint.id, job_id)
    submission = Submission(
        old.input,
        old.webhook,
        old.execution_timeout,
        old.expires_at - old.submitted_at,
        old.low_priority,
        old.s3_config,
    )
    return {"endpoint": world.masks.text(endpoint.id), "id": (await endpoint.submit(submission)).id}


@router.post("/{job_id}/resend", status_code=204)
async def resend(world: Chosen, job_id: str) -> None:
    """Call the job's webhook once more, with the body of its last call and attempts as at first."""
    last = next((one for one in reversed(list(world.attempts)) if one.delivery.job == job_id), None)
    if last is None:
        raise NoCall(f"no webhook was called for job {job_id}")
    await world.webhooks.resend(last.delivery)


def _endpoint_of(world: World, job_id: str) -> str:
    for endpoint in world.endpoints.queues:
        if world.history.of(endpoint, job_id):
            return endpoint
    raise JobNotFound
