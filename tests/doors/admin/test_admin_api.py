"""The admin API over ASGI: what tests tell the emulator, and ask of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from runpod_emulator.config.file import EndpointTable
from runpod_emulator.config.plans import plan_one
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.jobs.job import Cancelled, Transition
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.http import wire
from runpod_emulator.http.access import Access
from runpod_emulator.server.app import Application
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

from tests.worlds import RecordingPost


def make_world(name: str = "") -> World:
    platform = preset("observed")
    world = World(platform, wire.webhook_body, clock=VirtualClock(), post=RecordingPost(), seed=1)
    world.endpoints.add_mock(default_settings("llm", platform))
    return world


class Admin:
    """A client of the admin API and of the queue API of the same worlds."""

    def __init__(self, *, client: tuple[str, int] = ("127.0.0.1", 1), admin: Access | None = None, **options: Any):
        self.first = make_world()
        self.worlds = Worlds(self.first, make_world, **options)
        app = Application(self.worlds, Access(), admin_access=admin)
        app.state.serve = self._serve
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=client), base_url="http://localhost", trust_env=False
        )

    @staticmethod
    async def _serve(world: World, endpoint: str, table: EndpointTable) -> None:
        world.endpoints.add_mock(plan_one(read_settings(config=os.devnull), endpoint, table).settings)
        await world.endpoints.start_one(endpoint)

    async def ask(self, method: str, path: str, expected: int = 200, **options: Any) -> Any:
        answer = await self.http.request(method, f"/__emulator{path}", **options)
        assert answer.status_code == expected, answer.text
        return answer.json() if answer.content else None

    async def run(self, body: Any, key: str = "k", **headers: str) -> str:
        headers = {"authorization": f"Bearer {key}", **headers}
        answer = await self.http.post("/v2/llm/run", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


async def test_the_kinds_of_faults_are_listed(admin: Admin):
    kinds = await admin.ask("GET", "/faults/kinds")
    assert [one["fault"] for one in kinds] == [kind.value for kind in FaultKind]
    assert kinds[1] == {
        "fault": "latency", "meaning": "The answer comes later by `delay`", "counts": "a client's request",
        "takes": ["delay", "operations", "larger_than"], "needs": "delay",
    }  # fmt: skip


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    it = Admin()
    yield it
    await it.worlds.stop()


HELLO = {"input": {"prompt": "hello"}}


async def test_a_stub_and_a_virtual_clock_from_afar(admin: Admin):
    added = await admin.ask("POST", "/stubs", 201, json={"respond": {"delay": "60s", "output": "{{ input.prompt }}"}})
    assert added == {"ids": ["stub-1"]}
    job = await admin.run(HELLO)
    before = await admin.ask("GET", "/clock")
    moved = await admin.ask("POST", "/clock/advance", json={"by": "1m"})
    assert moved == {"mode": "virtual", "now": before["now"] + 60_000, "fired": moved["fired"]}
    assert moved["fired"][-1] == before["now"] + 60_000
    told = await admin.ask("GET", f"/jobs/{job}")
    assert (told["status"], told["output"]) == ("COMPLETED", "hello")
    assert [step["event"] for step in told["transitions"]] == ["Submitted", "Taken", "Completed"]
    (listed,) = await admin.ask("GET", "/stubs")
    assert (listed["id"], listed["matched"], listed["stub"]["respond"]["delay"]) == ("stub-1", 1, "1m")


async def test_stubs_without_an_id_do_not_replace_each_other(admin: Admin):
    one, two = {"respond": {"output": 1}}, {"respond": {"output": 2}, "endpoint": "new"}
    assert await admin.ask("POST", "/stubs", 201, json=[one, two]) == {"ids": ["stub-1", "stub-2"]}
    assert {endpoint["id"] for endpoint in await admin.ask("GET", "/endpoints")} == {"llm", "new"}
    await admin.ask("DELETE", "/stubs/stub-1", 204)
    await admin.ask("DELETE", "/stubs/stub-1", 404)
    await admin.ask("DELETE", "/stubs", 204)
    assert await admin.ask("GET", "/stubs") == []


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/stubs", {"respond": {"outputt": 1}}, "outputt: no such key; the nearest is output"),
        ("POST", "/stubs", {"match": {}}, "respond"),
        ("POST", "/faults", {"fault": "nope"}, "fault: "),
        ("POST", "/faults", {"fault": "latency", "status": 500}, "status is not for latency"),
        ("POST", "/faults/profiles/nope", None, "there is no fault profile nope"),
        ("POST", "/requests/verify", {"match": {}}, "say which requests are meant"),
        ("POST", "/requests/verify", {"match": {"endpointt": "a"}}, "endpointt"),
        ("POST", "/requests/verify", {"match": {"endpoint": "lm"}}, "there is no endpoint lm; the nearest is llm"),
        ("POST", "/requests/find", {"operation": "runn"}, "there is no operation runn; the nearest is run"),
        ("GET", "/requests?operation=runn", None, "operation"),
        ("GET", "/requests?endpoint=lm", None, "there is no endpoint lm"),
        ("POST", "/wait", {"status": "COMPLETED", "endpoint": "lm"}, "there is no endpoint lm"),
        ("POST", "/wait", {}, "say what to wait for"),
        ("POST", "/clock/advance", {}, "write either by or to"),
        ("POST", "/clock/advance", {"by": "soon"}, "by: write milliseconds"),
        ("POST", "/endpoints", {"id": "a b"}, "id: "),
    ],
)
async def test_a_wrong_wish_is_refused_with_a_reason(admin: Admin, method: str, path: str, body: Any, said: str):
    answer = await admin.ask(method, path, 400, json=body)
    assert answer["title"] == "Bad Request"
    assert said in answer["detail"]


@pytest.mark.parametrize("path", ["/stubs", "/faults", "/clock/advance", "/requests/verify", "/wait", "/reset"])
async def test_a_body_is_json_whatever_it_is_called(admin: Admin, path: str):
    body = b'{"endpoint": "llm", "nonsense": 1}'
    said = await admin.ask("POST", path, 400, content=body, headers={"content-type": "application/json"})
    for headers in ({}, {"content-type": "application/x-www-form-urlencoded"}, {"content-type": "text/plain"}):
        assert await admin.ask("POST", path, 400, content=body, headers=headers) == said


async def test_json_without_a_content_type_does_what_it_says(admin: Admin):
    assert await admin.ask("POST", "/stubs", 201, content=b'{"endpoint": "llm", "respond": {"output": 1}}')
    await admin.ask("POST", "/reset", 204, content=b"", headers={"content-type": "text/plain"})
    await admin.ask("POST", "/reset", 400, content=b"{", headers={"content-type": "text/plain"})


async def test_a_fault_ends_when_it_has_struck(admin: Admin):
    fault = {"fault": "status", "status": 503, "operations": ["run"], "times": 1}
    ids = await admin.ask("POST", "/faults", 201, json=fault)
    assert (await admin.http.post("/v2/llm/run", json=HELLO, headers={"authorization": "k"})).status_code == 503
    await admin.run(HELLO)
    (listed,) = await admin.ask("GET", "/faults")
    assert (listed["id"], listed["struck"]) == (ids["ids"][0], 1)
    assert (await admin.ask("POST", "/faults/profiles/flaky-network", 201))["ids"]
    await admin.ask("DELETE", "/faults", 204)
    assert await admin.ask("GET", "/faults") == []


async def test_the_journal_tells_what_clients_sent(admin: Admin):
    await admin.run(HELLO, **{"x-tenant": "acme"})
    await admin.http.get("/v2/llm/health")
    await admin.http.get("/v2/nobody/health", headers={"authorization": "k"})
    told = (await admin.ask("GET", "/requests"))["requests"]
    assert [(one["operation"], one["endpoint"], one["status"]) for one in told] == [
        ("run", "llm", 200), ("health", "llm", 401), ("health", "nobody", 404),
    ]  # fmt: skip
    assert (told[0]["body"], told[0]["headers"]["x-tenant"]) == (HELLO, "acme")
    wish = {"body": {"input": {"prompt": "hello"}}, "headers": {"X-Tenant": "acme"}}
    found = await admin.ask("POST", "/requests/find", json=wish)
    assert [one["number"] for one in found["requests"]] == [1]
    verified = await admin.ask("POST", "/requests/verify", json={"match": wish, "count": 1})
    assert verified == {"ok": True, "count": 1, "detail": ""}


async def test_a_failed_verification_says_what_came_instead(admin: Admin):
    job = await admin.run({"input": {"prompt": "bye"}})
    wish = {"match": {"operation": "run", "body": HELLO}, "count": 2}
    answer = await admin.ask("POST", "/requests/verify", json=wish)
    assert (answer["ok"], answer["count"]) == (False, 0)
    assert answer["detail"] == (
        "expected 2 such requests, got none; the nearest:\n"
        f'  #1 POST /v2/llm/run: 200, job {job}: body.input.prompt: expected "hello", got "bye"'
    )
    for wish in (
        {"match": {"operation": "purge"}, "at_most": 0},
        {"match": {"endpoint": "l*", "path_regex": "/run$", "body_regex": {"input.prompt": "^b"}}},
        {"match": {"headers": {"authorization": {"regex": "."}}}},
    ):
        assert (await admin.ask("POST", "/requests/verify", json=wish))["ok"]
    order = {"order": [{"operation": "run"}, {"operation": "cancel"}]}
    assert not (await admin.ask("POST", "/requests/verify", json=order))["ok"]
    await admin.http.post(f"/v2/llm/cancel/{job}", headers={"authorization": "k"})
    assert await admin.ask("POST", "/requests/verify", json=order) == {"ok": True, "count": 2, "detail": ""}
    assert (await admin.ask("GET", "/jobs?endpoint=l*"))["total"] == 1
    assert (await admin.ask("GET", "/requests?endpoint=x*"))["total"] == 0


async def test_a_wait_is_answered_as_soon_as_it_has_come(admin: Admin):
    await admin.ask("POST", "/stubs", 201, json={"respond": {"output": 1}})
    await admin.run({**HELLO, "webhook": "http://hooks/x"})
    for wish in ({"idle": True}, {"status": "COMPLETED"}, {"webhooks": 1}, {"idle": True, "webhooks": 1}):
        assert await admin.ask("POST", "/wait", json=wish) == {"ok": True, "detail": ""}
    (call,) = (await admin.ask("GET", "/webhooks"))["webhooks"]
    assert (call["acknowledged"], call["attempt"], call["body"]["output"]) == (True, 1, 1)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"job": "nope"}, "job nope was never there: whoever handed it in may have called another emulator"),
        ({"status": "COMPLETED", "count": 2}, "0 of 2 jobs were COMPLETED"),
        ({"webhooks": 1}, "0 of 1 webhook calls were acknowledged\n  no job has asked for a webhook yet"),
    ],
)
async def test_a_wait_in_vain_says_what_is_missing(admin: Admin, wish: dict[str, Any], said: str):
    answer = await admin.ask("POST", "/wait", json={**wish, "timeout": 0})
    assert answer == {"ok": False, "detail": said}


async def test_run_until_idle_keeps_the_results(admin: Admin):
    await admin.ask("POST", "/stubs", 201, json={"respond": {"queue_delay": "1h", "delay": "1m", "output": 1}})
    job = await admin.run(HELLO)
    await admin.ask("POST", "/clock/run-until-idle")
    assert (await admin.ask("GET", f"/jobs/{job}"))["status"] == "COMPLETED"
    await admin.ask("POST", "/clock/advance", json={"by": "1d"})
    gone = await admin.ask("GET", f"/jobs/{job}")
    assert (gone["status"], gone["transitions"][-1]["event"]) == ("GONE", "Forgotten")


async def test_a_reset_of_one_endpoint_leaves_the_others(admin: Admin):
    await admin.ask("POST", "/endpoints", 201, json={"id": "other"})
    kept = await admin.run(HELLO)
    other = (await admin.http.post("/v2/other/run", json=HELLO, headers={"authorization": "k"})).json()["id"]
    await admin.ask("POST", "/reset", 204, json={"endpoint": "other"})
    await admin.ask("GET", f"/jobs/{other}", 404)
    assert (await admin.ask("GET", f"/jobs/{kept}"))["id"] == kept
    await admin.ask("POST", "/reset", 204)
    assert await admin.ask("GET", "/jobs") == {"jobs": [], "total": 0}
    assert (await admin.ask("GET", "/requests"))["total"] == 0
    await admin.ask("POST", "/reset", 404, json={"endpoint": "nobody"})


async def test_an_endpoint_that_is_taken_away_cancels_its_jobs(admin: Admin):
    await admin.ask("POST", "/stubs", 201, json={"respond": {"never": True}})
    job = await admin.run(HELLO)
    heard: list[Transition] = []
    admin.first.store.news.transitions.append(heard.append)
    await admin.ask("DELETE", "/endpoints/llm", 204)
    assert (await admin.http.get(f"/v2/llm/status/{job}", headers={"authorization": "k"})).status_code == 404
    assert (heard[-1].job.id, heard[-1].event) == (job, Cancelled())


async def test_the_receiver_answers_what_it_was_told(admin: Admin):
    await admin.ask("POST", "/hooks/answers", 204, json={"status": 500, "times": 1})
    statuses = [(await admin.http.post("/__emulator/hooks/-/mine", json={"n": n})).status_code for n in range(2)]
    assert statuses == [500, 200]
    calls = await admin.ask("GET", "/hooks")
    assert [(call["name"], call["body"], call["status"]) for call in calls] == [
        ("mine", {"n": 0}, 500), ("mine", {"n": 1}, 200),
    ]  # fmt: skip


# Namespaces


async def test_each_namespace_is_a_world_of_its_own(admin: Admin):
    one, two = {"X-Emulator-Namespace": "one"}, {"X-Emulator-Namespace": "two"}
    await admin.ask("POST", "/stubs", 201, json={"respond": {"output": 1}}, headers=one)
    job = await admin.run(HELLO, **one)
    await admin.ask("POST", "/clock/advance", json={"by": "1h"}, headers=one)
    assert (await admin.ask("GET", f"/jobs/{job}", headers=one))["status"] != "IN_QUEUE"
    await admin.ask("GET", f"/jobs/{job}", 404, headers=two)
    await admin.ask("GET", f"/jobs/{job}", 404)
    hours = [(await admin.ask("GET", "/clock", headers=each))["now"] for each in (one, two, {})]
    assert hours[0] - hours[1] == 3_600_000 and hours[1] == hours[2]
    assert await admin.ask("GET", "/namespaces") == ["one", "two"]
    dropped = admin.worlds.named("one")
    await admin.ask("DELETE", "/namespaces/one", 204)
    assert await dropped.store.recent("llm", 0, 10) == ([], 0)
    await admin.ask("DELETE", "/namespaces/one", 404)
    assert await admin.ask("GET", "/namespaces") == ["two"]


async def test_a_key_chooses_a_namespace_where_the_server_says_so():
    it = Admin(by_key=True, first_key="mine")
    await it.run(HELLO, key="test-a")
    await it.run(HELLO, key="test-a")
    await it.run(HELLO, key="mine")
    assert it.worlds.names == ["test-a"]
    assert [len(world.journal) for world in it.worlds] == [1, 2]
    await it.worlds.stop()


@pytest.mark.parametrize("name", ["a b", "ä", "-a", "x" * 101, "a/b"])
async def test_a_namespace_has_a_plain_name(admin: Admin, name: str):
    headers = {b"x-emulator-namespace": name.encode("utf-8"), b"authorization": b"k"}
    answer = await admin.http.get("/v2/llm/health", headers=headers)
    assert (answer.status_code, "no namespace" in answer.json()["detail"]) == (400, True)


async def test_where_keys_choose_namespaces_their_names_are_masked():
    it = Admin(by_key=True)
    await it.run(HELLO, key="key-of-a-client")
    assert await it.ask("GET", "/namespaces") == ["****ient"]
    unknown = await it.ask("DELETE", "/namespaces/key-of-another", 404)
    assert unknown["detail"] == "there is no namespace ****ther"
    refused = await it.http.get("/v2/llm/health", headers={"authorization": "key of/another+one"})
    assert refused.status_code == 400 and "another" not in refused.text
    await it.ask("DELETE", "/namespaces/key-of-a-client", 204)
    assert await it.ask("GET", "/namespaces") == []
    await it.worlds.stop()


async def test_a_stub_is_listed_without_its_secrets_and_matches_with_them(admin: Admin):
    stub = {"match": {"headers": {"x-api-key": "key-of-the-stub"}}, "respond": {"output": 1}}
    await admin.ask("POST", "/stubs", 201, json=stub)
    for _ in range(2):
        (listed,) = await admin.ask("GET", "/stubs")
        assert listed["stub"]["match"]["headers"] == {"x-api-key": "****stub"}
    headers = {"authorization": "k"}
    good = await admin.http.post("/v2/llm/runsync", json=HELLO, headers={**headers, "x-api-key": "key-of-the-stub"})
    assert good.json()["output"] == 1
    bad = await admin.http.post("/v2/llm/runsync", json=HELLO, headers={**headers, "x-api-key": "key-of-nobody"})
    assert bad.json()["error"].endswith('header x-api-key: expected "****stub", got "****body"')


# Who may call


async def test_a_stub_is_written_anew_in_its_place_and_what_is_masked_stays(admin: Admin):
    secret = "sk-abcdefghijklmnopqrstuvwx"
    match = {"input": {"key": secret, "api_key": "abcdefghijklmnop"}}
    for name in ("mine", "other"):
        await admin.ask("POST", "/stubs", 201, json={"id": name, "match": match, "respond": {"output": [1, secret]}})
    await admin.ask("PATCH", "/stubs/mine", 204, json={"on": False})
    listed = (await admin.ask("GET", "/stubs"))[1]["stub"]
    assert (listed["match"]["input"]["api_key"], secret in str(listed)) == ("****mnop", False)
    listed["respond"] = {"output": [listed["respond"]["output"][1], "new"]}
    del listed["id"]
    await admin.ask("PUT", "/stubs/mine", 204, json=listed)
    (first, second) = admin.first.stubs
    assert (first.id, second.id, second.is_off) == ("other", "mine", True)
    assert second.source == {"id": "mine", "match": match, "respond": {"output": [secret, "new"]}}
    told = [
        (await admin.ask("PUT", f"/stubs/{name}", expected, json=given))["detail"]
        for name, expected, given in [
            ("nobody", 404, {"respond": {"output": 1}}),
            ("mine", 400, {"id": "hers", "respond": {"output": 1}}),
            ("mine", 400, {"respond": {"output": "****wxyz"}}),
            ("mine", 400, {"respond": {"outputs": 1}}),
        ]
    ]
    assert told == [
        "there is no stub nobody",
        "id: it is mine, and stays so; add a stub of another id, and remove this one",
        "'****wxyz' is masked, and stands for nothing known: write it out",
        "respond: outputs: no such key; the nearest is output",
    ]
    assert list(admin.first.stubs) == [first, second]


async def test_without_a_key_only_this_machine_is_let_in():
    it = Admin(client=("10.0.0.9", 1))
    answer = await it.ask("GET", "/jobs", 403)
    assert "--admin-key" in answer["detail"]
    assert (await it.http.get("/__emulator/health")).status_code == 200
    await it.worlds.stop()


async def test_with_a_key_whoever_has_it_is_let_in():
    it = Admin(client=("10.0.0.9", 1), admin=Access(True, frozenset(["secret"])))
    assert (await it.ask("GET", "/jobs", 401))["title"] == "Unauthorized"
    assert await it.ask("GET", "/jobs", headers={"authorization": "Bearer secret"}) == {"jobs": [], "total": 0}
    await it.worlds.stop()


async def test_it_has_an_openapi_page_of_its_own(admin: Admin):
    page = await admin.ask("GET", "/openapi.json")
    routes = {"/stubs", "/faults", "/clock/advance", "/requests/verify", "/wait", "/reset", "/events"}
    assert routes <= set(page["paths"])
    kinds = page["components"]["schemas"]["Fault"]["oneOf"]
    assert [kind["title"] for kind in kinds] == page["components"]["schemas"]["FaultKind"]["enum"]


async def test_jobs_that_nest_deeply_are_shown_as_they_are(admin: Admin):
    """As deep as /run takes them, which is deeper than orjson writes."""
    deep: list[Any] = []
    for _ in range(480):
        deep = [deep]
    job = await admin.run({"input": {"a": deep}})
    assert (await admin.ask("GET", "/requests"))["requests"][0]["body"] == {"input": {"a": deep}}
    assert (await admin.ask("GET", "/jobs"))["jobs"][0]["input"] == {"a": deep}
    assert (await admin.ask("GET", f"/jobs/{job}"))["input"] == {"a": deep}
