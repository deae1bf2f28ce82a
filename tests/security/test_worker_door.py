"""The worker protocol, tried by strangers: who may take jobs, report on them, and see what is in them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.compat.servers import Command, Starter, commands, until
from tests.gates import Gate
from tests.plain import PLAIN

HANDLER = """
    import os
    import runpod

    def handler(job):
        open(job["input"]["gate"], "rb", 0).read(1)
        return {"key": os.environ["RUNPOD_AI_API_KEY"], "own": True}

    runpod.serverless.start({"handler": handler})
"""
KEY = "rpa_client-of-the-team"
ADVICE = "--endpoint ID"
CALLS = [
    ("GET", "/job-take/{worker}?gpu=CPU&job_in_progress=0"),
    ("GET", "/job-take-batch/{worker}?batch_size=3&job_in_progress=0"),
    ("POST", "/job-done/{worker}/{job}?isStream=false"),
    ("POST", "/job-done/{worker}"),
    ("POST", "/job-stream/{worker}/{job}"),
    ("POST", "/job-stream/{worker}"),
    ("GET", "/job-stop/{worker}"),
    ("GET", "/ping/{worker}?job_id={job}"),
    ("GET", "/ping/{worker}/x?status=unhealthy&check=a&reason=b"),
]
each_call = pytest.mark.parametrize(("method", "path"), CALLS)


class Served:
    """A server with a handler's, a mock's, a command-less remote and no other endpoint, and a job that runs."""

    def __init__(self, command: Command, gate: Gate) -> None:
        self.command = command
        self.http = command.http
        self.begin(gate)

    def begin(self, gate: Gate) -> None:
        """Let a job run that waits at this gate."""
        self.gate = gate
        self.job: str = self.post("/ep/run", {"input": {"gate": str(gate)}})["id"]
        until(lambda: "workerId" in self.status())
        self.worker: str = self.status()["workerId"]

    def post(self, path: str, body: Any) -> Any:
        answer = self.http.post(path, json=body, headers={"authorization": KEY})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = self.http.get(f"/ep/status/{self.job}", headers={"authorization": KEY}).json()
        return told

    def call(self, method: str, endpoint: str, path: str, worker: str, key: str | None) -> httpx.Response:
        """One call of the worker protocol, as the official worker makes it."""
        told = path.format(worker=worker, job=self.job)
        content = b'{"output":"forged"}' if method == "POST" else None
        headers = {"x-request-id": self.job, **({} if key is None else {"authorization": key})}
        url = f"{self.command.base_url}/{endpoint}{told}"
        return httpx.request(method, url, content=content, headers=headers, timeout=30, **PLAIN)


@pytest.fixture(scope="module", params=["open", "api-key"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("door")
    (folder / "ep.py").write_text(textwrap.dedent(HANDLER))
    keys = ("--api-key", KEY) if request.param == "api-key" else ()
    with commands(folder) as start, Gate(folder / "gate") as gate:
        words = ("--endpoint", "ep=ep.py", "--mock", "mock", "--endpoint", "far", "--workers-max", 1)
        yield Served(start("serve", *words, "--port", 0, *keys).ready(), gate)


@pytest.fixture
def another(tmp_path: Path, served: Served) -> Iterator[Gate]:
    """A gate for the next job; the last one is let go."""
    gate = Gate(tmp_path / "another")
    yield gate
    served.begin(gate)


@each_call
@pytest.mark.parametrize("endpoint", ["ep", "mock"])
def test_an_endpoint_with_workers_of_its_own_takes_none_from_outside(
    served: Served, endpoint: str, method: str, path: str
) -> None:
    """Neither a new worker nor one that goes by the name of the process; the job goes on."""
    for worker in ("thief", served.worker):
        for key in (None, "Bearer guess", KEY, "worker-" + "0" * 40):
            answer = served.call(method, endpoint, path, worker, key)
            assert answer.status_code in (401, 403), (worker, key, answer.text)
            assert set(answer.json()) == {"status", "title", "detail"}
            assert ADVICE in answer.text or answer.status_code == 401
    assert served.status()["status"] == "IN_PROGRESS"


@pytest.mark.parametrize("served", ["open"], indirect=True)
def test_the_refusal_says_what_to_do(served: Served) -> None:
    assert served.call("GET", "ep", "/job-take/w1", "w1", "any").json() == {
        "status": 403,
        "title": "Forbidden",
        "detail": "endpoint ep is served by a handler, and takes no workers from outside: serve one that does with "
        "--endpoint ID, without a handler",
    }


@pytest.mark.parametrize("served", ["api-key"], indirect=True)
@each_call
@pytest.mark.parametrize("key", [None, "Bearer guess", KEY])
def test_with_an_api_key_a_worker_needs_a_key_that_no_client_has(
    served: Served, method: str, path: str, key: str | None
) -> None:
    """Whether there is an endpoint of the name is no stranger's business either."""
    for endpoint in ("far", "ep", "mock", "nobody", "flash"):
        answer = served.call(method, endpoint, path, "thief", key)
        assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized"), endpoint


