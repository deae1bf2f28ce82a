"""The new client of `runpod` 2.0 (functions, classes, queues and APIs), unmodified: variables alone point it here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.balanced_app import APP
from tests.compat.sdks import interpreter, sdk_command
from tests.compat.servers import HANDLERS, ROOT, Command, commands
from tests.compat.test_flash import name_hosts, run, urls

pytestmark = pytest.mark.compat

CALLS = Path(__file__).with_name("sdk2_calls.py")
TRIED_AGAIN = (429, 500, 502, 504)
STUBS = {
    "stubs": [
        {"endpoint": "optional", "respond": {"output": "wanted"}},
        {"endpoint": "second-try", "respond": [{"error": "no luck"}, {"output": "ok"}]},
        {"endpoint": "breaking", "respond": {"stream": ["Hel", "lo"], "error": "out of memory"}},
        {"endpoint": "early", "respond": {"output": "found"}},
        *({"endpoint": f"{way}-{code}", "respond": {"output": "ok"}}
          for way in ("get", "post") for code in (*TRIED_AGAIN, "reset")),
    ],
    "faults": [
        {"fault": "not_found_after_run", "endpoint": "early", "delay": "3s"},
        {"fault": "connection_reset", "endpoint": "post-reset", "times": 1},
        {"fault": "connection_reset", "endpoint": "get-reset", "operations": ["status"], "times": 1},
        *({"fault": "status", "endpoint": f"post-{code}", "status": code, "times": 1} for code in TRIED_AGAIN),
        *({"fault": "status", "endpoint": f"get-{code}", "status": code, "operations": ["status"], "times": 2}
          for code in TRIED_AGAIN),
    ],
}  # fmt: skip
CALLER = """
import runpod


async def handler(job):
    heard = await runpod.Queue(app="any", id="echo").remote.aio(**job["input"])
    return {"awaited": heard, "blocking": runpod.Queue(app="any", name="echo").remote(b=1)}


runpod.serverless.start({"handler": handler})
"""
NOT_DEPLOYED = (
    "EndpointNotFound: '{}' in app '{}' is not deployed. run `rp flash deploy` first, or use .local() to run it here."
)

Said = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Handlers, stubs and a load-balancing endpoint; none is a function of an app."""
    folder = tmp_path_factory.mktemp("sdk2")
    (folder / "app.py").write_text(APP)
    (folder / "caller.py").write_text(CALLER)
    (folder / "stubs.json").write_text(json.dumps(STUBS))
    handlers = [HANDLERS / f"{name}.py" for name in ("echo", "failing", "mock_worker", "tokens")]
    worker = f"caller={sdk_command('2.0', folder / 'caller.py')}"
    more = ("--command", worker, "--load-balancer", "web=app.py:app", "--stubs", "stubs.json", "--api-key", "right-key")
    listening = ("--port", 0, "--tls", "--tls-port", 0, "--tls-folder", "tls")
    with commands(folder) as start:
        command = start("serve", *handlers, *more, *listening)
        command.http.headers["Authorization"] = "right-key"
        yield command.ready()


def calls(server: Command, group: str, base_url: str) -> Said:
    """What the calls of a group came to."""
    variables = {
        "RUNPOD_ENDPOINT_BASE_URL": base_url,
        "RUNPOD_API_BASE_URL": server.root_url,
        "RUNPOD_API_KEY": "right-key",
        "SSL_CERT_FILE": str(server.folder / "tls" / "ca.pem"),
        "PYTHONPATH": str(name_hosts(server.folder)),
        "HOOK": f"{server.root_url}/__emulator/hooks/-/ended",
    }
    told: Said = json.loads(run(interpreter("2.0"), CALLS, group, cwd=ROOT, **variables))
    return told


@pytest.fixture(scope="module")
def said(server: Command) -> Said:
    return calls(server, "jobs", urls(server)[0])


