"""/stream: poll and drain. Each chunk once, held while empty, everything left with the terminal status."""

import pytest

from tests.doors.doors import PROFILES, Doors, Visit, expect_bad_request, expect_problem, open_doors, until
from tests.tables import table

BOTH = ["GET", "POST"]


async def started(doors: Doors):
    await doors.submit()
    return await doors.take()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("method", BOTH)
async def test_a_recorded_job_is_answered_as_it_was(method, profile):
    doors = open_doors(profile)

    def poll():
        return doors.http.request(method, f"/v2/ep/stream/{job_id}?wait=1000")

    job_id = await doors.submit()
    first = await doors.hold(poll())
    await doors.world.advance(1_000)
    bodies = [(await first).text]
    job = await doors.take()
    for words in (["streaming"], ["from"], ["a", "runpod"]):
        await doors.emit(job, *(b'{"index":0,"word":"%s"}' % word.encode() for word in words))
        bodies.append((await poll()).text)
    await doors.emit(job, b'"works"')
    await doors.complete(job)
    last = await poll()
    again = await poll()
    assert [*bodies, last.text, again.text] == [
        '{"status":"IN_QUEUE","stream":[]}',
        '{"status":"IN_PROGRESS","stream":[{"output":{"index":0,"word":"streaming"}}]}',
        '{"status":"IN_PROGRESS","stream":[{"output":{"index":0,"word":"from"}}]}',
        '{"status":"IN_PROGRESS","stream":[{"output":{"index":0,"word":"a"}},{"output":{"index":0,"word":"runpod"}}]}',
        '{"status":"COMPLETED","stream":[{"output":"works"}]}',
        '{"status":"COMPLETED","stream":[]}',
    ]
    assert {answer.status_code for answer in (last, again)} == {200}
    assert last.headers["content-type"] == "application/json"
    assert last.headers["x-emulator-fidelity"] == "observed; row=stream.completed"


@pytest.mark.parametrize(("query", "wait"), [("", 9_500), ("?wait=1000", 1_000), ("?wait=300000", 300_000)])
@pytest.mark.parametrize("status", ["IN_QUEUE", "IN_PROGRESS"])
async def test_an_empty_stream_is_held(status, query, wait):
    doors = open_doors()
    job_id = await doors.submit()
    if status == "IN_PROGRESS":
        await doors.take()
    held = await doors.hold(doors.get(f"/stream/{job_id}{query}"))
    await doors.world.advance(wait - 1)
    assert not held.done()
    await doors.world.advance(1)
    answer = await held
    assert (answer.status_code, answer.text) == (200, f'{{"status":"{status}","stream":[]}}')


async def test_a_chunk_ends_the_hold():
    doors = open_doors()
    job = await started(doors)
    held = await doors.hold(doors.get(f"/stream/{job.id}"))
    await doors.emit(job, b"1", b"2")
    assert (await held).text == '{"status":"IN_PROGRESS","stream":[{"output":1},{"output":2}]}'


async def test_the_end_ends_the_hold():
    doors = open_doors()
    job = await started(doors)
    held = await doors.hold(doors.get(f"/stream/{job.id}"))
    await doors.complete(job)
    assert (await held).text == '{"status":"COMPLETED","stream":[]}'


@pytest.mark.parametrize("wakes", [False, True])
async def test_a_start_ends_the_hold_only_when_asked(wakes):
    doors = open_doors(stream_wakes_on_status=wakes)
    job_id = await doors.submit()
    held = await doors.hold(doors.get(f"/stream/{job_id}"))
    await doors.take()
    if wakes:
        assert (await held).text == '{"status":"IN_PROGRESS","stream":[]}'
        return
    assert doors.waiting == 1
    await doors.world.advance(9_500)
    assert (await held).json()["status"] == "IN_PROGRESS"


@pytest.mark.parametrize("end", ["FAILED", "CANCELLED"])
async def test_leftovers_ride_with_every_terminal_status(end):
    doors = open_doors()
    job = await started(doors)
    await doors.emit(job, b"1")
    if end == "FAILED":
        await doors.fail(job)
    else:
        await doors.post(f"/cancel/{job.id}")
    for chunks in ('[{"output":1}]', "[]"):
        assert (await doors.get(f"/stream/{job.id}")).text == f'{{"status":"{end}","stream":{chunks}}}'


