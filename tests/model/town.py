"""The model beside the server: one move at a time, and a comparison of all that can be seen."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import groupby, zip_longest
from typing import Any

from tests.model.children import Children, FakeChild
from tests.model.endpoint import Endpoint, Poll
from tests.model.jobs import Answer, Job, Terms
from tests.model.places import calm, check_places
from tests.model.served import Held, Served
from tests.model.workers import Worker
from tests.model.world import World

START = 1_700_000_000_000
"""Where a virtual clock begins."""
_LONGEST = 300
"""Characters of an answer that the story keeps."""
PIECE = 39_000
"""ms that may pass between two pings of a worker: less than a lease."""


class Difference(AssertionError):
    """The server does not do what the contract says."""


class Town:
    """Several worlds, the server that emulates them, and whatever a move draws from `dice`."""

    def __init__(self, served: Served, children: Children, places: int, terms: Terms | None = None) -> None:
        self.served = served
        self.children = children
        self.places = places
        """Of the endpoints that are driven."""
        self.terms = terms or Terms()
        self.dice = random.Random(0)
        self.worlds: dict[str, World] = {}
        self.held: list[tuple[World, Poll, Held]] = []
        self.names = Counter[str]()
        self.driven = Counter[str]()
        self.story: list[str] = []
        """What was asked and answered, oldest first."""

    # Asking

    def call(self, world: World, method: str, path: str, body: Any = None, **headers: str) -> Held:
        """A request of a client."""
        if world.name:
            headers["x-emulator-namespace"] = world.name
        return self._tell(world, self.served.call(method, path, body, headers))

    def worker_call(self, world: World, method: str, path: str, body: Any = None) -> Held:
        """A request of a worker, who names its world in the URL."""
        path += f"&ns={world.name}" if world.name else ""
        return self._tell(world, self.served.call(method, path, body))

    def _tell(self, world: World, held: Held) -> Held:
        answer = f"{held.status} {held.body}"[:_LONGEST] if held.done else "held"
        self.story.append(f"[{world.name or '-'} {world.now - START}] {held.told} -> {answer}")
        return held

    def admin(self, world: World, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """A request to the admin API, that succeeds."""
        held = self.call(world, method, f"/__emulator{path}", body)
        if not held.done:
            raise Difference(f"{held.told}: is held for ever")
        if held.status != status:
            raise Difference(f"{held.told}: expected {status}, got {held.status} {held.body}")
        return held.body

    # Comparing

    def expect(self, held: Held, answer: Answer) -> None:
        """A request was answered, and so."""
        if not held.done:
            raise Difference(f"{held.told}: expected {answer}, but it is held")
        status, body = answer
        actual = held.body
        if isinstance(actual, dict) and "jobsToStop" in actual:
            actual = {**actual, "jobsToStop": sorted(actual["jobsToStop"])}
        if (held.status, actual) != (status, body):
            raise Difference(f"{held.told}:\n  expected {status} {body}\n  got      {held.status} {actual}")

    def wait(self, world: World, endpoint: Endpoint, poll: Poll, held: Held) -> None:
        """A request that may be held."""
        endpoint.hold(poll)
        self.held.append((world, poll, held))

    def follow_children(self) -> None:
        """Learn which programs were started and which were told to end: when, the contract leaves to the platform."""
        for child in self.children.alive:
            endpoint = self.endpoint_of(child)
            if endpoint is not None and not child.told and child.worker not in endpoint.workers:
                endpoint.workers[child.worker] = Worker(child.worker, endpoint.now, ready=False)
        there = {(child.world, child.endpoint, child.worker) for child in self.children.at_work}
        for world in self.worlds.values():
            for endpoint in world.endpoints.values():
                for worker in list(endpoint.workers.values()):
                    if endpoint.kind == "command" and (world.name, endpoint.name, worker.id) not in there:
                        endpoint.dismiss(worker)

    def endpoint_of(self, child: FakeChild) -> Endpoint | None:
        """Where a program works; None where that is gone."""
        world = self.worlds.get(child.world)
        return world.endpoints.get(child.endpoint) if world is not None else None

    def check_held(self) -> None:
        """Every held request is answered exactly where the model answers it."""
        self.follow_children()
        still = []
        for world, poll, held in self.held:
            if poll.answer is not None:
                self.expect(held, poll.answer)
            elif held.done:
                raise Difference(f"{held.told}: expected to be held, got {held.status} {held.body}")
            else:
                still.append((world, poll, held))
        self.held = still

    def hang_up(self, poll: Poll) -> None:
        """The caller of a held request leaves."""
        for entry in self.held:
            if entry[1] is poll:
                self.held.remove(entry)
                self.served.leave(entry[2])
                self.story.append(f"hung up: {entry[2].told}")
                break
        for world in self.worlds.values():
            for endpoint in world.endpoints.values():
                if poll in endpoint.polls:
                    endpoint.polls.remove(poll)

    def let_go(self, endpoint: Endpoint) -> None:
        """An endpoint is about to go: nobody says what its held requests are answered."""
        self.held = [entry for entry in self.held if entry[1] not in endpoint.polls]

    def check_all(self) -> None:
        """Compare what every world shows."""
        check_places(self)
        for world in self.worlds.values():
            for endpoint in world.endpoints.values():
                self.check_health(world, endpoint)
                self.check_jobs(world, endpoint)
            self.check_webhooks(world)

    def check_health(self, world: World, endpoint: Endpoint) -> None:
        """The counters of /health."""
        held = self.call(world, "GET", f"/v2/{endpoint.name}/health")
        if held.status != 200 or held.body["jobs"] != endpoint.counts():
            raise Difference(f"{held.told}:\n  expected {endpoint.counts()}\n  got      {held.status} {held.body}")
        workers = held.body["workers"]
        if workers["idle"] != workers["ready"] or not self.may_have(endpoint, workers):
            raise Difference(f"{held.told}: workers {workers}, the model has {list(endpoint.workers.values())}")

    @staticmethod
    def may_have(endpoint: Endpoint, workers: dict[str, int]) -> bool:
        """Whether these counts of workers may be: one that holds a job it no longer lists may be busy or idle."""
        if endpoint.kind == "mock":
            return workers["running"] == len(endpoint.running())
        if endpoint.kind == "command":
            return True
        held = [(worker, job) for worker in endpoint.workers.values() for job in endpoint.running() if worker.has(job)]
        most = len({worker.id for worker, _ in held})
        least = len({worker.id for worker, job in held if job.id in worker.runs})
        others = workers["initializing"] + workers["throttled"] + workers["unhealthy"]
        total = workers["idle"] + workers["running"]
        return least <= workers["running"] <= most and total == len(endpoint.workers) and not others

    def check_jobs(self, world: World, endpoint: Endpoint) -> None:
        """Every job's body, and which there are."""
        held = self.call(world, "GET", f"/v2/{endpoint.name}/requests")
        jobs = [job.body(world.now) for job in endpoint.newest_first()]
        page = {"requests": jobs[:50], "total": len(jobs), "offset": 0, "limit": 50, "hasMore": len(jobs) > 50}
        self.expect(held, (200, page))
        for job in endpoint.newest_first()[:5]:
            self.expect(self.call(world, "GET", f"/v2/{endpoint.name}/status/{job.id}"), (200, job.body(world.now)))
        for job_id in endpoint.gone[-2:]:
            self.expect(self.call(world, "GET", f"/v2/{endpoint.name}/status/{job_id}"), endpoint.status(job_id))

    def check_webhooks(self, world: World) -> None:
        """The calls that came, in their order; in one moment it is nobody's promise, where all are answered alike."""
        calls = self.admin(world, "GET", "/hooks")
        made = [{"at": at + world.shown, "body": body, "status": status} for at, body, status in world.deliveries.made]
        came = [{name: call[name] for name in ("at", "body", "status")} for call in calls]
        for expected, actual in zip_longest(_in_order(made), _in_order(came)):
            if expected != actual:
                raise Difference(f"webhooks of {world.name!r}:\n  expected {expected}\n  got      {actual}")

    # Time

    def advance(self, world: World, by: int) -> None:
        """Let time pass; workers that are well say so at least every 39 s."""
        while by > 0:
            calm(self, world)
            self.ping_all(world)
            piece = min(by, PIECE)
            self._advance(world, piece)
            by -= piece

    def catch_up(self, world: World) -> None:
        """Bring the model to the time of its server, which goes on as soon as nothing works any more."""
        self.follow_children()
        world.run_to(self.admin(world, "GET", "/clock")["now"] - world.shown)
        self.check_held()

    def _advance(self, world: World, by: int) -> None:
        """Virtual time stands whenever a program comes up or works, until that has happened."""
        until = world.now + by
        held = self.call(world, "POST", "/__emulator/clock/advance", {"by": by})
        while not held.done:
            if not calm(self, world):
                raise Difference(f"{held.told}: is held for ever, at {world.now - START}")
        if held.status != 200:
            raise Difference(f"{held.told}: got {held.status} {held.body}")
        world.run_to(until)
        self.check_held()

    def ping_all(self, world: World) -> None:
        """Every worker that is well lists what it holds."""
        for endpoint in world.endpoints.values():
            for worker in list(endpoint.workers.values()):
                if not worker.silent:
                    self.ping(world, endpoint, worker)

    def ping(self, world: World, endpoint: Endpoint, worker: Worker) -> None:
        """One worker lists what it holds."""
        jobs = f"&job_id={','.join(worker.runs)}" if worker.runs else ""
        held = self.worker_call(world, "GET", f"/v2/{endpoint.name}/ping/{worker.id}?gpu=CPU{jobs}")
        self.expect(held, (200, {}))
        worker.ping(endpoint.jobs, world.now)
        endpoint.serve()

    # Choosing

    def a_world(self) -> World:
        """Some world."""
        return self.dice.choice(list(self.worlds.values()))

    def an_endpoint(self, *kinds: str) -> tuple[World, Endpoint] | None:
        """Some endpoint of one of these kinds."""
        world = self.a_world()
        fitting = [one for one in world.endpoints.values() if not kinds or one.kind in kinds]
        return (world, self.dice.choice(fitting)) if fitting else None

    def a_job(self, fits: Callable[[Endpoint, Job], bool] = lambda endpoint, job: True) -> Any:
        """Some job, with its world and endpoint; None where no job fits."""
        fitting = [
            (world, endpoint, job)
            for world in self.worlds.values()
            for endpoint in world.endpoints.values()
            for job in endpoint.jobs.values()
            if fits(endpoint, job)
        ]
        return self.dice.choice(fitting) if fitting else None

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.dice.random() < share

    def do(self, name: str, move: Callable[[Town], object], seed: int) -> None:
        """Make one move; what it draws depends on `seed` alone."""
        self.dice = random.Random(seed)
        self.story.append(f"# {name}")
        move(self)
        for world in self.worlds.values():
            world.run_to(world.now)
        self.check_held()
        self.driven[name] += 1


def _in_order(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ordered: list[dict[str, Any]] = []
    for _, moment in groupby(calls, key=lambda call: (call["at"], call["status"])):
        ordered += sorted(moment, key=lambda call: str(call["body"]["id"]))
    return ordered
