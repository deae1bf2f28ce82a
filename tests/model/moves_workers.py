"""What workers over HTTP do."""

from __future__ import annotations

from typing import Any

from tests.model import places
from tests.model.endpoint import Endpoint, Poll
from tests.model.town import Town
from tests.model.workers import Worker
from tests.model.world import World

HOLD = 10_000
_MOST = 4
"""Workers that are well, of one endpoint."""
POLLED = ("remote", "command")


def _a_worker(town: Town, busy: bool = False) -> tuple[World, Endpoint, Worker] | None:
    fitting = [
        (world, endpoint, worker)
        for world in town.worlds.values()
        for endpoint in world.endpoints.values()
        for worker in endpoint.workers.values()
        if endpoint.kind in POLLED and not worker.silent and worker.ready and (worker.runs or not busy)
    ]
    return town.dice.choice(fitting) if fitting else None


def _a_taker(town: Town) -> tuple[World, Endpoint, str] | None:
    """A worker that may poll for jobs: one that is there, or a new one."""
    chosen = town.an_endpoint(*POLLED)
    if chosen is None:
        return None
    world, endpoint = chosen
    well = [worker for worker in endpoint.workers.values() if not worker.silent and not worker.leaving]
    if endpoint.kind == "remote" and (not well or (len(well) < _MOST and town.chance(0.15))):
        town.names["worker"] += 1
        return world, endpoint, f"w{town.names['worker']}"
    polling = {poll.subject for poll in endpoint.polls if poll.kind == "take"}
    endpoint.free_the_spared()
    free = [
        worker.id for worker in well if worker.id not in polling and not (worker.runs and worker.id in endpoint.spared)
    ]
    return (world, endpoint, town.dice.choice(free)) if free else None


def take(town: Town) -> None:
    """GET /job-take, which is held."""
    if chosen := _a_taker(town):
        places.take(town, *chosen)


def take_batch(town: Town) -> None:
    """GET /job-take-batch, which is held."""
    if chosen := _a_taker(town):
        places.take(town, *chosen, most=town.dice.randrange(2, 4))


def done(town: Town) -> None:
    """POST /job-done, of a job that the worker believes to hold."""
    if (chosen := _a_worker(town, busy=True)) is None:
        return
    body: dict[str, Any] = town.dice.choice((
        {"output": {"made": town.dice.randrange(1_000)}}, {"output": [1, "two", None]}, {"output": "text"}, {},
        {"error": "no luck"}, {"output": {"status": "failed"}, "error": "half"},
    ))  # fmt: skip
    if chosen[1].kind == "command" and len(chosen[2].runs) == 1 and not chosen[2].refused and town.chance(0.1):
        body = {**body, "stopPod": True}  # a fresh one takes its place; of others, who started them has to see to it
    places.post_done(town, *chosen, town.dice.choice(list(chosen[2].runs)), body)


def progress(town: Town) -> None:
    """POST /job-done with a progress update."""
    if (chosen := _a_worker(town, busy=True)) is None:
        return
    world, endpoint, worker = chosen
    job, value = town.dice.choice(list(worker.runs)), {"percent": town.dice.randrange(100)}
    _post(town, world, endpoint, worker, job, {"status": "IN_PROGRESS", "output": value})
    endpoint.progress(worker, job, value)
    worker.heard = world.now


def emit(town: Town) -> None:
    """POST /job-stream, some chunks."""
    if (chosen := _a_worker(town, busy=True)) is None:
        return
    world, endpoint, worker = chosen
    job = town.dice.choice(list(worker.runs))
    for _ in range(town.dice.randrange(1, 4)):
        town.names["chunk"] += 1
        chunk = {"chunk": town.names["chunk"]}
        path = f"/v2/{endpoint.name}/job-stream/{worker.id}/{job}?gpu=CPU&isStream=false"
        town.expect(town.worker_call(world, "POST", path, {"output": chunk}), (200, {}))
        endpoint.emit(worker, job, chunk)


def _post(town: Town, world: World, endpoint: Endpoint, worker: Worker, job: str, body: Any) -> None:
    path = f"/v2/{endpoint.name}/job-done/{worker.id}/{job}?gpu=CPU&isStream=false"
    town.expect(town.worker_call(world, "POST", path, body), (200, {}))


def report_of_another(town: Town) -> None:
    """A report of a job that the worker does not hold: refused, with 200."""
    chosen, worker = town.a_job(lambda endpoint, _: endpoint.kind in POLLED), _a_worker(town)
    if chosen is None or worker is None:
        return
    world, endpoint, job = chosen
    own = endpoint.workers.get(worker[2].id)
    if own is None or not (own.has(job) or job.id in own.refused):
        _post(town, world, endpoint, worker[2], job.id, {"output": "not mine"})
        if own is not None:
            own.heard = world.now


def stops(town: Town) -> None:
    """GET /job-stop, which is held."""
    if (chosen := _a_worker(town)) is None:
        return
    world, endpoint, worker = chosen
    if any(poll.kind == "stop" and poll.subject == worker.id for poll in endpoint.polls):
        return
    held = town.worker_call(world, "GET", f"/v2/{endpoint.name}/job-stop/{worker.id}?gpu=CPU")
    worker.heard = world.now
    town.wait(world, endpoint, Poll("stop", worker.id, world.now + HOLD), held)


def obey(town: Town) -> None:
    """A worker lets go of a job without a report: one that it was told to stop, or one that it cannot do."""
    if (chosen := _a_worker(town, busy=True)) is not None:
        _, _, worker = chosen
        told = [job for job in worker.runs if job in worker.stops]
        if told or town.chance(0.1):
            worker.runs.pop(town.dice.choice(told or list(worker.runs)))


def ping(town: Town) -> None:
    """A worker lists what it holds."""
    if (chosen := _a_worker(town)) is not None:
        town.ping(*chosen)


def crash(town: Town) -> None:
    """A program ends in the middle of things: its jobs are given to another at once."""
    ready = []
    for child in town.children.at_work:
        endpoint = town.endpoint_of(child)
        worker = None if endpoint is None else endpoint.workers.get(child.worker)
        if endpoint is not None and worker is not None and worker.ready:
            ready.append((child, endpoint, worker))
    if ready:
        child, endpoint, worker = town.dice.choice(ready)
        for _, poll, _ in list(town.held):
            if poll in endpoint.polls and poll.kind in ("take", "stop") and poll.subject == worker.id:
                town.hang_up(poll)
        child.exit()
        town.story.append(f"crashed: {child.worker}")
        town.served.settle()
        endpoint.worker_gone(worker)


def leave(town: Town) -> None:
    """A program that was told to end, ends."""
    leaving = [child for child in town.children.alive if child.told]
    if leaving:
        town.dice.choice(leaving).exit()
        town.served.settle()


def fall_silent(town: Town) -> None:
    """A worker lists what it holds, and then says nothing any more."""
    if (chosen := _a_worker(town)) is None or chosen[1].kind != "remote":
        return
    world, endpoint, worker = chosen
    for _, poll, _ in list(town.held):
        if poll.kind in ("take", "stop") and poll in endpoint.polls and poll.subject == worker.id:
            town.hang_up(poll)
    town.ping(world, endpoint, worker)
    worker.silent = True


MOVES = {
    take: 6, take_batch: 2, done: 6, progress: 1, emit: 4, report_of_another: 1, stops: 2, obey: 1, ping: 1,
    fall_silent: 1, crash: 0.5, leave: 0.5,
}  # fmt: skip
