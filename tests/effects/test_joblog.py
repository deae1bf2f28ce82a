"""What a developer reads about jobs."""

from __future__ import annotations

import json
import logging

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Failed, Progressed, TimedOut
from runpod_emulator.effects import joblog
from runpod_emulator.workers.reload import Reloader

from tests.core.steps import take_now
from tests.worlds import make_world


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    """The lines logged since the last look, each with its level."""
    caplog.set_level(logging.INFO, "runpod_emulator.jobs")

    def look() -> list[tuple[str, str]]:
        seen = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "runpod_emulator.jobs"]
        caplog.clear()
        return seen

    return look


async def test_a_finished_job_tells_how_long_it_waited_and_worked(lines):
    world = make_world()
    job = await world.endpoint.submit(Submission(b'{"a":1}'))
    await world.advance(1_200)
    worker = await world.worker()
    await take_now(world, worker)
    await world.endpoint.work.report(job.id, Progressed(1, b"1"))
    await world.advance(300)
    assert lines() == []
    await world.endpoint.work.report(job.id, Completed(1))
    said = f"ep#2 {job.id[:4]} COMPLETED after 1200 ms in the queue and 300 ms of work"
    assert lines() == [("INFO", f"{said}, job {job.id}")]


async def test_an_id_that_was_told_is_not_told_again(lines):
    world = make_world()
    _, job = await world.running()
    world.emulator.log.names.introduced(job.id)
    await world.endpoint.work.report(job.id, Completed(1))
    assert lines() == [("INFO", f"ep#1 {job.id[:4]} COMPLETED after 0 ms in the queue and 0 ms of work")]


@pytest.mark.parametrize(
    ("report", "line"),
    [(Failed("boom", None, 1), "FAILED: boom"), (TimedOut("job timed out"), "TIMED_OUT: job timed out")],
)
async def test_a_job_that_failed_warns_with_its_error(lines, report, line: str):
    world = make_world()
    _, job = await world.running()
    await world.endpoint.work.report(job.id, report)
    assert lines() == [("WARNING", f"ep#1 {job.id[:4]} ({job.id}) {line}")]


async def test_a_long_error_is_cut(lines):
    world = make_world()
    _, job = await world.running()
    await world.endpoint.work.report(job.id, Failed("x" * 5_000, None, 1))
    ((_, line),) = lines()
    assert line.endswith(": " + "x" * 300)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('it\'s \\ a "ü"\n', 'it\'s \\ a "ü"\\n'),
        ("é" * 5_000, "é" * 100),
        ("\N{GRINNING FACE}" * 5_000, "\N{GRINNING FACE}" * 10),
        ("x" * 50_000_000, "x" * 200),
    ],
    ids=["short", "long", "pairs", "50 MB"],
)
@pytest.mark.one_step
async def test_a_raised_error_is_its_type_and_the_beginning_of_its_message(
    lines, monkeypatch: pytest.MonkeyPatch, message: str, shown: str
):
    world = make_world()
    _, job = await world.running()
    raised = json.dumps({"error_type": "<class 'ValueError'>", "error_message": message, "error_traceback": "T" * 99})
    read: list[int] = []
    monkeypatch.setattr(joblog.json, "loads", lambda text, loads=json.loads: read.append(len(text)) or loads(text))
    await world.endpoint.work.report(job.id, Failed(raised, None, 1))
    ((_, line),) = lines()
    assert f"FAILED: <class 'ValueError'> {shown}" in line
    assert max(read) < 3_000


async def test_a_cancelled_job_tells_how_far_it_came(lines):
    world = make_world()
    waiting = await world.endpoint.submit(Submission(b'{"a":1}'))
    await world.endpoint.cancel(waiting.id)
    assert lines() == [("INFO", f"ep {waiting.id[:4]} CANCELLED, job {waiting.id}")]
    _, job = await world.running()
    await world.endpoint.cancel(job.id)
    said = f"ep#2 {job.id[:4]} CANCELLED after 0 ms in the queue and 0 ms of work, job {job.id}"
    assert lines() == [("INFO", said)]


async def test_a_second_try_warns(lines):
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.worker_gone(worker)
    assert lines() == [("WARNING", f"ep#1 {job.id[:4]} ({job.id}): its worker was lost; it is tried once more")]


@pytest.mark.parametrize(("profile", "warns"), [("observed", True), ("documented", False)])
async def test_an_input_that_will_be_stripped_warns_at_once(lines, profile, warns: bool):
    world = make_world(profile)
    await world.endpoint.submit(Submission(b'{"a":{}}'))
    assert lines() == []
    job = await world.endpoint.submit(Submission(b"{}"))
    assert [(level, line.split(":")[0]) for level, line in lines()] == [
        ("WARNING", f"ep {job.id[:4]} ({job.id})")
    ] * warns


async def test_a_deleted_job_is_not_worth_a_line(lines):
    world = make_world()
    await world.endpoint.submit(Submission(b'{"a":1}', ttl=10_000))
    await world.advance(10_000)
    await world.endpoint.purge()
    assert lines() == []


async def test_a_job_that_no_worker_can_take_before_the_code_changes_says_so(lines, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Reloader, "watches", lambda reloader, endpoint: True)
    world = make_world()
    job = await world.endpoint.submit(Submission(b'{"a":1}'))
    assert lines() == []
    await world.endpoint.work.worker_broken(world.launcher.started[-1], "h.py could not be started:\nSyntaxError: x")
    job = await world.endpoint.submit(Submission(b'{"a":1}'))
    assert lines() == [
        ("WARNING", f"ep {job.id[:4]} ({job.id}): it waits for a handler that can be imported: SyntaxError: x")
    ]
    await world.advance(60_000)
    await world.endpoint.work.worker_ready(world.launcher.started[-1], 1)
    await world.endpoint.submit(Submission(b'{"a":1}'))
    assert lines() == []
