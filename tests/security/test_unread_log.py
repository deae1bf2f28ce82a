"""A log that nobody reads, a log that is flooded, and output that cannot be written to: the server goes on."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compat.servers import LIMIT, SOURCE, Command, Starter, until
from tests.plain import PLAIN
from tests.timing import expect_within, timed

pytestmark = pytest.mark.compat

NOISY = """
import os, sys, threading, time
import runpod

def handler(job):
    return eval(job["input"]["do"])

def flood(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sys.stdout.write("a line of the flood\\n" * 100)

runpod.serverless.start({"handler": handler})
"""


class Unread:
    """`serve`, whose output goes where the test says."""

    def __init__(self, folder: Path, *options: str, errors: int) -> None:
        (folder / "h.py").write_text(NOISY)
        self.port_file = folder / "port"
        words = ["serve", "h.py", "--port", "0", "--port-file", str(self.port_file), "--no-rate-limits", *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runpod_emulator", *words], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, "PYTHONPATH": str(SOURCE)},
            start_new_session=True,
        )  # fmt: skip
        until(self.port_file.exists)
        url = f"http://127.0.0.1:{self.port_file.read_text()}/v2/h"
        self.http = httpx.Client(base_url=url, headers={"Authorization": "k"}, timeout=LIMIT, **PLAIN)

    def run(self, expression: str) -> dict[str, object]:
        answer = self.http.post("/runsync", json={"input": {"do": expression}})
        return dict(answer.json())

    def stop(self) -> float:
        """End it, which must go well; returns the seconds that it took."""
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(LIMIT) == 0
        return time.monotonic() - began

    def close(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()


def read_until(reader: int, pattern: bytes) -> re.Match[bytes]:
    """Read a log up to what is to come in it; a line has at most 2,000 bytes."""
    rest, deadline = b"", time.monotonic() + LIMIT
    while not (found := re.search(pattern, rest)):
        assert select.select([reader], [], [], max(0, deadline - time.monotonic()))[0], rest
        rest = rest[-2_000:] + os.read(reader, 1 << 16)
    return found


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("options", [(), ("--log-level", "debug")])
def test_a_log_that_nobody_reads_stops_nothing_and_says_later_what_is_missing(
    tmp_path: Path, pipe: tuple[int, int], options: tuple[str, ...]
) -> None:
    server = Unread(tmp_path, *options, errors=pipe[1])
    try:
        for number in range(2_000):
            body = {"input": {"do": "print('y' * 1000)"}, "webhook": f"http://127.0.0.1:9/{number}"}
            assert server.http.post("/run", json=body).status_code == 200
        assert server.run("[print('x' * 1000) for _ in range(3000)] and 'still here'")["output"] == "still here"
        until(lambda: server.http.get("/health").json()["jobs"]["inProgress"] == 0)
        dropped = read_until(pipe[0], rb"WARNING (\d+) lines of the log were dropped: nobody read them\n")
        assert int(dropped[1]) > 1_000
        server.run("print('and on')")
        read_until(pipe[0], rb" \xe2\x94\x82 and on\n")
        assert server.stop() < 5
    finally:
        server.close()


def test_at_the_end_it_waits_a_second_for_who_does_not_read(tmp_path: Path, pipe: tuple[int, int]) -> None:
    server = Unread(tmp_path, errors=pipe[1])
    try:
        server.run("[print('x' * 1000) for _ in range(300)]")
        assert server.stop() < 5
    finally:
        server.close()


def test_what_a_reader_waits_for_is_whole_at_the_end(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "h.py").write_text(NOISY)
    server = start("serve", "h.py", "--port", 0).ready()
    server.http.post("/h/runsync", json={"input": {"do": "[print(f'line {n}') for n in range(20_000)] and 1"}})
    assert server.stop() == 0
    lines = server.err.whole().splitlines()
    where = re.compile(r".* INFO +h#1 \w{4} │ line (\d+)")
    assert [int(found[1]) for line in lines if (found := where.fullmatch(line))] == list(range(20_000))


def test_a_server_that_is_killed_has_written_its_last_lines(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "h.py").write_text(NOISY)
    server = start("serve", "h.py", "--port", 0).ready()
    answer = server.http.post("/h/runsync", json={"input": {"do": "print('last words')"}}).json()
    server.process.kill()
    log = server.err.whole()
    job = answer["id"].removeprefix("sync-")[:4]
    assert f" h#1 {job} │ last words\n" in log and f" h#1 {job} COMPLETED" in log


def memory(process: int) -> int:
    """MB that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


@timed
@pytest.mark.parametrize("at_once", [1, 2])
def test_megabytes_without_a_line_break_cost_no_memory_and_nobodys_time(
    tmp_path: Path, pipe: tuple[int, int], at_once: int
) -> None:
    server = Unread(tmp_path, "--concurrency", str(at_once), "--keep-bytes", "1048576", errors=pipe[1])
    try:
        assert server.run("'ready'")["output"] == "ready"
        before = memory(server.process.pid)
        job = server.http.post("/run", json={"input": {"do": "[sys.stdout.write('x' * 10**6) for _ in range(200)][0]"}})
        slowest, most = 0.0, 0
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            began = time.monotonic()
            state = server.http.get(f"/status/{job.json()['id']}").json()["status"]
            slowest, most = max(slowest, time.monotonic() - began), max(most, memory(server.process.pid))
            if state not in ("IN_QUEUE", "IN_PROGRESS"):
                break
        assert state == "COMPLETED"
        assert most - before < 40
        expect_within(slowest, 0.5)
        assert server.stop() < 5
    finally:
        server.close()


@timed
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_flood_of_lines_holds_up_nobody_else(tmp_path: Path, at_once: int) -> None:
    server = Unread(tmp_path, "--concurrency", str(at_once), "--workers-max", "2", errors=subprocess.DEVNULL)
    try:
        assert server.run("'ready'")["output"] == "ready"
        job = server.http.post("/run", json={"input": {"do": "flood(3)"}}).json()["id"]
        times, deadline = [], time.monotonic() + LIMIT
        while server.http.get(f"/status/{job}").json()["status"] in ("IN_QUEUE", "IN_PROGRESS"):
            assert time.monotonic() < deadline, "the flood goes on"
            began = time.monotonic()
            assert server.http.get("/health").status_code == 200
            times.append(time.monotonic() - began)
        times.sort()
        assert len(times) > 20
        expect_within(times[len(times) // 2], 0.1)
        assert server.http.get(f"/status/{job}").json()["status"] == "COMPLETED"
    finally:
        server.close()


COMMANDS = {
    "serve": ("serve", "--mock", "m", "--port", "0"),
    "dev": ("dev", "--mock", "m", "--port", "0"),
    "config": ("config", "--mock", "m"),
    "fields": ("fields",),
    "worker-env": ("worker-env", "m", "--worker-key", "k"),
    "help": ("--help",),
    "help of serve": ("serve", "--help"),
    "version": ("--version",),
}
ENDS = {
    "gone": ("", 1, ""),
    "full": ("1>/dev/full", 1, "runpod-emulator: standard output cannot be written to: No space left on device\n"),
    "closed": ("1>&-", 0, ""),
    "errors gone": ("", 0, None),
    "errors full": ("2>/dev/full", 0, ""),
    "errors closed": ("2>&-", 0, ""),
}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_is_gone_full_or_closed_ends_no_command_in_a_traceback(
    tmp_path: Path, command: str, ends: str
) -> None:
    """A server goes on where it can tell where it is, or nobody wants to know."""
    where, code, told = ENDS[ends]
    reader, gone = os.pipe()
    os.close(reader)
    serves = command in ("serve", "dev") and code == 0
    words = [sys.executable, "-m", "runpod_emulator", *COMMANDS[command]]
    if serves:
        words += ["--port-file", "port"]
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {where}', "sh", *words], cwd=tmp_path, stdin=subprocess.DEVNULL, text=True,
        stdout=gone if ends == "gone" else subprocess.PIPE, stderr=gone if ends == "errors gone" else subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    os.close(gone)
    if serves:
        until((tmp_path / "port").exists)
        url = f"http://127.0.0.1:{(tmp_path / 'port').read_text()}/__emulator/ready"
        assert httpx.get(url, **PLAIN).status_code == 200
        process.terminate()
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == code
    assert errors == told
    assert not (tmp_path / "port").exists()


def test_a_reader_of_the_banner_that_leaves_ends_serve_without_a_word(tmp_path: Path) -> None:
    """`serve | true`."""
    command = f"'{sys.executable}' -m runpod_emulator serve --mock m --port 0 | true"
    ended = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def ended(command: Command) -> tuple[int, str]:
    return command.code(), command.err.whole()


def test_a_port_file_on_a_full_disk_is_one_line_and_leaves_nothing(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1")
    limited = f"ulimit -f 0; exec '{sys.executable}' -m runpod_emulator serve --mock m --port 0 --port-file port"
    full = subprocess.run(
        ["sh", "-c", limited], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert (full.returncode, full.stderr) == (2, "runpod-emulator: --port-file port: File too large\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [("missing.py",), ("--set", "no=1"), ("--stubs", "none.yaml"), ("--workers-max", "-1")]
)
def test_a_stale_port_file_is_gone_whatever_fails(start: Starter, tmp_path: Path, wrong: tuple[str, ...]) -> None:
    (tmp_path / "port").write_text("1")
    code, errors = ended(start("serve", "--mock", "m", "--port", 0, "--port-file", "port", *wrong))
    assert (code, errors.count("\n")) == (2, 1)
    assert not (tmp_path / "port").exists()


def test_the_port_file_goes_at_the_end_unless_it_is_anothers(start: Starter, tmp_path: Path) -> None:
    path = tmp_path / "port"
    first = start("serve", "--mock", "m", "--port", 0, "--port-file", "port").ready()
    until(path.exists)
    second = start("serve", "--mock", "m", "--port", 0, "--port-file", "port").ready()
    until(path.exists)
    assert first.stop() == 0
    assert path.read_text() == second.base_url.rpartition(":")[2].removesuffix("/v2")
    assert second.stop() == 0
    assert not path.exists()
