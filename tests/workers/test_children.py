"""What a handler starts: a child process, or a script of its own, reports on the job of its worker over HTTP."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.compat.servers import Command, commands, until
from tests.gates import Gate

POST = """
import json, os, sys, urllib.error, urllib.request

url = os.environ["RUNPOD_WEBHOOK_POST_OUTPUT"].replace("$RUNPOD_POD_ID", os.environ["RUNPOD_POD_ID"])
body = json.dumps({"status": "IN_PROGRESS", "output": "a script"}).encode()
headers = {"Authorization": sys.argv[2]}
request = urllib.request.Request(url.replace("$ID", sys.argv[1]) + "&isStream=false", body, headers)
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
HANDLER = """
    import multiprocessing, os, subprocess, sys, time
    import runpod

    def forked(job):
        runpod.serverless.progress_update(job, "a fork")
        time.sleep(5)

    def seen(name):
        return os.environ.get("RUNPOD_" + name, "")

    def handler(job):
        case = job["input"]["case"]
        if case == "environment":
            names = ("WEBHOOK_GET_JOB", "WEBHOOK_POST_OUTPUT", "WEBHOOK_POST_STREAM", "WEBHOOK_PING", "PING_INTERVAL",
                     "POD_ID", "ENDPOINT_ID", "API_KEY", "OWN")
            return {name: seen(name) for name in names}
        if case == "script":
            key = job["input"].get("key", seen("AI_API_KEY"))
            script = [sys.executable, "post.py", job["id"], key]
            printed = subprocess.run(script, capture_output=True, text=True).stdout.strip()
        if case == "fork":
            child = multiprocessing.get_context("fork").Process(target=forked, args=(job,), daemon=True)
            child.start()
            printed = "200"
        if case == "token":
            runpod.serverless.progress_update(job, seen("AI_API_KEY"))
            printed = ""
        open(job["input"]["gate"], "rb", 0).read(1)
        return printed

    runpod.serverless.start({"handler": handler})
"""


@pytest.fixture(scope="module", params=["open", "keys"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A handler's endpoint, with and without keys of workers."""
    folder = tmp_path_factory.mktemp("children")
    (folder / "post.py").write_text(POST)
    (folder / "ep.py").write_text(textwrap.dedent(HANDLER))
    keys = ("--worker-key", "secret") if request.param == "keys" else ()
    with commands(folder) as start:
        yield start("serve", "ep.py", "--port", 0, "--environment", "RUNPOD_OWN=1", *keys).ready()


def ended(http: httpx.Client, job: str) -> dict[str, Any]:
    def status() -> dict[str, Any]:
        return http.get(f"/ep/status/{job}").json()

    until(lambda: status()["status"] not in ("IN_QUEUE", "IN_PROGRESS"))
    return status()


def test_a_worker_process_has_the_environment_of_the_platform(server: Command) -> None:
    job = server.http.post("/ep/run", json={"input": {"case": "environment"}}).json()["id"]
    envelope = ended(server.http, job)
    base = server.base_url + "/ep"
    assert envelope["output"] == {
        "WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=CPU",
        "WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=CPU",
        "WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=CPU",
        "WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?gpu=CPU",
        "PING_INTERVAL": "4000",
        "POD_ID": envelope["workerId"],
        "ENDPOINT_ID": "ep",
        "API_KEY": "runpod-emulator",
        "OWN": "1",
    }


@pytest.mark.parametrize(("case", "told"), [("script", "a script"), ("fork", "a fork")])
def test_progress_of_a_child_counts(server: Command, gate: Gate, case: str, told: str) -> None:
    job = server.http.post("/ep/run", json={"input": {"case": case, "gate": str(gate)}}).json()["id"]
    until(lambda: server.http.get(f"/ep/status/{job}").json().get("output") == told)
    gate.open()
    assert ended(server.http, job)["output"] == "200"


@pytest.mark.parametrize(
    ("server", "key", "status"),
    [("keys", "", "401"), ("keys", "a guess", "401"), ("keys", "secret", "403"), ("open", "", "403"),
     ("open", "a guess", "403")],
    indirect=["server"],
)  # fmt: skip
def test_a_child_needs_its_workers_token(server: Command, gate: Gate, key: str, status: str) -> None:
    gate.open()
    asked = {"case": "script", "key": key, "gate": str(gate)}
    job = server.http.post("/ep/run", json={"input": asked}).json()["id"]
    assert ended(server.http, job)["output"] == status


def test_a_child_that_polls_for_jobs_gets_none_and_takes_none_away(server: Command, gate: Gate) -> None:
    job = server.http.post("/ep/run", json={"input": {"case": "token", "gate": str(gate)}}).json()["id"]
    until(lambda: "output" in server.http.get(f"/ep/status/{job}").json())
    running = server.http.get(f"/ep/status/{job}").json()
    worker, keys = running["workerId"], {"authorization": running["output"]}
    more = server.http.post("/ep/run", json={"input": {"case": "environment"}}).json()["id"]
    with pytest.raises(httpx.ReadTimeout):
        server.http.get(f"/ep/job-take/{worker}?gpu=CPU&job_in_progress=0", headers=keys, timeout=0.5)
    assert ended(server.http, more)["workerId"] != worker
    assert server.http.get(f"/ep/status/{job}").json()["status"] == "IN_PROGRESS"
    gate.open()
    ended(server.http, job)
