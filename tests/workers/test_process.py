"""One worker process: what becomes of its jobs, however it lives and dies."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from emulator.core.endpoint import Submission
from emulator.core.errors import ConfigurationError, JobNotFound
from emulator.core.job import JobStatus, Requeued
from emulator.workers import child, process
from tests.workers.conftest import Opener, Workshop, until, write_handler
from tests.workers.processes import alive, needs_proc

ALONE = {"workers_max": 1}


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "emulator")


# Success


@pytest.mark.parametrize(
    "handler",
    [
        "def handler(job):\n    return job['input']",
        "async def handler(job):\n    await asyncio.sleep(0)\n    return job['input']",
        "handler = lambda job: job['input']",
        "class Handler:\n    def __call__(self, job):\n        return job['input']\nhandler = Handler()",
    ],
    ids=["plain", "async", "lambda", "object"],
)
async def test_a_result_is_the_output(workshop: Opener, handler: str) -> None:
    shop = await workshop(f"import asyncio\n{handler}\n")
    job = await shop.ended(await shop.submit({"ünï": ["☃", 1.5, None]}))
    assert (job.status, json.loads(job.output)) == (JobStatus.COMPLETED, {"ünï": ["☃", 1.5, None]})
    assert (job.retries, job.error) == (0, None)
    assert job.submitted_at <= job.taken_at <= job.ended_at


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("aggregate", [True, False])
async def test_a_generator_gives_chunks(workshop: Opener, kind: str, aggregate: bool) -> None:
    shop = await workshop(
        f"""
        import runpod

        {kind} handler(job):
            for number in range(3):
                yield {{"number": number}}

        runpod.serverless.start({{"handler": handler, "return_aggregate_stream": {aggregate}}})
        """
    )
    every = [{"number": number} for number in range(3)]
    job_id = await shop.submit()
    assert await shop.output(job_id) == (every if aggregate else [])
    status, chunks = await shop.endpoint.next_chunks(job_id, 0)
    assert (status, [json.loads(chunk) for chunk in chunks]) == (JobStatus.COMPLETED, every)


async def test_chunks_come_while_the_handler_works(workshop: Opener, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop = await workshop(
        f"""
        import os, time

        def handler(job):
            yield "first"
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.002)
            yield "second"
        """
    )
    job_id = await shop.submit()
    until_then = shop.emulator.timeline.now() + 20_000
    assert await shop.endpoint.next_chunks(job_id, until_then) == (JobStatus.IN_PROGRESS, [b'"first"'])
    gate.touch()
    await shop.ended(job_id)
    assert await shop.endpoint.next_chunks(job_id, until_then) == (JobStatus.COMPLETED, [b'"second"'])


async def test_progress_is_seen_while_the_handler_works(workshop: Opener, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop = await workshop(
        f"""
        import os, time
        import runpod

        def handler(job):
            runpod.serverless.progress_update(job, {{"percent": 50}})
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.002)
            return "done"

        runpod.serverless.start({{"handler": handler}})
        """
    )
    job_id = await shop.submit()
    assert await shop.progress(job_id) == {"percent": 50}
    gate.touch()
    assert await shop.output(job_id) == "done"


async def test_an_exception_fails_the_job_and_nothing_else(workshop: Opener) -> None:
    shop = await workshop(settings=ALONE)
    first = await shop.pid()
    job = await shop.ended(await shop.do("1 / 0"))
    report = json.loads(job.error)
    assert (job.status, job.output, job.retries) == (JobStatus.FAILED, None, 0)
    assert list(report) == [
        "error_type", "error_message", "error_traceback", "hostname", "worker_id", "runpod_version",
    ]  # fmt: skip
    assert (report["error_type"], report["error_message"]) == ("<class 'ZeroDivisionError'>", "division by zero")
    assert (report["worker_id"], report["hostname"]) == (job.worker, f"{job.worker}-64410d87")
    assert await shop.pid() == first


async def test_a_worker_knows_where_it_is(workshop: Opener) -> None:
    shop = await workshop()
    names = ("RUNPOD_ENDPOINT_ID", "RUNPOD_POD_ID", "RUNPOD_POD_HOSTNAME")
    job_id = await shop.do(f"[os.environ[name] for name in {names}]")
    worker = (await shop.ended(job_id)).worker
    assert await shop.output(job_id) == ["ep", worker, f"{worker}-64410d87"]


async def test_the_job_has_only_an_id_and_an_input(workshop: Opener) -> None:
    shop = await workshop()
    job_id = await shop.do("[job.pop('input') and None, job][1]", s3_config=b'{"bucketName":"b"}')
    assert await shop.output(job_id) == {"id": job_id, "s3Config": {"bucketName": "b"}}


# Death in the middle of a job


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("os._exit(3)", "exited with code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
        ("ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("sys.exit(4)", "exited with code 4"),
        ("(_ for _ in ()).throw(KeyboardInterrupt)", "was killed by SIGINT"),
    ],
    ids=["exit", "killed", "segfault", "SystemExit", "KeyboardInterrupt"],
)
async def test_a_crash_costs_the_attempt_and_the_second_fails_the_job(
    workshop: Opener, caplog: pytest.LogCaptureFixture, death: str, words: str
) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do(death))
    assert (job.status, job.error, job.retries) == (JobStatus.FAILED, "job timed out after 1 retries", 1)
    assert (job.output, job.lease) == (None, 2)
    deaths = [message for message in caplog.messages if f"the worker {words}" in message]
    assert len(deaths) == 2
    assert deaths[-1].startswith(f"ep/{job.worker}: ")
    assert f"ep/{job.id}: its worker was lost; it is tried once more" in caplog.messages
    health = await shop.endpoint.health()
    assert (health.failed, health.retried) == (1, 1)
    assert await shop.pid()


async def test_a_crash_of_the_first_attempt_only_is_mended(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop()
    been = tmp_path / "been"
    once = f"os.getpid() if os.path.exists({str(been)!r}) else (open({str(been)!r}, 'x'), os._exit(1))"
    job = await shop.ended(await shop.do(once))
    assert (job.status, job.retries, job.error) == (JobStatus.COMPLETED, 1, None)


async def test_a_crash_drops_what_the_attempt_had_streamed(workshop: Opener, tmp_path: Path) -> None:
    been = tmp_path / "been"
    shop = await workshop(
        f"""
        import os

        def handler(job):
            first = not os.path.exists({str(been)!r})
            yield "first" if first else "second"
            if first:
                open({str(been)!r}, "x").close()
                os.kill(os.getpid(), 9)
        """
    )
    job_id = await shop.submit()
    assert (await shop.ended(job_id)).retries == 1
    assert await shop.endpoint.next_chunks(job_id, 0) == (JobStatus.COMPLETED, [b'"second"'])


async def test_a_result_sent_before_the_crash_counts(workshop: Opener) -> None:
    shop = await workshop(
        """
        import asyncio, os

        async def handler(job):
            asyncio.get_running_loop().call_soon(os._exit, 1)
            return "kept" * 1_000_000
        """
    )
    job = await shop.ended(await shop.submit())
    assert (job.status, job.retries, len(job.output)) == (JobStatus.COMPLETED, 0, 4_000_002)


@needs_proc
async def test_memory_that_runs_out_fails_the_job_and_the_worker_serves_on(workshop: Opener) -> None:
    shop = await workshop(settings=ALONE)
    first = await shop.pid()
    limit = "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))"
    job = await shop.ended(await shop.do(f"({limit}, bytearray(1 << 32))"))
    assert job.status is JobStatus.FAILED
    assert json.loads(job.error)["error_type"] == "<class 'MemoryError'>"
    assert await shop.pid() == first


async def test_a_limit_of_the_system_that_kills_the_worker_is_a_crash(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop()
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    deadly = "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)"
    write = f"open({str(tmp_path / 'file')!r}, 'w').write('x' * 10_000)"
    job = await shop.ended(await shop.do(f"[{deadly}, {limit}, {write}]"))
    assert (job.status, job.error, job.retries) == (JobStatus.FAILED, "job timed out after 1 retries", 1)


@pytest.mark.parametrize(
    "garbage",
    [
        b"c\0\0\0\0\0\0",
        pytest.param(
            b"no frame at all",
            marks=pytest.mark.xfail(
                strict=True,
                raises=asyncio.TimeoutError,
                reason="Decoder looks at the kind only once the whole frame is there: the job hangs until its timeout",
            ),
        ),
    ],
    ids=["short", "long"],
)
async def test_a_worker_whose_channel_is_spoilt_is_lost(workshop: Opener, garbage: bytes) -> None:
    shop = await workshop(
        f"""
        import os, stat, time

        def handler(job):
            for descriptor in range(3, 50):
                try:
                    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                        os.write(descriptor, {garbage!r})
                except OSError:
                    pass
            time.sleep(60)
        """
    )
    await asyncio.wait_for(shop.heard(Requeued, await shop.submit()), 2)


# Stopping one job


HOLD = """
    import fcntl, os, signal, subprocess, sys, time
    import runpod

    def handler(job):
        asked = job["input"]
        if "lock" not in asked:
            return os.getpid()
        held = open(asked["lock"], "w")
        fcntl.flock(held, fcntl.LOCK_EX)
        if asked.get("stubborn"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if asked.get("child"):
            subprocess.Popen(["sleep", "60"])
        runpod.serverless.progress_update(job, os.getpid())
        while True:
            time.sleep(60)

    runpod.serverless.start({"handler": handler})
"""
"""A plain handler that holds a lock until its process, with every child of it, is gone."""


def is_free(lock: Path) -> bool:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@needs_proc
@pytest.mark.parametrize("habit", [{}, {"stubborn": True}, {"child": True}], ids=["plain", "ignores SIGTERM", "child"])
async def test_cancel_really_stops_a_plain_handler(
    workshop: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, habit: dict[str, bool]
) -> None:
    monkeypatch.setattr(child, "TERMINATE_GRACE", 0.1)
    shop = await workshop(HOLD, settings=ALONE)
    lock = tmp_path / "lock"
    job_id = await shop.submit({"lock": str(lock), **habit})
    held_by = await shop.progress(job_id)
    assert not is_free(lock)
    job = await shop.endpoint.cancel(job_id)
    assert (job.status, job.output) == (JobStatus.CANCELLED, None)
    next_job = await shop.submit()
    assert await shop.output(next_job) != held_by
    await until(lambda: is_free(lock))
    await until(lambda: not alive(held_by))
    assert len(shop.processes()) == 1


@needs_proc
async def test_an_execution_timeout_really_stops_a_plain_handler(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(HOLD, settings=ALONE)
    lock = tmp_path / "lock"
    job_id = await shop.submit({"lock": str(lock)}, execution_timeout=60_000)
    held_by = await shop.progress(job_id)
    await shop.skip(50_000)
    assert (await shop.endpoint.status(job_id)).status is JobStatus.IN_PROGRESS
    await shop.skip(10_000)
    job = await shop.endpoint.status(job_id)
    assert (job.status, job.error, job.retries) == (JobStatus.FAILED, "executionTimeout exceeded", 0)
    assert job.ended_at - job.taken_at == 60_000
    assert await shop.output(await shop.submit()) != held_by
    await until(lambda: is_free(lock) and not alive(held_by))


@needs_proc
async def test_the_end_of_its_ttl_really_stops_a_plain_handler(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(HOLD, settings=ALONE)
    lock = tmp_path / "lock"
    job_id = await shop.submit({"lock": str(lock)}, ttl=10_000)
    held_by = await shop.progress(job_id)
    await shop.skip(10_000)
    with pytest.raises(JobNotFound):
        await shop.endpoint.status(job_id)
    assert await shop.output(await shop.submit()) != held_by
    await until(lambda: is_free(lock) and not alive(held_by))


async def test_a_job_of_a_stopped_worker_is_not_tried_again(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(HOLD, settings=ALONE)
    job_id = await shop.submit({"lock": str(tmp_path / "lock")})
    await shop.progress(job_id)
    await shop.endpoint.cancel(job_id)
    await shop.output(await shop.submit())
    job = await shop.endpoint.status(job_id)
    assert (job.status, job.retries, job.lease) == (JobStatus.CANCELLED, 0, 1)
    health = await shop.endpoint.health()
    assert (health.running, health.queued, health.retried, health.workers.running) == (0, 0, 0, 0)


ASYNC = """
    import asyncio, os
    from pathlib import Path
    import runpod

    async def handler(job):
        asked = job["input"]
        runpod.serverless.progress_update(job, os.getpid())
        try:
            while not Path(asked.get("until", "/")).exists():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            Path(asked["note"]).write_text("cancelled")
            if not asked.get("stubborn"):
                raise
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        return os.getpid()

    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
"""


async def test_cancel_reaches_an_async_handler_and_nobody_else(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(ASYNC, settings=ALONE)
    note, gate = tmp_path / "note", tmp_path / "gate"
    sibling = await shop.submit({"until": str(gate)})
    victim = await shop.submit({"until": str(tmp_path / "never"), "note": str(note)})
    worker = await shop.progress(victim)
    await shop.endpoint.cancel(victim)
    await until(note.exists)
    assert await shop.output(await shop.submit()) == worker, "the worker takes another job"
    gate.touch()
    assert await shop.output(sibling) == worker
    assert (await shop.endpoint.status(victim)).status is JobStatus.CANCELLED


async def test_a_stopped_job_frees_its_slot(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(ASYNC, settings=ALONE)
    gate = tmp_path / "gate"
    endless = {"until": str(tmp_path / "never"), "note": str(tmp_path / "note")}
    siblings = [await shop.submit({"until": str(gate)}) for _ in range(2)]
    victims = [await shop.submit(endless) for _ in range(2)]
    waiting = [await shop.submit() for _ in range(2)]
    worker = await shop.progress(victims[1])
    for victim in victims:
        await shop.endpoint.cancel(victim)
    assert [await shop.output(job_id) for job_id in waiting] == [worker, worker]
    gate.touch()
    assert [await shop.output(job_id) for job_id in siblings] == [worker, worker]


async def test_a_handler_that_will_not_stop_is_replaced_and_its_siblings_never_pay(
    workshop: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "STOP_GRACE", 0.05)
    shop = await workshop(ASYNC, settings=ALONE)
    note, gate = tmp_path / "note", tmp_path / "gate"
    sibling = await shop.submit({"until": str(gate)})
    victim = await shop.submit({"until": str(tmp_path / "never"), "note": str(note), "stubborn": True})
    worker = await shop.progress(victim)
    await shop.endpoint.cancel(victim)
    await until(lambda: any("did not stop within 0.05 s: its worker is replaced" in text for text in caplog.messages))
    later = await shop.submit()
    assert (await shop.endpoint.status(later)).status is JobStatus.IN_QUEUE, "a worker on its way out takes no job"
    gate.touch()
    assert await shop.output(sibling) == worker, "the sibling ends in peace"
    assert await shop.output(later) != worker
    await until(lambda: not alive(worker))
    assert (await shop.endpoint.health()).retried == 0


async def test_a_handler_that_will_not_stop_and_is_alone_ends_with_its_worker(
    workshop: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_GRACE", 0.05)
    shop = await workshop(ASYNC, settings=ALONE)
    victim = await shop.submit({"until": str(tmp_path / "never"), "note": str(tmp_path / "note"), "stubborn": True})
    worker = await shop.progress(victim)
    await shop.endpoint.cancel(victim)
    await until(lambda: not alive(worker))
    assert await shop.output(await shop.submit()) != worker


async def test_several_jobs_share_an_async_worker(workshop: Opener) -> None:
    shop = await workshop(
        """
        import asyncio, os
        import runpod

        together = asyncio.Event()
        running = 0

        async def handler(job):
            global running
            running += 1
            if running == 4:
                together.set()
            await together.wait()
            return os.getpid()

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
        """,
        settings=ALONE,
    )
    jobs = [await shop.submit() for _ in range(4)]
    assert len({await shop.output(job_id) for job_id in jobs}) == 1


# Refresh


@pytest.mark.parametrize("form", ["returned", "configured"])
async def test_refresh_worker_gives_the_next_job_a_fresh_process(workshop: Opener, form: str) -> None:
    shop = await workshop(
        f"""
        import os
        import runpod

        def handler(job):
            return {{"pid": os.getpid(), "refresh_worker": {form == "returned"}}}

        runpod.serverless.start({{"handler": handler, "refresh_worker": {form == "configured"}}})
        """,
        settings=ALONE,
    )
    answers = [await shop.output(await shop.submit()) for _ in range(3)]
    assert all(set(answer) == {"pid"} for answer in answers)
    assert len({answer["pid"] for answer in answers}) == 3
    await until(lambda: not any(alive(answer["pid"]) for answer in answers))


# An empty input


async def test_an_empty_input_is_refused_twice_while_the_worker_stays_free(
    workshop: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    def refusals() -> int:
        return sum("Job has missing field(s): id or input." in text for text in caplog.messages)

    shop = await workshop(settings={"workers_min": 1, "workers_max": 1})
    first = await shop.pid()
    empty = (await shop.endpoint.submit(Submission(b"{ }"))).id
    assert any("strip_empty_input=false" in text and empty in text for text in caplog.messages)
    for attempt in (1, 2):
        await until(lambda attempt=attempt: refusals() == attempt)
        assert await shop.pid() == first, "the worker is free"
        job = await shop.endpoint.status(empty)
        assert (job.status, job.retries) == (JobStatus.IN_PROGRESS, attempt - 1)
        await shop.skip(40_000)
    job = await shop.endpoint.status(empty)
    assert (job.status, job.error, job.retries) == (JobStatus.FAILED, "job timed out after 1 retries", 1)
    assert job.ended_at - job.submitted_at >= 80_000
    assert await shop.pid() == first


async def test_an_empty_input_arrives_where_nobody_strips_it(workshop: Opener) -> None:
    shop = await workshop("def handler(job):\n    return job['input'] == {}\n", platform={"strip_empty_input": False})
    assert await shop.output((await shop.endpoint.submit(Submission(b"{}"))).id) is True


# Results that are too much, or no JSON


async def test_twenty_megabytes_go_in_and_out(workshop: Opener) -> None:
    shop = await workshop("def handler(job):\n    return job['input']['text'][::-1]\n")
    text = "a" * 20_000_000 + "z"
    job = await shop.ended(await shop.submit({"text": text}))
    assert job.output == b'"z' + b"a" * 20_000_000 + b'"'


async def test_twenty_megabytes_go_through_a_stream(workshop: Opener) -> None:
    shop = await workshop("def handler(job):\n    for _ in range(4):\n        yield 'x' * 5_000_000\n")
    job_id = await shop.submit()
    assert (await shop.ended(job_id)).output == b"[]"
    _, chunks = await shop.endpoint.next_chunks(job_id, 0)
    assert [len(chunk) for chunk in chunks] == [1_000_002] * 20


async def test_a_result_over_the_limit_is_dropped(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop(platform={"result_body_limit": 1_000})
    job = await shop.ended(await shop.do("'x' * 998"))
    assert (job.status, len(job.output)) == (JobStatus.COMPLETED, 1_000)
    job = await shop.ended(await shop.do("'x' * 999"))
    assert (job.status, job.output, job.error) == (JobStatus.COMPLETED, None, None)
    assert any(f"ep/{job.id}: the result is above 1000 bytes" in text for text in caplog.messages)


async def test_a_result_over_the_limit_fails_by_the_documentation(workshop: Opener) -> None:
    shop = await workshop(platform={"result_body_limit": 1_000, "oversized_result": "failed"})
    job = await shop.ended(await shop.do("'x' * 999"))
    assert (job.status, job.output) == (JobStatus.FAILED, None)
    assert job.error == "result too large: more than 1000 bytes"


async def test_a_result_that_is_no_json_fails_at_once_and_says_why(workshop: Opener) -> None:
    reasons = {
        "{1, 2}": "set is not JSON serializable",
        "float('nan')": "Out of range float values are not JSON compliant",
        "float('-inf')": "Out of range float values are not JSON compliant",
        "b'bytes'": "bytes is not JSON serializable",
        "(number for number in 'abc')": "to stream, use yield in the handler itself",
        "{(1, 2): 3}": "keys must be str",
    }
    shop = await workshop(settings=ALONE)
    first = await shop.pid()
    for value, reason in reasons.items():
        job = await shop.ended(await shop.do(value))
        assert (job.status, job.output, job.retries) == (JobStatus.FAILED, None, 0)
        assert job.error.startswith("The handler's result is not JSON: ")
        assert reason in job.error
    assert await shop.pid() == first


# The log


async def test_a_printed_line_names_endpoint_worker_and_job(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[print('out'), print('two\\nlines'), print('err', file=sys.stderr)]"))
    where = f"ep/{job.worker}/{job.id} | "
    expected = {where + word for word in ("out", "two", "lines", "err")}
    await until(lambda: expected <= set(caplog.messages))


async def test_a_line_from_below_python_names_endpoint_and_worker(
    workshop: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[os.system('echo shell'), os.write(1, b'raw\\n')]"))
    for word in ("shell", "raw"):
        line = re.compile(rf"ep/{job.worker}(/{job.id})? \| {word}")
        await until(lambda line=line: any(map(line.fullmatch, caplog.messages)))


async def test_lines_of_jobs_at_once_are_told_apart(
    workshop: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop(
        """
        import asyncio
        import runpod

        together = asyncio.Event()
        running = 0

        async def handler(job):
            global running
            running += 1
            if running == 2:
                together.set()
            await together.wait()
            print("I am", job["input"]["name"])

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 2})
        """,
        settings=ALONE,
    )
    jobs = {name: await shop.submit({"name": name}) for name in ("ann", "bob")}
    worker = {(await shop.ended(job_id)).worker for job_id in jobs.values()}.pop()
    expected = {f"ep/{worker}/{job_id} | I am {name}" for name, job_id in jobs.items()}
    await until(lambda: expected <= set(caplog.messages))


async def test_a_traceback_is_in_the_log(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("1 / 0"))
    last = f"ep/{job.worker}/{job.id} | ZeroDivisionError: division by zero"
    await until(lambda: last in caplog.messages)


async def test_megabytes_of_prints_harm_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[print('x' * 1_000) for _ in range(3_000)] and 'done'"))
    assert job.output == b'"done"'
    line = f"ep/{job.worker}/{job.id} | {'x' * 1_000}"
    await until(lambda: caplog.messages.count(line) == 3_000)


async def test_a_line_of_megabytes_harms_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("sys.stdout.write('x' * 4_000_000) and print() or 'done'"))
    assert job.output == b'"done"'
    line = f"ep/{job.worker}/{job.id} | {'x' * 4_000_000}"
    await until(lambda: line in caplog.messages)


async def test_binary_output_harms_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("os.write(1, bytes(range(256)) * 100 + b'\\nend\\n')"))
    assert job.output == b"25605"
    await until(lambda: f"ep/{job.worker}/{job.id} | end" in caplog.messages)


async def test_closed_descriptors_harm_nothing(workshop: Opener) -> None:
    shop = await workshop(settings=ALONE)
    first = await shop.pid()
    assert await shop.output(await shop.do("[os.close(fd) for fd in (0, 1, 2)] and 'done'")) == "done"
    assert await shop.output(await shop.do("'again'")) == "again"
    assert await shop.pid() == first


# Processes that hold on to what they inherited


@needs_proc
@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("apart", [True, False], ids=["own session", "same session"])
def test_a_descendant_that_holds_the_log_open_delays_nobody(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], apart: bool
) -> None:
    leave = f"(subprocess.Popen(['sleep', '60'], start_new_session={apart}), os._exit(1))"

    async def story() -> None:
        shop = Workshop(write_handler(tmp_path), settings=ALONE)
        try:
            await shop.emulator.start()
            job_id = await shop.do(leave)
            await asyncio.wait_for(shop.heard(Requeued, job_id), 3)
            await shop.ended(job_id)
            await asyncio.wait_for(shop.stop(), 3)
            assert len(shop.processes()) == 2 * apart, "what left its worker's session is not the emulator's to end"
        finally:
            shop.kill_everything()
            await shop.close()

    loop = new_loop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


# Starting


async def test_an_interpreter_that_is_missing(workshop: Opener) -> None:
    shop = await workshop(started=False, python="/nonexistent/python")
    with pytest.raises(ConfigurationError, match=r"/nonexistent/python could not be started: .*No such file") as caught:
        await shop.emulator.start()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def handler(job:", "SyntaxError"),
        ("import os\nos._exit(9)", "the worker exited with code 9"),
        ("print('last words')\nimport os\nos.kill(os.getpid(), 9)", "last words\nthe worker was killed by SIGKILL"),
        ("raise SystemExit('not today')", "not today"),
        ("answer = 42", "ended without calling runpod.serverless.start, and it defines no function named handler"),
    ],
    ids=["import", "syntax", "exit", "killed", "SystemExit", "no handler"],
)
async def test_a_handler_that_cannot_be_loaded_says_why(workshop: Opener, source: str, words: str) -> None:
    shop = await workshop(source, started=False)
    with pytest.raises(ConfigurationError, match=re.escape(words)) as caught:
        await shop.emulator.start()
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("handler ")
    if words.startswith(("Mod", "Syn")):
        assert "handler.py" in str(caught.value) and "emulator/workers" not in str(caught.value)
