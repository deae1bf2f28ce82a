"""Every row of the ledger of evidence is met once, by an answer over HTTP that carries its label.

The labels here are read off the contract by hand: the ledger does not check itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from runpod_emulator.core.fidelity import LEDGER
from runpod_emulator.core.fleet.worker import Said
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.store_errors import StoreAway
from runpod_emulator.http.access import Access

from tests.docs.test_generated import generate
from tests.doors.doors import JOB, PROFILES, Doors, open_doors, until
from tests.http.upstream import balanced_doors, talks
from tests.tables import table

Scenario = Callable[[str], Awaitable[httpx.Response]]
SCENARIOS: dict[str, tuple[Scenario, str, str]] = {}
"""By row: what meets it, and its label in the observed and in the documented preset."""

EXECUTION_LIMIT = 600_000
SHORT = b'{"input":{"a":1},"policy":{"executionTimeout":5000}}'


def row(name: str, observed: str, documented: str | None = None) -> Callable[[Scenario], Scenario]:
    def register(scenario: Scenario) -> Scenario:
        assert name not in SCENARIOS
        SCENARIOS[name] = scenario, observed, documented or observed
        return scenario

    return register


async def to(status: str, doors: Doors, job_id: str) -> None:
    """Bring a waiting job into a state."""
    if status == "in_queue":
        return
    if status == "cancelled":
        assert (await doors.post(f"/cancel/{job_id}")).status_code == 200
        return
    job = await doors.take()
    if status == "completed":
        await doors.complete(job)
    elif status == "failed":
        await doors.fail(job)
    elif status == "timed_out":
        await doors.world.advance(EXECUTION_LIMIT)


def by_id(route: str, name: str, status: str, observed: str, documented: str | None = None) -> None:
    @row(f"{name}.{status}", observed, documented)
    async def ask(profile: str) -> httpx.Response:
        doors = open_doors(profile, execution_timeout_end="timed_out")
        job_id = await doors.submit()
        await to(status, doors, job_id)
        held = asyncio.ensure_future(doors.get(f"/{route}/{job_id}"))
        await until(lambda: held.done() or doors.waiting == 1)
        await doors.world.advance(90_000 if doors.waiting else 0)
        return await held


def runsync(status: str, observed: str, documented: str | None = None) -> None:
    @row(f"runsync.{status}", observed, documented)
    async def ask(profile: str) -> httpx.Response:
        doors = open_doors(profile, execution_timeout_end="timed_out")
        held = await doors.hold(doors.post("/runsync?wait=300000", content=SHORT if status == "timed_out" else JOB))
        (shown,) = (await doors.get("/requests")).json()["requests"]
        await to(status, doors, shown["id"])
        await doors.world.advance(300_000 if doors.waiting else 0)
        return await held


@row("run.accepted", "observed")
async def _(profile):
    return await open_doors(profile).post("/run", content=JOB)


runsync("in_queue", "documented")
runsync("in_progress", "documented")
runsync("completed", "observed")
runsync("cancelled", "observed")
runsync("timed_out", "guess")
runsync("failed", "client", "documented")

by_id("status", "status", "in_queue", "observed")
by_id("status", "status", "in_progress", "observed")
by_id("status", "status", "completed", "observed")
by_id("status", "status", "cancelled", "observed")
by_id("status", "status", "timed_out", "guess")
by_id("status", "status", "failed", "observed")

by_id("status-sync", "status_sync", "in_queue", "client")
by_id("status-sync", "status_sync", "in_progress", "client")
by_id("status-sync", "status_sync", "completed", "client")
by_id("status-sync", "status_sync", "cancelled", "client")
by_id("status-sync", "status_sync", "timed_out", "guess")
by_id("status-sync", "status_sync", "failed", "client")

by_id("stream", "stream", "in_queue", "client")
by_id("stream", "stream", "in_progress", "observed")
by_id("stream", "stream", "completed", "observed")
by_id("stream", "stream", "failed", "client")
by_id("stream", "stream", "cancelled", "client")
by_id("stream", "stream", "timed_out", "client")


@row("stream.events", "guess")
async def _(profile):
    doors = open_doors(profile)
    job = await doors.completed()
    return await doors.get(f"/stream/{job.id}", headers={"accept": "text/event-stream"})


def openai(name: str, label: str, stream: bool = False, output: bytes = b"[1]", **options: int) -> None:
    @row(f"openai.{name}", label)
    async def ask(profile: str) -> httpx.Response:
        doors = open_doors(profile, **options)
        body = b'{"stream":true}' if stream else b"{}"
        held = await doors.hold(doors.post("/openai/v1/completions", content=body))
        if options:
            await doors.world.advance(options["openai_wait"])
            return await held
        job = await doors.take()
        await (doors.fail(job) if name == "failed" else doors.complete(job, output))
        return await held


openai("completed", "client")
openai("failed", "observed")
openai("error", "observed", output=b'[{"object":"error","message":"no","type":"NotFoundError","code":404}]')
openai("stream", "client", stream=True)
openai("reshaped", "guess", output=b"[1,2]")
openai("waiting", "guess", openai_wait=1_000)


@row("cancel.queued", "observed")
async def _(profile):
    doors = open_doors(profile)
    return await doors.post(f"/cancel/{await doors.submit()}")


@row("cancel.running", "documented")
async def _(profile):
    doors = open_doors(profile)
    await doors.submit()
    return await doors.post(f"/cancel/{(await doors.take()).id}")


@row("cancel.ended", "guess")
async def _(profile):
    doors = open_doors(profile)
    return await doors.post(f"/cancel/{(await doors.completed()).id}")


@row("retry.accepted", "documented")
async def _(profile):
    doors = open_doors(profile)
    return await doors.post(f"/retry/{(await doors.failed()).id}")


@row("purge.removed", "observed")
async def _(profile):
    return await open_doors(profile).post("/purge-queue")


@row("health.counters", "observed")
async def _(profile):
    return await open_doors(profile).get("/health")


@row("health.timed_out", "guess")
async def _(profile):
    doors = open_doors(profile, execution_timeout_end="timed_out")
    await to("timed_out", doors, await doors.submit())
    return await doors.get("/health")


@row("requests.page", "client")
async def _(profile):
    return await open_doors(profile).get("/requests")


@row("requests.part", "guess")
async def _(profile):
    doors = open_doors(profile)
    for _ in range(2):
        await doors.submit()
    return await doors.get("/requests?limit=1")


@row("worker.take", "client")
async def _(profile):
    doors = open_doors(profile)
    await doors.submit()
    return await doors.get("/job-take/w1?job_in_progress=0")


@row("worker.batch", "client")
async def _(profile):
    doors = open_doors(profile)
    await doors.submit()
    return await doors.get("/job-take-batch/w1?batch_size=2&job_in_progress=0")


@row("worker.empty", "client")
async def _(profile):
    doors = open_doors(profile)
    held = await doors.hold(doors.get("/job-take/w1?job_in_progress=0"))
    await doors.world.advance(90_000)
    return await held


@row("worker.report", "client")
async def _(profile):
    doors = open_doors(profile)
    await doors.submit()
    job = (await doors.get("/job-take/w1?job_in_progress=0")).json()
    return await doors.post(f"/job-done/w1/{job['id']}", content=b'{"output":1}')


@row("worker.stop", "client")
async def _(profile):
    doors = open_doors(profile)
    await doors.submit()
    job = (await doors.get("/job-take/w1?job_in_progress=0")).json()
    await doors.post(f"/cancel/{job['id']}")
    return await doors.get("/job-stop/w1")


@row("worker.ping", "client")
async def _(profile):
    return await open_doors(profile).get("/ping/w1?job_id=")


@row("error.no_token", "observed")
async def _(profile):
    return await open_doors(profile, key=None).get("/health")


@row("error.invalid_key", "observed")
async def _(profile):
    return await open_doors(profile, access=Access(keys=frozenset({"other"}))).get("/health")


@row("error.foreign_page", "guess")
async def _(profile):
    return await open_doors(profile, key=None).get("/health", headers={"origin": "https://elsewhere.example"})


@row("error.endpoint_not_found", "observed")
async def _(profile):
    return await open_doors(profile).http.get("/v2/nope/health")


@row("error.job_not_found", "observed")
async def _(profile):
    return await open_doors(profile).get("/status/nope")


@row("error.namespace", "guess")
async def _(profile):
    return await open_doors(profile).get("/status/nope", headers={"X-Emulator-Namespace": "nobody"})


@row("metrics.workers", "client")
async def _(profile):
    return await open_doors(profile).get("/metrics")


@row("error.flash_endpoint_missing", "guess")
async def _(profile):
    return await open_doors(profile).http.post("/v2/flash/run", content=JOB)


@row("error.flash_endpoint_not_found", "client")
async def _(profile):
    return await open_doors(profile).http.post("/v2/flash/run", content=JOB, headers={"x-flash-endpoint": "x"})


def refused(name: str, observed: str, method: str, path: str, **asked: Any) -> None:
    @row(name, observed)
    async def ask(profile: str) -> httpx.Response:
        return await getattr(open_doors(profile), method)(path, **asked)


LONG = {"content": JOB, "headers": {"content-length": "99999999"}}
refused("error.route_not_found", "guess", "get", "/nope")
refused("error.method_not_allowed", "guess", "get", "/run")
refused("error.body_too_large", "observed", "post", "/run", **LONG)
refused("error.runsync_body_too_large", "guess", "post", "/runsync", **LONG)
refused("error.invalid_body", "guess", "post", "/run", content=b"not json")
refused("error.input_missing", "guess", "post", "/run", content=b"{}")
refused("error.input_not_object", "guess", "post", "/run", content=b'{"input":[]}')
refused("error.webhook_invalid", "guess", "post", "/run", content=b'{"input":{},"webhook":"ftp://h/"}')
refused("error.out_of_range", "guess", "post", "/run", content=b'{"input":{},"policy":{"ttl":1}}')


@row("error.not_retryable", "guess")
async def _(profile):
    doors = open_doors(profile)
    return await doors.post(f"/retry/{await doors.submit()}")


@row("error.not_cancellable", "guess")
async def _(profile):
    doors = open_doors(profile, cancel_terminal="reject")
    return await doors.post(f"/cancel/{(await doors.completed()).id}")


@row("error.rate_limited", "guess")
async def _(profile):
    doors = open_doors(profile)
    answers = [await doors.post("/purge-queue") for _ in range(3)]
    return answers[-1]


@row("error.paused", "observed")
async def _(profile):
    return await open_doors(profile, paused_endpoint="conflict", workers_max=0).post("/run", content=JOB)


@row("error.wrong_kind", "observed")
async def _(profile):
    return await open_doors(profile).http.get("/lb/ep/x")


@row("error.queue_full", "guess")
async def _(profile):
    doors = open_doors(profile, paused_endpoint="queue", workers_max=0)
    for _ in range(51):
        await doors.submit()
    return await doors.post("/run", content=JOB)


def balanced(
    name: str,
    label: str,
    path: str = "/lb/lb/x",
    *,
    wish: str = "",
    waits: int = 0,
    content: bytes = b"",
    method: str = "GET",
    **options: Any,
) -> None:
    @row(name, label)
    async def ask(profile: str) -> httpx.Response:
        async with balanced_doors(profile=profile, **options) as doors:
            wishes = {"x-runpod-worker-id": wish}
            held = asyncio.ensure_future(doors.http.request(method, path, headers=wishes, content=content))
            await until(lambda: doors.waiting == bool(waits))
            await doors.world.advance(waits)
            return await held


balanced("health.balanced", "observed", "/v2/lb/health")
balanced("error.queue_call", "guess", "/v2/lb/requests")
balanced("error.queue_call_run", "observed", "/v2/lb/run", method="POST")
balanced("error.no_workers", "documented", up=False, workers_max=0)
balanced("error.worker_timeout", "observed", up=False, waits=120_000)
balanced("error.affinity_gone", "guess", wish="strict nobody")
balanced("error.balanced_body_too_large", "guess", content=b"four", balancer_body_limit=3)
balanced("error.bad_gateway", "guess", talk=talks(None))
balanced("error.answer_too_late", "guess", talk=talks(60.0), balancer_answer_limit=20)


@row("error.strict_worker_timeout", "documented")
async def _(profile):
    async with balanced_doors(profile=profile, up=False, init_timeout=0) as doors:
        first = asyncio.ensure_future(doors.http.get("/lb/lb/x"))
        await until(lambda: doors.waiting == 1)
        wish = {"x-runpod-worker-id": f"strict {doors.balanced.launcher.started[0]}"}
        strict = asyncio.ensure_future(doors.http.get("/lb/lb/x", headers=wish))
        await until(lambda: doors.waiting == 2)
        await doors.world.advance(300_000)
        assert (await first).status_code == 400
        return await strict


@row("error.overloaded", "guess")
async def _(profile):
    async with balanced_doors(profile=profile, workers_max=1, worker_capacity=1) as doors:
        await doors.balanced.seat()
        return await doors.http.get("/lb/lb/x")


@row("error.no_outside_workers", "guess")
async def _(profile):
    doors = open_doors(profile)
    doors.world.emulator.endpoints.add_mock(default_settings("mock", doors.endpoint.platform))
    return await doors.http.get("/v2/mock/job-take/w1")


async def batched(doors: Doors) -> str:
    """A draft of one request; returns its path."""
    return f"/batch/{(await doors.post('/batch', json=[{'input': {}}])).json()['id']}"


@row("batch.created", "documented")
async def _(profile):
    return await open_doors(profile).post("/batch", json=[])


@row("batch.changed", "guess")
async def _(profile):
    doors = open_doors(profile)
    return await doors.post(f"{await batched(doors)}/requests", json={"requests": []})


@row("batch.finalized", "guess")
async def _(profile):
    doors = open_doors(profile)
    return await doors.post(f"{await batched(doors)}/finalize")


@row("batch.cancelled", "guess")
async def _(profile):
    doors = open_doors(profile)
    return await doors.post(f"{await batched(doors)}/cancel")


@row("batch.list", "guess")
async def _(profile):
    return await open_doors(profile).get("/batch")


@row("graphql.answer", "client")
async def _(profile):
    return await open_doors(profile).http.post("/graphql", json={"query": "{ myself { id } }"})


@row("error.graphql_invalid", "guess")
async def _(profile):
    return await open_doors(profile).http.post("/graphql", json={"query": "{"})


@row("management.shown", "documented")
async def _(profile):
    return await open_doors(profile).http.get("/v2/serverless")


@row("management.logs", "documented")
async def _(profile):
    doors = open_doors(profile)
    worker = await doors.world.worker()
    doors.endpoint.workforce.printed(worker, "", Said("here"))
    await doors.endpoint.work.worker_gone(worker)
    return await doors.http.get(f"/v2/serverless/ep/workers/{worker}/logs")


@row("error.management", "documented")
async def _(profile):
    return await open_doors(profile).http.post("/v2/serverless", json={})


@row("batch.summary", "documented")
async def _(profile):
    doors = open_doors(profile)
    return await doors.get(await batched(doors))


@row("batch.requests", "documented")
async def _(profile):
    doors = open_doors(profile)
    return await doors.get(f"{await batched(doors)}/requests")


@row("error.batch_not_found", "guess")
async def _(profile):
    return await open_doors(profile).get("/batch/nope")


@row("error.batch_state", "guess")
async def _(profile):
    doors = open_doors(profile)
    path = await batched(doors)
    await doors.post(f"{path}/cancel")
    return await doors.post(f"{path}/cancel")


@row("error.batch_full", "guess")
async def _(profile):
    return await open_doors(profile, batch_requests_limit=0).post("/batch", json=[{"input": {}}])


@row("error.batch_body_too_large", "guess")
async def _(profile):
    return await open_doors(profile, batch_body_limit=1).post("/batch", json=[{"input": {}}])


@row("error.not_emulated", "guess")
async def _(profile):
    return await open_doors(profile).http.get("/v2/pods")


@row("error.internal", "guess")
async def _(profile):
    doors = open_doors(profile)

    async def fault():
        raise ZeroDivisionError

    doors.endpoint.health = fault
    return await doors.get("/health")


@row("error.unavailable", "guess")
async def _(profile):
    doors = open_doors(profile)

    async def away():
        raise StoreAway

    doors.endpoint.health = away
    return await doors.get("/health")


@row("error.fault", "guess")
async def _(profile):
    doors = open_doors(profile)
    doors.world.emulator.faults.add(Fault("", FaultKind.STATUS, status=502))
    return await doors.get("/health")


@table("profile", PROFILES)
@table("name", LEDGER)
async def test_every_row_is_met_and_tells_its_label(name, profile):
    scenario, observed, documented = SCENARIOS[name]
    answer = await scenario(profile)
    label = observed if profile == "observed" else documented
    assert answer.headers.get_list("x-emulator-fidelity") == [f"{label}; row={name}"]
    statuses = generate.statuses(LEDGER[name])
    assert str(answer.status_code) in statuses.split(", ") or name == "error.fault", "as docs/fidelity.md says"


def test_no_scenario_is_for_a_row_that_is_gone():
    assert set(SCENARIOS) == set(LEDGER)
