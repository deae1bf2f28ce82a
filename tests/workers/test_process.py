"""One worker process: what becomes of its jobs, and how it starts."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.jobs.job import JobStatus, Transition
from runpod_emulator.workers.child import RUNNER

from tests.workers.conftest import ALONE, Opener, until
from tests.workers.processes import alive


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator")


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
    assert any("strip_empty_input=keep" in text and empty in text for text in caplog.messages)
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
    shop = await workshop("def handler(job):\n    return job['input'] == {}\n", platform={"strip_empty_input": "keep"})
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


async def test_a_result_over_the_limit_is_dropped_and_a_line_of_the_job_says_so(workshop: Opener) -> None:
    shop = await workshop(platform={"run_result_limit": 1_000})
    job = await shop.ended(await shop.do("'x' * 998"))
    assert (job.status, len(job.output)) == (JobStatus.COMPLETED, 1_000)
    job = await shop.ended(await shop.do("'x' * 999"))
    assert (job.status, job.output, job.error) == (JobStatus.COMPLETED, None, None)
    (line,) = shop.emulator.lines
    assert (line.job, line.level, line.text[:34]) == (job.id, "warning", "the result is above 1000 bytes: Ru")


async def test_a_result_over_the_limit_fails_by_the_documentation(workshop: Opener) -> None:
    shop = await workshop(platform={"run_result_limit": 1_000, "oversized_result": "failed"})
    job = await shop.ended(await shop.do("'x' * 999"))
    assert (job.status, job.output) == (JobStatus.FAILED, None)
    assert job.error == "result too large: more than 1000 bytes"


UNSENDABLE = {
    "{1, 2}": "set is not JSON serializable",
    "b'bytes'": "bytes is not JSON serializable",
    "(number for number in 'abc')": "to stream, use yield in the handler itself",
    "{(1, 2): 3}": "keys must be str",
    "chr(0xd800)": "surrogates not allowed",
    "(_ for _ in ()).throw(GeneratorExit)": "GeneratorExit left the handler",
}


async def test_a_result_that_cannot_be_sent_is_lost_and_the_log_says_what_that_means(
    workshop: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop(settings={"workers_min": 1, "workers_max": 1})
    first = await shop.pid()
    for value, reason in UNSENDABLE.items():
        job = await shop.do(value)
        for attempt, then in enumerate(("it is tried once more", "it fails")):
            said = f"when its lease of 40 s has run out, {then} (--set unsendable_result=fail fails it at once)"
            await until(lambda said=said, reason=reason, job=job: any(
                job in text and reason in text and said in text for text in caplog.messages))  # fmt: skip
            shown = await shop.endpoint.status(job)
            assert (shown.status, shown.retries) == (JobStatus.IN_PROGRESS, attempt)
            assert await shop.pid() == first, "the worker is free"
            await shop.skip(40_000)
        shown = await shop.endpoint.status(job)
        assert (shown.status, shown.error) == (JobStatus.FAILED, "job timed out after 1 retries")


async def test_a_result_that_cannot_be_sent_fails_at_once_where_that_is_wanted(workshop: Opener) -> None:
    shop = await workshop(settings=ALONE, platform={"unsendable_result": "fail"})
    first = await shop.pid()
    for value, reason in UNSENDABLE.items():
        job = await shop.ended(await shop.do(value))
        assert (job.status, job.output, job.retries) == (JobStatus.FAILED, None, 0)
        assert reason in job.error
    assert await shop.pid() == first


async def test_an_empty_input_fails_at_once_where_that_is_wanted(workshop: Opener) -> None:
    shop = await workshop(platform={"strip_empty_input": "fail"})
    job = await shop.ended((await shop.endpoint.submit(Submission(b"{}"))).id)
    assert (job.status, job.retries) == (JobStatus.FAILED, 0)
    assert job.error == "the worker took no job without an input, and an empty one is removed"


@pytest.mark.parametrize("value", ["float('nan')", "[float('-inf')]"])
async def test_a_number_that_json_does_not_have_is_refused_as_the_service_refuses_it(
    workshop: Opener, value: str
) -> None:
    shop = await workshop(settings=ALONE)
    job = await shop.ended(await shop.do(value))
    assert (job.status, job.output, job.retries) == (JobStatus.FAILED, None, 0)
    assert job.error == "the worker's result is not JSON: it holds NaN or Infinity"


# Starting


async def test_an_interpreter_that_is_missing(workshop: Opener) -> None:
    shop = await workshop(started=False, python="/nonexistent/python")
    with pytest.raises(ConfigurationError, match=r"/nonexistent/python could not be started: .*No such file") as caught:
        await shop.emulator.endpoints.start()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("program", ["ls", "cat", "sh"])
async def test_an_interpreter_that_is_no_python(workshop: Opener, program: str) -> None:
    shop = await workshop(started=False, python=str(shutil.which(program)))
    with pytest.raises(ConfigurationError, match=rf"--python .*{program} is no Python interpreter$"):
        await shop.emulator.endpoints.start()


OLD = f"""#!{sys.executable}
import runpy, sys
sys.version_info, sys.version, sys.argv = (2, 7, 18), "2.7.18 (default)", sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