async def test_leftovers_ride_with_timed_out():
    doors = open_doors("documented")
    job = await started(doors)
    await doors.emit(job, b"1")
    await doors.world.advance(600_000)
    assert (await doors.get(f"/stream/{job.id}")).text == '{"status":"TIMED_OUT","stream":[{"output":1}]}'


async def test_the_whole_result_is_on_status_beside_the_stream():
    doors = open_doors()
    job = await started(doors)
    await doors.complete(job, b"[1,2]")
    assert (await doors.get(f"/stream/{job.id}")).json() == {"status": "COMPLETED", "stream": []}
    assert (await doors.get(f"/status/{job.id}")).json()["output"] == [1, 2]


async def test_a_chunk_goes_to_one_of_two_readers():
    doors = open_doors()
    job = await started(doors)
    first = await doors.hold(doors.get(f"/stream/{job.id}"))
    second = await doors.hold(doors.get(f"/stream/{job.id}"), waiters=2)
    await doors.emit(job, b"1")
    await until(first.done)
    assert not second.done()
    await doors.emit(job, b"2")
    assert [(await one).json()["stream"] for one in (first, second)] == [[{"output": 1}], [{"output": 2}]]


async def test_a_reader_who_leaves_as_the_chunk_comes_loses_nothing():
    doors = open_doors()
    job = await started(doors)
    visit = Visit(doors, "GET", f"/v2/ep/stream/{job.id}")
    await until(lambda: doors.waiting == 1)
    visit.leave()
    await doors.emit(job, b"1")
    await visit.task
    seen = [visit.body, (await doors.get(f"/stream/{job.id}?wait=1000")).content if b"1" not in visit.body else b""]
    assert sum(b'{"output":1}' in text for text in seen) == 1


async def test_chunks_of_a_lost_run_are_dropped():
    doors = open_doors()
    job = await started(doors)
    await doors.emit(job, b'"old"')
    await doors.endpoint.work.worker_gone(job.worker)
    again = await doors.take()
    await doors.emit(again, b'"new"')
    assert (await doors.get(f"/stream/{job.id}")).json()["stream"] == [{"output": "new"}]


async def test_a_held_reader_outlives_a_lost_worker():
    doors = open_doors()
    job = await started(doors)
    held = await doors.hold(doors.get(f"/stream/{job.id}"))
    await doors.endpoint.work.worker_gone(job.worker)
    again = await doors.take()
    await doors.emit(again, b"1")
    assert (await held).json()["stream"] == [{"output": 1}]


@pytest.mark.parametrize("chunk", [b'{"b":1,"a":[1.0]}', '"ż"'.encode(), b"null", b"12345678901234567890123"])
async def test_chunks_pass_byte_for_byte(chunk):
    doors = open_doors()
    job = await started(doors)
    await doors.emit(job, chunk)
    answer = await doors.get(f"/stream/{job.id}")
    assert answer.content == b'{"status":"IN_PROGRESS","stream":[{"output":%s}]}' % chunk


async def test_the_bare_array_of_the_reference_is_there_on_request():
    doors = open_doors(stream_shape="array")
    job = await started(doors)
    await doors.emit(job, b"1", b"2")
    answer = await doors.get(f"/stream/{job.id}")
    assert answer.text == '[{"output":1},{"output":2}]'
    assert answer.headers["x-emulator-fidelity"] == "guess; row=stream.in_progress"


@table("method", BOTH)
@table("wait", ["999", "300001", "-1", "", "x", "2.5"])
async def test_a_wrong_wait_is_refused_and_consumes_nothing(method, wait):
    doors = open_doors()
    job = await started(doors)
    await doors.emit(job, b"1")
    answer = await doors.http.request(method, f"/v2/ep/stream/{job.id}", params={"wait": wait})
    expect_bad_request(answer, "wait must be a whole number of milliseconds from 1000 to 300000")
    assert (await doors.get(f"/stream/{job.id}")).json()["stream"] == [{"output": 1}]


async def test_a_job_that_is_deleted_ends_the_hold_with_404():
    doors = open_doors(paused_endpoint="queue", workers_max=0)
    job_id = await doors.submit()
    held = await doors.hold(doors.get(f"/stream/{job_id}"))
    await doors.post("/purge-queue")
    expect_problem(await held, 404, "Not Found", "job not found")


async def test_a_server_that_stops_answers_what_it_holds():
    doors = open_doors()
    job = await started(doors)
    held = await doors.hold(doors.get(f"/stream/{job.id}"))
    doors.world.emulator.hang_up()
    assert (await held).text == '{"status":"IN_PROGRESS","stream":[]}'
