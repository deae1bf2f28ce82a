"""What the server remembers of what happened takes a bounded amount of memory, which a reset gives back."""

from __future__ import annotations

import pytest

from tests.compat.servers import Starter, until
from tests.security.sockets import MIB, memory

LARGE = b'{"no": "input", "x": "' + b"x" * 10 * MIB + b'"}'


@pytest.mark.compat
def test_hundreds_of_megabytes_of_requests_are_not_kept(start: Starter):
    server = start("serve", "--endpoint", "far", "--port", 0, "--log-level", "error").ready()
    server.http.post("/far/run", content=LARGE)
    server.http.get(server.root_url + "/__emulator/requests?limit=1")
    before = memory(server)
    for _ in range(60):
        assert server.http.post("/far/runsync", content=LARGE).status_code == 400
    assert memory(server) - before < 60 * MIB
    (entry,) = server.http.get(server.root_url + "/__emulator/requests?limit=1").json()["requests"]
    assert (entry["body"], entry["bodyCut"]) == (
        None,
        {"bytes": len(LARGE), "kept": 65_536, "reason": "it is longer than 65536 bytes"},
    )
    match = {"match": {"body": {"no": "input"}}}
    told = server.http.post(server.root_url + "/__emulator/requests/verify", json=match).json()
    assert not told["ok"]
    assert f"only 65536 of its {len(LARGE)} bytes were kept" in told["detail"]
    server.http.post(server.root_url + "/__emulator/reset")
    until(lambda: memory(server) - before < 45 * MIB, 10)


@pytest.mark.compat
def test_what_hooks_receive_is_bounded_too(start: Starter):
    server = start("serve", "--endpoint", "far", "--port", 0, "--keep-bytes", 16 * MIB).ready()
    before = memory(server)
    for number in range(100):
        assert server.http.post(f"{server.root_url}/__emulator/hooks/-/n{number}", content=LARGE[: 5 * MIB]).is_success
    assert memory(server) - before < 60 * MIB
    calls = server.http.get(server.root_url + "/__emulator/hooks").json()
    assert [call["name"] for call in calls] == ["n97", "n98", "n99"]


@pytest.mark.compat
def test_long_headers_are_remembered_within_the_bound(start: Starter):
    server = start("serve", "--endpoint", "far", "--port", 0, "--keep-bytes", 16 * MIB).ready()
    server.http.get("/far/health")
    before = memory(server)
    for _ in range(600):
        assert server.http.get("/far/health", headers={"x": "y" * 60_000}).is_success
    assert memory(server) - before < 60 * MIB
