"""The worker protocol over HTTP, byte for byte, as the official worker speaks it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.http.call import FIDELITY

from tests.doors.doors import Visit, open_doors, until
from tests.doors.worker_calls import (
    BATCH,
    HOLD,
    PING,
    SDK_HEADERS,
    STOP,
    TAKE,
    done_path,
    holding,
    is_ok,
    post,
    status,
    stream_path,
)
from tests.tables import table

# Taking


async def test_job_take_answers_id_and_input_as_they_came() -> None:
    doors = open_doors()
    job = await doors.submit('{"webhook":"http://h/", "input": {"b" : 1.0, "a":"☃\\u00e9"} }'.encode())
    answer = await doors.get(TAKE, headers=SDK_HEADERS)
    assert answer.status_code == 200
    assert answer.content == b'{"id":"' + job.encode() + '","input":{"b" : 1.0, "a":"☃\\u00e9"}}'.encode()
    assert answer.headers["content-type"] == "application/json"
    assert (await status(doors, job))["workerId"] == "w1"


async def test_job_take_batch_answers_a_list() -> None:
    doors = open_doors()
    ids = [(await doors.submit()).encode() for _ in range(4)]
    assert (await doors.get(BATCH)).content == (
        b"[" + b",".join(b'{"id":"' + job + b'","input":{"a":1}}' for job in ids[:3]) + b"]"
    )
    assert (await doors.get(BATCH)).content == b'[{"id":"' + ids[3] + b'","input":{"a":1}}]'


@table("size", ["0", "-1", "x", "", "1.5", "\uff19", "99999999999999999999"])
async def test_a_batch_of_an_odd_size_is_a_batch_of_one(size: str) -> None:
    doors = open_doors()
    for _ in range(2):
        await doors.submit()
    answer = await doors.get(f"/job-take-batch/w1?batch_size={size}")
    assert len(answer.json()) == 1


@table("path", [TAKE, BATCH, STOP])
async def test_a_poll_is_held_and_then_answered_with_204(path: str) -> None:
    doors = open_doors()
    if path == STOP:
        await holding(doors)
    held = await doors.hold(doors.get(path))
    await doors.world.advance(HOLD - 1)
    assert not held.done()
    await doors.world.advance(1)
    answer = await held
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert answer.headers[FIDELITY].endswith("row=worker.empty")


async def test_the_hold_is_a_field_of_the_platform() -> None:
    doors = open_doors(worker_poll_hold=500)
    held = await doors.hold(doors.get(TAKE))
    await doors.world.advance(500)
    assert (await held).status_code == 204


@table("path", [TAKE, BATCH])
async def test_a_held_poll_is_answered_with_the_job_that_comes(path: str) -> None:
    doors = open_doors()
    held = await doors.hold(doors.get(path))
    job = await doors.submit()
    assert job in (await held).text


async def test_a_worker_that_hung_up_gets_no_job() -> None:
    doors = open_doors()
    gone = Visit(doors, "GET", "/v2/ep/job-take/w1")
    await until(lambda: doors.waiting == 1)
    gone.leave()
    await until(lambda: doors.waiting == 0)
    job = await doors.submit()
    assert (await status(doors, job))["status"] == "IN_QUEUE"
    await gone.task


# Reporting


@table(
    ("report", "expected"),
    [
        (b'{"output":"x"}', {"status": "COMPLETED", "output": "x"}),
        (b'{"output": null}', {"status": "COMPLETED", "output": None}),
        (b'{"output": []}', {"status": "COMPLETED", "output": []}),
        (b"{}", {"status": "COMPLETED"}),
        (b'{"error":"no luck"}', {"status": "FAILED", "error": "no luck"}),
        (b'{"error":""}', {"status": "COMPLETED"}),
        (b'{"error":null}', {"status": "COMPLETED"}),
        (b'{"output":{"a":1},"error":"e"}', {"status": "FAILED", "error": "e", "output": {"a": 1}}),
        (b'{"error":{"code": 1.0, "a":[]}}', {"status": "FAILED", "error": '{"code": 1.0, "a":[]}'}),
        (b'{"error":["x"]}', {"status": "FAILED", "error": '["x"]'}),
        (b'{"error":5}', {"status": "FAILED", "error": "5"}),
        (b'{"error":true}', {"status": "FAILED", "error": "true"}),
        ('{"error":"☃"}'.encode(), {"status": "FAILED", "error": "☃"}),
    ],
)
async def test_what_a_report_makes_of_the_job(report: bytes, expected: dict[str, Any]) -> None:
    doors = open_doors()
    job = await holding(doors)
    assert is_ok(await post(doors, done_path(job), report))
    shown = await status(doors, job)
    assert {name: shown[name] for name in ("status", "output", "error") if name in shown} == expected
    assert shown["workerId"] == "w1"


async def test_an_output_keeps_its_bytes() -> None:
    doors = open_doors()
    job = await holding(doors)
    await post(doors, done_path(job), b'{"output": {"b" : 1.00, "a": 1e3 }}')
    assert b'"output":{"b" : 1.00, "a": 1e3 }' in (await doors.get(f"/status/{job}")).content


async def test_progress_is_shown_and_does_not_end_the_job() -> None:
    doors = open_doors()
    job = await holding(doors)
    assert is_ok(await post(doors, done_path(job), b'{"status": "IN_PROGRESS", "output": {"pct": 50}}'))
    shown = await status(doors, job)
    assert (shown["status"], shown["output"]) == ("IN_PROGRESS", {"pct": 50})
    assert is_ok(await post(doors, done_path(job), b'{"status": "IN_PROGRESS"}'))
    assert (await status(doors, job))["output"] is None
    assert is_ok(await post(doors, done_path(job), b'{"output":"end"}'))
    assert is_ok(await post(doors, done_path(job), b'{"status": "IN_PROGRESS", "output": 99}'))
    shown = await status(doors, job)
    assert (shown["status"], shown["output"]) == ("COMPLETED", "end")


async def test_a_late_report_is_accepted_and_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    doors = open_doors()
    job = await holding(doors)
    await doors.post(f"/cancel/{job}")
    with caplog.at_level(logging.INFO, "runpod_emulator.worker"):
        assert is_ok(await post(doors, done_path(job), b'{"output":1}'))
    assert (await status(doors, job))["status"] == "CANCELLED"
    assert "came too late and does not count" in caplog.text
    assert is_ok(await post(doors, done_path("unknown"), b'{"output":1}'))
    assert is_ok(await post(doors, done_path(job, "stranger"), b'{"output":1}'))


@table("report", [b'{"output":1,"stopPod":true}', b'{"stopPod":true}', b'{"error":"e","stopPod":1}'])
async def test_stop_pod_asks_for_a_fresh_worker(report: bytes) -> None:
    doors = open_doors()
    job = await holding(doors)
    stop = await doors.hold(doors.get(STOP))
    assert is_ok(await post(doors, done_path(job), report))
    assert doors.world.launcher.replaced == ["w1"]
    assert (await stop).status_code == 204
    assert (await status(doors, job))["status"] in ("COMPLETED", "FAILED")


@table("report", [b'{"output":1}', b'{"output":1,"stopPod":false}'])
async def test_without_stop_pod_the_worker_stays(report: bytes) -> None:
    doors = open_doors()
    assert is_ok(await post(doors, done_path(await holding(doors)), report))
    assert doors.world.launcher.replaced == []


# Streaming


async def test_chunks_come_in_order() -> None:
    doors = open_doors()
    job = await holding(doors)
    for chunk in (b'"a"', b'{"b" : 2}', b"null"):
        assert is_ok(await post(doors, stream_path(job), b'{"output": ' + chunk + b"}"))
    assert (await doors.get(f"/stream/{job}")).content == (
        b'{"status":"IN_PROGRESS","stream":[{"output":"a"},{"output":{"b" : 2}},{"output":null}]}'
    )


async def test_a_chunk_without_output_is_no_chunk() -> None:
    doors = open_doors()
    job = await holding(doors)
    assert is_ok(await post(doors, stream_path(job), b"{}"))
    await post(doors, done_path(job), b'{"output":[]}')
    assert (await doors.get(f"/stream/{job}")).json() == {"status": "COMPLETED", "stream": []}


async def test_a_string_above_one_megabyte_is_split() -> None:
    doors = open_doors()
    job = await holding(doors)
    text = "☃" * 700_000
    assert is_ok(await post(doors, stream_path(job), json.dumps({"output": text}, ensure_ascii=False).encode()))
    parts = [part["output"] for part in (await doors.get(f"/stream/{job}")).json()["stream"]]
    assert "".join(parts) == text
    assert [len(part.encode()) for part in parts] == [999_999, 999_999, 100_002]


@table("content", [b"not json", b'{"output":NaN}', b"[]", b'{"output":"\xff"}'])
async def test_a_chunk_that_is_not_json_is_refused_and_the_job_goes_on(content: bytes) -> None:
    doors = open_doors()
    job = await holding(doors)
    answer = await post(doors, stream_path(job), content)
    assert answer.status_code == 400
    assert (await status(doors, job))["status"] == "IN_PROGRESS"


async def test_a_late_chunk_is_accepted_and_does_not_count() -> None:
    doors = open_doors()
    job = await holding(doors)
    await post(doors, done_path(job), b'{"output":[]}')
    assert is_ok(await post(doors, stream_path(job), b'{"output":1}'))
    assert (await doors.get(f"/stream/{job}")).json()["stream"] == []


# Stopping


async def test_job_stop_names_the_jobs_to_stop() -> None:
    doors = open_doors()
    job = await holding(doors)
    held = await doors.hold(doors.get(STOP, headers=SDK_HEADERS))
    await doors.post(f"/cancel/{job}")
    answer = await held
    assert (answer.status_code, answer.content) == (200, b'{"jobsToStop":["' + job.encode() + b'"]}')
    assert answer.headers["content-type"] == "application/json"


async def test_job_stop_of_a_worker_that_never_took_is_answered_at_once() -> None:
    assert (await open_doors().get(STOP)).status_code == 204


async def test_a_ping_without_the_job_ends_its_stop() -> None:
    doors = open_doors()
    job = await holding(doors)
    await doors.post(f"/cancel/{job}")
    assert (await doors.get(STOP)).status_code == 200
    assert is_ok(await doors.get(f"{PING}&job_id=other%2C{job}"))
    await doors.world.advance(1_000)
    assert (await doors.get(STOP)).status_code == 200
    assert is_ok(await doors.get(PING))
    held = await doors.hold(doors.get(STOP))
    await doors.world.advance(HOLD)
    assert (await held).status_code == 204


# Pinging


async def test_a_ping_renews_the_listed_jobs() -> None:
    doors = open_doors()
    job, other = await holding(doors), await doors.submit()
    assert (await doors.get("/job-take/w1?job_in_progress=1")).json()["id"] == other
    for _ in range(5):
        await doors.world.advance(HOLD)
        assert is_ok(await doors.get(f"{PING}&job_id={job}%2Cunknown&runpod_version=1.12.0", headers=SDK_HEADERS))
    assert (await status(doors, job))["status"] == "IN_PROGRESS"
    assert (await status(doors, other))["status"] == "IN_QUEUE"


async def test_a_failed_fitness_check_is_an_unhealthy_worker(caplog: pytest.LogCaptureFixture) -> None:
    doors = open_doors()
    await doors.submit()
    (worker,) = doors.world.launcher.started
    reason = quote("RuntimeError: no GPU & no luck")
    answer = await doors.get(
        f"/ping/{worker}?gpu=CPU&status=unhealthy&check=_gpu_test&reason={reason}&runpod_version=1.12.0"
    )
    assert is_ok(answer)
    workers = (await doors.get("/health")).json()["workers"]
    assert (workers["unhealthy"], workers["initializing"]) == (1, 0)
    said = "endpoint ep: fitness check _gpu_test failed: RuntimeError: no GPU & no luck"
    assert doors.endpoint.fleet.workers[worker].reason == said
    assert f"ep#1: {said}" in caplog.text
    await doors.world.advance(999)
    assert len(doors.world.launcher.started) == 1
    await doors.world.advance(1)
    assert len(doors.world.launcher.started) == 2


async def test_a_failed_fitness_check_of_the_first_worker_stops_the_start() -> None:
    doors = open_doors()
    start = asyncio.ensure_future(doors.world.emulator.endpoints.start())
    await until(lambda: bool(doors.world.launcher.started))
    await doors.get(f"/ping/{doors.world.launcher.started[0]}?status=unhealthy&check=memory&reason=MemoryError")
    with pytest.raises(ConfigurationError, match="fitness check memory failed: MemoryError"):
        await start
