"""What clients do."""

from __future__ import annotations

import re
from typing import Any

from tests.model.endpoint import PAUSED, Endpoint, Poll
from tests.model.jobs import NO_ENDPOINT, NO_JOB, RUN_KEPT, SYNC_KEPT
from tests.model.mocked import SCRIPTS
from tests.model.served import Held
from tests.model.town import Difference, Town
from tests.model.world import World

_ID = re.compile(r"(sync-)?[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(-u1)?")
POLLERS = ("remote", "command")


def _wish(town: Town, world: World, endpoint: Endpoint) -> dict[str, Any]:
    dice = town.dice
    wish: dict[str, Any] = {
        "input": {"n": dice.randrange(100)} if dice.random() < 0.9 or endpoint.kind == "command" else {}
    }
    if endpoint.kind == "mock":
        wish["input"] = {"do": dice.choice(list(SCRIPTS)), "n": dice.randrange(100)}
    if dice.random() < 0.4 and not (endpoint.kind == "mock" and world.deliveries.answers):
        wish["webhook"] = f"{town.served.base}/__emulator/hooks/{world.name or '-'}/all"
    policy: dict[str, Any] = {}
    if dice.random() < 0.3 and endpoint.name != "list":
        policy["ttl"] = dice.randrange(10_000, 100_000)
    if dice.random() < 0.3:
        policy["executionTimeout"] = dice.randrange(5_000, 60_000)
    if dice.random() < 0.1 and endpoint.kind != "mock":
        policy["lowPriority"] = True
    if policy:
        wish["policy"] = policy
    return wish


def _accepted(world: World, held: Held, job_id: str, sync: bool) -> None:
    match = _ID.fullmatch(job_id)
    if match is None or bool(match.group(1)) != sync:
        raise Difference(f"{held.told}: the id {job_id} is not of the right form")
    if job_id in world.ever:
        raise Difference(f"{held.told}: the id {job_id} was there before")
    world.ever.add(job_id)


def run(town: Town) -> None:
    """POST /run."""
    chosen = town.an_endpoint()
    if chosen is None:
        return
    world, endpoint = chosen
    for _ in range(town.dice.choice((1, 1, 1, 2, 4))):
        wish = _wish(town, world, endpoint)
        held = town.call(world, "POST", f"/v2/{endpoint.name}/run", wish)
        if endpoint.is_paused:
            town.expect(held, (409, PAUSED))
            return
        if not held.done or held.status != 200 or set(held.body) != {"id", "status"}:
            raise Difference(f"{held.told}: expected 200 with id and status, got {held.status} {held.body}")
        _accepted(world, held, held.body["id"], False)
        job = endpoint.submit(held.body["id"], wish, RUN_KEPT)
        town.expect(held, (200, {"id": job.id, "status": "IN_QUEUE"}))


def runsync(town: Town) -> None:
    """POST /runsync, which is held; its id is seen in /requests before."""
    chosen = town.an_endpoint()
    if chosen is None:
        return
    world, endpoint = chosen
    wish, wait = _wish(town, world, endpoint), town.dice.randrange(1_000, 300_001)
    query = f"?wait={wait}" if town.chance(0.8) else ""
    held = town.call(world, "POST", f"/v2/{endpoint.name}/runsync{query}", wish)
    if endpoint.is_paused:
        town.expect(held, (409, PAUSED))
        return
    newest = town.call(world, "GET", f"/v2/{endpoint.name}/requests").body["requests"][0]["id"]
    _accepted(world, held, newest, True)
    endpoint.submit(newest, wish, SYNC_KEPT)
    until = world.now + (wait if query else 90_000)
    town.wait(world, endpoint, Poll("sync", newest, until), held)


def status(town: Town) -> None:
    """GET or POST /status, sometimes with a ttl."""
    if chosen := town.a_job():
        world, endpoint, job = chosen
        ttl = town.dice.choice((None, None, 1, town.dice.randrange(1, 120_000)))
        query = "" if ttl is None else f"?ttl={ttl}"
        held = town.call(world, town.dice.choice(("GET", "POST")), f"/v2/{endpoint.name}/status/{job.id}{query}")
        town.expect(held, endpoint.status(job.id, ttl))


