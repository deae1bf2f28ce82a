"""/stream as server-sent events: one event a chunk, the status at the end, the same draining."""

import asyncio
import gc
import json

import pytest
from runpod_emulator.core.mocks.fault_kinds import FaultKind

from tests.core.faulty_worlds import fault_of
from tests.core.steps import turns
from tests.doors.doors import Doors, Visit, expect_bad_request, expect_problem, open_doors, until

EVENTS = {"accept": "text/event-stream"}


async def started(doors: Doors):
    await doors.submit()
    return await doors.take()


def watch(doors: Doors, job_id: str, method: str = "GET") -> Visit:
    return Visit(doors, method, f"/v2/ep/stream/{job_id}", headers=EVENTS)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("accept", ["text/event-stream", "text/event-stream, application/json;q=0.5"])
async def test_chunks_are_events_and_the_status_ends_them(method, accept):
    doors = open_doors()
    job = await started(doors)
    await doors.emit(job, b'{"word":"a"}', '"ż"'.encode())
    await doors.complete(job)
    answer = await doors.http.request(method, f"/v2/ep/stream/{job.id}", headers={"accept": accept})
    assert answer.text == (
        'data: {"output":{"word":"a"}}\n\ndata: {"output":"ż"}\n\nevent: status\ndata: {"status":"COMPLETED"}\n\n'
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["x-emulator-fidelity"] == "guess; row=stream.events"


async def test_events_come_as_the_chunks_do():
    doors = open_doors()
    job_id = await doors.submit()
    visit = watch(doors, job_id)
    await until(lambda: doors.waiting == 1)
    assert visit.body == b""
    job = await doors.take()
    expected = b""
    for chunk in (b"1", b'{"two":2}'):
        await doors.emit(job, chunk)
        expected += b'data: {"output":' + chunk + b"}\n\n"
        await until(lambda expected=expected: visit.body == expected)
    await until(lambda: doors.waiting == 1)
    await doors.complete(job)
    await visit.task
    assert visit.body == expected + b'event: status\ndata: {"status":"COMPLETED"}\n\n'


async def test_silence_does_not_end_the_events():
    doors = open_doors()
    job = await started(doors)
    visit = watch(doors, job.id)
    for _ in range(5):
        await until(lambda: doors.waiting == 1)
        await doors.world.advance(9_500)
    assert not visit.task.done() and visit.body == b""
    await doors.complete(job)
    await visit.task


async def test_what_was_read_by_poll_is_no_event_and_the_other_way_round():
    doors = open_doors()
    job = await started(doors)
    await doors.emit(job, b"1")
    await doors.get(f"/stream/{job.id}")
    await doors.emit(job, b"2")
    visit = watch(doors, job.id)
    await until(lambda: visit.body == b'data: {"output":2}\n\n')
    await doors.emit(job, b"3")
    await doors.complete(job)
    await visit.task
    assert (await doors.get(f"/stream/{job.id}")).text == '{"status":"COMPLETED","stream":[]}'


async def test_a_line_break_between_tokens_stays_one_event():
    doors = open_doors()
    job = await started(doors)
    await doors.emit(job, b'{\n"a": 1}')
    await doors.complete(job)
    first = (await doors.get(f"/stream/{job.id}", headers=EVENTS)).content.split(b"\n\n")[0]
    data = b"\n".join(line.removeprefix(b"data: ") for line in first.split(b"\n"))
    assert json.loads(data) == {"output": {"a": 1}}


async def test_an_unknown_job_is_a_problem_in_json():
    answer = await open_doors().get("/stream/nope", headers=EVENTS)
    expect_problem(answer, 404, "Not Found", "job not found")


async def test_a_wrong_wait_is_a_problem_in_json():
    doors = open_doors()
    job = await started(doors)
    answer = await doors.get(f"/stream/{job.id}?wait=1", headers=EVENTS)
    expect_bad_request(answer, "wait must be a whole number of milliseconds from 1000 to 300000")


@pytest.mark.parametrize("headers", [EVENTS, {}], ids=["events", "a poll"])
async def test_a_reader_who_left_consumes_nothing_and_leaves_no_wait(headers):
    doors = open_doors()
    job = await started(doors)
    visit = Visit(doors, "GET", f"/v2/ep/stream/{job.id}", headers=headers)
    await until(lambda: doors.waiting == 1)
    visit.leave()
    await visit.task
    assert doors.waiting == 0
    await doors.emit(job, b"1")
    assert (await doors.get(f"/stream/{job.id}")).json()["stream"] == [{"output": 1}]


async def test_a_server_that_stops_ends_the_events():
    doors = open_doors()
    job = await started(doors)
    visit = watch(doors, job.id)
    await until(lambda: doors.waiting == 1)
    doors.world.emulator.hang_up()
    await visit.task
    assert visit.body == b""


async def test_another_accept_header_polls():
    doors = open_doors()
    job = await doors.completed()
    answer = await doors.get(f"/stream/{job.id}", headers={"accept": "application/json, */*"})
    assert answer.text == '{"status":"COMPLETED","stream":[]}'


@pytest.mark.parametrize("how", ["purged", "expired"])
async def test_a_job_that_is_deleted_ends_the_events_without_a_fault(how):
    doors = open_doors(paused_endpoint="queue", workers_max=0)
    job_id = await doors.submit(b'{"input":{"a":1},"policy":{"ttl":10000}}')
    visit = watch(doors, job_id)
    await until(lambda: doors.waiting == 1)
    if how == "purged":
        await doors.post("/purge-queue")
    else:
        await doors.world.advance(10_000)
    await visit.task
    assert visit.status == 200


async def test_events_count_against_the_concurrency_limit_while_they_last():
    doors = open_doors(stream_concurrency=1)
    job = await started(doors)
    first = watch(doors, job.id)
    await until(lambda: doors.waiting == 1)
    second = watch(doors, job.id)
    await until(lambda: second.sent != [] or doors.waiting == 2)
    await doors.complete(job)
    await asyncio.gather(first.task, second.task)
    assert (first.status, second.status) == (200, 429)


@pytest.fixture
def uncollected():
    """Nothing is given back because the garbage collector happens to run."""
    gc.disable()
    yield
    gc.enable()


class Stalled(Visit):
    """A client that stops reading after `reads` messages."""

    reads = 0

    async def _send(self, message):
        if len(self.sent) >= self.reads:
            await asyncio.Event().wait()
        await super()._send(message)


@pytest.mark.parametrize("reads", [0, 1, 2])
async def test_a_client_that_stopped_reading_and_left_gives_its_place_back(reads, uncollected):
    doors = open_doors(stream_concurrency=1)
    job = await started(doors)
    await doors.emit(job, b"1", b"2")
    visit = Stalled(doors, "GET", f"/v2/ep/stream/{job.id}", headers=EVENTS)
    visit.reads = reads
    await turns(50)
    assert len(visit.sent) == reads
    visit.leave()
    await visit.task
    await doors.complete(job)
    await turns(50)
    assert (await doors.get(f"/stream/{job.id}")).status_code == 200


async def test_events_that_a_fault_throws_away_do_not_count_any_more():
    doors = open_doors(stream_concurrency=1)
    job = await started(doors)
    await doors.complete(job)
    faults = doors.world.emulator.faults
    faults.add(fault_of(FaultKind.STATUS, status=502, processed=True, times=2))
    for _ in range(2):
        assert (await doors.get(f"/stream/{job.id}", headers=EVENTS)).status_code == 502
    assert (await doors.get(f"/stream/{job.id}", headers=EVENTS)).status_code == 200
