"""REST v2 before a small world: what is shown is true, what is changed acts, and what is wrong is told."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from runpod_emulator.config.file import EndpointTable
from runpod_emulator.core.fleet.worker import WorkerState
from runpod_emulator.core.settings import default_settings
from runpod_emulator.http.access import Access
from runpod_emulator.world.templates import Template

from tests.doors.doors import KEY, Doors, open_doors
from tests.tables import table

PATH = "/v2/serverless"
NEW: dict[str, Any] = {
    "name": "image-generator",
    "type": "QUEUE",
    "image": "org/image:1",
    "gpu": {"pools": ["ADA_24"]},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
}


def mocked(**options: Any) -> Doors:
    """Doors where each image stands for an endpoint of stubs."""
    doors = open_doors(**{"rate_limits": False, **options})
    endpoints = doors.world.emulator.endpoints

    async def serve(world: Any, endpoint: str, made: EndpointTable) -> None:
        given = made.model_dump(include={"workers_min", "workers_max", "idle_timeout", "execution_timeout", "scaler"})
        endpoints.add_mock(default_settings(endpoint, world.platform, **given, scaler_delay=4_000))

    doors.app.state.serve = serve
    doors.app.state.plan_for = lambda image, template, args, env, type: EndpointTable(mock=True)
    return doors


async def ask(doors: Doors, method: str, path: str = "", body: Any = None, **options: Any) -> httpx.Response:
    sent = {} if body is None else {"json": body}
    return await doors.http.request(method, PATH + path, **sent, **options)


async def made(doors: Doors, **changes: Any) -> dict[str, Any]:
    answer = await ask(doors, "POST", "", {**NEW, **changes})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_an_endpoint_of_the_configuration_is_shown_by_its_settings():
    doors = mocked()
    answer = await ask(doors, "GET")
    (shown,) = answer.json()["endpoints"]
    assert (shown["id"], shown["name"], shown["type"], shown["gpu"]) == ("ep", "ep", "QUEUE", None)
    assert shown["workers"] == {"min": 0, "max": 3}
    assert shown["scaling"] == {"type": "REQUEST_COUNT", "requestCount": 1}
    assert shown["timeout"] == 600_000 and "image" not in shown
    assert shown["requestUrls"]["run"] == "http://127.0.0.1/v2/ep/run"
    assert (await ask(doors, "GET", "/ep")).json() == shown


async def test_endpoints_are_called_at_the_real_host_by_whose_name_the_api_was_called():
    doors = mocked()
    answer = await ask(doors, "GET", "/ep", headers={"host": "api.runpod.io"})
    assert answer.json()["requestUrls"]["health"] == "https://api.runpod.ai/v2/ep/health"


async def test_a_new_endpoint_has_what_was_asked_for_and_serves():
    doors = mocked()
    shown = await made(doors, env={"MODEL": "sdxl"}, workers={"min": 0, "max": 5, "idleTimeout": 7}, timeout=60_000)
    assert shown["gpu"] == {"pools": ["ADA_24"], "count": 1, "allowedCudaVersions": [], "minCudaVersion": None}
    assert shown["workers"] == {"min": 0, "max": 5, "idleTimeout": 7}
    assert shown["scaling"] == {"type": "QUEUE_DELAY", "queueDelay": 4.0}
    assert (shown["env"], shown["image"], shown["timeout"]) == ({"MODEL": "sdxl"}, "org/image:1", 60_000)
    settings = doors.world.emulator.endpoints.any(shown["id"]).settings
    assert (settings.workers_max, settings.idle_timeout, settings.scaler) == (5, 7_000, "QUEUE_DELAY")
    run = await doors.http.post(f"/v2/{shown['id']}/run", json={"input": {"a": 1}})
    assert run.json()["status"] == "IN_QUEUE"


async def test_cpus_are_kept_with_a_memory():
    doors = mocked()
    body = {**{k: v for k, v in NEW.items() if k != "gpu"}, "cpu": [{"id": "cpu5c", "vcpuCount": 4}]}
    shown = (await ask(doors, "POST", "", body)).json()
    assert shown["cpu"] == [{"id": "cpu5c", "vcpuCount": 4, "memory": 16}]
    assert "gpu" not in shown


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"cpu": [{"id": "cpu5c", "vcpuCount": 4}]}, 400, "exactly one of gpu or cpu"),
    ({"gpu": ...}, 400, "exactly one of gpu or cpu"),
    ({"gpu": {"pools": ["A"], "allowedCudaVersions": ["12.8"], "minCudaVersion": "12.1"}}, 400, "exclude each other"),
    ({"type": "LOAD_BALANCER"}, 422, "scaling.type: a LOAD_BALANCER endpoint has no queue"),
    ({"type": "lb"}, 422, "type: Input should be 'QUEUE' or 'LOAD_BALANCER'"),
    ({"scaling": {"type": "QUEUE_DELAY", "requestCount": 1}}, 422, "queueDelay: Field required"),
    ({"scaling": {"type": "SOMETIMES"}}, 422, "scaling: Input tag 'SOMETIMES'"),
    ({"image": ...}, 422, "image: Field required, unless templateId is given"),
    ({"name": ""}, 422, "name: String should have at least 1 character"),
    ({"name": None}, 422, "name: null is no value of it"),
    ({"workers": {"min": 5, "max": 2}}, 422, "workers_min (5) is above workers_max (2)"),
    ({"workers": {"idleTimeout": 3_601}}, 422, "workers.idleTimeout: Input should be less than or equal to 3600"),
    ({"scaling": {"type": "REQUEST_COUNT", "requestCount": 1}, "workers": {"idleTimeout": 5}}, 422, "not applicable"),
    ({"timeout": 1}, 422, "execution_timeout must be from"),
    ({"disk": 10**40}, 422, "disk: Input should be less than"),
    ({"env": {"A=B": "x"}}, 422, "env: 'A=B' can't be a variable"),
    ({"env": {"A": 1}}, 422, "env.A: Input should be a valid string"),
    ({"env": {"PORT_HEALTH": "no"}}, 422, "PORT_HEALTH: write a port"),
    ({"gpuCount": 1}, 422, "gpuCount: Extra inputs are not permitted"),
    ({"cpu": [{"id": "c", "vcpuCount": 3}], "gpu": ...}, 422, "cpu.0.vcpuCount: must be a power of two"),
]


@table(("changes", "status", "told"), WRONG)
async def test_what_is_wrong_with_a_new_endpoint_is_told(changes: dict[str, Any], status: int, told: str):
    doors = mocked()
    body = {name: value for name, value in {**NEW, **changes}.items() if value is not ...}
    answer = await ask(doors, "POST", "", body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert told in " ".join([problem["detail"], *problem.get("errors", [])])
    assert answer.headers["content-type"] == "application/problem+json"
    assert list(doors.world.emulator.endpoints) == ["ep"]


@table(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"\xff",
        b"[" * 1_000,
        b'{"disk":' + b"9" * 5_000 + b"}",
        b'{"name":"\\ud800"}',
        b'{"args":"\\u0000"}',
        b'{"env":{"\\ud800":"a"}}',
        b'{"timeout":1e400}',
    ],
)
async def test_whatever_is_sent_is_refused_in_the_shape_of_the_api(body: bytes):
    answer = await ask(mocked(), "POST", content=body)
    assert answer.status_code in (400, 422), body[:20]
    assert answer.json()["title"] in ("Bad Request", "Unprocessable Entity")


async def test_an_image_that_nothing_stands_in_for_is_told_with_advice():
    answer = await ask(open_doors(), "POST", "", NEW)
    assert answer.status_code == 422
    assert "'org/image:1'" in answer.json()["detail"] and "[images]" in answer.json()["detail"]


async def test_a_change_acts_and_what_is_left_out_stays():
    doors = mocked()
    changes = {"workers": {"max": 9}, "scaling": {"type": "REQUEST_COUNT", "requestCount": 3}, "timeout": 7_000}
    shown = (await ask(doors, "PATCH", "/ep", changes)).json()
    settings = doors.endpoint.settings
    assert (settings.workers_min, settings.workers_max, settings.scaler_requests) == (0, 9, 3)
    assert settings.execution_timeout == 7_000 == shown["timeout"]
    assert (await ask(doors, "GET", "/ep/releases")).json()["endpointVersion"] == 1


async def test_a_wrong_change_changes_nothing():
    doors = mocked()
    before = (await ask(doors, "GET", "/ep")).json()
    for changes, status in (
        ({"workers": {"min": 4}, "name": "other"}, 422),
        ({"timeout": 1, "env": {"A": "B"}}, 422),
        ({"cpu": [{"id": "c", "vcpuCount": 2}]}, 400),
        ({"gpu": {"excludedTypes": ["A"]}}, 422),
        ({"workers": {"idleTimeout": 5}}, 422),
        ({"env": {"PORT_HEALTH": "no"}}, 422),
    ):
        assert (await ask(doors, "PATCH", "/ep", changes)).status_code == status, changes
    assert (await ask(doors, "GET", "/ep")).json() == before


async def test_pools_replace_a_selection_and_other_choices_leave_it():
    doors = mocked()
    shown = await made(doors, gpu={"pools": ["A"], "excludedTypes": [" X "], "count": 2})
    path = f"/{shown['id']}"
    shown = (await ask(doors, "PATCH", path, {"gpu": {"minCudaVersion": "12.1"}})).json()
    assert shown["gpu"]["excludedTypes"] == ["X"] and shown["gpu"]["minCudaVersion"] == "12.1"
    shown = (await ask(doors, "PATCH", path, {"gpu": {"pools": ["B"], "minCudaVersion": ""}})).json()
    assert shown["gpu"] == {"pools": ["B"], "count": 2, "allowedCudaVersions": [], "minCudaVersion": None}


async def test_new_variables_are_a_release_that_workers_come_to_one_after_the_other():
    doors = mocked()
    old, job = await doors.world.running()
    await ask(doors, "PATCH", "/ep", {"env": {"MODEL": "b"}})
    new = await candidate(doors)
    listed = {one["id"]: one for one in (await ask(doors, "GET", "/ep/workers")).json()["workers"]}
    assert listed[old] == {**listed[old], "status": "RUNNING", "isStale": True, "version": 1}
    assert listed[new] == {**listed[new], "isStale": False, "version": 2}
    releases = (await ask(doors, "GET", "/ep/releases")).json()
    assert releases["rollout"] == {
        "inProgress": True, "workersOnLatest": 1, "workersTotal": 2, "percentOnLatest": 50,
    }  # fmt: skip
    assert releases["releases"][0]["diff"] == [{"field": "template.env", "old": {}, "new": {"MODEL": "b"}}]
    await doors.endpoint.work.worker_ready(new, 1)
    await doors.complete(job)
    await doors.endpoint.work.worker_gone(old)
    assert (await ask(doors, "GET", "/ep/releases")).json()["rollout"]["percentOnLatest"] == 100
    assert list(doors.endpoint.fleet.workers) == [new]


async def candidate(doors: Doors) -> str:
    """The worker that tries the new release."""
    for _ in range(2_000):
        if doors.endpoint.fleet.keeps_last:
            return doors.world.launcher.started[-1]
        await asyncio.sleep(0)
    raise AssertionError("no worker tries the new release")


async def test_a_reset_brings_back_what_an_endpoint_was():
    doors = mocked()
    before = (await ask(doors, "GET", "/ep")).json()
    await ask(doors, "PATCH", "/ep", {"env": {"MODEL": "b"}, "name": "other", "workers": {"max": 1}})
    await doors.world.emulator.reset()
    assert (await ask(doors, "GET", "/ep")).json() == before
    assert (await ask(doors, "GET", "/ep/releases")).json()["endpointVersion"] == 1


async def test_workers_are_counted_by_state():
    doors = mocked()
    await doors.world.running()
    idle = await doors.world.worker()
    shown = (await ask(doors, "GET", "/ep/workers")).json()
    assert shown["summary"] == {
        "initializing": 0, "idle": 1, "running": 1, "throttled": 0, "unhealthy": 0, "total": 2,
    }  # fmt: skip
    await doors.world.advance(2_500)
    (worker,) = [one for one in (await ask(doors, "GET", "/ep/workers")).json()["workers"] if one["id"] == idle]
    assert (worker["status"], worker["uptimeSeconds"], worker["isStale"]) == ("IDLE", 2, False)
    assert worker["startedAt"] == "2023-11-14T22:13:20.000Z"
    assert {state.name for state in WorkerState} == {"INITIALIZING", "IDLE", "RUNNING", "THROTTLED", "UNHEALTHY"}


async def test_delete_cancels_the_jobs_and_takes_the_endpoint_away():
    doors = mocked()
    await doors.submit()
    assert (await ask(doors, "DELETE", "/ep")).status_code == 204
    assert (await ask(doors, "GET", "/ep")).status_code == 404
    assert (await doors.post("/run", content=b'{"input":{}}')).status_code == 404


@table(
    ("method", "path"),
    [("GET", "/no"), ("PATCH", "/no"), ("DELETE", "/no"), ("GET", "/no/workers"), ("GET", "/no/releases"),
     ("GET", "/no/workers/w/logs"), ("GET", "/ep/workers/w/logs")],
)  # fmt: skip
async def test_what_is_not_there_is_404(method: str, path: str):
    answer = await ask(mocked(), method, path, {} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["title"]) == (404, "Not Found")


async def test_a_wrong_method_is_405_in_the_same_shape():
    answer = await ask(mocked(), "PUT", "/ep")
    assert (answer.status_code, answer.json()["title"]) == (405, "Method Not Allowed")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("key", "status", "detail"),
    [("", 401, "missing bearer token"), ("Bearer wrong", 401, "invalid api key"), ("Bearer wk", 403, "access denied")],
)
async def test_who_has_no_key_is_refused(key: str, status: int, detail: str):
    doors = mocked(access=Access(keys=frozenset({KEY})))
    doors.app.state.worker_access = Access(keys=frozenset({"wk"}))
    answer = await ask(doors, "GET", headers={"authorization": key})
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert "ratelimit" not in answer.headers


async def test_each_answer_tells_what_is_left_and_too_many_are_refused():
    doors = open_doors(management_minute_rate=2)
    answers = [await ask(doors, "GET", path) for path in ("", "/no", "")]
    assert [one.status_code for one in answers] == [200, 404, 429]
    assert answers[0].headers["ratelimit"] == '"minute";r=1;t=40, "hour";r=2999;t=2800, "day";r=49999;t=6400'
    assert answers[0].headers["ratelimit-policy"] == '"minute";q=2;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400'
    assert answers[2].json()["detail"] == "rate limit exceeded for the minute window"
    assert (answers[2].headers["retry-after"], answers[2].headers["ratelimit"][:14]) == ("40", '"minute";r=0;t')
    await doors.world.advance(40_000)
    assert (await ask(doors, "GET")).status_code == 200


async def test_the_journal_has_each_request_with_its_body():
    doors = mocked()
    await ask(doors, "PATCH", "/ep", {"timeout": 7_000})
    await ask(doors, "POST", "", {})
    entries = [(one.operation, one.endpoint, one.status, one.json) for one in doors.world.emulator.journal]
    assert entries == [("management", "ep", 200, {"timeout": 7_000}), ("management", "", 422, {})]
    doors.app.state.admin_access = None
    listed = await doors.http.get("/__emulator/requests?operation=management&endpoint=ep")
    assert listed.json()["total"] == 1


async def test_variables_of_the_configuration_are_shown_without_secrets():
    doors = mocked()
    doors.world.emulator.endpoints.deployments.added("ep", "QUEUE", {"HF_TOKEN": "hf_abcdefghijklmnop", "MODEL": "m"})
    env = (await ask(doors, "GET", "/ep")).json()["env"]
    assert env["MODEL"] == "m" and "abcdefghijklmnop" not in str(env)
    changed = (await ask(doors, "PATCH", "/ep", {"env": {"HF_TOKEN": "hf_secretsecretsecret"}})).json()
    releases = await ask(doors, "GET", "/ep/releases")
    assert "abcdefghijklmnop" not in releases.text and "secretsecret" not in releases.text
    assert "HF_TOKEN" in changed["env"]


async def test_an_endpoint_goes_over_to_another_image_only_where_the_same_code_stands_in():
    doors = mocked()
    shown = await made(doors)

    def plan(image: str, template: str, args: str, env: Any, type: str) -> EndpointTable:
        return EndpointTable(handler="other.py") if image == "org/other:1" else EndpointTable(mock=True)

    doors.app.state.plan_for = plan
    refused = await ask(doors, "PATCH", f"/{shown['id']}", {"image": "org/other:1", "name": "other"})
    assert refused.status_code == 422 and "delete it and deploy it anew" in refused.json()["detail"]
    assert (await ask(doors, "GET", f"/{shown['id']}")).json() == shown
    changed = (await ask(doors, "PATCH", f"/{shown['id']}", {"image": "org/image:2"})).json()
    assert changed["image"] == "org/image:2"
    assert (await ask(doors, "GET", f"/{shown['id']}/releases")).json()["endpointVersion"] == 2


async def test_what_a_saved_template_says_lies_below_the_request():
    doors = mocked()
    saved = Template("t1", image="org/saved:1", args="--fast", env={"A": "template", "B": "template"})
    doors.world.emulator.endpoints.templates["t1"] = saved
    body = {name: value for name, value in NEW.items() if name != "image"}
    answer = await ask(doors, "POST", "", {**body, "templateId": "t1", "env": {"A": "request"}})
    shown = answer.json()
    assert (shown["image"], shown["args"]) == ("org/saved:1", "--fast")
    assert shown["env"] == {"A": "request", "B": "template"}