@pytest.fixture(scope="module")
def waited(server: Command) -> Said:
    """Calls that take time, all at once."""
    return calls(server, "waiting", urls(server)[0])


@pytest.fixture(scope="module")
def said_tls(server: Command) -> Said:
    """Calls of load-balancing endpoints: the client always makes them over HTTPS."""
    return calls(server, "balanced", urls(server)[1])


def requests(server: Command, endpoint: str, operation: str = "") -> list[dict[str, Any]]:
    """What came for an endpoint."""
    asked = {"endpoint": endpoint, **({"operation": operation} if operation else {})}
    return server.http.get(f"{server.root_url}/__emulator/requests", params=asked).json()["requests"]


# Jobs


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("positional", {"a": 1}),
        ("keywords", {"a": 4, "b": 3}),
        ("no arguments", {"__empty": True}),
        ("awaited", {"a": 5}),
        ("in a loop", {"a": 6}),
        ("by name", {"a": 7}),
        ("by id", {"a": 8}),
        ("job by id", {"a": 3}),
        ("by a worker", {"awaited": {"a": 9}, "blocking": {"b": 1}}),
        ("generator", ["one ", "two ", "three"]),
        ("generator of a stub", ["four ", "five"]),
        ("whole generator", ["one ", "two"]),
        ("options", "wanted"),
        ("spawn", {"result": "late", "after": "COMPLETED", "done": True, "again": "late"}),
        ("cancel", {"status": "CANCELLED", "done": True, "result": ["id", "status"]}),
        ("returned", "RemoteExecutionError: remote execution failed: broken"),
        ("not served", NOT_DEPLOYED.format("missing", "shop")),
        ("not served by id", NOT_DEPLOYED.format("nowhere", "another")),
        ("a load balancer", "ClientResponseError: 400, message='Bad Request'"),
        ("wrong key", "ClientResponseError: 401, message='Unauthorized'"),
    ],
)
def test_a_call_comes_to_what_it_does_on_runpod(said: Said, name: str, output: Any) -> None:
    assert said[name] == output


def test_a_job_is_seen_before_its_end(said: Said) -> None:
    assert said["before its end"] in ("IN_QUEUE", "IN_PROGRESS")


def test_an_exception_comes_back_with_its_traceback(said: Said) -> None:
    kind, _, told = said["raised"].partition(": remote execution failed: ")
    assert (kind, json.loads(told)["error_message"]) == ("RemoteExecutionError", "failed on request")


def test_the_client_hides_why_a_stream_failed_and_what_came_with_the_end(said: Said) -> None:
    failed = "RemoteExecutionError: remote execution failed: "
    assert said["breaking generator"] == [f"{failed}unknown", f"{failed}out of memory"]


def test_a_result_that_comes_too_late(said: Said) -> None:
    assert re.fullmatch(
        r"TimeoutError: job [\w-]+ did not complete within 0\.2s \(last status: IN_\w+\)", said["impatient"]
    )


def test_a_failed_job_is_retried(said: Said) -> None:
    assert said["retry"] == {
        "first": "RemoteExecutionError: remote execution failed: no luck",
        "retried": "Job(id='ID', status='IN_QUEUE')",
        "then": "ok",
    }


def test_options_arrive_and_the_webhook_is_called(said: Said, server: Command) -> None:
    _, request = requests(server, "optional", "runsync")
    assert (request["path"], request["query"]) == ("/v2/flash/runsync", "wait=90000")
    assert request["body"] == {
        "input": {"a": 1},
        "policy": {"executionTimeout": 60_000, "ttl": 120_000, "lowPriority": True},
        "s3Config": {"accessId": "****", "bucketName": "b"},
        "webhook": f"{server.root_url}/__emulator/hooks/-/ended",
    }
    server.http.get(f"{server.root_url}/__emulator/wait", params={"webhooks": 1})
    (call,) = server.http.get(f"{server.root_url}/__emulator/hooks", params={"name": "ended"}).json()
    assert (call["body"]["id"], call["body"]["output"]) == (request["job"], "wanted")


