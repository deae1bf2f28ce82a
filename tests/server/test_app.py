"""The ASGI shell: paths, methods, routes that are missing, CORS, and evidence on every answer."""

import httpx
import pytest

from tests.doors.conftest import no_endless_wait  # noqa: F401 - a fixture
from tests.doors.doors import JOB, KEY, PROFILES, Visit, expect_problem, open_doors
from tests.tables import table

ALLOWED = {
    "/v2/ep/run": "POST",
    "/v2/ep/runsync": "POST",
    "/v2/ep/status/x": "GET, POST",
    "/v2/ep/status-sync/x": "GET, POST",
    "/v2/ep/stream/x": "GET, POST",
    "/v2/ep/cancel/x": "POST",
    "/v2/ep/retry/x": "POST",
    "/v2/ep/purge-queue": "POST",
    "/v2/ep/health": "GET",
    "/v2/ep/metrics": "GET",
    "/v2/ep/requests": "GET",
    "/v2/ep/batch": "GET, POST",
    "/v2/ep/batch/b1": "GET, PUT",
    "/v2/ep/batch/b1/requests": "GET, POST",
    "/v2/ep/batch/b1/requests/r1": "DELETE",
    "/v2/ep/batch/b1/finalize": "POST",
    "/v2/ep/batch/b1/cancel": "POST",
    "/v2/flash/run": "POST",
    "/v2/flash/runsync": "POST",
    "/v2/flash/status/x": "GET, POST",
    "/v2/flash/stream/x": "GET, POST",
    "/v2/flash/cancel/x": "POST",
    "/v2/flash/retry/x": "POST",
}

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]

REST, REST_V1 = "the management API (REST)", "the management API (REST v1)"

NOT_EMULATED = {
    "/v1/pods": REST_V1,
    "/v1/endpoints/ep/workers": REST_V1,
    "/v1/billing/endpoints": REST_V1,
    "/v2/pods": REST,
    "/v2/pods/p1/logs": REST,
    "/v2/catalog/gpus/NVIDIA%20L40S": REST,
    "/v2/network-volumes/v1": REST,
    "/v2/serverless/ep/builds": "this part of the management API (REST)",
    "/v2/serverless/ep/builds/b1": "this part of the management API (REST)",
}

NOWHERE = [
    "/v2", "/v2/ep", "/v1/ep/run", "/run", "/ep/run", "/v2/run", "/v2/ep/nope", "/v2/ep/run/x", "/v2/ep/Run",
    "/v2/ep/runSync", "/v2/ep/status", "/v2/ep/stream", "/v2/ep/cancel", "/v2/ep/status/x/y", "/v2/ep/health/x",
    "/v2/ep/purge_queue", "/v2/ep/purge", "/favicon.ico", "/v2/ep/run.json", "/v2/ep/..%2f", "/robots.txt",
    "/v2/flash", "/v2/flash/health", "/v2/flash/purge-queue", "/v2/flash/requests", "/v2/flash/status-sync/x",
]  # fmt: skip


@table("path", ALLOWED)
async def test_a_wrong_method_is_405_with_the_right_ones(path):
    doors = open_doors()
    for method in METHODS:
        answer = await doors.http.request(method, path)
        as_get = method == "HEAD" and path.split("/")[3] in ("status", "health", "metrics", "requests")
        if as_get or method in ALLOWED[path].split(", "):
            assert answer.status_code != 405
            continue
        if method == "HEAD":
            assert (answer.status_code, answer.content) == (405, b"")
        else:
            expect_problem(answer, 405, "Method Not Allowed", "method not allowed")
        assert answer.headers["allow"] == ALLOWED[path]
        assert answer.headers["x-emulator-fidelity"] == "guess; row=error.method_not_allowed"


@pytest.mark.parametrize("path", NOT_EMULATED)
async def test_a_route_that_is_not_emulated_says_so_loudly(path):
    doors = open_doors()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        expect_not_emulated(await doors.http.request(method, path, content=b"{}"), NOT_EMULATED[path])


def expect_not_emulated(answer: httpx.Response, what: str) -> None:
    detail = f"{what} exists on RunPod but is not emulated: see docs/management.md#not-emulated"
    assert answer.json() == {"status": 501, "title": "Not Implemented", "detail": detail}
    assert (answer.status_code, answer.headers["content-type"]) == (501, "application/problem+json")
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.not_emulated"


