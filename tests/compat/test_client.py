"""The client as a command: in a terminal, in a pipe, beside servers that come and go, and against one of the SDK's."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import HANDLERS, LIMIT, Command, Starter, commands, until

pytestmark = pytest.mark.compat


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    (folder / "run").mkdir()
    return folder


@pytest.fixture(scope="module")
def start(folder: Path) -> Iterator[Starter]:
    with commands(folder) as start:
        yield start


@pytest.fixture(scope="module")
def server(start: Starter, folder: Path) -> Command:
    """The one server that this machine's clients find."""
    handlers = [HANDLERS / f"{name}.py" for name in ("progress", "tokens", "failing")]
    return start("serve", *handlers, "--port", 0, XDG_RUNTIME_DIR=str(folder / "run")).ready()


def client(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with commands(folder) as start:
        command = start(*words, XDG_RUNTIME_DIR=str(folder / "run"), **environment)
        return subprocess.CompletedProcess(words, command.code(), command.out.whole(), command.err.whole())


def in_terminal(folder: Path, *words: str, **environment: str) -> tuple[int, str]:
    """The exit code of a command that a terminal of 100 columns shows, and what is shown."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    told = {**clean, "XDG_RUNTIME_DIR": str(folder / "run"), "TERM": "xterm-256color", **environment}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "runpod_emulator", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=told
    )
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + LIMIT
    try:
        while select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
            shown += os.read(ours, 65_536)
        process.kill()
        raise AssertionError(f"it did not end: {shown!r}")
    except OSError:  # nobody has the terminal any more
        pass
    finally:
        os.close(ours)
    return process.wait(LIMIT), shown.decode()


def test_a_line_moves_in_a_terminal(server: Command, folder: Path) -> None:
    code, shown = in_terminal(folder, "submit", "progress", "steps=2", "--follow")
    assert code == 0
    assert re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏].*progress \w{8} .*IN_PROGRESS", shown)
    assert "━━━" in shown
    after = shown.rpartition("\x1b[2K")[2]
    assert re.sub(r"\x1b\[[0-9;]*m", "", after).startswith('{\r\n  "steps": 2\r\n}\r\nprogress ')


def test_without_colours_a_terminal_gets_none(server: Command, folder: Path) -> None:
    _, shown = in_terminal(folder, "jobs", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3\dm", shown)


def test_a_stream_is_written_as_text_in_a_terminal(server: Command, folder: Path) -> None:
    code, shown = in_terminal(folder, "submit", "tokens", "text=one two", "--stream")
    assert code == 0
    assert "one two\r\ntokens " in shown


def test_a_pipe_gets_the_output_alone(server: Command, folder: Path) -> None:
    done = client(folder, "submit", "progress", "steps=2", "--follow", FORCE_COLOR="1")
    assert (done.returncode, done.stdout) == (0, '{"steps": 2}\n')
    assert "\x1b" not in done.stderr
    assert "IN_PROGRESS" in done.stderr


def test_whoever_stops_reading_is_no_error_of_ours(server: Command, folder: Path) -> None:
    script = f'"{sys.executable}" -m runpod_emulator jobs -n 1000 | true'
    told = {**os.environ, "XDG_RUNTIME_DIR": str(folder / "run")}
    done = subprocess.run(["bash", "-c", script], env=told, capture_output=True, text=True, timeout=LIMIT)
    assert "Traceback" not in done.stderr


def test_ctrl_c_leaves_the_job_alone(server: Command, folder: Path, start: Starter) -> None:
    command = start("submit", "progress", "steps=60", "--follow", XDG_RUNTIME_DIR=str(folder / "run"))
    command.err.line("IN_PROGRESS")
    assert command.stop(signal.SIGINT) == 130
    said = command.err.whole()
    assert "The job goes on." in said
    assert "Traceback" not in said
    name = re.search(r"runpod-emulator cancel (\S+)", said)
    assert name is not None
    assert client(folder, "cancel", name[1]).returncode == 0
    assert client(folder, "status", name[1]).returncode == 4


def test_the_file_of_a_server_comes_and_goes(start: Starter, tmp_path: Path) -> None:
    runtime = tmp_path / "runpod-emulator"

    def files() -> list[Path]:
        return list(runtime.glob("*.json"))

    killed = start("serve", "--mock", "llm", "--port", 0, XDG_RUNTIME_DIR=str(tmp_path)).ready()
    assert len(files()) == 1
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    (stale,) = files()
    with commands(tmp_path) as own:
        alone = own("health", XDG_RUNTIME_DIR=str(tmp_path), RUNPOD_ENDPOINT_BASE_URL="http://127.0.0.1:1/v2")
        assert alone.code() == 3
        server = own("serve", "--mock", "llm", "--port", 0, XDG_RUNTIME_DIR=str(tmp_path)).ready()
        assert len(files()) == 1
        assert files() != [stale]
        health = own("health", XDG_RUNTIME_DIR=str(tmp_path))
        assert health.code() == 0, health.err.whole()
        assert health.out.whole().splitlines()[1].startswith("llm ")
        assert server.stop() == 0
    assert files() == []


@pytest.fixture
def local_server(tmp_path: Path) -> Iterator[str]:
    """The server that the SDK starts for a handler by itself, which is not the service's API: its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    handler = tmp_path / "echo_handler.py"
    handler.write_text("import runpod\nrunpod.serverless.start({'handler': lambda job: job['input']})\n")
    words = [sys.executable, str(handler), "--rp_serve_api", "--rp_api_port", str(port)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    server = subprocess.Popen(words, cwd=tmp_path, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(LIMIT)


def test_against_the_local_server_of_the_sdk(local_server: str, folder: Path) -> None:
    submit = client(folder, "submit", "echo", "a=1", "--sync", "--url", local_server)
    assert submit.returncode == 1
    assert submit.stderr == f"runpod-emulator: {local_server}/v2/echo/runsync answered 404: Not Found\n"
    jobs = client(folder, "jobs", "--url", local_server)
    assert jobs.returncode == 3
    assert jobs.stderr == f"runpod-emulator: only an emulator can be asked that, and there is none at {local_server}\n"


def test_what_happens_is_followed_until_the_server_stops(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import runpod\n\n\ndef handler(job):\n    print('heard', job['input']['a'])\n    return 1\n\n\n"
        "runpod.serverless.start({'handler': handler})\n"
    )
    told = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with commands(tmp_path) as start:
        server = start("serve", "noisy.py", "--port", 0, **told).ready()
        assert server.http.post("/noisy/runsync", json={"input": {"a": "before"}}).json()["status"] == "COMPLETED"
        logs, jobs, requests = (start(name, "--follow", **told) for name in ("logs", "jobs", "requests"))
        for follower in (logs, jobs, requests):
            follower.out.line("noisy")  # what was there; from now on it listens
        job = server.http.post("/noisy/run", json={"input": {"a": "after"}}).json()["id"]
        assert re.fullmatch(rf"\d\d:\d\d:\d\d noisy#1 {job[:8]} │ heard after", logs.out.line("heard after"))
        assert f" noisy/{job[:8]} COMPLETED" in jobs.out.line(f"{job[:8]} COMPLETED")
        assert " POST /v2/noisy/run 200 " in requests.out.line("/noisy/run 200")
        assert logs.stop(signal.SIGINT) == 0
        assert server.stop() == 0
        assert [one.code() for one in (jobs, requests)] == [3, 3]
        assert "The server has stopped." in jobs.err.whole()
        assert logs.out.text.count("heard before") == 1
