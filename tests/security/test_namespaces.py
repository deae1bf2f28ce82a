"""Nobody without a key makes a world, at whatever door; and there are never more of them than the server was told."""

from __future__ import annotations

import pytest

from tests.compat.servers import Command, Starter
from tests.security.sockets import MIB, memory

pytestmark = pytest.mark.compat

KEYS = ("--api-key", "client", "--worker-key", "worker", "--admin-key", "admin")


def names(server: Command) -> list[str]:
    """The namespaces there are."""
    answer = server.http.get(f"{server.root_url}/__emulator/namespaces", headers={"authorization": "Bearer admin"})
    found: list[str] = answer.json()
    return found


NAMED = {"X-Emulator-Namespace": "mine"}
DOORS = {
    "run": ("POST", "/v2/far/run", NAMED),
    "status": ("GET", "/v2/far/status/x", NAMED),
    "no endpoint": ("POST", "/v2/nope/run", NAMED),
    "openai": ("POST", "/v2/far/openai/v1/chat/completions", NAMED),
    "flash": ("POST", "/v2/flash/run", {**NAMED, "X-Flash-Endpoint": "far"}),
    "load balancer": ("GET", "/lb/far/x", NAMED),
    "load balancer by host": ("GET", "/x", {**NAMED, "Host": "far.emulator.test"}),
    "Flash by host": ("GET", "/x", {**NAMED, "Host": "flash.emulator.test", "X-Flash-Endpoint": "far"}),
    "job-take": ("GET", "/v2/far/job-take/w?ns=mine", {}),
    "job-done": ("POST", "/v2/far/job-done/w/j?ns=mine", {}),
    "ping": ("GET", "/v2/far/ping/w?ns=mine", {}),
    "admin": ("GET", "/__emulator/jobs", NAMED),
    "hooks": ("POST", "/__emulator/hooks/mine/x", {}),
}


@pytest.mark.parametrize("namespaces", ["header", "key"])
def test_without_a_key_no_door_makes_a_world(start: Starter, namespaces: str):
    server = start("serve", "--endpoint", "far", "--port", 0, "--namespaces", namespaces, *KEYS).ready()
    for door, (method, path, headers) in DOORS.items():
        for key in ({}, {"authorization": "Bearer wrong"}):
            answer = server.http.request(
                method, server.root_url + path, headers={"authorization": "", **headers, **key}, content=b'{"input":{}}'
            )
            assert answer.status_code in (401, 403, 404), (door, answer.status_code, answer.text)
            assert names(server) in ([], ["admin"]), door  # the key of whoever asks


def test_with_its_key_each_door_makes_one(start: Starter):
    server = start("serve", "--endpoint", "far", "--port", 0, *KEYS).ready()
    doors = (("GET", "/v2/far/health", "client"), ("GET", "/v2/far/ping/w?ns=two", "worker"),
             ("GET", "/__emulator/jobs", "admin"))  # fmt: skip
    for (method, path, key), name in zip(doors, ("one", "two", "three"), strict=True):
        headers = {"authorization": key, **({} if "ns=" in path else {"X-Emulator-Namespace": name})}
        assert server.http.request(method, server.root_url + path, headers=headers).status_code == 200
        assert name in names(server)


def test_there_are_no_more_than_the_server_was_told(start: Starter):
    server = start("serve", "--endpoint", "far", "--port", 0, "--max-namespaces", 20).ready()
    server.http.post("/far/run", json={"input": {}}, headers={"X-Emulator-Namespace": "busy"})
    before = memory(server)
    for number in range(1_000):
        answer = server.http.get("/far/health", headers={"X-Emulator-Namespace": f"n{number}"})
        assert answer.status_code == 200
    assert memory(server) - before < 45 * MIB
    kept = names(server)
    assert len(kept) == 20 and "busy" in kept and "n999" in kept
    for name in kept:
        server.http.post("/far/run", json={"input": {}}, headers={"X-Emulator-Namespace": name})
    answer = server.http.get("/far/health", headers={"X-Emulator-Namespace": "another"})
    assert (answer.status_code, "--max-namespaces" in answer.json()["detail"]) == (429, True)
    jobs = server.http.get("/far/health", headers={"X-Emulator-Namespace": "busy"}).json()["jobs"]
    assert jobs["inQueue"] == 2


def test_hooks_are_for_worlds_that_there_are_and_for_what_is_not_too_large(start: Starter):
    server = start("serve", "--endpoint", "far", "--port", 0).ready()
    hooks = f"{server.root_url}/__emulator/hooks"
    assert server.http.post(f"{hooks}/-/mine", content=b"x" * (20 * MIB)).status_code == 200
    answer = server.http.post(f"{hooks}/-/mine", content=b"x" * (20 * MIB + 1))
    assert (answer.status_code, "20MiB" in answer.json()["detail"]) == (400, True)
    answer = server.http.post(f"{hooks}/nobody/mine", content=b"x")
    assert (answer.status_code, "no namespace" in answer.json()["detail"]) == (404, True)
    server.http.get("/far/health", headers={"X-Emulator-Namespace": "nobody"})
    assert server.http.post(f"{hooks}/nobody/mine", content=b"x").status_code == 200
