"""What a worker process prints, in the log of the server."""

from __future__ import annotations

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from runpod_emulator.core.jobs.job import JobStatus

from tests.compat.servers import commands
from tests.workers.conftest import ALONE, DO, Opener, until
from tests.workers.logged import printed, told


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator")


async def test_a_printed_line_names_endpoint_worker_and_job(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[print('out'), print('two\\nlines'), print('err', file=sys.stderr)]"))
    where = f"ep/{job.worker}/{job.id} | "
    expected = {where + word for word in ("out", "two", "lines", "err")}
    await until(lambda: expected <= set(printed(caplog)))


async def test_a_line_from_below_python_names_endpoint_and_worker(
    workshop: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[os.system('echo shell'), os.write(1, b'raw\\n')]"))
    for word in ("shell", "raw"):
        line = re.compile(rf"ep/{job.worker}(/{job.id})? \| {word}")
        await until(lambda line=line: any(map(line.fullmatch, printed(caplog))))


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
    await until(lambda: expected <= set(printed(caplog)))


async def test_a_traceback_is_in_the_log(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("1 / 0"))
    last = f"ep/{job.worker}/{job.id} | ZeroDivisionError: division by zero"
    await until(lambda: last in printed(caplog))


async def test_megabytes_of_prints_harm_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[print('x' * 1_000) for _ in range(3_000)] and 'done'"))
    assert job.output == b'"done"'
    line = f"ep/{job.worker}/{job.id} | {'x' * 1_000}"
    await until(lambda: printed(caplog).count(line) == 3_000)


async def test_a_line_of_megabytes_harms_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("sys.stdout.write('x' * 4_000_000) and print() or 'done'"))
    assert job.output == b'"done"'
    where = f"ep/{job.worker}/{job.id} | "
    lines = [line.removeprefix(where) for line in printed(caplog) if line.startswith(where)]
    assert "".join(lines) == "x" * 4_000_000
    assert {len(line) for line in lines[:-1]} == {64 * 1024}


SAME_LINE = "sys.stderr.write('a'), sys.stderr.flush(), print('b')"
FORGED = {
    "marks": (r"print('\x1eother\x1f2026-01-01 12:00:00 INFO FAKE')", ["other2026-01-01 12:00:00 INFO FAKE"]),
    "both streams": (SAME_LINE, ["ab"]),
    "both and below": ("[print('a', end='', flush=True), os.write(1, b'b'), os.write(2, b'c\\n')]", ["abc"]),
    "carriage return": (r"print('real\r2026-01-01 12:00:00 INFO FAKE')", ["real", "2026-01-01 12:00:00 INFO FAKE"]),
    "windows": (r"print('one\r\ntwo\r')", ["one", "two"]),
    "separators": (r"print('a\u2028b\x85c\x0bd')", ["abcd"]),
    "escapes": (r"print('\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m\x1bc\x9b1mend\tof it')", ["red1mend\tof it"]),
    "direction": (r"print('a\u202eb\u2066')", ["ab"]),
    "invalid": (r"os.write(1, b'caf\xe9 \xff\n')", [r"caf\xe9 \xff"]),
    "nothing to see": (r"print('\x1b[2K') or print() or print('end')", ["", "end"]),
}


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("prints", FORGED)
async def test_nothing_that_a_handler_prints_forges_a_line(
    workshop: Opener, caplog: pytest.LogCaptureFixture, prints: str, at_once: int
) -> None:
    expression, expected = FORGED[prints]
    shop = await workshop(DO.replace("})", f', "concurrency_modifier": lambda n: {at_once}}})'), settings=ALONE)
    await shop.ended(await shop.do("1"))
    caplog.clear()
    job = await shop.ended(await shop.do(f"[{expression}] and 1"))
    where = f"ep/{job.worker}/{job.id} | "
    lines = [line.removeprefix(where) for line in printed(caplog)]
    if at_once == 2 and prints == "both and below":  # what Python prints comes by another way
        assert sorted(lines) == ["a", "bc"]
    else:
        assert lines == expected
    colours = [record.coloured for record in caplog.records if hasattr(record, "coloured")]
    assert colours == (["\x1b[31mred\x1b[0m1mend\tof it\x1b[0m"] if prints == "escapes" else [])


async def test_a_job_cannot_print_in_the_name_of_another(
    workshop: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two jobs at once, which print to both streams, to the descriptors and through a shell, in pieces."""
    shop = await workshop(MIXED, settings=ALONE)
    jobs = {name: await shop.submit({"name": name}) for name in ("ann", "bob")}
    ended = [await shop.ended(job) for job in jobs.values()]
    assert [job.output for job in ended] == [b"1", b"1"]
    lines = [line.partition(" | ") for line in printed(caplog)]
    assert not any("\x1e" in line or "\x1f" in line for _, _, line in lines)
    for name, job in jobs.items():
        own = [line for where, _, line in lines if where.endswith(f"/{job}")]
        assert "".join(own).count(name) >= 40
        assert not [line for line in own if {"ann": "bob", "bob": "ann"}[name] in line and "raw" not in line]


async def test_binary_output_harms_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("os.write(1, bytes(range(256)) * 100 + b'\\nend\\n')"))
    assert job.output == b"25605"
    await until(lambda: f"ep/{job.worker}/{job.id} | end" in printed(caplog))


async def test_closed_descriptors_harm_nothing_but_the_worker_that_logs_there(workshop: Opener) -> None:
    shop = await workshop(settings=ALONE)
    first = await shop.pid()
    assert await shop.output(await shop.do("[os.close(fd) for fd in (0, 2)] and 'done'")) == "done"
    assert await shop.pid() == first
    lost = await shop.ended(await shop.do("os.close(1)"))
    assert (lost.status, lost.retries) == (JobStatus.FAILED, 1)
    assert await shop.output(await shop.do("'again'")) == "again"


MIXED = """
    import asyncio, os, sys
    import runpod

    together = asyncio.Event()
    began = 0


    async def handler(job):
        global began
        name = job["input"]["name"]
        began += 1
        if began == 2:
            together.set()
        await together.wait()
        for number in range(20):
            print(f"\\x1e{name}\\x1f", name, end="")
            sys.stderr.write(name)
            sys.stderr.flush()
            os.write(1, b"raw of " + name.encode())
            print()
            await asyncio.sleep(0)
            os.system(f"echo raw, shell of {name}")
        return 1

    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda n: 2})
