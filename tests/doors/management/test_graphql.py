"""`/graphql` over ASGI: the operations of the official clients, what is refused, and in which shape."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from runpod.api.mutations.endpoints import generate_endpoint_mutation, update_endpoint_template_mutation
from runpod.api.mutations.pods import generate_pod_stop_mutation
from runpod.api.mutations.templates import generate_pod_template
from runpod.api.queries.endpoints import QUERY_ENDPOINT
from runpod.api.queries.gpus import QUERY_GPU_TYPES
from runpod_emulator.config.file import EndpointTable
from runpod_emulator.config.plans import plan_one
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.http.access import Access
from runpod_emulator.world.world import World

from tests.doors.doors import KEY, Doors, open_doors
from tests.tables import table

SAVE = "mutation saveEndpoint($input: EndpointInput!) { saveEndpoint(input: $input) { id name templateId type } }"
NOT_HERE = " of the management API (GraphQL) exists on RunPod but is not emulated: see docs/management.md#not-emulated"


class Account:
    """A client of GraphQL before a small world; what it deploys is served by stubs."""

    def __init__(self, folder: Path, images: str = 'default = "mock"', **options: Any) -> None:
        self.doors: Doors = open_doors(**options)
        self.world = self.doors.world.emulator
        self.served: list[EndpointTable] = []
        (folder / "runpod-emulator.toml").write_text(f"[images]\n{images}\n")
        self._settings = read_settings(config=folder / "runpod-emulator.toml")
        self.doors.app.state.plan_for = self._settings.images.plan_for
        self.doors.app.state.serve = self._serve

    async def _serve(self, world: World, endpoint: str, table: EndpointTable) -> None:
        self.served.append(table)
        world.endpoints.add_mock(plan_one(self._settings, endpoint, table).settings)
        await world.endpoints.start_one(endpoint)

    async def ask(self, query: str, variables: Any = None, status: int = 200, **members: Any) -> Any:
        """The whole answer of an operation."""
        body = {"query": query, "variables": variables, **members}
        answer = await self.doors.http.post("/graphql", json=body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    async def data(self, query: str, variables: Any = None) -> Any:
        """The data of an operation that goes well."""
        told = await self.ask(query, variables)
        assert "errors" not in told, told
        return told["data"]

    async def refusal(self, query: str, variables: Any = None, status: int = 200) -> str:
        """Why an operation is refused, as clients read it."""
        told = await self.ask(query, variables, status)
        assert told.get("data") is None or set(told["data"].values()) == {None}
        return str(told["errors"][0]["message"])

    async def endpoints(self) -> dict[str, Any]:
        """What `runpod.get_endpoints()` returns, by the ids of the endpoints."""
        found = (await self.data(QUERY_ENDPOINT))["myself"]["endpoints"]
        return {one["id"]: one for one in found}


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    it = Account(tmp_path)
    yield it
    await it.world.stop()


async def test_the_endpoints_of_the_start_are_listed_as_they_are(account: Account) -> None:
    found = (await account.endpoints())["ep"]
    assert found == {
        "aiKey": None, "gpuIds": None, "id": "ep", "idleTimeout": 5, "name": "ep", "networkVolumeId": None,
        "locations": None, "scalerType": "REQUEST_COUNT", "scalerValue": 1, "templateId": None, "type": "QB",
        "userId": "user_emulator", "version": found["version"], "workersMax": 3, "workersMin": 0,
        "workersStandby": 0, "gpuCount": 1, "env": [], "createdAt": found["createdAt"], "networkVolume": None,
    }  # fmt: skip
    assert found["createdAt"].endswith("Z")


async def test_a_template_and_an_endpoint_as_the_sdk_makes_them(account: Account) -> None:
    words = {"docker_start_cmd": 'python -u "h.py"', "env": {"A": "b"}, "is_serverless": True}
    template = (await account.data(generate_pod_template("t", "runpod/x:1", **words)))["saveTemplate"]
    assert (template["imageName"], template["dockerArgs"]) == ("runpod/x:1", 'python -u "h.py"')
    assert (template["env"], template["isServerless"]) == ([{"key": "A", "value": "b"}], True)
    options = {"gpu_ids": "ADA_24,-NVIDIA L4", "workers_max": 2, "idle_timeout": 9, "scaler_value": 7}
    mutation = generate_endpoint_mutation("mine", template["id"], flashboot=True, gpu_count=2, **options)
    made = (await account.data(mutation))["saveEndpoint"]
    assert (made["name"], made["templateId"], made["gpuIds"]) == ("mine", template["id"], "ADA_24,-NVIDIA L4")
    assert (made["gpuCount"], made["flashBootType"], made["workersMax"]) == (2, "FLASHBOOT", 2)
    assert (made["scalerType"], made["scalerValue"], made["idleTimeout"]) == ("QUEUE_DELAY", 7, 9)
    (served,) = account.served
    assert (served.mock, served.environment) == (True, {"A": "b"})
    settings = account.world.endpoints.any(made["id"]).settings
    assert (settings.scaler_delay, settings.idle_timeout, settings.workers_max) == (7_000, 9_000, 2)
    listed = (await account.endpoints())[made["id"]]
    assert (listed["name"], listed["env"]) == ("mine", [{"key": "A", "value": "b"}])


async def deployed(account: Account, **members: Any) -> str:
    """The id of an endpoint that was deployed from an image, as Flash does it."""
    given = {"name": "n", "template": {"imageName": "x:1"}, **members}
    return str((await account.data(SAVE, {"input": given}))["saveEndpoint"]["id"])


async def test_what_is_deployed_takes_jobs_until_it_is_deleted(account: Account) -> None:
    endpoint = await deployed(account)
    assert (await account.doors.http.post(f"/v2/{endpoint}/run", json={"input": {"a": 1}})).status_code == 200
    gone = "mutation deleteEndpoint($id: String!) { deleteEndpoint(id: $id) }"
    assert await account.data(gone, {"id": endpoint}) == {"deleteEndpoint": None}
    assert endpoint not in await account.endpoints()
    assert (await account.doors.http.get(f"/v2/{endpoint}/health")).status_code == 404
    assert await account.refusal(gone, {"id": endpoint}) == "endpoint not found"
    asks = "query getEndpoint($id: String!) { myself { endpoint(id: $id) { id } } }"
    assert await account.data(asks, {"id": endpoint}) == {"myself": {"endpoint": None}}
    assert await account.data(asks, {"id": "ep"}) == {"myself": {"endpoint": {"id": "ep"}}}


async def test_what_is_saved_again_is_changed(account: Account) -> None:
    endpoint = await deployed(account, gpuIds="ADA_24,-NVIDIA L4", executionTimeoutMs=0)
    given = {"id": endpoint, "workersMin": 1, "workersMax": 4, "scalerType": "REQUEST_COUNT", "scalerValue": 3}
    told = (await account.data(SAVE, {"input": {**given, "locations": "US"}}))["saveEndpoint"]
    assert told["name"] == "n"
    found = (await account.endpoints())[endpoint]
    assert (found["workersMin"], found["workersMax"], found["scalerValue"]) == (1, 4, 3)
    assert (found["gpuIds"], found["locations"]) == ("ADA_24,-NVIDIA L4", "US")
    assert account.world.endpoints.any(endpoint).settings.execution_timeout == 0


async def test_a_template_that_changes_changes_its_endpoints(account: Account) -> None:
    template = (await account.data(generate_pod_template("t", "x:1", env={"A": "1"})))["saveTemplate"]["id"]
    endpoint = (await account.data(generate_endpoint_mutation("n", template)))["saveEndpoint"]["id"]
    other = await deployed(account)
    save = "mutation saveTemplate($input: SaveTemplateInput) { saveTemplate(input: $input) { id } }"
    await account.data(save, {"input": {"id": template, "env": [{"key": "A", "value": "2"}]}})
    deployments = account.world.endpoints.deployments
    assert (deployments.of(endpoint).env, deployments.of(endpoint).version) == ({"A": "2"}, 2)
    assert deployments.of(other).version == 1
    told = await account.data(update_endpoint_template_mutation(other, template))
    assert told["updateEndpointTemplate"] == {"id": other, "templateId": template}
    assert (deployments.of(other).image, deployments.of(other).env) == ("x:1", {"A": "2"})
    assert await account.refusal(update_endpoint_template_mutation("nope", template)) == "endpoint not found"


async def test_another_image_is_refused_where_something_else_would_stand_in_for_it(tmp_path: Path) -> None:
    account = Account(tmp_path, '"x:*" = "mock"\n"y:*" = { command = "python y.py" }')
    endpoint = await deployed(account)
    await account.data(SAVE, {"input": {"id": endpoint, "template": {"imageName": "x:2"}}})
    for given in ({"template": {"imageName": "y:1"}}, {"template": {"imageName": "z:1"}}):
        said = await account.refusal(SAVE, {"input": {"id": endpoint, **given}})
        assert "y:1" in said or "z:1" in said
    deployed_now = account.world.endpoints.deployments.of(endpoint)
    assert (deployed_now.image, deployed_now.version) == ("x:2", 2)


async def test_the_image_decides_what_is_served(tmp_path: Path) -> None:
    images = '"python* /handler.py*" = { command = "python mock.py {rest}" }\n"tpl" = { workers_max = 9 }'
    account = Account(tmp_path, images)
    args = {"imageName": "any", "dockerArgs": "python3 /handler.py --generator"}
    await deployed(account, template=args, type="QB")
    await deployed(account, template=None, templateId="tpl")
    assert [one.command for one in account.served] == [["python", "mock.py", "--generator"], None]
    assert account.served[1].workers_max == 9
    said = await account.refusal(SAVE, {"input": {"name": "n", "template": {"imageName": "other:2"}}})
    assert said.startswith("no handler stands in for image 'other:2'") and "[images]" in said
    said = await account.refusal(SAVE, {"input": {"name": "n", "templateId": "t9"}})
    assert said.startswith("no handler stands in for template 't9'")
    assert len(await account.endpoints()) == 3
    assert len((await account.data("{ myself { podTemplates { id } } }"))["myself"]["podTemplates"]) == 1


async def test_what_cannot_be_started_is_said_and_not_kept(account: Account) -> None:
    async def serve(world: World, endpoint: str, table: EndpointTable) -> None:
        raise ConfigurationError("handler h.py could not be started:\nNameError")

    account.doors.app.state.serve = serve
    assert "could not be started" in await account.refusal(SAVE, {"input": {"name": "n", "template": {}}})
    assert list(await account.endpoints()) == ["ep"]


WRONG: list[tuple[Any, str]] = [
    (3, "input: Input should be a valid dictionary"),
    ({}, "input.name: an endpoint needs a name"),
    ({"name": 3}, "input.name: Input should be a valid string"),
    ({"name": "n"}, "input: an endpoint needs a templateId"),
    ({"name": "n", "templateId": "a", "template": {}}, "input: give templateId or template"),
    ({"name": "n", "template": {"env": [{"key": "a"}]}}, "input.template.env.0.value: Field required"),
    ({"name": "n", "template": {"env": {"a": "b"}}}, "input.template.env: Input should be a valid list"),
    ({"name": "n", "template": {}, "workersMax": -1}, "input.workersMax: "),
    ({"name": "n", "template": {}, "workersMax": True}, "input.workersMax: "),
    ({"name": "n", "template": {}, "workersMin": 9, "workersMax": 1}, "endpoint "),
    ({"name": "n", "template": {}, "workersMax": 99_999}, "endpoint "),
    ({"name": "n", "template": {}, "idleTimeout": 0}, "input.idleTimeout: "),
    ({"name": "n", "template": {}, "scalerType": "MOON"}, "input.scalerType: "),
    ({"name": "n", "template": {}, "scalerType": "REQUEST_COUNT", "scalerValue": 0.5}, "input: scaler_value: "),
    ({"name": "n", "template": {}, "scalerValue": "4"}, "input.scalerValue: "),
    ({"name": "n", "template": {}, "type": "POD"}, "input.type: "),
    ({"name": "n", "template": {}, "executionTimeoutMs": 1}, "execution_timeout must be from"),
    ({"name": "n", "template": {}, "instanceIds": ["cpu3c"]}, "input.instanceIds: write FLAVOR-VCPUS-MEMORY"),
    ({"name": "n", "template": {}, "networkVolumeIds": [{}]}, "input.networkVolumeIds.0.networkVolumeId: "),
    ({"name": "n", "template": {"env": [{"key": "A=B", "value": ""}]}}, "env: "),
    ({"id": "nope", "name": "n"}, "endpoint not found"),
    ({"id": "ep", "workersMax": None, "scalerType": "REQUEST_COUNT", "scalerValue": 0.5}, "input: scaler_value: "),
]


@table(("given", "words"), WRONG)
async def test_a_wrong_input_is_named(given: Any, words: str, tmp_path: Path) -> None:
    account = Account(tmp_path)
    assert (await account.refusal(SAVE, {"input": given})).startswith(words)
    await account.world.stop()


NOT_EMULATED = {
    QUERY_GPU_TYPES: "gpuTypes",
    generate_pod_stop_mutation("p"): "podStop",
    "{ myself { pods { id } } }": "pods",
    "{ __schema { types { name } } }": "__schema",
    "mutation M($input: PodInput!) { podFindAndDeployOnDemand(input: $input) { id } }": "podFindAndDeployOnDemand",
    "query Q($x: Moon) { myself { id } }": "Moon",
    "{ myself(full: true) { id } }": "full",
}


@table("query", NOT_EMULATED)
async def test_what_is_not_emulated_says_so(query: str, tmp_path: Path) -> None:
    account = Account(tmp_path)
    assert await account.refusal(query, status=501) == NOT_EMULATED[query] + NOT_HERE


CHAIN = " ".join(f"fragment f{one} on User {{ ...f{one + 1} ...f{one + 1} }}" for one in range(200))
INVALID = [
    ("#" + "x" * 200_000, "the query has more than 100000 characters"),
    ("{" * 5_000, "the query is nested deeper than"),
    ("{ myself { id } } " * 2_000, "the query has more than"),
    ("{", "Syntax Error"),
    ("", "Syntax Error"),
    ("\0", "Syntax Error"),
    ("query A { myself { id } } query B { myself { id } }", "Must provide operation name"),
    ("subscription { news }", "subscription operation"),
    ("{ myself { ...f } } fragment f on User { ...f }", "Cannot spread fragment"),
    ("mutation { deleteEndpoint }", "of type 'String!' is required"),
    ("mutation { deleteEndpoint(id: 3) }", "String cannot represent"),
    (SAVE, "Variable '$input' "),
]


@table(("query", "words"), INVALID)
async def test_what_is_no_operation_is_refused(query: str, words: str, tmp_path: Path) -> None:
    assert words in await Account(tmp_path).refusal(query, status=400)


async def test_a_chain_of_fragments_is_followed_or_refused(account: Account) -> None:
    query = f"{{ myself {{ ...f0 }} }} {CHAIN} fragment f200 on User {{ id }}"
    answer = await account.doors.http.post("/graphql", json={"query": query})
    assert answer.status_code in (200, 400), "as far as the library goes"


BODIES = [
    b"", b"[]", b"3", b"{", b"null", b'{"query":3}', b"{}", b'{"query":"{myself{id}}","variables":[]}',
    b'[{"query":"{myself{id}}"}]', b'{"query":"{myself{id}}","operationName":3}', b"[" * 100_000, b"\xff",
    b'{"query":"' + b"a" * (1 << 20) + b'"}',
]  # fmt: skip


@table("body", BODIES)
async def test_a_body_that_asks_for_nothing_is_refused(body: bytes, tmp_path: Path) -> None:
    answer = await Account(tmp_path).doors.http.post("/graphql", content=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]


async def test_a_key_is_asked_for(tmp_path: Path) -> None:
    account = Account(tmp_path, access=Access(True, frozenset([KEY])), key=None)
    http, body = account.doors.http, {"query": "{ myself { id } }"}
    answers = [
        await http.post("/graphql", json=body),
        await http.post("/graphql?api_key=wrong", json=body),
        await http.post(f"/graphql?api_key={KEY}", json=body),
        await http.post("/graphql", json=body, headers={"authorization": f"Bearer {KEY}"}),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 200, 200]
    assert answers[0].json() == {"errors": [{"message": "no token provided"}]}
    assert answers[1].json() == {"errors": [{"message": "invalid api key"}]}


async def test_another_method_is_refused_in_this_shape(account: Account) -> None:
    answer = await account.doors.http.get("/graphql")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json() == {"errors": [{"message": "method not allowed"}]}


async def test_it_is_in_the_journal_once(account: Account) -> None:
    await account.data("{ myself { id } }")
    await account.refusal("{ pods { id } }", status=501)
    seen = [(entry.operation, entry.status, json.loads(entry.body)["query"]) for entry in account.world.journal]
    assert seen == [("graphql", 200, "{ myself { id } }"), ("graphql", 501, "{ pods { id } }")]


async def test_a_fault_of_the_emulator_is_told_in_this_shape(account: Account) -> None:
    async def serve(world: World, endpoint: str, table: EndpointTable) -> None:
        raise ZeroDivisionError

    account.doors.app.state.serve = serve
    said = await account.refusal(SAVE, {"input": {"name": "n", "template": {}}}, status=500)
    assert said == "internal error of the emulator: its log has the traceback"


async def test_templates_are_kept_changed_and_found(account: Account) -> None:
    save = "mutation S($input: SaveTemplateInput) { saveTemplate(input: $input) { id name imageName readme } }"
    given = {"name": "t", "imageName": "x", "env": [], "readme": "r"}
    made = (await account.data(save, {"input": given}))["saveTemplate"]
    changed = (await account.data(save, {"input": {"id": made["id"], "imageName": "y"}}))["saveTemplate"]
    assert changed == {**made, "imageName": "y"}
    asks = "query getTemplate($id: String!) { podTemplate(id: $id) { id imageName } }"
    assert (await account.data(asks, {"id": made["id"]}))["podTemplate"]["imageName"] == "y"
    assert (await account.data(asks, {"id": "nope"}))["podTemplate"] is None
    assert await account.refusal(save, {"input": {"id": "nope"}}) == "there is no template nope"