def status_sync(town: Town) -> None:
    """GET /status-sync, which is held."""
    _poll(town, "status-sync", "sync", 90_000)


def stream(town: Town) -> None:
    """GET or POST /stream, which is held."""
    _poll(town, "stream", "stream", 9_500)


def _poll(town: Town, verb: str, kind: str, usual: int) -> None:
    if chosen := town.a_job():
        world, endpoint, job = chosen
        wait = town.dice.randrange(1_000, 300_001)
        query = f"?wait={wait}" if town.chance(0.5) else ""
        held = town.call(world, town.dice.choice(("GET", "POST")), f"/v2/{endpoint.name}/{verb}/{job.id}{query}")
        town.wait(world, endpoint, Poll(kind, job.id, world.now + (wait if query else usual)), held)


def cancel(town: Town) -> None:
    """POST /cancel."""
    if chosen := town.a_job():
        world, endpoint, job = chosen
        held = town.call(world, "POST", f"/v2/{endpoint.name}/cancel/{job.id}")
        town.expect(held, endpoint.cancel(job.id))


def retry(town: Town) -> None:
    """POST /retry; not of a job whose result was made to go sooner: nobody knows what becomes of that."""
    wanted = ("FAILED", "TIMED_OUT", *(("COMPLETED", "CANCELLED", "IN_QUEUE") if town.chance(0.2) else ()))
    chosen = town.a_job(
        lambda endpoint, job: (
            not job.shortened and job.status in wanted and not (endpoint.kind == "mock" and job.webhook)
        )
    )
    if chosen:
        world, endpoint, job = chosen
        held = town.call(world, "POST", f"/v2/{endpoint.name}/retry/{job.id}")
        town.expect(held, endpoint.retry(job.id))


def purge(town: Town) -> None:
    """POST /purge-queue."""
    chosen = town.an_endpoint()
    if chosen:
        world, endpoint = chosen
        held = town.call(world, "POST", f"/v2/{endpoint.name}/purge-queue")
        town.expect(held, endpoint.purge())


def hang_up(town: Town) -> None:
    """A client or a worker leaves its held request."""
    if town.held:
        town.hang_up(town.dice.choice(town.held)[1])


def ask_wrongly(town: Town) -> None:
    """Requests that are refused, and change nothing."""
    chosen = town.an_endpoint()
    if chosen is None:
        return
    world, endpoint = chosen
    path, gone = f"/v2/{endpoint.name}", (endpoint.gone or ["nobody"])[-1]
    method, verb, body, expected = town.dice.choice([
        ("POST", f"{path}/run", {}, 400), ("POST", f"{path}/run", {"input": 1}, 400),
        ("POST", f"{path}/run", b"{", 400), ("POST", f"{path}/run", {"input": {}, "policy": {"ttl": 9_999}}, 400),
        ("POST", f"{path}/run", {"input": {}, "policy": {"executionTimeout": 4_999}}, 400),
        ("POST", f"{path}/runsync?wait=999", {"input": {}}, 400), ("GET", f"{path}/run", None, 405),
        ("GET", f"{path}/status/{gone}", None, NO_JOB), ("GET", f"{path}/stream/{gone}", None, NO_JOB),
        ("GET", f"{path}/status-sync/{gone}", None, NO_JOB), ("POST", f"{path}/cancel/{gone}", None, NO_JOB),
        ("POST", f"{path}/retry/{gone}", None, NO_JOB), ("POST", "/v2/nobody/run", {"input": {}}, NO_ENDPOINT),
        ("GET", "/v2/nobody/health", None, NO_ENDPOINT), ("GET", f"{path}/status/{gone}?ttl=x", None, (400, 404)),
    ])  # fmt: skip
    held = town.call(world, method, verb, body)
    if isinstance(expected, tuple) and isinstance(expected[1], dict):
        town.expect(held, expected)
    elif held.status not in (expected if isinstance(expected, tuple) else (expected,)):
        raise Difference(f"{held.told}: expected {expected}, got {held.status} {held.body}")


MOVES = {
    run: 6, runsync: 2, status: 2, status_sync: 1, stream: 3, cancel: 2, retry: 3, purge: 1, hang_up: 1, ask_wrongly: 1,
}  # fmt: skip
