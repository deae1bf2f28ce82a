"""Every operation of the management API keeps the word of its specification: our own, and another that is named.

`RUNPOD_REST_SPECIFICATION=FILE` names an OpenAPI document of the service to hold the answers against, too.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from runpod_emulator.config.file import EndpointTable
from runpod_emulator.core.settings import default_settings
from runpod_emulator.doors.management.app import management_app
from runpod_emulator.http.access import Access

from tests.doors.doors import KEY, Doors, open_doors

NAMED = os.environ.get("RUNPOD_REST_SPECIFICATION", "")
OPERATIONS = {
    "listEndpoints", "createEndpoint", "getEndpoint", "updateEndpoint", "deleteEndpoint", "listEndpointWorkers",
    "listEndpointReleases", "getWorkerLogs",
}  # fmt: skip
WORKER = "worker1"


def served() -> Doors:
    """Doors where each image stands for an endpoint of stubs, and worker `WORKER` of each endpoint has gone."""
    doors = open_doors(access=Access(keys=frozenset({KEY})), rate_limits=False)
    endpoints = doors.world.emulator.endpoints

    async def serve(world: Any, endpoint: str, table: EndpointTable) -> None:
        endpoints.add_mock(default_settings(endpoint, world.platform))

    doors.app.state.serve = serve
    doors.app.state.plan_for = lambda image, template, args, env, type: EndpointTable(mock=True)
    return doors


DOORS = served()


def present() -> None:
    """See to it that `ep` is there, and its worker has printed something."""
    world = DOORS.world.emulator
    if "ep" not in world.endpoints:
        world.endpoints.add_mock(default_settings("ep", world.platform))
    if not any(line.endpoint == "ep" for line in world.lines):
        from runpod_emulator.core.records.news import Line

        world.lines.printed(Line(world.timeline.now(), "ep", WORKER, "", "hello"))


@pytest.fixture(scope="module")
def schemathesis() -> Any:
    """The library; it takes a second to load, and asks for newer packages than the oldest that we allow."""
    return pytest.importorskip("schemathesis")


def documents() -> Iterator[Any]:
    yield pytest.param(management_app(DOORS.app.state).openapi(), id="own")
    if NAMED:
        yield pytest.param(json.loads(Path(NAMED).read_text(), object_hook=usable), id="named")


def usable(schema: dict[str, Any]) -> dict[str, Any]:
    """The same without what its own examples break: URLs have braces, and an event is an object, not a text."""
    if "text/event-stream" in schema:
        return {"text/event-stream": {}}
    return {name: value for name, value in schema.items() if (name, value) != ("format", "uri")}


@pytest.fixture(scope="module", params=documents())
def operations(request: Any, schemathesis: Any) -> Any:
    """The operations of a document, called at the doors."""
    config = schemathesis.Config.from_dict({"headers": {"Authorization": f"Bearer {KEY}"}})
    schema = schemathesis.openapi.from_dict(request.param, config=config)
    schema.app, schema.location = DOORS.app, "http://127.0.0.1/openapi.json"
    return [result.ok() for result in schema.get_all_operations()]


def ask(operation: Any, mode: Any, examples: int) -> set[int]:
    """Call an operation with generated requests and hold each answer against its document; returns the statuses."""
    from schemathesis import checks

    print(operation.label)  # the last one that a failure shows is the wrong one
    seen: set[int] = set()
    left_out = [checks.load_all_checks() or one for one in checks.CHECKS.get_all() if one.__name__ in LEFT_OUT]

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def keeps_its_word(case: Any) -> None:
        present()
        if "id" in case.path_parameters:
            case.path_parameters["id"] = "ep"
        if "workerId" in case.path_parameters:
            case.path_parameters["workerId"] = WORKER
        seen.add(case.call_and_validate(excluded_checks=left_out).status_code)

    keeps_its_word()
    return seen


LEFT_OUT = {
    "positive_data_acceptance", "missing_required_header", "unsupported_method", "use_after_free",
    "ensure_resource_availability", "ignored_auth",
}  # fmt: skip
"""Checks that ask for more than a document says: a request that fits its shapes may still contradict itself."""


def test_each_operation_keeps_its_word_when_asked_rightly(schemathesis: Any, operations: Any):
    assert {one.definition.raw["operationId"] for one in operations} == OPERATIONS
    for operation in operations:
        statuses = ask(operation, schemathesis.GenerationMode.POSITIVE, 15)
        assert max(statuses) < 500 and min(statuses) < 300, operation.label


def test_each_operation_keeps_its_word_when_asked_wrongly(schemathesis: Any, operations: Any):
    negatable = [one for one in operations if one.query or one.body]
    assert {one.method for one in negatable} == {"get", "post", "patch"}
    for operation in negatable:
        assert max(ask(operation, schemathesis.GenerationMode.NEGATIVE, 25)) < 500, operation.label


def test_the_document_is_valid_openapi(schemathesis: Any):
    document = management_app(DOORS.app.state).openapi()
    schemathesis.openapi.from_dict(document).validate()
    assert asyncio.run(DOORS.http.get("/v2/serverless")).status_code == 200
    assert document["openapi"].startswith("3.1")
