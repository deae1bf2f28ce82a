"""Process places: what holds of them in all worlds together, whatever the platform chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.endpoint import Endpoint, Poll
from tests.model.jobs import NOTHING
from tests.model.workers import Worker
from tests.model.world import World

if TYPE_CHECKING:
    from tests.model.town import Town

HOLD = 10_000


def take(town: Town, world: World, endpoint: Endpoint, worker: str, most: int = 1) -> Poll:
    """A worker polls for jobs; one that is held is answered when there is one."""
    known = endpoint.workers.get(worker)
    idle = known is None or known.is_idle
    batch, size = ("-batch", f"&batch_size={most}") if most > 1 else ("", "")
    path = f"/v2/{endpoint.name}/job-take{batch}/{worker}?gpu=CPU{size}&job_in_progress={int(not idle)}"
    held = town.worker_call(world, "GET", path)
    endpoint.heard(worker, idle)
    poll = Poll("take", worker, world.now + HOLD, most, most > 1)
    town.wait(world, endpoint, poll, held)
    return poll


def post_done(town: Town, world: World, endpoint: Endpoint, worker: Worker, job: str, body: dict[str, object]) -> None:
    """A worker reports the end of a job."""
    path = f"/v2/{endpoint.name}/job-done/{worker.id}/{job}?gpu=CPU&isStream=false"
    town.expect(town.worker_call(world, "POST", path, body), (200, {}))
    error = body.get("error")
    endpoint.finish(worker, job, body.get("output", NOTHING), None if error is None else str(error))
    endpoint.free_the_spared()
    world.run_to(world.now)


def calm(town: Town, world: World) -> bool:
    """Let every program come up, end its jobs and stop polling; returns whether there was something to do."""
    worked = False
    for _ in range(1_000):
        town.catch_up(world)
        work = [
            (endpoint, worker)
            for endpoint in world.endpoints.values()
            if endpoint.kind == "command"
            for worker in endpoint.workers.values()
            if worker.runs or not worker.ready or any(worker.keeps(job) for job in endpoint.running())
        ]
        if not work:
            break
        worked = True
        _let_work(town, world, *work[0])
    for _, poll, _ in list(town.held):
        for endpoint in world.endpoints.values():
            if endpoint.kind == "command" and poll.kind == "take" and poll in endpoint.polls:
                town.hang_up(poll)
    return worked


def _let_work(town: Town, world: World, endpoint: Endpoint, worker: Worker) -> None:
    lost = [job.id for job in endpoint.running(worker.id) if worker.keeps(job)]
    if worker.runs or lost:
        for job in [*worker.runs, *(job for job in lost if job not in worker.runs)]:
            post_done(town, world, endpoint, worker, job, {"output": "calm"})
    else:
        take(town, world, endpoint, worker.id)


def check_places(town: Town) -> None:
    """No more programs than places and workers_max allow, and none missing where jobs wait and a place is free."""
    from tests.model.town import Difference

    at_work = town.children.at_work
    if len(at_work) > town.places:
        raise Difference(f"{len(at_work)} programs have {town.places} places")
    for world in town.worlds.values():
        for endpoint in world.endpoints.values():
            if endpoint.kind != "command":
                continue
            own = [child for child in at_work if (child.world, child.endpoint) == (world.name, endpoint.name)]
            if not endpoint.may_have([child.worker for child in own]):
                raise Difference(f"{endpoint.name} of {world.name!r}: {len(own)} workers, {endpoint.settings}")
            shown = town.call(world, "GET", f"/v2/{endpoint.name}/health").body["workers"]
            place_is_free = len(at_work) < town.places
            waits = any(not job.low for job in endpoint.queue) and endpoint.settings.workers_max > 0
            if (shown["throttled"] and place_is_free) or (waits and not own and place_is_free):
                raise Difference(
                    f"{endpoint.name} of {world.name!r}: jobs wait, {town.places - len(at_work)} places are free, "
                    f"and nobody comes: {shown}"
                )
