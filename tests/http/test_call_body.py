"""Body limits: refused while reading, in memory that stays flat."""

import logging
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from tests.doors.doors import JOB, Doors, Visit, expect_problem, open_doors

MIB = 1024 * 1024
PART = 64 * 1024
LIMITS = [("/run", 10 * MIB, "10MiB"), ("/runsync?wait=1000", 20 * MIB, "20MiB")]


def job_of(size: int) -> bytes:
    frame = b'{"input":{"a":""}}'
    return frame[:-3] + b"x" * (size - len(frame)) + frame[-3:]


async def stream(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // PART):
        yield b"x" * PART


async def peak_of(call) -> tuple:
    tracemalloc.start()
    try:
        answer = await call
        return answer, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def expect_too_large(answer, limit: str):
    expect_problem(answer, 400, "Bad Request", f"bad request: body: exceeded max body size of {limit}")


@pytest.mark.parametrize(("path", "limit", "name"), LIMITS)
async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(path, limit, name):
    doors = open_doors(paused_endpoint="queue", workers_max=0)
    body = job_of(limit)
    assert len(body) == limit
    if path == "/run":
        assert (await doors.post(path, content=body)).status_code == 200
    else:
        held = await doors.hold(doors.post(path, content=body))
        await doors.world.advance(1_000)
        assert (await held).status_code == 200
    expect_too_large(await doors.post(path, content=body + b" "), name)
    assert (await doors.get("/health")).json()["jobs"]["inQueue"] == 1


@pytest.mark.parametrize(("path", "limit", "name"), LIMITS)
async def test_64_mib_without_a_length_never_stay_in_memory(path, limit, name):
    doors = open_doors()
    answer, peak = await peak_of(doors.post(path, content=stream(64 * MIB)))
    assert "content-length" not in answer.request.headers
    expect_too_large(answer, name)
    assert peak < limit + MIB


@pytest.mark.parametrize(("path", "limit", "name"), LIMITS)
async def test_64_mib_announced_are_never_held_at_all(path, limit, name):
    doors = open_doors()
    length = {"content-length": str(64 * MIB)}
    answer, peak = await peak_of(doors.post(path, content=stream(64 * MIB), headers=length))
    expect_too_large(answer, name)
    assert peak < MIB


async def test_an_announced_length_that_is_too_large_is_enough():
    answer = await open_doors().post("/run", content=JOB, headers={"content-length": str(10 * MIB + 1)})
    expect_too_large(answer, "10MiB")


async def test_a_length_that_is_too_small_helps_nobody():
    answer = await open_doors().post("/run", content=stream(11 * MIB), headers={"content-length": "5"})
    expect_too_large(answer, "10MiB")


async def test_a_body_may_come_in_any_parts():
    doors = open_doors()
    visit = Visit(doors, "POST", "/v2/ep/run", parts=tuple(bytes([byte]) for byte in JOB))
    await visit.task
    assert visit.status == 200
    assert (await doors.take()).input == b'{"a":1}'


@pytest.mark.parametrize(("limit", "name"), [(64, "64 bytes"), (MIB, "1MiB"), (MIB + 1, "1048577 bytes")])
async def test_the_limits_are_fields(limit, name):
    doors = open_doors(run_body_limit=limit, runsync_body_limit=limit)
    for path in ("/run", "/runsync"):
        expect_too_large(await doors.post(path, content=job_of(limit + 1)), name)
    assert (await doors.post("/run", content=job_of(limit))).status_code == 200


async def test_the_evidence_of_the_refusal_on_run():
    answer = await open_doors(run_body_limit=64).post("/run", content=job_of(65))
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.body_too_large"
    answer = await open_doors().post("/run", content=JOB, headers={"content-length": str(99 * MIB)})
    assert answer.headers["x-emulator-fidelity"] == "observed; row=error.body_too_large"


async def test_the_evidence_of_the_refusal_on_runsync():
    answer = await open_doors().post("/runsync", content=JOB, headers={"content-length": str(99 * MIB)})
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.runsync_body_too_large"


@pytest.mark.parametrize("length", ["abc", "5, 5", "1e3", "-5", "+5", "0", "1_0", "9" * 40, ""])
async def test_a_malformed_length_is_no_fault(length):
    doors = open_doors(run_body_limit=64)
    assert (await doors.post("/run", content=JOB, headers={"content-length": length})).status_code in (200, 400)
    expect_too_large(await doors.post("/run", content=job_of(65), headers={"content-length": length}), "64 bytes")


@pytest.mark.parametrize("path", ["/v2/ep/run", "/v2/ep/runsync"])
async def test_a_client_who_leaves_while_sending_queues_nothing(path, caplog):
    caplog.set_level(logging.WARNING)
    doors = open_doors()
    visit = Visit(doors, "POST", path, parts=None)
    visit.feed(JOB)
    visit.leave()
    await visit.task
    assert (await doors.get("/health")).json()["jobs"]["inQueue"] == 0
    assert caplog.records == []


@pytest.mark.parametrize("path", ["/status/x", "/cancel/x", "/retry/x", "/purge-queue", "/stream/x"])
async def test_a_body_that_nobody_reads_has_no_limit(path):
    doors: Doors = open_doors()
    answer = await doors.post(path, content=stream(64 * MIB))
    assert answer.status_code == (200 if path == "/purge-queue" else 404)
