"""Faults at the HTTP edge: what a client gets, and that time and hang-ups still work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.platform import SECOND
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import Span
from runpod_emulator.http.access import Access
from runpod_emulator.http.faults import FAULT

from tests.doors.doors import JOB, Doors, Visit, body, open_doors, until


def fault(doors: Doors, kind: FaultKind, delay: int = 0, **rule: Any) -> Fault:
    """Switch a fault on."""
    return doors.world.emulator.faults.add(Fault("", kind, delay=Span(delay, delay), **rule))


async def total(doors: Doors) -> int:
    """How many jobs there are."""
    return (await doors.endpoint.requests(0, 1))[1]


@pytest.mark.parametrize(
    ("status", "title", "detail"),
    [
        (400, "Bad Request", "bad request"),
        (401, "Unauthorized", "invalid api key"),
        (404, "Not Found", "endpoint not found"),
        (429, "Too Many Requests", "rate limit exceeded"),
        (500, "Internal Server Error", "internal server error"),
        (502, "Bad Gateway", "bad gateway"),
        (524, "A Timeout Occurred", "a timeout occurred"),
    ],
)
async def test_a_status_comes_in_the_services_shape_and_the_request_does_nothing(status: int, title: str, detail: str):
    doors = open_doors()
    fault(doors, FaultKind.STATUS, status=status, times=1)
    answer = await doors.post("/run", content=JOB)
    assert (answer.status_code, answer.content) == (status, body(status, title, detail))
    assert answer.headers[FAULT] == "fault-1"
    assert answer.headers["content-type"] == "application/json"
    assert await total(doors) == 0
    answer = await doors.post("/run", content=JOB)
    assert answer.status_code == 200
    assert FAULT not in answer.headers


async def test_a_429_says_when_to_come_back():
    doors = open_doors()
    fault(doors, FaultKind.STATUS, status=429, headers={"Retry-After": "2"})
    answer = await doors.post("/run", content=JOB)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


async def test_a_status_may_have_a_body_and_headers_of_its_own():
    doors = open_doors()
    fault(doors, FaultKind.STATUS, status=502, body=b"<h1>Bad gateway</h1>", headers={"Content-Type": "text/html"})
    answer = await doors.get("/health")
    assert (answer.status_code, answer.text) == (502, "<h1>Bad gateway</h1>")
    assert answer.headers.get_list("content-type") == ["text/html"]
    assert answer.headers.get_list("content-length") == ["20"]


async def test_a_status_may_conceal_that_the_request_was_carried_out():
    doors = open_doors()
    fault(doors, FaultKind.STATUS, status=524, processed=True)
    assert (await doors.post("/run", content=JOB)).status_code == 524
    assert await total(doors) == 1


async def test_only_the_operations_and_the_endpoint_of_the_rule_are_concerned():
    doors = open_doors()
    fault(doors, FaultKind.STATUS, operations=frozenset({Operation.RUNSYNC}))
    fault(doors, FaultKind.STATUS, endpoint="other")
    assert (await doors.post("/run", content=JOB)).status_code == 200
    assert (await doors.post("/runsync", content=JOB)).status_code == 500


async def test_only_large_bodies_are_concerned():
    doors = open_doors()
    rule = fault(doors, FaultKind.STATUS, status=502, larger_than=1_000)
    assert (await doors.post("/run", content=JOB)).status_code == 200
    assert (await doors.post("/run", content=b'{"input":{"a":"%s"}}' % (b"x" * 1_000))).status_code == 502
    assert rule.asked == 1


async def test_key_and_endpoint_are_looked_at_first():
    doors = open_doors(access=Access(keys=frozenset({"right"})))
    rule = fault(doors, FaultKind.STATUS, status=502)
    assert (await doors.post("/run", content=JOB)).status_code == 401
    open_to_all = open_doors()
    rule = fault(open_to_all, FaultKind.STATUS, status=502)
    assert (await open_to_all.http.post("/v2/nowhere/run", content=JOB)).status_code == 404
    assert rule.asked == 0


async def test_what_the_edge_answers_counts_in_no_rate_window():
    doors = open_doors(run_rate=1)
    fault(doors, FaultKind.STATUS, times=3)
    statuses = [(await doors.post("/run", content=JOB)).status_code for _ in range(5)]
    assert statuses == [500, 500, 500, 200, 429]


async def test_latency_holds_the_answer_on_the_emulators_clock():
    doors = open_doors()
    fault(doors, FaultKind.LATENCY, delay=2 * SECOND)
    held = await doors.hold(doors.post("/run", content=JOB))
    assert await total(doors) == 1
    await doors.world.advance(1_999)
    assert not held.done()
    await doors.world.advance(1)
    answer = await held
    assert (answer.status_code, answer.headers[FAULT]) == (200, "fault-1")


async def test_latency_holds_errors_too():
    doors = open_doors()
    fault(doors, FaultKind.LATENCY, delay=SECOND)
    held = await doors.hold(doors.get("/status/unknown"))
    await doors.world.advance(SECOND)
    assert (await held).status_code == 404


async def test_a_latency_range_is_drawn_from():
    doors = open_doors()
    doors.world.emulator.faults.add(Fault("", FaultKind.LATENCY, delay=Span(1_000, 3_000)))
    held = await doors.hold(doors.get("/health"))
    await doors.world.advance(999)
    assert not held.done()
    await doors.world.advance(2_001)
    assert (await held).status_code == 200


async def test_the_edge_gives_up_after_its_delay():
    doors = open_doors()
    fault(doors, FaultKind.STATUS, status=524, delay=100 * SECOND)
    held = await doors.hold(doors.post("/runsync", content=JOB))
    await doors.world.advance(99_999)
    assert not held.done()
    await doors.world.advance(1)
    assert (await held).status_code == 524
    assert await total(doors) == 0


async def test_the_edge_gives_up_while_the_job_goes_on():
    doors = open_doors()
    fault(doors, FaultKind.STATUS, status=524, delay=100 * SECOND, processed=True)
    held = await doors.hold(doors.post("/runsync", content=JOB))
    job = await doors.take()
    await doors.complete(job)
    await until(lambda: doors.waiting == 1)
    await doors.world.advance(100 * SECOND)
    assert (await held).status_code == 524


async def test_who_hangs_up_waits_no_more():
    doors = open_doors()
    fault(doors, FaultKind.LATENCY, delay=SECOND)
    visit = Visit(doors, "GET", "/v2/ep/health")
    await until(lambda: doors.waiting == 1)
    visit.leave()
    await visit.task
    assert visit.status == 499
    assert doors.waiting == 0


async def test_a_stop_of_the_server_ends_latency():
    doors = open_doors()
    fault(doors, FaultKind.LATENCY, delay=SECOND)
    held = await doors.hold(doors.get("/health"))
    doors.world.emulator.hang_up()
    assert (await held).status_code == 200


async def test_latency_and_a_status_come_together():
    doors = open_doors()
    fault(doors, FaultKind.LATENCY, delay=SECOND)
    fault(doors, FaultKind.STATUS, status=502, delay=SECOND)
    held = await doors.hold(doors.get("/health"))
    await doors.world.advance(1_999)
    assert not held.done()
    await doors.world.advance(1)
    assert ((await held).status_code, (await held).headers[FAULT]) == (502, "fault-2, fault-1")
    assert [entry.fault for entry in doors.world.emulator.journal] == ["fault-2, fault-1"], "the log names both too"


@pytest.mark.parametrize(("processed", "jobs"), [(False, 0), (True, 1)])
async def test_a_reset_leaves_no_answer(processed: bool, jobs: int):
    doors = open_doors()
    fault(doors, FaultKind.CONNECTION_RESET, processed=processed, times=1)
    with pytest.raises(ConnectionResetError):
        await doors.post("/run", content=JOB)
    assert await total(doors) == jobs
    assert (await doors.post("/run", content=JOB)).status_code == 200


async def test_a_truncated_answer_has_its_true_length_and_half_its_body():
    doors = open_doors()
    whole = await doors.get("/health")
    fault(doors, FaultKind.TRUNCATED_BODY)
    visit = Visit(doors, "GET", "/v2/ep/health")
    with pytest.raises(ConnectionResetError):
        await visit.task
    assert visit.status == 200
    assert visit.headers["content-length"] == str(len(whole.content))
    assert visit.headers[FAULT.lower()] == "fault-1"
    assert visit.body == whole.content[: len(whole.content) // 2]
    assert visit.sent[-1]["more_body"]


@pytest.mark.parametrize("route", ["status", "status-sync", "stream"])
async def test_a_job_is_unknown_for_a_moment_after_run(route: str):
    doors = open_doors()
    fault(doors, FaultKind.NOT_FOUND_AFTER_RUN, delay=2 * SECOND)
    job = await doors.completed()
    answer = await doors.get(f"/{route}/{job.id}")
    assert (answer.status_code, answer.content) == (404, body(404, "Not Found", "job not found"))
    assert answer.headers[FAULT] == "fault-1"
    await doors.world.advance(2 * SECOND)
    assert (await doors.get(f"/{route}/{job.id}")).status_code == 200


async def test_an_unknown_job_cannot_be_cancelled_and_runs_on():
    doors = open_doors()
    fault(doors, FaultKind.NOT_FOUND_AFTER_RUN, delay=SECOND)
    job_id = await doors.submit()
    assert (await doors.post(f"/cancel/{job_id}")).status_code == 404
    assert (await doors.take()).id == job_id


async def test_a_job_that_was_seen_stays_seen():
    doors = open_doors()
    doors.world.emulator.faults.add(Fault("", FaultKind.NOT_FOUND_AFTER_RUN, delay=Span(1_000, 3_000)))
    job_id = await doors.submit()
    seen = []
    for _ in range(40):
        seen.append((await doors.get(f"/status/{job_id}")).status_code)
        await doors.world.advance(100)
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {200, 404}


async def test_not_found_after_run_has_counts_too():
    doors = open_doors()
    rule = fault(doors, FaultKind.NOT_FOUND_AFTER_RUN, delay=SECOND, times=2)
    job_id = await doors.submit()
    assert [(await doors.get(f"/status/{job_id}")).status_code for _ in range(3)] == [404, 404, 200]
    assert (await doors.get("/status/unknown")).status_code == 404
    assert rule.asked == 3


async def test_the_same_seed_strikes_the_same_requests():
    async def run() -> list[int]:
        doors = open_doors()
        fault(doors, FaultKind.STATUS, status=502, probability=0.5)
        return [(await doors.get("/health")).status_code for _ in range(30)]

    first = await run()
    assert first == await run()
    assert set(first) == {200, 502}


async def test_a_forgotten_fault_ends_by_itself():
    doors = open_doors()
    fault(doors, FaultKind.STATUS, expires_at=doors.world.clock.now() + 30 * SECOND)
    assert (await doors.get("/health")).status_code == 500
    await doors.world.advance(30 * SECOND)
    assert (await doors.get("/health")).status_code == 200
    assert not doors.world.emulator.faults.rules


async def test_a_lost_job_over_http():
    doors = open_doors()
    fault(doors, FaultKind.LOST_JOB)
    job_id = await doors.submit()
    assert (await doors.get(f"/status/{job_id}")).status_code == 404


async def test_an_early_result_over_http():
    doors = open_doors()
    fault(doors, FaultKind.OUTPUT_GONE_EARLY, delay=SECOND)
    fault(doors, FaultKind.EMPTY_OUTPUT)
    job = await doors.completed()
    answer = json.loads((await doors.get(f"/status/{job.id}")).content)
    assert (answer["status"], "output" in answer) == ("COMPLETED", False)
    await doors.world.advance(SECOND)
    assert (await doors.get(f"/status/{job.id}")).status_code == 404