async def test_an_interpreter_that_is_too_old(workshop: Opener, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text(OLD)
    old.chmod(0o755)
    shop = await workshop(started=False, python=str(old))
    with pytest.raises(ConfigurationError, match=r"A worker process needs Python 3.8 or newer; .* is 2.7.18\.\n"):
        await shop.emulator.endpoints.start()


def test_a_python_that_is_too_old_can_read_what_tells_it_so() -> None:
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.arg, ast.AsyncFunctionDef, ast.Starred)
    tree = ast.parse((RUNNER / "__main__.py").read_text())
    assert [node for node in ast.walk(tree) if isinstance(node, newer)] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("import nothing_of_this_name", "-m pip install nothing-of-this-name, or --python PATH for one that has it"),
        ("def handler(job:", "SyntaxError"),
        ("import os\nos._exit(9)", "the worker exited with code 9"),
        ("print('last words')\nimport os\nos.kill(os.getpid(), 9)", "last words\nthe worker was killed by SIGKILL"),
        ("raise SystemExit('not today')", "not today"),
        ("answer = 42", "ended without calling runpod.serverless.start, and it defines no function named handler"),
    ],
    ids=["import", "remedy", "syntax", "exit", "killed", "SystemExit", "no handler"],
)
async def test_a_handler_that_cannot_be_loaded_says_why(workshop: Opener, source: str, words: str) -> None:
    shop = await workshop(source, started=False)
    with pytest.raises(ConfigurationError, match=re.escape(words)) as caught:
        await shop.emulator.endpoints.start()
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("handler ")
    if words.startswith(("Mod", "Syn")):
        assert "handler.py" in str(caught.value) and "runpod_emulator/workers" not in str(caught.value)


async def test_it_never_holds_more_jobs_than_it_asked_for(workshop: Opener) -> None:
    shop = await workshop(
        """
        import asyncio, runpod

        async def handler(job):
            await asyncio.sleep(job["input"]["seconds"])

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda now: 2})
        """,
        settings=ALONE,
    )
    await shop.ended(await shop.submit({"seconds": 0}))
    (worker,) = shop.endpoint.fleet.workers.values()
    await until(lambda: worker.concurrency == 2 and not worker.jobs)
    first = await shop.submit({"seconds": 0.2})
    await until(lambda: worker.jobs)
    report, most = shop.endpoint.work.report, 0

    async def report_and_submit(job_id: str, event: Any) -> bool:
        # Two clients hand jobs in just before the worker's report is read: its lane is awake for one slot.
        for _ in range(2 if job_id == first else 0):
            await shop.submit({"seconds": 30})
        return await report(job_id, event)

    def noted(transition: Transition) -> None:
        nonlocal most
        most = max(most, len(worker.jobs))

    shop.endpoint.work.report = report_and_submit
    shop.emulator.store.news.transitions.append(noted)
    await shop.ended(first)
    await until(lambda: len(worker.jobs) == 2)
    await shop.submit({"seconds": 30})
    await shop.skip(1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert most == len(worker.jobs) == 2
    assert (await shop.endpoint.health()).queued == 1
