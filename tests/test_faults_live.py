"""Faults of a live server: connections that break, and workers' processes that die."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import Span
from runpod_emulator.server.server import Server

from tests.compat.servers import HANDLERS, LIMIT
from tests.plain import PLAIN
from tests.workers.conftest import until

STREAM = """
    import os, runpod

    def handler(job):
        for number in range(job["input"]["n"]):
            yield {"pid": os.getpid(), "number": number}

    runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
"""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server(read_settings(handlers=[str(HANDLERS / "echo.py")], port=0))
    await asyncio.wait_for(one.start(), LIMIT)
    yield one
    await asyncio.wait_for(one.stop(), LIMIT)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers={"Authorization": "key"}, timeout=LIMIT, **PLAIN) as one:
        yield one


def fault(server: Server, kind: FaultKind, **rule: Any) -> Fault:
    return server.emulator.faults.add(Fault("", kind, **rule))


async def raw(server: Server, path: str) -> tuple[bytes, BaseException | None]:
    """What comes over a bare connection until it ends, and how it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: emulator\r\nAuthorization: key\r\n\r\n".encode())
    received = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), LIMIT):
            received += part
    except ConnectionResetError as error:
        return received, error
    finally:
        writer.close()
    return received, None


async def test_a_reset_is_a_true_one_and_the_next_request_is_served(
    server: Server, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    rule = fault(server, FaultKind.CONNECTION_RESET, times=2)
    received, how = await raw(server, "/v2/echo/health")
    assert (received, type(how)) == (b"", ConnectionResetError)
    with pytest.raises(httpx.ReadError):
        await client.post(f"{server.base_url}/echo/run", json={"input": {"a": 1}})
    assert rule.used_up
    assert (await client.get(f"{server.base_url}/echo/health")).status_code == 200
    assert (await client.get(f"{server.base_url}/echo/requests")).json()["total"] == 0
    assert "ASGI" not in caplog.text


async def test_a_reset_with_a_large_body_on_its_way(server: Server, client: httpx.AsyncClient) -> None:
    fault(server, FaultKind.CONNECTION_RESET, times=1)
    with pytest.raises((httpx.ReadError, httpx.WriteError)):
        await client.post(f"{server.base_url}/echo/run", content=b'{"input":{"a":"%s"}}' % (b"x" * 8_000_000))
    assert (await client.get(f"{server.base_url}/echo/health")).status_code == 200


async def test_a_truncated_body_ends_in_the_middle(
    server: Server, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (await client.get(f"{server.base_url}/echo/health")).content
    rule = fault(server, FaultKind.TRUNCATED_BODY, times=2)
    received, how = await raw(server, "/v2/echo/health")
    head, _, body = received.partition(b"\r\n\r\n")
    assert how is None
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert f"content-length: {len(whole)}".encode() in head
    assert f"x-emulator-fault: {rule.id}".encode() in head
    assert body == whole[: len(whole) // 2]
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"{server.base_url}/echo/health")
    assert (await client.get(f"{server.base_url}/echo/health")).content == whole
    assert "ASGI" not in caplog.text


async def test_a_truncated_event_stream_ends(server: Server, client: httpx.AsyncClient) -> None:
    job = (await client.post(f"{server.base_url}/echo/runsync", json={"input": {"a": 1}})).json()["id"]
    fault(server, FaultKind.TRUNCATED_BODY, operations=frozenset({Operation.STREAM}))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"{server.base_url}/echo/stream/{job}", headers={"Accept": "text/event-stream"})


async def test_who_hangs_up_during_latency_leaves_nothing_behind(server: Server) -> None:
    rule = fault(server, FaultKind.LATENCY, delay=Span(10**9, 10**9), times=1)
    with socket.create_connection(("127.0.0.1", server.port)) as bare:
        bare.sendall(b"GET /v2/echo/health HTTP/1.1\r\nHost: emulator\r\nAuthorization: key\r\n\r\n")
        room = server.emulator.room
        await until(lambda: ("fault", "echo") in room.held())
    await until(lambda: ("fault", "echo") not in room.held())
    assert rule.struck == 1


async def test_a_worker_process_dies_in_the_middle_of_a_stream(tmp_path: Path, client: httpx.AsyncClient) -> None:
    handler = tmp_path / "streams.py"
    handler.write_text("\n".join(line[4:] for line in STREAM.splitlines()))
    server = Server(read_settings(handlers=[str(handler)], port=0))
    try:
        await asyncio.wait_for(server.start(), LIMIT)
        rule = fault(server, FaultKind.WORKER_CRASH, count=1, times=1)
        job = (await client.post(f"{server.base_url}/streams/run", json={"input": {"n": 3}})).json()["id"]
        url = f"{server.base_url}/streams/status-sync/{job}"
        ended = (await client.get(url)).json()
        assert rule.struck == 1
        assert (ended["status"], ended["retries"]) == ("COMPLETED", 1)
        assert [chunk["number"] for chunk in ended["output"]] == [0, 1, 2]
        health = (await client.get(f"{server.base_url}/streams/health")).json()
        assert (health["jobs"]["retried"], health["workers"]["running"]) == (1, 0)
    finally:
        await asyncio.wait_for(server.stop(), LIMIT)


async def test_a_job_is_executed_twice_by_two_processes(tmp_path: Path, client: httpx.AsyncClient) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    handler = tmp_path / "twice.py"
    handler.write_text(
        "import os, pathlib, runpod\n"
        f"marks = pathlib.Path({str(marks)!r})\n"
        "def handler(job):\n"
        "    (marks / str(os.getpid())).touch()\n"
        "    while len(list(marks.iterdir())) < 2:\n"
        "        pass\n"
        "    return os.getpid()\n"
        'runpod.serverless.start({"handler": handler})\n'
    )
    server = Server(read_settings(handlers=[str(handler)], port=0))
    try:
        await asyncio.wait_for(server.start(), LIMIT)
        fault(server, FaultKind.EXECUTED_TWICE, times=1)
        ended = (await client.post(f"{server.base_url}/twice/runsync", json={"input": {"a": 1}})).json()
        assert ended["status"] == "COMPLETED"
        pids = {int(mark.name) for mark in marks.iterdir()}
        assert len(pids) == 2
        assert ended["output"] in pids
        assert json.dumps(ended).count("retries") == 0
    finally:
        await asyncio.wait_for(server.stop(), LIMIT)


async def test_a_zombie_process_goes_on_and_leaves_when_it_is_done(tmp_path: Path, client: httpx.AsyncClient) -> None:
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    runs.mkdir()
    handler = tmp_path / "zombie.py"
    handler.write_text(
        "import os, pathlib, time, runpod\n"
        f"gate, runs = pathlib.Path({str(gate)!r}), pathlib.Path({str(runs)!r})\n"
        "def handler(job):\n"
        "    first = not list(runs.iterdir())\n"
        "    (runs / str(os.getpid())).touch()\n"
        "    while first and not gate.exists():\n"
        "        time.sleep(0.002)\n"
        "    return 'late' if first else 'true'\n"
        'runpod.serverless.start({"handler": handler})\n'
    )
    server = Server(read_settings(handlers=[str(handler)], port=0, workers_max=1))
    try:
        await asyncio.wait_for(server.start(), LIMIT)
        fault(server, FaultKind.ZOMBIE, delay=Span(500, 500), times=1)
        ended = (await client.post(f"{server.base_url}/zombie/runsync", json={"input": {"a": 1}})).json()
        assert (ended["status"], ended["retries"], ended["output"]) == ("COMPLETED", 1, "true")
        endpoint = server.emulator.endpoints["zombie"]
        assert len(endpoint.fleet.workers) == 2
        gate.touch()
        await until(lambda: len(endpoint.fleet.workers) == 1)
        again = (await client.get(f"{server.base_url}/zombie/status/{ended['id']}")).json()
        assert again["output"] == "true"
    finally:
        await asyncio.wait_for(server.stop(), LIMIT)
