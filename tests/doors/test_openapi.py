"""The OpenAPI page: valid, complete, and true of what is answered."""

from __future__ import annotations

import asyncio
import functools
import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.http.access import Access

from tests.doors.doors import KEY, Doors, open_doors
from tests.tables import table


def served() -> Doors:
    """Doors behind which every job has ended as soon as it is there."""
    doors = open_doors(access=Access(keys=frozenset({KEY})), rate_limits=False)
    doors.app.state.ready = True
    submit = doors.endpoint.submit

    async def submit_and_complete(submission):
        job = await submit(submission)
        for taken in await doors.world.take(await doors.world.worker(), most=100):
            await (doors.fail(taken) if submission.input == b'{"fail":1}' else doors.complete(taken, taken.input))
        return job

    doors.endpoint.submit = submit_and_complete
    return doors


DOORS = served()
PAGE = DOORS.app.openapi()
DESCRIBED = {
    (method.upper(), path.removeprefix("/v2/{endpoint_id}")): operation
    for path, operations in PAGE["paths"].items()
    for method, operation in operations.items()
}
QUEUE = {key: operation for key, operation in DESCRIBED.items() if operation["tags"] == ["queue"]}


@pytest.fixture(scope="module")
def schemathesis():
    """The library; it takes a second to load, and asks for newer packages than the oldest that we allow."""
    return pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def schema(schemathesis):
    """The page, as the library reads it."""
    config = schemathesis.Config.from_dict({"auth": {"openapi": {"key": {"bearer": KEY}}}})
    return schemathesis.openapi.from_asgi("/openapi.json", DOORS.app, config=config)


@pytest.fixture(scope="module")
def operations(schema):
    """All operations but those of the Flash door: they are the same verbs, by another way."""
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if not operation.path.startswith("/v2/flash/")]


def generated(examples: int):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@functools.cache
def completed_job() -> str:
    return asyncio.run(DOORS.endpoint.submit(Submission(b'{"a":1}'))).id


def failed_job() -> str:
    return asyncio.run(DOORS.endpoint.submit(Submission(b'{"fail":1}'))).id


def aimed(case):
    """The case, at an endpoint and a job that exist."""
    if "endpoint_id" in case.path_parameters:
        case.path_parameters["endpoint_id"] = "ep"
    if "job_id" in case.path_parameters:
        case.path_parameters["job_id"] = failed_job() if "/retry/" in case.path else completed_job()
    return case


def ask(operation, mode) -> set[int]:
    """Call an operation with generated requests and hold each answer against the page; returns its statuses."""
    print(operation.label)  # the last one that a failure shows is the wrong one
    seen: set[int] = set()

    @generated(10)
    @given(case=operation.as_strategy(generation_mode=mode))
    def keeps_its_word(case):
        seen.add(aimed(case).call_and_validate().status_code)

    keeps_its_word()
    return seen


def test_each_operation_keeps_its_word_when_asked_rightly(schemathesis, operations):
    for operation in operations:
        assert max(ask(operation, schemathesis.GenerationMode.POSITIVE)) < 500


def test_each_operation_keeps_its_word_when_asked_wrongly(schemathesis, operations):
    negatable = [operation for operation in operations if operation.query or operation.body]
    assert len(negatable) == 9
    for operation in negatable:
        assert max(ask(operation, schemathesis.GenerationMode.NEGATIVE)) < 500


def test_each_operation_keeps_its_word_at_any_address(operations):
    for operation in operations:
        print(operation.label)

        @generated(3)
        @given(case=operation.as_strategy())
        def keeps_its_word(case):
            assert case.call_and_validate().status_code < 500

        keeps_its_word()


def test_the_page_is_valid_openapi(schema):
    assert PAGE["openapi"].startswith("3.1")
    schema.validate()


