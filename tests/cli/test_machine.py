"""What is wrong with the machine is one line, and no traceback; closed descriptors are no matter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.servers import HANDLERS, LIMIT, SOURCE, until

GONE = "runpod-emulator: the working directory is gone: go to one that is there\n"
FEW = "runpod-emulator: only 12 files may be open at once (ulimit -n), at least 64 are needed\n"


def after(first: str, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of ours in a shell that has done something first."""
    words = ["sh", "-c", f'{first}; exec "{sys.executable}" -m runpod_emulator {command} --mock m --port 0']
    environment = {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)


@pytest.mark.parametrize(
    ("first", "told"), [("mkdir x && cd x && rmdir ../x", GONE), ("ulimit -n 12", FEW)], ids=["directory", "files"]
)
@pytest.mark.parametrize("command", ["serve", "config"])
def test_what_is_missing_is_told_in_a_line(tmp_path: Path, command: str, first: str, told: str) -> None:
    done = after(first, command, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_few_descriptors_are_told_of(tmp_path: Path) -> None:
    done = after("ulimit -n 100", "config", tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("runpod-emulator: only 100 files may be open at once (ulimit -n): connections above")


@pytest.mark.compat
def test_without_any_descriptor_workers_work(tmp_path: Path) -> None:
    handler = HANDLERS / "echo.py"
    words = (
        f'exec "{sys.executable}" -m runpod_emulator serve "{handler}" --command "far={sys.executable} -u {handler}"'
    )
    server = subprocess.Popen(
        ["sh", "-c", f"{words} --port 0 --port-file port <&- >&- 2>&-"], cwd=tmp_path, env={"PYTHONPATH": str(SOURCE)}
    )
    try:
        until((tmp_path / "port").exists)
        port = (tmp_path / "port").read_text()
        for endpoint in ("echo", "far"):
            call = f"runpod.Endpoint({endpoint!r}).run_sync({{'input': {{'a': 1}}}})"
            ask = f"import runpod; runpod.api_key = 'k'; print({call})"
            asked = subprocess.run(
                [sys.executable, "-c", ask], env={"RUNPOD_ENDPOINT_BASE_URL": f"http://127.0.0.1:{port}/v2"},
                capture_output=True, text=True, timeout=LIMIT,
            )  # fmt: skip
            assert asked.stdout == "{'a': 1}\n", asked.stderr
    finally:
        server.terminate()
        assert server.wait(LIMIT) == 0
