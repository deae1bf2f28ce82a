"""Several servers over one store behind a load balancer: workers and clients need not know that there are many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from runpod_emulator.workers.environment import worker_environment

from tests.compat.in_turn import in_turn
from tests.compat.sdk_workers import write_handlers
from tests.compat.servers import LIMIT, Command, commands, until
from tests.plain import PLAIN
from tests.stores.servers import StoreServer

pytestmark = pytest.mark.compat

ECHO = """
import runpod

runpod.serverless.start({"handler": lambda job: job["input"]})
"""


@pytest.fixture
def store() -> Iterator[StoreServer]:
    server = StoreServer()
    yield server
    server.close()


def test_an_official_worker_whose_every_call_goes_to_another_server(tmp_path: Path, store: StoreServer) -> None:
    handler = write_handlers(tmp_path, "parallel")["parallel"]
    mark = tmp_path / "job"
    with commands(tmp_path) as start:
        options = ("--endpoint", "ep", "--store", store.url, "--port", 0, "--no-rate-limits")
        servers = [start("serve", *options) for _ in range(3)]
        with in_turn([server.ready().root_url for server in servers]) as balancer:
            clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
            environment = worker_environment(balancer.url, "ep", "w1", "key", "key", ping_interval=1_000)
            worker = subprocess.Popen(
                [sys.executable, "-u", str(handler)], env=clean | environment, cwd=tmp_path, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            client = httpx.Client(
                base_url=f"{balancer.url}/v2/ep", headers={"Authorization": "key"}, timeout=LIMIT, **PLAIN
            )
            try:
                run = [client.post("/run", json={"input": {"case": "together"}}).json()["id"] for _ in range(4)]
                for job in run:  # four at once, given out by several
                    until(lambda job=job: client.get(f"/status/{job}").json().get("output") == {"present": 4})
                waits = client.post("/run", json={"input": {"case": "wait", "mark": str(mark)}}).json()["id"]
                until(mark.with_suffix(".began").exists)
                assert client.post(f"/cancel/{waits}").json()["status"] == "CANCELLED"
                until(mark.with_suffix(".stopped").exists)
                ended = 4
                while not balancer.spread("job-take-batch", 2) or not balancer.spread("job-done", 3):
                    answer = client.post("/runsync", json={"input": {"case": "dict"}}).json()
                    assert (answer["status"], answer["workerId"]) == ("COMPLETED", "w1")
                    ended += 1
                    assert ended < 100
                until(lambda: balancer.spread("ping", 1))
                until(lambda: {health(server)["workers"]["idle"] for server in servers} == {1})
                for server in servers:
                    jobs = health(server)["jobs"]
                    assert (jobs["completed"], jobs["retried"], jobs["inProgress"]) == (ended, 0, 0)
            finally:
                client.close()
                os.killpg(worker.pid, signal.SIGKILL)  # its heartbeat is a process of its own
                worker.wait(LIMIT)


def test_two_servers_that_start_at_once_share_the_workers(tmp_path: Path, store: StoreServer) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    with commands(tmp_path) as start:
        options = ("--store", store.url, "--port", 0, "--workers-max", 2, "--scaler-value", 1, "--idle-timeout", "60s")
        servers = [start("serve", "echo.py", *options) for _ in range(2)]
        for server in servers:
            server.ready()
        for number in range(20):
            answer = servers[number % 2].http.post("/echo/runsync", json={"input": {"n": number}}).json()
            assert answer["output"] == {"n": number}
        until(lambda: all(health(server, "echo")["workers"]["ready"] == 2 for server in servers))
        assert servers[0].stop() == 0
        until(lambda: health(servers[1], "echo")["workers"]["ready"] == 1)
        assert health(servers[1], "echo")["jobs"]["completed"] == 20


def health(server: Command, endpoint: str = "ep") -> dict[str, dict[str, int]]:
    """What a server says."""
    told: dict[str, dict[str, int]] = server.http.get(f"/{endpoint}/health").json()
    return told
