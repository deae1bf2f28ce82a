"""A worker process at work: jobs in, reports out, several at once, stopped, lost."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind, Result, pack, pack_result, unpack_result

ASYNC = """
    import asyncio, os, sys
    import runpod

    waiting = []

    async def handler(job):
        asked = job["input"]
        if asked == "barrier":
            waiting.append(asyncio.Event())
            if len(waiting) == 4:
                for event in waiting:
                    event.set()
            await waiting[len(waiting) - 1].wait()
        if asked in ("wait", "swallow", "fail"):
            runpod.serverless.progress_update(job, "waiting")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if asked == "swallow":
                    return "swallowed"
                if asked == "fail":
                    raise ValueError("while stopping")
                raise
        if asked == "cancel":
            raise asyncio.CancelledError()
        if asked == "exit":
            print("last words", end="")
            sys.exit(7)
        return asked

    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
    """


def test_ready_tells_concurrency_and_version(start: Any) -> None:
    told = start(ASYNC).ready()
    assert told["concurrency"] == 4
    assert told["runpod_version"].count(".") >= 2


def test_the_handler_gets_the_whole_job(start: Any) -> None:
    child = start("import runpod\nrunpod.serverless.start({'handler': lambda job: job})")
    child.ready()
    job = {"id": "job-1", "input": {"ä": [1, None]}, "s3Config": {"a": "b"}, "webhook": "http://x"}
    child.send(pack(Kind.JOB, "job-1", json.dumps(job).encode()))
    assert json.loads(child.done().output) == job


def test_four_jobs_overlap(start: Any) -> None:
    child = start(ASYNC)
    child.ready()
    names = {child.job("barrier", f"job-{n}") for n in range(4)}
    reports = [child.next() for _ in names]
    assert {frame.job for frame in reports} == names
    assert {frame.body for frame in reports} == {pack_result(Result(b'"barrier"', None, False))}


def test_a_plain_handler_blocks_its_siblings(start: Any, tmp_path: Any) -> None:
    child = start(
        """
        import runpod

        def handler(job):
            runpod.serverless.progress_update(job, "began")
            with open(job["input"]) as pipe:
                return pipe.read()

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 2})
        """
    )
    child.ready()
    pipes = [tmp_path / "first", tmp_path / "second"]
    for pipe in pipes:
        os.mkfifo(pipe)
        child.job(str(pipe), pipe.name)
    for pipe in pipes:
        child.expect(Kind.PROGRESS, pipe.name)
        pipe.write_text(pipe.name)
        assert child.done(pipe.name).output == f'"{pipe.name}"'.encode()


def test_concurrency_changes_only_while_nothing_is_in_flight(start: Any) -> None:
    child = start(
        """
        import asyncio
        import runpod

        gates = {}

        async def handler(job):
            if "open" in job["input"]:
                gates[job["input"]["open"]].set()
            else:
                gates[job["id"]] = asyncio.Event()
                await gates[job["id"]].wait()

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: min(current + 1, 3)})
        """
    )
    assert child.ready()["concurrency"] == 2
    child.job({}, "a")
    child.job({"open": "a"}, "b")
    assert child.done("b").error is None
    assert child.expect(Kind.CAPACITY, "") == b"3"
    child.done("a")
    child.job({}, "c")
    child.job({"open": "c"}, "d")
    child.done("d")
    child.done("c")


def test_an_idle_worker_reviews_its_concurrency(start: Any) -> None:
    child = start(
        """
        import sys
        import runpod

        sys.modules["_runpod_emulator_worker.loop"].IDLE_REVIEW = 0.001
        values = iter([1, 5, 5])
        modifier = lambda current: next(values, current)
        runpod.serverless.start({"handler": print, "concurrency_modifier": modifier})
        """
    )
    assert child.ready()["concurrency"] == 1
    assert child.expect(Kind.CAPACITY, "") == b"5"


@pytest.mark.parametrize("body", [b'{"id": "job-1"}', b'{"input": 1}', b"[" * 100_000 + b"]" * 100_000])
def test_a_job_that_lacks_something_is_refused(evaluator: Any, body: bytes) -> None:
    evaluator.send(pack(Kind.JOB, "job-1", body))
    evaluator.expect(Kind.REFUSED)
    assert evaluator.run("1").output == b"1"


def test_a_refusal_is_logged_in_the_words_of_the_official_worker(start: Any) -> None:
    child = start("handler = print")
    child.ready()
    child.send(pack(Kind.JOB, "job-1", b'{"id": "job-1"}'))
    child.expect(Kind.REFUSED)
    text = "Failed to get job. | Error Type: Exception | Error Message: Job has missing field(s): id or input."
    assert child.logged("input.\n") == f"{text}\n"


def test_with_more_than_one_at_once_the_fields_are_not_checked(start: Any) -> None:
    source = "import runpod\nrunpod.serverless.start({'handler': lambda job: job, 'concurrency_modifier': lambda c: 2})"
    child = start(source)
    child.ready()
    child.send(pack(Kind.JOB, "job-1", b'{"id": "job-1"}'))
    assert child.done().output == b'{"id": "job-1"}'


def test_stopping_one_job_leaves_its_siblings_alone(start: Any) -> None:
    child = start(ASYNC)
    child.ready()
    for name in ("a", "b"):
        child.expect(Kind.PROGRESS, child.job("wait", name))
    child.stop("a")
    child.expect(Kind.STOPPED, "a")
    assert child.run("x", "c").output == b'"x"'
    child.stop("b")
    child.expect(Kind.STOPPED, "b")


def test_a_stop_that_comes_with_its_job_is_heard(start: Any) -> None:
    child = start(ASYNC)
    child.ready()
    child.send(pack(Kind.JOB, "a", b'{"id": "a", "input": "wait"}'), pack(Kind.STOP, "a"), pack(Kind.STOP, "nobody"))
    child.expect(Kind.PROGRESS, "a")
    child.expect(Kind.STOPPED, "a")


@pytest.mark.parametrize(("asked", "key"), [("swallow", "output"), ("fail", "error")])
def test_a_handler_that_will_not_be_stopped_reports_as_ever(start: Any, asked: str, key: str) -> None:
    child = start(ASYNC)
    child.ready()
    child.expect(Kind.PROGRESS, child.job(asked))
    child.stop("job-1")
    report = child.done()
    assert {"output": report.output, "error": report.error}[key] is not None


def test_a_handler_that_cancels_itself_is_lost_and_the_worker_goes_on(start: Any) -> None:
    child = start(ASYNC)
    child.ready()
    child.job("cancel")
    told = json.loads(child.expect(Kind.LOST))
    assert told == {"reason": "asyncio.CancelledError left the handler, and nobody stopped the job", "leaves": False}
    assert child.run("x").output == b'"x"'


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_stream_can_be_stopped_between_its_chunks(start: Any, kind: str) -> None:
    child = start(
        f"""
        import itertools

        {kind} handler(job):
            try:
                for n in itertools.count():
                    yield n
            finally:
                print("cleaned up")
        """
    )
    child.ready()
    child.job()
    child.expect(Kind.CHUNK)
    child.stop("job-1")
    while (frame := child.next()).kind is Kind.CHUNK:
        pass
    assert frame.kind is Kind.STOPPED
    child.told("<job-1>cleaned up\n")


def test_progress_comes_from_any_thread_and_before_what_follows(start: Any) -> None:
    child = start(
        """
        import threading
        import runpod

        def handler(job):
            value = {"step": 1}
            runpod.serverless.progress_update(job, value)
            value["step"] = 2
            thread = threading.Thread(target=runpod.serverless.progress_update, args=(job, value))
            thread.start()
            thread.join()
            runpod.serverless.progress_update(job=job, progress="ä")
            runpod.serverless.progress_update(job, {1, 2})
            runpod.serverless.progress_update({"id": "other"}, None)

        runpod.serverless.start({"handler": handler})
        """
    )
    child.ready()
    child.job()
    assert [child.expect(Kind.PROGRESS) for _ in range(3)] == [b'{"step": 1}', b'{"step": 2}', '"ä"'.encode()]
    assert child.expect(Kind.PROGRESS, "other") == b"null"
    assert child.done().output == b"null"
    assert "The handler's progress update is not JSON: TypeError" in child.logged("ignored")


def test_large_jobs_and_results(start: Any) -> None:
    child = start("def handler(job):\n    return job['input']")
    child.ready()
    text = "ä" * 10_000_000
    assert child.run(text).output == f'"{text}"'.encode()


def test_many_jobs_in_a_row(evaluator: Any) -> None:
    for n in range(500):
        evaluator.job(str(n), f"job-{n}")
    for n in range(500):
        assert evaluator.done(f"job-{n}").output == str(n).encode()


def test_refresh_of_both_forms(start: Any) -> None:
    child = start("def handler(job):\n    return {'refresh_worker': job['input'], 'a': 1}")
    child.ready()
    assert child.run(True) == Result(b'{"a": 1}', None, True)
    assert child.run(False) == Result(b'{"a": 1}', None, False)
    child = start("import runpod\nrunpod.serverless.start({'handler': lambda job: 1, 'refresh_worker': True})")
    child.ready()
    assert child.run() == Result(b"1", None, True)


def test_the_setting_is_read_anew_for_each_job(start: Any) -> None:
    child = start(
        """
        import runpod

        def handler(job):
            config["handler"] = lambda job: "the other one"

        config = {"handler": handler}
        runpod.serverless.start(config)
        """
    )
    child.ready()
    assert child.run().output == b"null"
    assert child.run().output == b'"the other one"'


def test_the_handler_runs_within_the_loop_on_the_main_thread(evaluator: Any) -> None:
    assert evaluator.run("asyncio.get_running_loop().is_running()").output == b"true"
    report = evaluator.run("asyncio.run(later(1))")
    assert "asyncio.run() cannot be called from a running event loop" in report.error
    assert evaluator.run("__import__('threading').current_thread().name").output == b'"MainThread"'
    assert evaluator.run("later(3)").output == b"3"


def test_a_second_start_is_refused(evaluator: Any) -> None:
    report = evaluator.run("runpod.serverless.start({'handler': print})")
    assert json.loads(report.error)["error_message"] == "runpod.serverless.start was called a second time."
    report = evaluator.run("asyncio.to_thread(runpod.serverless.start, {'handler': print})")
    assert json.loads(report.error)["error_message"] == "runpod.serverless.start was called a second time."


def test_a_raised_error_is_logged(evaluator: Any) -> None:
    report = evaluator.run("fail(KeyError('a secret'))", "job-raised")
    text = json.loads(report.error)["error_traceback"]
    assert "runner" not in text
    assert "in handler" in text
    assert "\nKeyError: 'a secret'" in evaluator.logged("KeyError: 'a secret'\n")


def test_another_event_loop(start: Any) -> None:
    pytest.importorskip("uvloop")
    child = start("import uvloop\nuvloop.install()\nasync def handler(job):\n    return job['input']")
    child.ready()
    text = "x" * 3_000_000
    child.job(text, "a")
    child.job(text, "b")
    for name in ("a", "b"):
        assert unpack_result(child.expect(Kind.DONE, name)).output == f'"{text}"'.encode()


@pytest.mark.parametrize(
    ("source", "cooperative"),
    [
        ("def handler(job): return 1", False),
        ("def handler(job): yield 1", False),
        ("async def handler(job): return 1", True),
        ("async def handler(job): yield 1", True),
        ("class Handler:\n    async def __call__(self, job): return 1\nhandler = Handler()", True),
    ],
)
def test_ready_tells_whether_a_stop_can_reach_the_handler(start: Any, source: str, cooperative: bool) -> None:
    assert start(source).ready()["cooperative"] is cooperative