def test_a_token_is_good_for_its_worker_alone(served: Served, another: Gate) -> None:
    """It ends the job; another one runs for the others."""
    served.gate.open()
    until(lambda: served.status()["status"] == "COMPLETED")
    token = served.status()["output"]["key"]
    assert served.call("GET", "ep", "/ping/{worker}", served.worker, token).status_code == 200
    assert served.call("GET", "ep", "/ping/{worker}&gpu=CPU", served.worker, f"Bearer {token}").status_code == 200
    for endpoint, path, worker in (
        ("ep", "/ping/{worker}", "thief"),
        ("ep", "/ping/{worker}?ns=other", served.worker),
        ("mock", "/ping/{worker}", served.worker),
    ):
        assert served.call("GET", endpoint, path, worker, token).status_code in (401, 403)
    assert served.status()["output"]["own"]


def test_a_function_of_a_test_takes_no_workers_from_outside() -> None:
    with Emulator("llm") as emu:
        emu.handler("llm", lambda job: "own")
        answer = httpx.get(f"{emu.base_url}/llm/job-take/thief", headers={"authorization": emu.key}, **PLAIN)
        assert (answer.status_code, ADVICE in answer.text) == (403, True)


# The key that the server makes itself


COMMAND = """
    import os, urllib.request
    import json, time

    def ask(url, body=None):
        request = urllib.request.Request(url, body, {"Authorization": os.environ["RUNPOD_AI_API_KEY"]})
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    worker = os.environ["RUNPOD_POD_ID"]
    while True:
        job = ask(os.environ["RUNPOD_WEBHOOK_GET_JOB"].replace("$ID", worker))
        if job:
            url = os.environ["RUNPOD_WEBHOOK_POST_OUTPUT"].replace("$RUNPOD_POD_ID", worker)
            ask(url.replace("$ID", json.loads(job)["id"]), b'{"output": "from a command"}')
"""


def printed(start: Starter, *words: str) -> tuple[dict[str, str], str]:
    """What `worker-env` prints, and what it says beside it."""
    command = start("worker-env", "far", *words, "--format", "dotenv")
    assert command.code() == 0
    lines = (line.partition("=") for line in command.out.whole().splitlines())
    return {name: value.strip("'") for name, _, value in lines}, command.err.whole()


@pytest.mark.compat
def test_a_command_gets_the_key_and_worker_env_prints_it(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(COMMAND))
    words = ("--command", "ep=python3 program.py", "--endpoint", "far", "--port", 0, "--api-key", KEY)
    server = start("serve", *words).ready()
    keyed = {"authorization": KEY}
    done = server.http.post("/ep/runsync", json={"input": {"a": 1}}, headers=keyed)
    assert done.json()["output"] == "from a command"
    told, beside = printed(start, "--url", server.root_url)
    assert "each run" in beside and "--worker-key" in beside
    job = server.http.post("/far/run", json={"input": {"a": 1}}, headers=keyed).json()["id"]
    url = told["RUNPOD_WEBHOOK_GET_JOB"].replace("$ID", "w1")
    assert httpx.get(url, headers={"authorization": KEY}, **PLAIN).status_code == 401
    worker_key = {"authorization": told["RUNPOD_AI_API_KEY"]}
    assert httpx.get(url, headers=worker_key, **PLAIN).json()["id"] == job
    assert server.http.get("/far/health", headers=worker_key).status_code == 401
    other = start("serve", "--endpoint", "far", "--port", 0, "--api-key", KEY).ready()
    assert printed(start, "--url", other.root_url)[0]["RUNPOD_AI_API_KEY"] != told["RUNPOD_AI_API_KEY"]


