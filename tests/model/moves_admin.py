"""What the owner of the endpoints does: worlds and endpoints come, change and go."""

from __future__ import annotations

from tests.model.endpoint import Settings
from tests.model.mocked import STUBS, Mocked
from tests.model.town import START, Town
from tests.model.world import World

SERVED = {"far": "remote", "near": "command", "next": "command", "stub": "mock", "list": "mock"}
"""What the server serves in every world."""
NAMES = ("", "other", "third")


def open_world(town: Town, name: str) -> None:
    """A namespace that is named for the first time."""
    world = World(name, START, town.terms)
    town.admin(world, "GET", "/clock")
    for endpoint, kind in SERVED.items():
        world.add(endpoint, kind)
    town.admin(world, "POST", "/stubs", STUBS, 201)
    town.worlds[name] = world


def new_world(town: Town) -> None:
    """Name a namespace that is not there."""
    missing = [name for name in NAMES if name not in town.worlds]
    if missing:
        open_world(town, town.dice.choice(missing))


def drop_world(town: Town) -> None:
    """DELETE a namespace: all of it is gone, and its places are free."""
    names = [name for name, world in town.worlds.items() if name]
    if names:
        world = town.worlds.pop(town.dice.choice(names))
        for endpoint in world.endpoints.values():
            town.let_go(endpoint)
        town.admin(town.worlds[""], "DELETE", f"/namespaces/{world.name}", status=204)


def change(town: Town) -> None:
    """PATCH an endpoint; what concerns a job is for jobs to come."""
    if (chosen := town.an_endpoint()) is None or chosen[1].name == "list":
        return
    world, endpoint = chosen
    dice = town.dice
    name = dice.choice(("execution_timeout", "job_ttl") + (("workers_max",) * 3 if endpoint.kind != "remote" else ()))
    value = {
        "execution_timeout": dice.choice((0, dice.randrange(5_000, 100_000))),
        "job_ttl": dice.randrange(10_000, 10_000_000), "workers_max": dice.choice((0, 1, 2, 3)),
    }[name]  # fmt: skip
    for poll in list(endpoint.polls):  # who is told to go, if it can be one that works on, is not foretold
        if name == "workers_max" and poll.kind == "take" and endpoint.workers[poll.subject].runs:
            town.hang_up(poll)
    answer = town.admin(world, "PATCH", f"/endpoints/{endpoint.name}", {name: value})
    if name == "workers_max":
        endpoint.change_max(value)
    else:
        setattr(endpoint.settings, name, value)
    if answer[name] != value:
        raise AssertionError(f"PATCH {endpoint.name}: {name} is {answer[name]}, not {value}")


def add(town: Town) -> None:
    """One endpoint more, at work."""
    world = town.a_world()
    if len(world.endpoints) > 5:
        return
    free = [name for name in ("x1", "x2") if name not in world.endpoints]
    if free:
        name = town.dice.choice(free)
        town.admin(world, "POST", "/endpoints", {"id": name, "remote": True}, 201)
        world.add(name, "remote")


def delete(town: Town) -> None:
    """DELETE an endpoint: what waits or runs is cancelled, and then nothing is known of it any more."""
    world = town.a_world()
    fitting = [one for one in world.endpoints.values() if one.name not in SERVED]
    if fitting:
        endpoint = town.dice.choice(fitting)
        town.let_go(endpoint)
        for job in endpoint.newest_first():
            endpoint.cancel(job.id)
        del world.endpoints[endpoint.name]
        town.admin(world, "DELETE", f"/endpoints/{endpoint.name}", status=204)


def reset(town: Town) -> None:
    """POST /reset: a world is as it was at its start, but for its workers."""
    world = town.a_world()
    town.admin(world, "POST", "/reset", {}, 204)
    for endpoint in world.endpoints.values():
        endpoint.settings = Settings()
        endpoint.reset()
        if isinstance(endpoint, Mocked):
            endpoint.stubs_anew()
    world.deliveries.reset()
    world.ever.clear()
    world.shown = START - world.now
    town.admin(world, "POST", "/stubs", STUBS, 201)


def reset_one(town: Town) -> None:
    """POST /reset of one endpoint."""
    chosen = town.an_endpoint()
    if chosen:
        world, endpoint = chosen
        town.admin(world, "POST", "/reset", {"endpoint": endpoint.name}, 204)
        endpoint.reset()
        world.deliveries.drop(endpoint.name)


MOVES = {new_world: 0.5, drop_world: 0.3, change: 1, add: 0.5, delete: 0.5, reset: 0.2, reset_one: 0.2}
