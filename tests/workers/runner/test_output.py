"""The log: each line of a job says whose it is."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.workers.runner.jobs import Jobs
from runpod_emulator.workers.runner.output import WorkerOutput


class Written:
    """What came of writes, each by its author: what the log holds, and what was told of jobs."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, takes: bool = True) -> None:
        self.jobs = Jobs()
        self._file = folder / "log"
        self._patch = patch
        self._takes = takes
        self._told: list[str] = []
        self.stream = WorkerOutput(self._file.open("wb", buffering=0), self.jobs, self._tell)  # type: ignore[arg-type]

    def _tell(self, job: str, text: bytes) -> bool:
        if self._takes:
            self._told.append(f"<{job}>{text.decode()}")
        return self._takes

    def write(self, *writes: tuple[str, str], flush: bool = False) -> None:
        for author, text in writes:
            self._patch.setattr(self.jobs, "current", lambda author=author: author)
            assert self.stream.write(text) == len(text)
            if flush:
                self.stream.flush()

    @property
    def told(self) -> str:
        self._patch.setattr(self.jobs, "current", lambda: "")
        self.stream.flush()
        return "".join(self._told)

    @property
    def log(self) -> str:
        assert self.told is not None
        return self._file.read_text()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    return Written(tmp_path, monkeypatch)


PIECES = {
    "lines": ([("a", "one\ntwo\n")], "<a>one\ntwo\n", ""),
    "a line in pieces": ([("a", "o"), ("a", ""), ("a", "ne"), ("a", "\n"), ("a", "two\n")], "<a>one\n<a>two\n", ""),
    "no job": ([("", "one\n"), ("a", "three\n"), ("", "four")], "<a>three\n", "one\nfour"),
    "lines of two in pieces": (
        [("a", "o"), ("b", "t"), ("", "x"), ("a", "ne\n"), ("b", "wo\n")],
        "<a>one\n<b>two\n",
        "x",
    ),
    "a long line": (
        [("a", "-" * 9000), ("b", "two\n"), ("a", "one\n")],
        f"<a>{'-' * 9000}<b>two\n<a>one\n",
        "",
    ),
    "a progress bar": ([("a", "10%\r"), ("a", "20%\r"), ("a", "\n")], "<a>10%\r<a>20%\r<a>\n", ""),
}


@pytest.mark.parametrize("case", PIECES)
def test_what_overlapping_jobs_print_is_told_with_their_names(written: Written, case: str) -> None:
    writes, told, log = PIECES[case]
    written.write(*writes)
    assert (written.told, written.log) == (told, log)


async def test_what_a_job_by_itself_prints_is_the_log(written: Written) -> None:
    written.jobs.tasks["a"] = asyncio.ensure_future(asyncio.sleep(0))  # type: ignore[assignment]
    written.write(("a", "one\n"), ("a", "\x1eb\x1ftwo\n"), ("", "x"), ("a", "three"))
    assert (written.told, written.log) == ("", "one\n\x1eb\x1ftwo\nx\nthree")


async def test_what_a_job_prints_after_its_end_is_told_with_its_name(written: Written) -> None:
    written.jobs.tasks["b"] = asyncio.ensure_future(asyncio.sleep(0))  # type: ignore[assignment]
    written.write(("a", "late\n"), ("b", "now\n"))
    assert (written.told, written.log) == ("<a>late\n", "now\n")


async def test_a_worker_that_has_had_jobs_at_once_tells_of_each(written: Written) -> None:
    written.jobs.overlap = True
    written.jobs.tasks["a"] = asyncio.ensure_future(asyncio.sleep(0))  # type: ignore[assignment]
    written.write(("a", "one\n"))
    assert (written.told, written.log) == ("<a>one\n", "")


def test_flushed_pieces_are_told(written: Written) -> None:
    written.write(("a", "one"), ("a", " two"), ("b", "three"), ("b", " four\n"), flush=True)
    assert written.told == "<a>one<a> two<b>three<b> four\n"


def test_where_the_server_cannot_be_told_it_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(tmp_path, monkeypatch, takes=False)
    written.write(("a", "one\n"), ("b", "two\n"))
    assert (written.told, written.log) == ("", "one\ntwo\n")


def test_what_the_handler_leads_elsewhere_goes_there(written: Written, tmp_path: Path) -> None:
    with (tmp_path / "elsewhere").open("wb") as elsewhere:
        os.dup2(elsewhere.fileno(), written.stream.fileno())
    written.write(("a", "one\n"), ("b", "two\n"))
    assert (written.told, written.log) == ("", "")
    assert (tmp_path / "elsewhere").read_text() == "one\ntwo\n"


def test_only_text_is_text() -> None:
    stream = WorkerOutput(io.BytesIO(), Jobs(), lambda job, text: False)
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
    lines = [
        "printed", "in two lines", "an error", "WARNING:root:a warning", "from a thread",
        "original 12", "ä", "no endfrom a thread, no end",
    ]  # fmt: skip
    raw = ["a subprocess", "raw", "bytes"]
    child.logged("thread, no end")
    assert sorted(child.log.split("\n")) == sorted([*lines, *raw, "loading"])
    child.run(id="b")
    child.logged("no end\nprinted")
    assert child.printed == ""


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
            assert f"<{name}>{text} {name}\n" in child.told(f"{text} {name}\n")
        assert f"in a thread of {name}\n" in child.logged(f"in a thread of {name}\n")


def test_unbuffered_python(start: Any) -> None:
    import sys

    child = start("def handler(job):\n    print('x', end='')", python=(sys.executable, "-u"))
    child.ready()
    child.run()
    assert child.logged("x") == "x"


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
