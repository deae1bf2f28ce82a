"""Where jobs and webhooks are at this moment, a line each: for who has waited for them in vain, and for a story."""

from __future__ import annotations

from collections.abc import Iterable

from runpod_emulator.core.durations import length
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.mocks.stubs import fits
from runpod_emulator.core.records.news import Attempt
from runpod_emulator.core.secrets.shown import visible
from runpod_emulator.doors.admin.questions import Awaited
from runpod_emulator.world.world import World

_MOST = 5
"""Lines about jobs, and about webhooks."""
_LOOKED_AT = 200
"""Jobs of an endpoint that are looked at, the newest."""
_LONGEST = 200
"""Characters of an error that are told."""


async def whereabouts(world: World, awaited: Awaited) -> str:
    """What keeps those from coming that are waited for, each in a line of its own; "" for nothing that is known."""
    jobs = await newest(world)
    lines: list[str] = []
    if awaited.job is not None:
        lines += [job_line(world, job) for job in jobs if job.id == awaited.job]
    elif awaited.idle:
        lines += _few(job_line(world, job) for job in jobs if not job.status.terminal)
    elif awaited.status is not None:
        meant = [one for one in jobs if awaited.endpoint is None or fits(awaited.endpoint, one.endpoint)]
        lines += _few(job_line(world, job) for job in meant if job.status is not awaited.status)
    elif awaited.webhooks is not None:
        lines += _few(job_line(world, job) for job in jobs if job.webhook and not job.status.terminal)
        if not (len(world.attempts) or any(job.webhook for job in jobs)):
            lines.append("no job has asked for a webhook yet")
    if awaited.idle or awaited.webhooks is not None:
        lines += _few(hook_lines(world, also_given_up=not awaited.idle))
    return "".join(f"\n  {visible(line)}" for line in lines)


async def newest(world: World) -> list[Job]:
    """The newest jobs of all endpoints, newest first."""
    found = [job for name in world.endpoints.queues for job in (await world.store.recent(name, 0, _LOOKED_AT))[0]]
    return sorted(found, key=lambda job: -job.submitted_at)


def job_line(world: World, job: Job) -> str:
    """One job, its state, and what it is in the hands of."""
    now, status, stub = world.timeline.now(), job.status, stub_of(job)
    told = f"job {job.id} of {world.masks.text(job.endpoint)}: {status.value}"
    if status.terminal:
        after = length((job.ended_at or now) - job.submitted_at)
        error = f": {world.masks.text(' '.join(job.error.split()))[:_LONGEST]}" if job.error else ""
        return f"{told} after {after}{error}"
    if status is JobStatus.IN_PROGRESS:
        worker = world.masks.text(job.worker or "")
        what = f", plays stub {world.masks.text(stub)}" if stub else ""
        return f"{told} for {length(now - (job.taken_at or now))} on worker {worker}{what}"
    since = f"{told} for {length(now - job.submitted_at)}"
    if job.held:
        return f"{since}, held by {f'stub {world.masks.text(stub)}' if stub else 'a fault'}"
    return f"{since}, {_workers(world, job.endpoint)}"


def hook_lines(world: World, also_given_up: bool = True) -> list[str]:
    """The webhooks that were called in vain so far, the last attempt of each."""
    last: dict[tuple[int, str, str], Attempt] = {one.delivery.key: one for one in world.attempts}
    return [
        hook_line(world, one)
        for one in last.values()
        if one.delivery.status is DeliveryStatus.OWED
        or (also_given_up and one.delivery.status is DeliveryStatus.GIVEN_UP)
    ]


def hook_line(world: World, last: Attempt) -> str:
    """One webhook: its attempts so far, and what comes next."""
    delivery, masks = last.delivery, world.masks
    count = delivery.attempts
    attempts = f"{count} attempt{'' if count == 1 else 's'}"
    told = f"webhook of job {delivery.job} to {masks.text(delivery.url)}: {attempts}"
    if not last.problem:
        return f"{told}, acknowledged"
    return f"{told} so far ({masks.text(last.problem)}), {_next(delivery, world.timeline.now())}"


def _next(delivery: Delivery, now: int) -> str:
    if delivery.status is DeliveryStatus.GIVEN_UP:
        return "given up"
    return "the next is on its way" if delivery.due <= now else f"the next in {length(delivery.due - now)}"


def stub_of(job: Job) -> str:
    """The stub whose script the job plays, "" for none."""
    return "" if job.script is None else job.script.stub or ""


def _workers(world: World, endpoint: str) -> str:
    states = [worker.state.value for worker in world.endpoints.queues[endpoint].fleet.workers.values()]
    if not states:
        return "no worker is there"
    return "workers: " + ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))


def _few(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return [*found[:_MOST], f"and {len(found) - _MOST} more"] if len(found) > _MOST + 1 else found
