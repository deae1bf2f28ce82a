"""run, test and init, as somebody meets them who tries a handler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import HANDLERS, LIMIT, SOURCE, Starter, commands

pytestmark = pytest.mark.compat

ECHO, FAILING, TOKENS = (str(HANDLERS / f"{name}.py") for name in ("echo", "failing", "tokens"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    with commands(tmp_path) as start:
        yield start


def done(folder: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """A command that has ended, with what it was given on standard input."""
    return subprocess.run(
        [sys.executable, "-m", "runpod_emulator", *words], cwd=folder, capture_output=True, text=True, timeout=LIMIT,
        input=given, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "given", "code", "out", "err"),
    [
        ((ECHO,), "", 0, '{"message": "hello"}\n', 'Input: {"message": "hello"}'),
        ((ECHO, "a=1", "b=two"), "", 0, '{"a": 1, "b": "two"}\n', "COMPLETED"),
        ((ECHO, "--input", "-"), '{"input": {"from": "\x9b\u200b"}}', 0, '{"from": "\\u009b\\u200b"}\n', ""),
        ((TOKENS, "text=a b", "delay=0"), "", 0, '"a "\n"b"\n', ""),
        ((FAILING, "mode=raise", "message=oh"), "", 1, "", "runpod-emulator: FAILED: <class 'RuntimeError'> oh\n"),
        ((ECHO, "{}"), "", 1, "", "FAILED: "),
        ((ECHO, "a=1", "--input", "@gone"), "", 2, "", "runpod-emulator: input @gone: write JSON"),
        (("gone.py",), "", 2, "", "there is no file gone.py"),
        ((str(HANDLERS),), "", 2, "", "name one handler, not "),
    ],
)
def test_run_prints_the_output_alone_and_exits_as_the_job_ended(
    tmp_path: Path, words: tuple[str, ...], given: str, code: int, out: str, err: str
) -> None:
    ended = done(tmp_path, "run", *words, given=given)
    assert (ended.returncode, ended.stdout) == (code, out), ended.stderr
    assert err in ended.stderr
    assert "Traceback" not in ended.stderr or code == 1


def test_run_ends_with_what_was_done_to_its_job(start: Starter, tmp_path: Path) -> None:
    slow = "import time\ndef handler(job):\n    print('runs', flush=True)\n    time.sleep(60)\n"
    (tmp_path / "slow.py").write_text(slow)
    policy = '{"input": {"a": 1}, "policy": {"executionTimeout": 5000}}'
    late = start("run", "slow.py", policy, "--set", "execution_timeout_end=timed_out")
    left = start("run", "slow.py", "a=1")
    left.err.line("runs")
    assert left.stop(signal.SIGINT) == 4
    assert "CANCELLED" in left.err.whole()
    assert (late.code(), late.out.whole()) == (5, "")
    assert "runpod-emulator: TIMED_OUT" in late.err.whole()
    assert not late.processes() | left.processes()


def test_a_hub_file_is_played_and_reported(tmp_path: Path) -> None:
    (tmp_path / ".runpod").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "rp_handler.py").write_text(textwrap.dedent("""
        import os, time

        def handler(job):
            asked = job["input"]
            time.sleep(asked.get("sleep", 0))
            return {"error": "told so"} if asked.get("fails") else os.environ["MODEL"]
    """))  # fmt: skip
    tests = [
        {"name": "good", "input": {"a": 1}, "expected": "tiny"},
        {"name": "other", "input": {"a": 1}, "expected": "large"},
        {"name": "bad", "input": {"fails": True}},
        {"name": "slow", "input": {"sleep": 20}, "timeout": 300},
    ]
    config = {"env": [{"key": "MODEL", "value": "tiny"}]}
    (tmp_path / ".runpod" / "tests.json").write_text("// mine\n" + json.dumps({"tests": tests, "config": config}))
    all_of_them = done(tmp_path, "test", "--junit", "r.xml")
    assert all_of_them.returncode == 1
    assert "1 passed, 3 failed" in all_of_them.stdout
    for part in ('output is "tiny", not "large"', "it is FAILED, not COMPLETED: told so", "it had not ended in 0.3 s"):
        assert part in all_of_them.stdout
    cases = {case.get("name"): len(case) for case in xml.parse(tmp_path / "r.xml").iter("testcase")}
    assert cases == {"good": 0, "other": 1, "bad": 1, "slow": 1}
    chosen = done(tmp_path, "test", "-k", "goo")
    assert (chosen.returncode, "1 passed, 0 failed" in chosen.stdout) == (0, True), chosen.stdout
    for judge, code in (("harness", 1), ("documented", 0)):
        assert done(tmp_path, "test", "-k", "[ob][ta]*", "--judge", judge).returncode == code, judge


def test_a_file_of_the_test_runner_starts_the_handler_with_its_arguments(tmp_path: Path) -> None:
    hardware = {"templateConfig": {"dockerArgs": "python3 -u /handler.py --generator --return_aggregate_stream"}}
    tests = [
        {"input": {"mock_return": [1, 2]}, "output": [1, 2], "hardwareConfig": hardware},
        {"id": "plain", "input": {"mock_return": "x"}, "expected_output": {"status": "COMPLETED"}},
    ]
    (tmp_path / "tests.json").write_text(json.dumps(tests))
    ended = done(tmp_path, "test", "tests.json", "--handler", str(HANDLERS / "mock_worker.py"))
    assert "2 passed, 0 failed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 0


def test_what_init_makes_is_green_at_once(tmp_path: Path) -> None:
    assert done(tmp_path, "init", "mine").returncode == 0
    folder = tmp_path / "mine"
    hub = done(folder, "test")
    assert (hub.returncode, "1 passed, 0 failed" in hub.stdout) == (0, True), hub.stdout + hub.stderr
    own = done(folder, "exec", "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_handler.py")
    assert (own.returncode, "2 passed" in own.stdout) == (0, True), own.stdout + own.stderr
    ran = done(folder, "run", "handler.py")
    assert (ran.returncode, ran.stdout) == (0, '{"greeting": "Hello, World!"}\n')