# Time, and what the client does about errors


def test_a_call_past_its_wait_goes_on_with_polls(waited: Said, server: Command) -> None:
    assert waited["past its wait"] == "late"
    waits = {request["query"] for request in requests(server, "mock_worker", "runsync")}
    assert waits == {"wait=4000", "wait=1000"}, "its timeout less a second; a second in a development session"


def test_a_development_session_asks_the_management_api_for_its_workers(waited: Said, server: Command) -> None:
    said = waited["development session"]
    assert said["output"] == "seen"
    assert [one for one in said["told"] if one != "worker_status"] == ["dispatch", "worker_ready", "request_completed"]
    answer = server.http.get(f"{server.root_url}/v2/serverless/mock_worker/workers")
    assert answer.status_code == 200 and "summary" in answer.json()


def test_a_job_that_is_not_known_at_once_is_asked_for_again(waited: Said, server: Command) -> None:
    assert waited["early"] == "found"
    statuses = [request["status"] for request in requests(server, "early", "status")]
    assert statuses[0] == 404 and statuses[-1] == 200


@pytest.mark.parametrize("code", [*TRIED_AGAIN, "reset"])
def test_a_poll_is_made_again(waited: Said, server: Command, code: Any) -> None:
    assert waited[f"get-{code}"] == "ok"
    statuses = [request["status"] for request in requests(server, f"get-{code}", "status")]
    assert statuses == ([0, 200] if code == "reset" else [code, code, 200])


@pytest.mark.parametrize("code", TRIED_AGAIN)
def test_a_submission_is_never_made_again(waited: Said, server: Command, code: int) -> None:
    assert waited[f"post-{code}"].startswith(f'ClientResponseError: {code}, message=\'{{"status":{code},')
    assert [request["status"] for request in requests(server, f"post-{code}")] == [code]


def test_nor_is_one_whose_connection_breaks(waited: Said, server: Command) -> None:
    assert re.match(r"Client(OSError|ConnectionResetError)|ServerDisconnectedError", waited["post-reset"])
    assert [request["status"] for request in requests(server, "post-reset")] == [0]


# Load-balancing endpoints


@pytest.mark.parametrize(
    ("name", "method", "path", "query", "body"),
    [
        ("by name", "POST", "/echo/here", "x=1", {"a": 1}),
        ("by id", "PUT", "/echo/a%2Fb", "", {"b": 2}),
        ("awaited", "PATCH", "/echo/there", "", {"c": 3}),
        ("delete", "DELETE", "/echo/gone", "", None),
        ("straight", "GET", "/echo/live", "", None),
    ],
)
def test_a_request_arrives_as_it_was_made(
    said_tls: Said, name: str, method: str, path: str, query: str, body: Any
) -> None:
    told = said_tls[name]
    assert (told["method"], told["path"], told["query"]) == (method, path, query)
    assert json.loads(told["body"] or "null") == body
    assert "authorization" not in told["headers"]


def test_a_text_is_no_less_an_answer(said_tls: Said) -> None:
    assert said_tls["by its name alone"] == said_tls["by name"]["worker"]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("no such path", NOT_DEPLOYED.format("web", "shop")),
        ("refused", "ClientResponseError: 405, message='Method Not Allowed'"),
        ("not served", NOT_DEPLOYED.format("nowhere", "another")),
        ("a queue", "ClientResponseError: 400, message='Bad Request'"),
        ("a function", {"a": 1}),
        ("a generator", ["one ", "two"]),
    ],
)
def test_what_goes_wrong_is_told_and_functions_work_over_https_too(said_tls: Said, name: str, outcome: Any) -> None:
    assert said_tls[name] == outcome


def test_nothing_surprised_the_server(said: Said, waited: Said, said_tls: Said, server: Command) -> None:
    assert [line for line in server.err.text.splitlines() if line.startswith("Traceback")] == []