@table("host", ["api.runpod.io", "rest.runpod.io", "API.RunPod.io:443", "v2-rest.runpod.io."])
async def test_a_host_of_the_management_api_answers_nothing_with_404(host: str):
    doors = open_doors()
    for path in ("/", "/v1", "/v1/new/things", "/v2/new", "/v2/ep/run/x", "/nope"):
        answer = await doors.http.put(path, headers={"host": host}, content=b"{}")
        expect_not_emulated(answer, "this route of the management API")
    assert (await doors.http.get("/nope", headers={"host": "api.runpod.ai"})).status_code == 404


@table("path", NOWHERE)
async def test_a_path_that_exists_nowhere_is_404(path):
    doors = open_doors()
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        expect_problem(await doors.http.request(method, path), 404, "Not Found", "route not found")


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_missing_route_needs_no_key(profile):
    doors = open_doors(profile, key=None)
    expect_problem(await doors.http.get("/v2/ep/nope"), 404, "Not Found", "route not found")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/ep/run", "/v2/ep/run/", "/v2//ep/run", "//v2/ep/run", "/v2/ep//run", "/v2/ep/run//", "///v2///ep///run///",
    ],
)  # fmt: skip
async def test_double_and_trailing_slashes_are_taken_out(path):
    doors = open_doors()
    visit = Visit(doors, "POST", path, parts=(JOB,))
    await visit.task
    assert visit.status == 200
    assert (await doors.take()).input == b'{"a":1}'


@pytest.mark.parametrize("path", ["/v2//ep//status//{}", "/v2/ep/status/{}/"])
@pytest.mark.parametrize("query", ["", "ttl=6000"])
async def test_slashes_around_an_id(path, query):
    doors = open_doors()
    job = await doors.completed()
    visit = Visit(doors, "GET", path.format(job.id), query=query)
    await visit.task
    assert visit.status == 200
    await doors.world.advance(6_000)
    assert (await doors.get(f"/status/{job.id}")).status_code == (404 if query else 200)


async def test_an_untidy_path_knows_its_methods_and_neighbours():
    doors = open_doors()
    visits = [
        Visit(doors, method, path)
        for method, path in (("GET", "/v2//ep/run/"), ("POST", "/v2/ep/batch//b1/"), ("GET", "/v2/ep/nope/"))
    ]
    for visit in visits:
        await visit.task
    assert [visit.status for visit in visits] == [405, 405, 404]
    assert visits[0].headers["allow"] == "POST"


async def test_an_escaped_character_is_the_same_character():
    doors = open_doors()
    job = await doors.completed()
    for path in (f"/v2/%65p/status/{job.id.replace('-', '%2D')}", f"/v2/ep%2Fstatus%2F{job.id}"):
        assert (await doors.http.get(path)).status_code == 200


ORIGIN = {"origin": "https://app.example"}
LOCAL = {"origin": "http://localhost:3000"}
PREFLIGHT = {
    **ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}
READERS = [
    ("local", LOCAL, "http://localhost:3000"),
    ("local", {"origin": "https://[::1]"}, "https://[::1]"),
    ("local", {"origin": "http://app.localhost:1"}, "http://app.localhost:1"),
    ("open", ORIGIN, "*"),
    ("open", LOCAL, "*"),
]
readers = table(("cors", "headers", "allowed"), READERS)


@readers
async def test_pages_read_answers(cors, headers, allowed):
    doors = open_doors(cors=cors)
    answer = await doors.post("/run", content=JOB, headers=headers)
    assert answer.headers["access-control-allow-origin"] == allowed
    assert answer.headers["vary"] == "Origin"
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert "x-emulator-fidelity" in exposed and "retry-after" in exposed


@readers
@table("path", ALLOWED)
async def test_a_preflight_needs_no_key(path, cors, headers, allowed):
    doors = open_doors(key=None, cors=cors)
    answer = await doors.http.options(path, headers=PREFLIGHT | headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == allowed
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]


@readers
async def test_a_page_of_the_internet_may_call_this_machine_where_it_may_call(cors, headers, allowed):
    asks = PREFLIGHT | headers | {"access-control-request-private-network": "true"}
    answer = await open_doors(key=None, cors=cors).http.options("/v2/ep/run", headers=asks)
    assert (answer.status_code, answer.headers["access-control-allow-private-network"]) == (200, "true")
    answer = await open_doors(key=None, cors="none").http.options("/v2/ep/run", headers=asks)
    assert (answer.status_code, answer.headers.get("access-control-allow-private-network")) == (405, None)


