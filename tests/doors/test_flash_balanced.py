"""The Flash host `flash.HOST`: a name in headers finds a load-balanced function; and what is wrong at either door."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.settings import FlashAddress, default_settings
from runpod_emulator.http.access import Access

from tests.doors.doors import JOB, KEY, Doors, expect_bad_request, expect_problem, open_doors
from tests.doors.test_flash import EP, MISSING, add, called, flash
from tests.worlds import RecordingLauncher

WEB = {"x-flash-endpoint": "web"}
WRONG_KIND = (400, b'{"error":"not allowed for QB API"}')
NO_WORKERS = (400, b'{"error":"no workers available"}')


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client sends, the log of the server has no traceback."""
    yield
    assert [record.message for record in caplog.get_records("call") if record.exc_info] == []


def queue_call(verb: str) -> tuple[int, bytes]:
    """What a call of the queue API is answered on a load-balancing endpoint."""
    return 400, b'{"error":"/%s is not allowed for LB API, use load balancer endpoint"}' % verb.encode()


def balance(doors: Doors, endpoint: str = "web", address: FlashAddress | None = None) -> Balancer:
    """A load-balancing endpoint that may have no workers: who finds it is told so."""
    emulator = doors.world.emulator
    settings = default_settings(endpoint, emulator.platform, workers_max=0)
    launcher = RecordingLauncher(over_http=True)
    balancer = Balancer(dataclasses.replace(settings, flash=address), doors.world.endpoint.shared, launcher.launch)
    emulator.endpoints.balancers[endpoint] = balancer
    return balancer


async def ask(doors: Doors, headers: dict[str, Any] = WEB, method: str = "POST", **more: object) -> httpx.Response:
    return await doors.http.request(method, "http://flash.api.localhost:8443/hello", headers=headers, **more)


async def test_names_find_load_balanced_functions_too() -> None:
    doors = open_doors()
    balance(doors, "web", FlashAddress("shop", "production", "web"))
    balance(doors, "lab-web", FlashAddress("lab", "production", "web"))
    found = {("shop", "staging"): "web", ("lab", "production"): "lab-web", ("lab", ""): "lab-web", ("", ""): "web"}
    for (app, environment), name in found.items():
        answer = await ask(doors, called(app, "web", environment))
        assert (answer.status_code, answer.content) == NO_WORKERS
        *_, entry = doors.world.emulator.journal
        assert (entry.endpoint, entry.operation, entry.path) == (name, "balanced", "/hello")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_is_the_functions_own_affair(method: str) -> None:
    doors = open_doors()
    balance(doors)
    answer = await ask(doors, method=method)
    assert (answer.status_code, answer.content) == NO_WORKERS


@pytest.mark.parametrize("path", ["/run", "/runsync", "/status/x", "/stream/x", "/cancel/x", "/retry/x"])
async def test_a_job_for_a_load_balanced_function_is_400(path: str) -> None:
    doors = open_doors()
    balance(doors, "web", FlashAddress("shop", "production", "web"))
    method = "GET" if path.startswith(("/status", "/stream")) else "POST"
    for headers in (WEB, called("shop", "web")):
        answer = await flash(doors, method, path, headers, content=JOB)
        assert (answer.status_code, answer.content) == queue_call(path.split("/")[1])
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_http_call_of_a_queue_function_is_400(method: str) -> None:
    doors = open_doors()
    add(doors, "adder", FlashAddress("shop", "production", "adder"))
    for headers in (EP, called("shop", "adder"), called("lab", "adder")):
        answer = await ask(doors, headers, method)
        assert (answer.status_code, answer.content) == WRONG_KIND


async def test_an_endpoint_is_called_by_its_id_whatever_its_name() -> None:
    doors = open_doors()
    balance(doors, "lab-web", FlashAddress("lab", "production", "web"))
    for headers in (called("lab", "lab-web"), called("another", "lab-web", "default"), called("lab", "web")):
        answer = await ask(doors, headers)
        assert (answer.status_code, answer.content) == NO_WORKERS
        assert list(doors.world.emulator.journal)[-1].endpoint == "lab-web"


