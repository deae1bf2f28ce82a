"""What holds a world's time, what is due next, and why it is in vain to wait while time stands.

All of it is found out when it is asked for: what runs is only counted as it begins and ends.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from typing import NamedTuple

from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.world.world import World

WAYS = 'POST /__emulator/clock/advance with {"by": "{}s"}, or /__emulator/clock/run-until-idle,'
"""How a clock that stands is moved by HTTP."""


_NEWEST = 200
"""Jobs of an endpoint whose deadlines are listed."""


class Due(NamedTuple):
    """What happens next by time alone."""

    at: int
    what: str


async def held_by(world: World) -> list[str]:
    """What holds time at this moment, one text each; empty for nothing.

    A clock that stands also waits for somebody to move it: clients whose requests are held until then are told too.
    """
    found = [*_running(world), *_starting(world), *_calls(world)]
    if world.timeline.running and not found:
        found = ["a step that is about to end: of a stub, of a worker, or of a handler that was told to stop"]
    first = await world.store.first_due()
    if first is not None and first[1] in world.unread:
        found.append(f"the result of job {first[1][1]}, which nobody has read: it is what expires next")
    return found + waiting(world)


async def next_due(world: World) -> Due | None:
    """What a job or a webhook waits for, the earliest; None where no time brings anything on."""
    return min([*_steps(world), *await _first_end(world)], default=None)


async def deadlines(world: World, most: int) -> list[Due]:
    """What time alone will do next, earliest first, as far as it is about jobs, workers and webhooks.

    Of each endpoint the newest jobs are looked at, and the one whose deadline comes first of all.
    """
    found = list(_steps(world))
    keys: dict[tuple[str, str], Job] = {}
    first = await world.store.first_due()
    if first is not None:
        with contextlib.suppress(JobNotFound):
            keys[first[1]] = await world.store.get(*first[1])
    for endpoint in world.endpoints.values():
        found += _of_workers(endpoint)
        if isinstance(endpoint, Endpoint):
            jobs, _ = await world.store.recent(endpoint.id, 0, _NEWEST)
            keys |= {(job.endpoint, job.id): job for job in jobs}
    found += [Due(due, _deadline(job)) for job in keys.values() if (due := job.next_deadline) is not None]
    return heapq.nsmallest(most, found)


def _of_workers(endpoint: Endpoint | Balancer) -> Iterator[Due]:
    """When workers leave, and when another one may come."""
    fleet, name = endpoint.fleet, endpoint.settings.id
    for worker in fleet.workers.values():
        if worker.idle_timer is not None:
            yield Due(worker.idle_timer.due, f"the end of the idle timeout of worker {worker.id} of endpoint {name}")
    if isinstance(endpoint, Balancer):
        yield from _coming(endpoint)
    if endpoint.autoscaler.due is not None:
        yield Due(endpoint.autoscaler.due, f"one more worker of endpoint {name}, if jobs still wait")


async def in_vain(world: World, job_id: str | None, ways: str) -> str:
    """Why nobody need wait while time stands, for this job or for anything else, and the `ways` to move time.

    `{}` in the ways becomes the seconds until the next deadline.
    """
    due = await next_due(world)
    kept = await _kept(world, job_id)
    if due is None:
        return f"{kept}time stands, nothing runs, and no deadline comes"
    seconds = in_seconds((due.at - world.timeline.now()) / 1000)
    return (
        f"{kept}time stands, and nothing runs; the next deadline is in {seconds} s, {due.what}: "
        f"{ways.replace('{}', seconds)} moves time on"
    )


def late(patience: float, holders: list[str]) -> str:
    """What to say of a call that took longer than so many seconds of real time."""
    said = f"not over after {patience:g} s of real time"
    return f"{said}; time is held by {'; '.join(holders)}" if holders else said


def in_seconds(seconds: float) -> str:
    """A number of seconds, exact to the millisecond."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