@readers
@table(
    ("method", "path", "status"),
    [("POST", "/v2/ep/run", 400), ("GET", "/v2/ep/status/x", 404), ("PUT", "/v2/ep/run", 405), ("GET", "/x", 404),
     ("GET", "/v2/pods", 501)],
)  # fmt: skip
async def test_errors_can_be_read_across_origins_too(method, path, status, cors, headers, allowed):
    answer = await open_doors(cors=cors).http.request(method, path, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, allowed)


@readers
async def test_no_key_can_be_read_across_origins_too(cors, headers, allowed):
    answer = await open_doors(key=None, cors=cors).get("/health", headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, allowed)


@pytest.mark.parametrize("profile", PROFILES)
async def test_pages_of_this_machine_alone_read_answers_unless_told_otherwise(profile):
    doors = open_doors(profile)
    assert doors.world.emulator.platform.cors == "local"
    for path in ALLOWED:
        answer = await doors.http.options(path, headers=PREFLIGHT)
        expect_problem(answer, 405, "Method Not Allowed", "method not allowed")
        assert not [name for name in answer.headers if name.startswith("access-control")]
    answer = await doors.post("/run", content=JOB, headers=ORIGIN)
    assert (answer.status_code, answer.headers["vary"]) == (200, "Origin"), "as the service would, which knows no pages"
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("cors", ["local", "open", "none"])
@pytest.mark.parametrize("path", ["/v2/ep/run", "/v2//ep/run/", "/v2/ep/nope"])
async def test_who_gets_an_answer_unasked_keeps_it_from_no_other_page(cors, path):
    """The short cut and the layers say alike that another origin may be answered otherwise."""
    answer = await open_doors(cors=cors).http.post(path, content=JOB)
    assert answer.headers.get("vary") == (None if cors == "none" else "Origin")


@table("path", ALLOWED)
async def test_without_cors_a_preflight_is_refused_as_in_production(path):
    doors = open_doors(cors="none", key=None)
    answer = await doors.http.options(path, headers=PREFLIGHT)
    expect_problem(answer, 405, "Method Not Allowed", "method not allowed")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_without_cors_no_answer_carries_its_headers():
    doors = open_doors(cors="none")
    answer = await doors.post("/run", content=JOB, headers=ORIGIN)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_errors_are_of_the_content_type_that_was_asked_for():
    doors = open_doors(error_content_type="application/problem+json")
    for answer in (
        await doors.post("/run", content=b""),
        await doors.get("/status/x"),
        await doors.get("/nope"),
        await doors.get("/run"),
        await doors.get("/batch/b1"),
    ):
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await doors.get("/health")).headers["content-type"] == "application/json"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("key", [KEY, None])
async def test_every_answer_carries_its_evidence(key, profile):
    doors = open_doors(profile, key=key)
    for path in [*ALLOWED, *NOT_EMULATED, "/v2/ep/nope", "/v2/nope/run", "/nope"]:
        for method in ("GET", "POST", "PUT"):
            answer = await doors.http.request(method, path)
            label, _, row = answer.headers["x-emulator-fidelity"].partition("; row=")
            assert label in ("observed", "client", "documented", "guess") and row
            assert answer.headers["content-type"] in ("application/json", "application/problem+json")
            assert b"Traceback" not in answer.content


async def test_no_answer_is_a_422():
    doors = open_doors()
    for path in ALLOWED:
        for method in ("GET", "POST"):
            answer = await doors.http.request(method, path + "?wait=x&ttl=x&offset=x&limit=x", content=b"[]")
            assert answer.status_code in (200, 400, 404, 405)


async def test_a_websocket_is_refused():
    doors = open_doors()
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/v2/ep/run", "headers": [], "query_string": b"", "subprotocols": []}
    await doors.app(scope, receive, send)
    assert sent == ["websocket.close"]


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("POST", "/docs", 405, "Method Not Allowed"),
        ("POST", "/openapi.json", 405, "Method Not Allowed"),
        ("GET", "/static-offline-docs/none", 404, "Not Found"),
        ("GET", "/docs/oauth2-redirect", 404, "Not Found"),
    ],
)
async def test_what_the_page_refuses_is_refused_in_the_services_shape(method, path, status, title):
    doors = open_doors()
    answer = await doors.http.request(method, path)
    assert answer.status_code == status
    assert "row=" in answer.headers["x-emulator-fidelity"]
    assert not title or answer.json()["title"] == title