def test_the_page_is_served_without_a_key():
    doors = open_doors(key=None)
    answer = asyncio.run(doors.http.get("/openapi.json"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == PAGE
    page = asyncio.run(doors.http.get("/docs"))
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")


def test_every_operation_is_described_and_no_other():
    assert set(DESCRIBED) == {
        ("POST", "/run"),
        ("POST", "/runsync"),
        *(
            (method, f"/{route}/{{job_id}}")
            for method in ("GET", "POST")
            for route in ("status", "status-sync", "stream")
        ),
        ("POST", "/cancel/{job_id}"),
        ("POST", "/retry/{job_id}"),
        ("POST", "/purge-queue"),
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/requests"),
        ("GET", "/openai/{route}"),
        ("POST", "/openai/{route}"),
        ("POST", "/v2/flash/run"),
        ("POST", "/v2/flash/runsync"),
        *(
            (method, f"/v2/flash/{route}/{{job_id}}")
            for method, route in (
                ("GET", "status"),
                ("POST", "status"),
                ("GET", "stream"),
                ("POST", "stream"),
                ("POST", "cancel"),
                ("POST", "retry"),
            )
        ),
        ("GET", "/__emulator/health"),
        ("GET", "/__emulator/ready"),
    }
    ids = [operation["operationId"] for operation in DESCRIBED.values()]
    assert len(set(ids)) == len(ids)
    assert all(operation["summary"] and operation["description"] for operation in DESCRIBED.values())


@table("key", QUEUE)
def test_an_operation_describes_its_parameters_its_answer_and_its_errors(key):
    operation, route = QUEUE[key], key[1].removeprefix("/v2/flash")
    expected = {
        "/runsync": ["endpoint_id", "wait"],
        "/status/{job_id}": ["endpoint_id", "job_id", "ttl"],
        "/status-sync/{job_id}": ["endpoint_id", "job_id", "wait"],
        "/stream/{job_id}": ["endpoint_id", "job_id", "wait"],
        "/cancel/{job_id}": ["endpoint_id", "job_id"],
        "/retry/{job_id}": ["endpoint_id", "job_id"],
        "/requests": ["endpoint_id", "offset", "limit"],
    }
    names = expected.get(route, ["endpoint_id"])
    if route != key[1]:
        names = ["X-Flash-Endpoint", "X-Flash-App", "X-Flash-Environment", *names[1:]]
    assert [parameter["name"] for parameter in operation["parameters"]] == names
    assert operation["security"]
    assert ("requestBody" in operation) == (route in ("/run", "/runsync"))
    answers = operation["responses"]
    assert {"200", "400", "401", "404", "429"} <= set(answers) and "422" not in answers
    models = {
        code: answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for code, answer in answers.items()
        if code != "400" or route != "/runsync"
    }
    good = {
        "/run": "Accepted",
        "/runsync": "Envelope",
        "/status/{job_id}": "Envelope",
        "/status-sync/{job_id}": "Envelope",
        "/stream/{job_id}": "StreamAnswer",
        "/cancel/{job_id}": "Accepted",
        "/retry/{job_id}": "Accepted",
        "/purge-queue": "Purged",
        "/health": "HealthAnswer",
        "/metrics": "MetricsAnswer",
        "/requests": "RequestsPage",
    }
    assert models.pop("200") == good[route]
    assert set(models.values()) == {"Problem"}


@pytest.mark.parametrize("name", ["HTTPValidationError", "ValidationError"])
def test_the_frameworks_own_errors_are_not_described(name):
    assert name not in PAGE["components"]["schemas"]


def test_a_job_request_is_described_in_full():
    schemas = PAGE["components"]["schemas"]
    job = schemas["JobRequest"]
    assert job["required"] == ["input"]
    assert list(job["properties"]) == ["input", "webhook", "policy", "s3Config"]
    policy = schemas["Policy"]["properties"]
    assert set(policy) == {"executionTimeout", "ttl", "lowPriority"}
    limits = {
        name: next((kind["minimum"], kind["maximum"]) for kind in policy[name]["anyOf"] if kind["type"] == "integer")
        for name in ("executionTimeout", "ttl")
    }
    platform = DOORS.endpoint.platform
    assert limits == {
        "executionTimeout": (platform.execution_timeout_min, platform.execution_timeout_max),
        "ttl": (platform.job_ttl_min, platform.job_ttl_max),
    }


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_events_are_described(method):
    assert "text/event-stream" in QUEUE[method, "/stream/{job_id}"]["responses"]["200"]["content"]


def test_the_headers_are_described():
    for operation in QUEUE.values():
        answers = operation["responses"]
        assert all("X-Emulator-Fidelity" in answer.get("headers", {}) for answer in answers.values())
        assert "Retry-After" in answers["429"]["headers"]


def test_both_forms_of_a_key_are_described():
    kinds = {
        (one["type"], one.get("scheme"), one.get("name")) for one in PAGE["components"]["securitySchemes"].values()
    }
    assert ("http", "bearer", None) in kinds
    assert ("apiKey", None, "Authorization") in kinds


def test_a_failed_runsync_of_the_documented_preset_is_described():
    page = open_doors("documented").app.openapi()
    content = page["paths"]["/v2/{endpoint_id}/runsync"]["post"]["responses"]["400"]["content"]
    assert "Envelope" in str(content) and "Problem" in str(content)


def test_the_ranges_follow_the_fields():
    page = open_doors(wait_max=5_000, job_ttl_min=1).app.openapi()
    (wait,) = [one for one in page["paths"]["/v2/{endpoint_id}/runsync"]["post"]["parameters"] if one["name"] == "wait"]
    (ttl,) = [one for one in page["components"]["schemas"]["Policy"]["properties"]["ttl"]["anyOf"] if "minimum" in one]
    assert (wait["schema"]["maximum"], ttl["minimum"]) == (5_000, 1)


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_the_page_is_the_same_each_time(profile):
    app = open_doors(profile).app
    first = json.dumps(app.openapi())
    assert json.dumps(app.openapi()) == first


def test_the_page_of_one_emulator_says_nothing_of_another():
    first = json.dumps(open_doors().app.openapi())
    open_doors("documented", wait_max=5_000, job_ttl_min=1).app.openapi()
    assert json.dumps(open_doors().app.openapi()) == first


def test_the_other_query_parameters_follow_the_fields():
    paths = open_doors(requests_limit=7, status_ttl_min=1_000).app.openapi()["paths"]
    (limit,) = [one for one in paths["/v2/{endpoint_id}/requests"]["get"]["parameters"] if one["name"] == "limit"]
    (ttl,) = [one for one in paths["/v2/{endpoint_id}/status/{job_id}"]["get"]["parameters"] if one["name"] == "ttl"]
    assert (limit["schema"]["default"], ttl["schema"]["minimum"]) == (7, 1_000)