@pytest.mark.compat
@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        ((), "runpod-emulator", ""),
        (("--no-auth", "--api-key", KEY), "runpod-emulator", ""),
        (("--api-key", KEY, "--worker-key", "fixed"), "fixed", ""),
        (("--worker-key", "fixed"), "fixed", ""),
    ],
)  # fmt: skip
def test_worker_env_prints_what_the_server_asks_for(
    start: Starter, options: tuple[str, ...], key: str, says: str
) -> None:
    server = start("serve", "--endpoint", "far", "--port", 0, *options).ready()
    told, beside = printed(start, "--url", server.root_url)
    assert (told["RUNPOD_AI_API_KEY"], beside) == (key, says)
    url = told["RUNPOD_WEBHOOK_PING"].replace("$RUNPOD_POD_ID", "w1")
    assert httpx.get(url, headers={"authorization": key}, **PLAIN).status_code == 200


@pytest.mark.compat
def test_worker_env_says_when_it_could_not_ask(start: Starter) -> None:
    told, beside = printed(start, "--url", "http://127.0.0.1:9")
    assert told["RUNPOD_AI_API_KEY"] == "runpod-emulator"
    assert "http://127.0.0.1:9 does not answer" in beside and "--worker-key" in beside


@pytest.mark.compat
def test_worker_env_asks_with_an_admin_key(start: Starter) -> None:
    options = ("--endpoint", "far", "--port", 0, "--api-key", KEY, "--admin-key", "operator-key")
    server = start("serve", *options).ready()
    told, _ = printed(start, "--url", server.root_url, "--admin-key", "operator-key")
    assert told["RUNPOD_AI_API_KEY"] not in ("runpod-emulator", KEY)
    _, beside = printed(start, "--url", server.root_url)
    assert "--admin-key" in beside


@pytest.mark.compat
def test_no_worker_inherits_a_key_of_the_server(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "ep.py").write_text(
        "import os\nimport runpod\n\nrunpod.serverless.start({'handler': lambda job: dict(os.environ)})\n"
    )
    (tmp_path / "show.py").write_text("import os\nprint('SEEN', sorted(os.environ), flush=True)\n")
    keys = {
        "RUNPOD_EMULATOR_API_KEY": '["API-key"]', "runpod_emulator_admin_key": '["ADMIN-key"]',
        "RUNPOD_EMULATOR_worker_KEY": '["WORKER-key"]',
    }  # fmt: skip
    words = ("--command", "c=python3 show.py", "--load-balancer", "web=python3 show.py", "--reload", "--port", 0)
    server = start("serve", "--endpoint", "ep=ep.py", *words, **keys, INHERITED="yes")
    server.out.line("Ready")
    answer = httpx.post(
        f"{server.base_url}/ep/runsync", json={"input": {"a": 1}}, headers={"authorization": "API-key"}, **PLAIN
    )
    seen = answer.json()["output"]
    assert seen["INHERITED"] == "yes" and set(keys) & set(seen) == set()
    assert "ADMIN-key" not in str(seen) and "WORKER-key" not in str(seen)
    for worker in ("c#1", "web#1"):
        server.err.line(f" {worker} │ SEEN")
    told = [line for line in server.err.text.splitlines() if "SEEN" in line]
    assert told and not any("_EMULATOR_" in line.upper() or "INHERITED" not in line for line in told)


@pytest.mark.compat
def test_no_command_of_exec_gets_a_key_of_the_server(start: Starter) -> None:
    keys = {"runpod_emulator_admin_key": '["ADMIN-key"]', "RUNPOD_EMULATOR_worker_KEY": '["WORKER-key"]'}
    command = start("exec", "--mock", "llm", "--", "env", **keys, INHERITED="yes")
    assert command.code() == 0
    told, beside = command.out.whole(), command.err.whole()
    assert "INHERITED=yes" in told and "ADMIN-key" not in told and "WORKER-key" not in told
    assert "no option" not in beside, "they are in force"