async def test_a_name_of_an_app_goes_before_an_id_of_the_other_kind() -> None:
    doors = open_doors()
    balance(doors, "lab-ep", FlashAddress("lab", "production", "ep"))
    balance(doors, "adder")
    add(doors, "lab-adder", FlashAddress("lab", "production", "adder"))
    answer = await flash(doors, "POST", "/run", called("lab", "ep"), content=JOB)
    assert (answer.status_code, answer.content) == queue_call("run"), "the queue endpoint ep is not meant"
    answer = await ask(doors, called("lab", "adder"))
    assert (answer.status_code, answer.content) == WRONG_KIND, "the load-balancing endpoint adder is not meant"


async def test_a_name_that_nobody_serves_is_404(caplog: pytest.LogCaptureFixture) -> None:
    doors = open_doors()
    balance(doors)
    detail = "endpoint 'nowhere' of app 'shop', environment 'production' not found: the endpoints here are ep, web"
    with caplog.at_level(logging.WARNING, "runpod_emulator.api"):
        expect_problem(await ask(doors, called("shop", "nowhere")), 404, "Not Found", detail)
    assert [record.message for record in caplog.records] == [detail]


@pytest.mark.parametrize("headers", [{}, {"x-flash-app": "shop"}, {"x-flash-endpoint": ""}])
async def test_a_call_that_is_for_nobody_is_400(headers: dict[str, str]) -> None:
    doors = open_doors()
    balance(doors)
    expect_problem(await ask(doors, headers), 400, "Bad Request", MISSING)


async def test_the_key_is_looked_at_first() -> None:
    for headers in (WEB, EP, {}, {"x-flash-endpoint": "nowhere"}):
        expect_problem(await ask(open_doors(key=None), headers), 401, "Unauthorized", "no token provided")
        doors = open_doors(access=Access(keys=frozenset({KEY})), key="another")
        expect_problem(await ask(doors, headers), 401, "Unauthorized", "invalid api key")


async def test_a_call_that_is_too_large_is_400() -> None:
    doors = open_doors(balancer_body_limit=1_000)
    balancer = balance(doors)
    await balancer.configure(dataclasses.replace(balancer.settings, workers_max=1))
    balancer.fleet.start("w1")
    await balancer.worker_healthy("w1", "http://127.0.0.1:9")
    answer = await ask(doors, content=b"x" * 1_001)
    expect_bad_request(answer, "body: exceeded max body size of 1000 bytes")
    assert not balancer.fleet.workers["w1"].jobs
    await doors.app.state.forwarder.close()


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 400), ({"x-flash-endpoint": "nowhere"}, 404), (EP, 400), (WEB, 400), (None, 401)]
)
async def test_a_websocket_is_refused_with_the_same_status(headers: dict[str, str] | None, status: int) -> None:
    doors = open_doors()
    balance(doors)
    told = {"host": "flash.api.localhost", **({} if headers is None else {"authorization": KEY, **headers})}
    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "wss", "path": "/talk",
        "raw_path": b"/talk", "query_string": b"", "root_path": "", "subprotocols": [],
        "headers": [(name.encode(), value.encode()) for name, value in told.items()],
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await doors.app(scope, receive, send)
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", status)


async def test_the_emulators_own_paths_stay_at_that_host() -> None:
    doors = open_doors()
    answer = await doors.http.post("http://flash.api.localhost/v2/flash/run", headers=EP, content=JOB)
    assert answer.status_code == 200


async def test_an_id_with_capitals_is_found_by_its_host() -> None:
    doors = open_doors()
    balance(doors, "Web")
    answer = await doors.http.post("http://web.api.localhost:8443/hello")
    assert (answer.status_code, answer.content) == NO_WORKERS
