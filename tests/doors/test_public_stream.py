"""/stream: poll and drain. Each chunk once, held while empty, everything left with the terminal status."""

from tests.doors.doors import PROFILES, Doors, Visit, expect_bad_request, expect_problem, open_doors, until
from tests.tables import table

BOTH = ["GET", "POST"]


async def started(doors: Doors):
    await doors.submit()
    return await doors.take()


@table("profile", PROFILES)
@table("method", BOTH)
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


@table(("query", "wait"), [("", 9_500), ("?wait=1000", 1_000), ("?wait=300000", 300_000)])
@table("status", ["IN_QUEUE", "IN_PROGRESS"])
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


async def test_a_held_reader_outlives_a_lost_worker():
    doors = open_doors()
    job = await started(doors)
    held = await doors.hold(doors.get(f"/stream/{job.id}"))
    await doors.endpoint.work.worker_gone(job.worker)
    again = await doors.take()
    await doors.emit(again, b"1")
    assert (await held).json()["stream"] == [{"output": 1}]


@table("chunk", [b'{"b":1,"a":[1.0]}', '"ż"'.encode(), b"null", b"12345678901234567890123"])
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
