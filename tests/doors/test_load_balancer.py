"""Requests for load-balancing endpoints: who gets them, what the worker sees, and what the client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import Span
from runpod_emulator.http.access import Access

from tests.doors.doors import Visit, expect_problem, until
from tests.http.upstream import HOST, BalancedDoors, balanced_doors, ended, says

NOT_FOR_QUEUES = (400, b'{"error":"not allowed for QB API"}')


async def visit(
    doors: BalancedDoors, path: str, query: str = "", method: str = "GET", parts: tuple[bytes, ...] = (), **headers: str
) -> Visit:
    """A request whose bytes nobody has tidied up."""
    made = Visit(doors, method, path, query=query, headers=headers, parts=parts)
    await ended(made)
    return made


def free(doors: BalancedDoors) -> bool:
    """Whether no worker holds a request."""
    return not any(doors.balanced.held.values())


# Reaching it


@pytest.mark.parametrize(
    "host", ["lb.api.localhost", "lb.api.runpod.ai:443", "lb.127.0.0.1:8000", "lb.localhost", "lb.", "lb.x:1"]
)
async def test_the_first_label_of_the_host_names_the_endpoint(host: str):
    async with balanced_doors(says(body=b"hi", length=2)) as doors:
        made = await visit(doors, "/a/b", host=host)
        assert (made.status, made.body, doors.upstream.last.target) == (200, b"hi", b"/a/b")
        assert doors.upstream.last.all("host") == [host.encode()]


async def test_a_host_is_the_same_in_capital_letters():
    async with balanced_doors() as doors:
        assert (await visit(doors, "/a", host="LB.API.localhost")).status == 200
    async with balanced_doors(endpoint="MyApp") as doors:
        assert (await visit(doors, "/a", host="myapp.api.localhost")).status == 200


async def test_no_endpoint_takes_the_hosts_of_the_management_api():
    for endpoint, host in (("api", "api.runpod.io"), ("rest", "rest.runpod.io:443")):
        async with balanced_doors(endpoint=endpoint) as doors:
            assert (await visit(doors, "/a", host=host)).status == 501
            assert (await visit(doors, "/a", host=f"{endpoint}.api.runpod.ai")).status == 200


@pytest.mark.parametrize(
    ("path", "target"),
    [("/lb/lb/a/b", b"/a/b"), ("/lb/lb", b"/"), ("/lb/lb/", b"/"), ("/lb/lb//a/", b"//a/"), ("/lb/lb/lb/l", b"/lb/l")],
)
async def test_a_prefix_of_the_path_names_it_too(path: str, target: bytes):
    async with balanced_doors() as doors:
        assert (await visit(doors, path)).status == 200
        assert doors.upstream.last.target == target


PATHS = ("/", "//", "/a//b/", "/a%2Fb", "/%41", "/a/../b", "/a/./b", "/%2e%2e/x", "/v2/lb/run", "/run", "/docs",
         "/a|b\"<>^`{}", "/%zz", "/a;b=1:@!$&'()*+,=")  # fmt: skip


@pytest.mark.parametrize("path", [*PATHS, pytest.param("/é")])
async def test_the_path_is_verbatim(path: str):
    async with balanced_doors() as doors:
        assert (await visit(doors, path, host="lb.api.localhost")).status == 200
        assert doors.upstream.last.target == path.encode()


@pytest.mark.parametrize("query", ["a=1&a=2", "x=%2F+%20&&y", "=", "?", "a=%zz&b='\"", "a[]=1&b={}", "a=http://x/?y"])
async def test_the_query_is_verbatim(query: str):
    async with balanced_doors() as doors:
        for path in ("/a", "/lb/lb/a"):
            assert (await visit(doors, path, query, host="lb.localhost" if path == "/a" else "emulator")).status == 200
            assert doors.upstream.last.target == b"/a?" + query.encode()


async def test_the_host_goes_before_the_prefix():
    async with balanced_doors() as doors:
        await visit(doors, "/lb/other/x", host="lb.api.localhost")
        assert doors.upstream.last.target == b"/lb/other/x"


async def test_options_for_the_server_as_a_whole_reach_the_worker():
    async with balanced_doors() as doors:
        assert (await visit(doors, "*", method="OPTIONS", host="lb.api.localhost")).status < 500


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_every_method_passes(method: str):
    async with balanced_doors(says(body=b"")) as doors:
        assert (await doors.call(method=method)).status_code == 200
        assert doors.upstream.last.line.split()[0] == method.encode()


@pytest.mark.parametrize(("key", "status"), [("rpa_KEY", 200), (None, 401)])
async def test_the_journal_has_the_body(key: str | None, status: int):
    async with balanced_doors(key=key) as doors:
        assert (await doors.http.post(f"{HOST}/ping", content=b'{"a":1}')).status_code == status
        (entry,) = doors.world.emulator.journal
        assert (entry.status, entry.body, entry.unread) == (status, b'{"a":1}', "")


# Refusals


async def test_without_a_key_nobody_is_let_in():
    async with balanced_doors(key=None) as doors:
        for url in (f"{HOST}/ping", "/lb/lb/ping", "/lb/nope/ping"):
            assert expect_problem(await doors.http.get(url), 401, "Unauthorized", "no token provided")
        assert doors.upstream.heard == []
    async with balanced_doors(access=Access(keys=frozenset({"other"}))) as doors:
        assert expect_problem(await doors.call(), 401, "Unauthorized", "invalid api key")


async def test_an_unknown_endpoint_is_not_found():
    async with balanced_doors() as doors:
        for path in ("/lb/nope/x", "/lb/", "/lb//x", "/lb/LB/x"):
            assert expect_problem(await doors.http.get(path), 404, "Not Found", "endpoint not found")
        other = await doors.http.get("http://nope.api.localhost/x")
        assert expect_problem(other, 404, "Not Found", "route not found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/run"), ("POST", "/runsync"), ("GET", "/status/x"), ("GET", "/stream/x"), ("POST", "/cancel/x"),
     ("POST", "/purge-queue"), ("GET", "/requests"), ("POST", "/openai/v1/completions"), ("GET", "/job-take/w?x=1")],
)  # fmt: skip
async def test_the_queue_api_is_not_for_load_balancers(method: str, path: str):
    async with balanced_doors() as doors:
        got = await doors.http.request(method, f"/v2/lb{path}", content=b"{}" if method == "POST" else None)
        verb = path.split("/")[1].encode()
        error = b'{"error":"/%s is not allowed for LB API, use load balancer endpoint"}' % verb
        assert (got.status_code, got.content) == (400, error)


async def test_a_queue_is_no_load_balancer():
    async with balanced_doors() as doors:
        for url in ("/lb/ep/x", "http://ep.api.localhost/x", "http://ep.api.localhost/", "http://ep.api.localhost/v2"):
            got = await doors.http.get(url)
            assert (got.status_code, got.content) == NOT_FOR_QUEUES


async def test_a_queue_named_by_the_host_keeps_its_api():
    async with balanced_doors() as doors:
        for path in ("/v2/ep/health", "/v2/lb/health", "/__emulator/ready", "/docs"):
            assert (await doors.http.get(f"http://ep.api.localhost{path}")).status_code in (200, 503), path
        got = await doors.http.post("http://ep.api.localhost/v2/ep/run", json={"input": {"a": 1}})
        assert got.json()["status"] == "IN_QUEUE"


async def test_health_counts_its_workers():
    async with balanced_doors() as doors:
        got = await doors.http.get("/v2/lb/health")
        assert got.json() == {
            "jobs": {"completed": 0, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0},
            "workers": {"idle": 1, "initializing": 0, "ready": 1, "running": 0, "throttled": 0, "unhealthy": 0},
        }
        refused = await doors.http.get("/v2/lb/health", headers={"authorization": ""})
        assert expect_problem(refused, 401, "Unauthorized", "no token provided")


async def test_without_a_worker_in_time_a_request_is_refused():
    async with balanced_doors(up=False) as doors:
        held = await doors.hold(doors.call())
        await doors.world.advance(120_000)
        assert expect_problem(await held, 400, "Bad Request", "timed out waiting for worker")
    async with balanced_doors(up=False, workers_max=0) as doors:
        got = await doors.call()
        assert (got.status_code, got.content) == (400, b'{"error":"no workers available"}')


async def test_affinity_is_asked_for_by_a_header():
    async with balanced_doors() as doors:
        for wish in (doors.worker, f"strict {doors.worker}", "nobody", ""):
            assert (await doors.call(headers={"X-Runpod-Worker-Id": wish})).status_code == 200
            assert doors.upstream.last.all("x-runpod-worker-id") == []
        got = await doors.call(headers={"X-Runpod-Worker-Id": "strict nobody"})
        assert expect_problem(got, 404, "Not Found", "affinity_worker_gone")


# A worker that has to come up first


@pytest.mark.parametrize("parts", [(b'{"a":1}',), (b"x" * 70_000,), (b"a", b"b")], ids=["small", "large", "parts"])
async def test_a_body_is_still_there_when_the_worker_is(parts: tuple[bytes, ...]):
    async with balanced_doors(up=False) as doors:
        length = {"content-length": str(len(b"".join(parts)))} if len(parts) == 1 else {"transfer-encoding": "chunked"}
        made = Visit(doors, "POST", "/lb/lb/x", headers=length, parts=parts)
        await until(lambda: doors.waiting == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        await doors.up()
        await ended(made, 1)
        assert (made.status, doors.upstream.last.body) == (200, b"".join(parts))


async def test_a_client_who_leaves_while_he_waits_is_forgotten():
    async with balanced_doors(up=False) as doors:
        made = Visit(doors, "GET", "/lb/lb/x")
        await until(lambda: doors.waiting == 1)
        made.leave()
        await ended(made)
        await doors.up()
        assert free(doors) and doors.upstream.heard == []


# The journal


async def test_the_journal_has_every_request_with_its_status():
    async with balanced_doors(says("418 I'm a teapot")) as doors:
        await doors.call("/a//b?x=1", "POST", content=b"body", headers={"x-mine": "1"})
        await doors.http.get("/lb/lb/c")
        await doors.http.get("/lb/ep/c")
        first, second, third = doors.world.emulator.journal
        assert (first.endpoint, first.operation, first.method, first.status) == ("lb", "balanced", "POST", 418)
        assert (first.path, first.query, first.job) == ("/a//b", "x=1", "")
        assert (b"x-mine", b"1") in first.headers
        assert (second.endpoint, second.path, second.status) == ("lb", "/lb/lb/c", 418)
        assert (third.endpoint, third.operation, third.status) == ("ep", "balanced", 400)


# Faults


def add(doors: BalancedDoors, kind: FaultKind, **told: Any) -> None:
    doors.world.emulator.faults.add(Fault("", kind, endpoint="lb", operations=frozenset({Operation.BALANCED}), **told))


async def test_a_fault_answers_instead_of_the_worker():
    async with balanced_doors() as doors:
        add(doors, FaultKind.STATUS, status=503, times=1)
        got = await doors.call()
        assert (got.status_code, doors.upstream.heard) == (503, [])
        assert "x-emulator-fault" in got.headers
        assert (await doors.call()).status_code == 200
        assert (await doors.http.get("/v2/ep/health")).status_code == 200


@pytest.mark.parametrize("size", [2, 70_000])
async def test_a_fault_delays_an_answer(size: int):
    async with balanced_doors(says(body=b"x" * size)) as doors:
        add(doors, FaultKind.LATENCY, delay=Span(2_000, 2_000))
        held = asyncio.ensure_future(doors.call())
        await until_held(doors)
        await doors.world.advance(2_000)
        got = await held
        assert (got.status_code, len(got.content)) == (200, size)
        assert "x-emulator-fault" in got.headers and free(doors)


async def test_a_fault_resets_the_connection():
    async with balanced_doors() as doors:
        add(doors, FaultKind.CONNECTION_RESET)
        with pytest.raises(ConnectionResetError):
            await doors.call()
        assert [entry.status for entry in doors.world.emulator.journal] == [0]


async def test_a_fault_cuts_a_body_in_half():
    async with balanced_doors(says(body=b"0123456789")) as doors:
        add(doors, FaultKind.TRUNCATED_BODY)
        made = Visit(doors, "GET", "/lb/lb/x")
        with pytest.raises(ConnectionResetError):
            await made.task
        assert made.body == b"01234" and free(doors)


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.CONNECTION_RESET])
async def test_a_fault_after_the_work_lets_the_worker_go(kind: FaultKind):
    async with balanced_doors(says(body=b"x" * 70_000)) as doors:
        add(doors, kind, status=502, processed=True)
        with contextlib.suppress(ConnectionResetError):
            await doors.call()
        assert len(doors.upstream.heard) == 1 and free(doors)


async def test_a_client_who_leaves_during_a_delay_lets_the_worker_go():
    async with balanced_doors(says(body=b"x" * 70_000)) as doors:
        add(doors, FaultKind.LATENCY, delay=Span(2_000, 2_000))
        made = Visit(doors, "GET", "/lb/lb/x")
        await until_held(doors)
        made.leave()
        await ended(made)
        assert free(doors)


async def test_a_client_who_waited_for_a_worker_may_leave_during_a_delay():
    async with balanced_doors(up=False) as doors:
        add(doors, FaultKind.LATENCY, delay=Span(2_000, 2_000))
        made = Visit(doors, "GET", "/lb/lb/x")
        await until(lambda: doors.waiting == 1)
        await doors.up()
        await until(lambda: doors.waiting == 0)
        await until_held(doors)
        made.leave()
        await ended(made, 1)
        assert free(doors)


async def until_held(doors: BalancedDoors) -> None:
    """Until an answer is held back; the worker's has come by then."""
    await until(lambda: doors.waiting > 0)