async def _kept(world: World, job_id: str | None) -> str:
    for endpoint in world.endpoints.queues.values() if job_id else ():
        try:
            job = await world.store.get(endpoint.id, job_id or "")
        except JobNotFound:
            continue
        if endpoint.scripts.stands(job):
            return "it waits for polls of its client, or a stub or a fault keeps it for ever; "
    return ""


def _running(world: World) -> Iterator[str]:
    """Jobs in processes and functions, requests at load-balancing workers."""
    for endpoint in world.endpoints.values():
        is_real = endpoint.workforce.launcher.real
        for worker in endpoint.fleet.workers.values():
            for job in sorted(worker.jobs) if worker.ours else ():
                if isinstance(endpoint, Endpoint) and job in endpoint.scripts:
                    continue
                what = f"job {job}" if isinstance(endpoint, Endpoint) else "a request"
                where = f"in worker {worker.id}" if is_real else "in the handler function"
                yield f"{what}, which runs {where} of endpoint {endpoint.settings.id}"


def _starting(world: World) -> Iterator[str]:
    for endpoint in world.endpoints.values():
        for worker in endpoint.fleet.workers.values():
            if worker.boots:
                yield f"worker {worker.id} of endpoint {endpoint.settings.id}, which starts"


def _calls(world: World) -> Iterator[str]:
    for delivery in world.webhooks.calls.values():
        yield f"the webhook call of job {delivery.job} to {world.masks.text(delivery.url)}, which is not answered yet"


def waiting(world: World) -> list[str]:
    """The clients whose requests are held, where time stands."""
    if not isinstance(world.timeline.clock, VirtualClock):
        return []
    topics = [topic for topic in world.room.held() if isinstance(topic, tuple) and topic[0] in ("end", "stream")]
    return [f"a client's request waits for job {job}" for _, _, job in topics]


def works_elsewhere(world: World) -> bool:
    """Whether somebody may be at work whom nobody here counts: a worker that was started elsewhere."""
    for endpoint in world.endpoints.queues.values():
        if not endpoint.settings.starts_workers and world.store.has_work():
            return True
        if any(worker.jobs and not worker.ours for worker in endpoint.fleet.workers.values()):
            return True
    return any(balancer.fleet.counts().running for balancer in world.endpoints.balancers.values())


def _steps(world: World) -> Iterator[Due]:
    """What stubs, workers that come up and webhook calls wait for."""
    for endpoint in world.endpoints.queues.values():
        for job_id, at in endpoint.scripts.steps():
            yield Due(at, f"the next step of the stub of job {job_id}")
        yield from _coming(endpoint)
    call = world.webhooks.next_call
    if call is not None:
        yield Due(call, "the next attempt of a webhook call")


def _coming(endpoint: Endpoint | Balancer) -> Iterator[Due]:
    """The next steps of workers that come up."""
    fleet = endpoint.fleet
    for worker in fleet.workers.values():
        if worker.coming is not None and worker.is_coming_up:
            step = "is given up, if it is not ready (init_timeout)" if fleet.arrivals.launched(worker) else "comes up"
            yield Due(worker.coming.due, f"worker {worker.id} of endpoint {endpoint.settings.id} {step}")


async def _first_end(world: World) -> list[Due]:
    """The earliest deadline of a job, if that has not ended: one, or none."""
    first = await world.store.first_due()
    if first is None:
        return []
    try:
        job = await world.store.get(*first[1])
    except JobNotFound:
        return []
    return [] if job.status.terminal else [Due(first[0], _deadline(job))]


def _deadline(job: Job) -> str:
    """What the job's next deadline is."""
    if job.status.terminal:
        return f"the result of job {job.id} is forgotten"
    if job.script is not None and job.held and job.next_deadline == job.script.release_due:
        return f"the release from the queue of job {job.id}"
    if job.status is JobStatus.IN_QUEUE or job.next_deadline == job.expires_at:
        return f"the end of the life (TTL) of job {job.id}"
    return f"the {'execution timeout' if job.next_deadline == job.runs_until else 'end of the lease'} of job {job.id}"
