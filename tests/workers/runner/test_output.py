"""The log: each line of a job says whose it is."""

from __future__ import annotations

import io
from typing import Any

import pytest

from emulator.workers.runner.jobs import Jobs
from emulator.workers.runner.output import MarkedOutput


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Perform writes, each by its author, and return the bytes."""

    def perform(*writes: tuple[str, str]) -> str:
        jobs = Jobs()
        buffer = io.BytesIO()
        stream = MarkedOutput(buffer, jobs)
        for author, text in writes:
            monkeypatch.setattr(jobs, "current", lambda author=author: author)
            assert stream.write(text) == len(text)
        monkeypatch.setattr(jobs, "current", lambda: "")
        stream.flush()
        return buffer.getvalue().decode().replace("\x1e", "<").replace("\x1f", ">")

    return perform


def test_lines_are_marked(written: Any) -> None:
    assert written(("a", "one\ntwo\n")) == "<a>one\n<a>two\n"


def test_a_line_in_pieces_is_marked_once(written: Any) -> None:
    assert written(("a", "o"), ("a", ""), ("a", "ne"), ("a", "\n"), ("a", "two\n")) == "<a>one\n<a>two\n"


def test_without_a_job_there_is_no_mark(written: Any) -> None:
    assert written(("", "one\ntwo\n"), ("a", "three\n"), ("", "four")) == "one\ntwo\n<a>three\nfour"


def test_pieces_of_lines_are_put_together(written: Any) -> None:
    assert written(("a", "o"), ("b", "t"), ("", "x"), ("a", "ne\n"), ("b", "wo\n")) == "<a>one\n<b>two\nx"


def test_a_long_line_does_not_wait_for_its_end(written: Any) -> None:
    long = "-" * 9000
    assert written(("a", long), ("b", "two\n"), ("a", "one\n")) == f"<a>{long}\n<b>two\n<a>one\n"


def test_flushed_pieces_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, buffer = Jobs(), io.BytesIO()
    stream = MarkedOutput(buffer, jobs)
    for author, text in ("a", "one"), ("a", " two"), ("b", "three"), ("b", " four\n"):
        monkeypatch.setattr(jobs, "current", lambda author=author: author)
        stream.write(text)
        stream.flush()
    assert buffer.getvalue() == b"\x1ea\x1fone two\n\x1eb\x1fthree four\n"


def test_a_progress_bar_stays_one_line(written: Any) -> None:
    assert written(("a", "10%\r"), ("a", "20%\r"), ("a", "\n")) == "<a>10%\r20%\r\n"


def test_only_text_is_text() -> None:
    stream = MarkedOutput(io.BytesIO(), Jobs())
    with pytest.raises(TypeError, match="must be str, not bytes"):
        stream.write(b"x")  # type: ignore[arg-type]


def test_every_way_to_write(start: Any) -> None:
    child = start(
        """
        import asyncio, logging, os, subprocess, sys, threading
        import runpod

        print("loading")

        def handler(job):
            print("printed\\nin two lines")
            sys.stderr.write("an error\\n")
            logging.warning("a warning")
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()
            subprocess.run(["echo", "a subprocess"], check=True)
            os.write(1, b"raw\\n")
            sys.stdout.buffer.write(b"bytes\\n")
            sys.__stdout__.write("original " + str(sys.stdout.fileno()) + str(sys.stderr.fileno()) + "\\n")
            print("ä")
            print("no end", end="")
            unfinished = threading.Thread(target=print, args=("from a thread, no end",), kwargs={"end": ""})
            unfinished.start()
            unfinished.join()

        runpod.serverless.start({"handler": handler})
        """
    )
    child.ready()
    child.run(id="a")
    child.run(id="b")
    lines = [
        "printed", "in two lines", "an error", "WARNING:root:a warning", "from a thread",
        "original 12", "ä", "no endfrom a thread, no end",
    ]  # fmt: skip
    raw = ["a subprocess", "raw", "bytes"]
    expected = {f"\x1e{job}\x1f{line}" for job in "ab" for line in lines} | set(raw) | {"loading"}
    child.logged("\x1eb\x1fno endfrom a thread, no end")
    found = child.log.split("\n")
    assert set(found) == expected
    assert len(found) == 2 * (len(lines) + len(raw)) + 1


def test_jobs_that_overlap_keep_their_lines_apart(start: Any) -> None:
    child = start(
        """
        import asyncio, threading
        import runpod

        both = []

        async def handler(job):
            both.append(asyncio.Event())
            if len(both) == 2:
                for event in both:
                    event.set()
            await both[-1].wait()
            print("in the task of", job["id"])
            await asyncio.to_thread(print, "with the context of", job["id"])
            await asyncio.create_task(inner(job["id"]))
            thread = threading.Thread(target=print, args=("in a thread of", job["id"]))
            thread.start()
            thread.join()
            both.pop()
            while both:
                await asyncio.sleep(0)

        async def inner(name):
            print("in a task within", name)

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 2})
        """
    )
    child.ready()
    child.job(id="a")
    child.job(id="b")
    assert {child.next().job, child.next().job} == {"a", "b"}
    for name in "ab":
        for text in ("in the task of", "with the context of", "in a task within"):
            assert f"\x1e{name}\x1f{text} {name}\n" in child.logged(f"{text} {name}\n")
        assert f"\nin a thread of {name}\n" in child.log


def test_unbuffered_python(start: Any) -> None:
    import sys

    child = start("def handler(job):\n    print('x', end='')", python=(sys.executable, "-u"))
    child.ready()
    child.run()
    assert child.logged("x") == "\x1ejob-1\x1fx"


@pytest.mark.parametrize(
    "spoils", ["sys.stdout.close()", "os.close(1)", "sys.stdout = object()", "sys.stdout = open(os.devnull)"]
)
def test_a_handler_that_spoils_its_output_ends_the_worker_without_a_report(start: Any, spoils: str) -> None:
    """The official worker logs each step there."""
    child = start(f"import os, sys\ndef handler(job):\n    {spoils}\n    sys.stderr = None\n    return 1")
    child.ready()
    child.job()
    assert child.wait() != 0
    assert child.frames == []


@pytest.mark.parametrize(
    ("level", "ends", "reports"),
    [("DEBUG", True, False), ("INFO", True, True), ("ERROR", False, True), ("NOTSET", False, True)],
)
def test_at_the_level_of_the_log_that_is_not_printed_it_does_not(
    start: Any, level: str, ends: bool, reports: bool
) -> None:
    child = start("import sys\ndef handler(job):\n    sys.stdout.close()\n    return 1", RUNPOD_LOG_LEVEL=level)
    child.ready()
    child.job()
    if reports:
        assert child.done().output == b"1"
    if ends:
        assert child.wait() == 1
    else:
        assert child.run().output == b"1"


def test_a_level_that_is_none_ends_the_worker_at_the_start(start: Any) -> None:
    told = start("def handler(job):\n    return 1", RUNPOD_LOG_LEVEL="loud").broken()
    assert "ValueError: Invalid debug level: LOUD" in told


def test_what_the_output_cannot_hold_raises_as_it_does_in_python(start: Any) -> None:
    child = start("import sys\ndef handler(job):\n    sys.stderr.write('\\ud800')\n    print('\\ud800')")
    child.ready()
    assert "UnicodeEncodeError" in child.run().error
