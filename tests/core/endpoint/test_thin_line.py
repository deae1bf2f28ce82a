"""One job through the whole core: submitted, taken, reported, delivered."""

from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, JobStatus

from tests.worlds import make_world


async def test_a_job_goes_from_submission_to_its_webhook():
    world = make_world()
    worker, job = await world.running(Submission(b'{"a":1}', webhook="http://127.0.0.1:9/done"))
    await world.advance(250)
    assert await world.endpoint.work.report(job.id, Completed(job.lease, b'"done"'))
    ended = await world.endpoint.status(job.id)
    assert (ended.status, ended.output, ended.worker) == (JobStatus.COMPLETED, b'"done"', worker)
    await world.emulator.timeline.settle()
    ((url, body),) = world.post.calls
    assert url == "http://127.0.0.1:9/done"
    assert (
        body
        == (
            f'{{"delayTime":0,"executionTime":250,"id":"{job.id}","input":{{"a":1}},"output":"done",'
            '"status":"COMPLETED","webhook":"http://127.0.0.1:9/done"}'
        ).encode()
    )