"""

# The end of a job comes after what it printed

PRINTS = {
    "lines": ("[print(number) for number in range(2_000)]", 2_000),
    "an unfinished line": ("[print('a'), print('b', end='')]", 2),
    "a child's lines": ("subprocess.run(['sh', '-c', 'echo a; echo b >&2'])", 2),
    "an error": ("[print('a'), 1 / 0]", 2),
    "a result that is lost": ("[print('a'), print('b'), {1}][2]", 2),
}


@pytest.mark.parametrize("prints", PRINTS)
async def test_the_end_of_a_job_is_logged_after_all_that_it_printed(
    workshop: Opener, caplog: pytest.LogCaptureFixture, prints: str
) -> None:
    expression, least = PRINTS[prints]
    shop = await workshop(settings=ALONE, platform={"unsendable_result": "fail"})
    for _ in range(10):
        caplog.clear()
        job = await shop.submit({"do": f"str({expression})" if prints != "a result that is lost" else expression})
        ended = await shop.ended(job)
        lines = told(caplog)
        (end,) = (at for at, line in enumerate(lines) if line.startswith(f"ep/{job} "))
        before = [at for at, line in enumerate(lines) if line.startswith(f"ep/{ended.worker}/{job} | ")]
        assert len(before) >= least and max(before) < end
    await shop.do("print('next')")
    await until(lambda: any(line.endswith(" | next") for line in printed(caplog)))
    assert not any(line.endswith(" | ") for line in printed(caplog))


async def test_what_a_grandchild_goes_on_to_print_holds_up_no_end(
    workshop: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop(settings=ALONE)
    job = await shop.ended(await shop.do("subprocess.Popen(['yes', 'y' * 2_000]).pid > 0"))
    assert job.output == b"true"
    for _ in range(20):
        assert await shop.output(await shop.do("1")) == 1
    assert sum(line.startswith(f"ep/{job.id} COMPLETED") for line in told(caplog)) == 1


def test_a_live_server_logs_the_end_of_each_job_after_what_it_printed(tmp_path: Path) -> None:
    (tmp_path / "ep.py").write_text(
        "import os\nimport runpod\n\n\ndef handler(job):\n    print('a')\n    print('b')\n    os.system('echo c')\n\n\n"
        "runpod.serverless.start({'handler': handler})\n"
    )
    with commands(tmp_path) as start:
        here = start(
            "serve", "ep.py", "--port", 0, "--workers-max", 2, "--no-rate-limits", "--log-format", "json"
        ).ready()
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(here.http.post, "/ep/runsync", json={"input": {"a": 1}}) for _ in range(200)]
            jobs = {answer.result().json()["id"] for answer in asked}
        assert here.stop() == 0
        lines = [json.loads(line) for line in here.err.whole().splitlines()]
    ends = {line["job"]: at for at, line in enumerate(lines) if line["event"] == "ended"}
    said = [(at, line["job"]) for at, line in enumerate(lines) if line["event"] == "printed" and "job" in line]
    assert ends.keys() == jobs and len(said) >= 400
    assert [lines[at] for at, job in said if at > ends[job]] == []
