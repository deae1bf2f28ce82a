"""Commands whose workers have a network of their own, with a way to the server."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.workers.runner import isolation
from runpod_emulator.workers.runner.isolation import GATE

from tests.compat.servers import LIMIT
from tests.config.given import plans, refusal
from tests.workers import programs
from tests.workers.programs import Host, client
from tests.workers.runner.conftest import RUNNER

host = programs.host

linux = pytest.mark.skipif(sys.platform != "linux", reason="namespaces of Linux")


def enter(then: str, runner: str = RUNNER) -> subprocess.CompletedProcess[str]:
    """Run a program of Python in a network of its own."""
    ours, theirs = socket.socketpair()
    words = ("--isolate", str(theirs.fileno()), "--program", sys.executable, "-I", "-S", "-c", then)
    with ours, theirs:
        return subprocess.run(
            [sys.executable, "-I", "-S", runner, *words],
            capture_output=True, text=True, timeout=LIMIT, pass_fds=(theirs.fileno(),),
        )  # fmt: skip


def may_isolate() -> bool:
    """Whether this user may make a network namespace here."""
    return sys.platform == "linux" and enter("").returncode == 0


isolating = pytest.mark.skipif(not may_isolate(), reason="this user may make no network namespace")

# The namespace

SHOW = """
import os, socket
own = socket.create_server(("127.0.0.1", 8000))
print(sorted(name for _, name in socket.if_nameindex()), os.getuid())
"""


@isolating
def test_it_has_a_loopback_alone_and_the_user_is_the_same() -> None:
    done = enter(SHOW)
    assert done.stdout == f"['lo'] {os.getuid()}\n", done.stderr


@linux
def test_who_may_not_is_told_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(isolation, "_unshare", refuse)
    with pytest.raises(SystemExit) as told:
        isolation.enter(-1)
    assert "may make no network namespace (Operation not permitted)" in str(told.value)
    assert "give each worker ports of its own with {port}" in str(told.value)


def changed_runner(folder: Path, line: str, instead: str) -> Path:
    """A copy of the runner in which one line of its isolation is another."""
    copy = folder / "changed_runner"
    shutil.copytree(RUNNER, copy)
    text = (copy / "isolation.py").read_text()
    assert text.count(line) == 1
    (copy / "isolation.py").write_text(text.replace(line, instead))
    return copy


@isolating
def test_who_may_make_no_network_makes_a_user_namespace_with_it(tmp_path: Path) -> None:
    """Root is refused once, as another user would be."""
    runner = changed_runner(tmp_path, "        _unshare(_NEW_NETWORK)\n", "        raise PermissionError\n")
    done = enter(SHOW + "print(open('/proc/self/uid_map').read().split())", runner=str(runner))
    if "may make no network namespace" in done.stderr:
        pytest.skip("nobody may make a user namespace here")
    uid = str(os.getuid())
    assert done.stdout == f"['lo'] {uid}\n{[uid, uid, '1']}\n", done.stderr


# Live

GREEDY = f"""
import socket
listeners = [socket.create_server(("127.0.0.1", port)) for port in (8188, int(os.environ["TAKEN"]))]
assert ":{GATE}/" in TAKE
serve()
"""


@isolating
@pytest.mark.compat
def test_workers_that_want_the_same_ports_serve_side_by_side(host: Host, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = host(GREEDY, workers_max=2, isolate="network", environment={"TAKEN": port}).ready()
        here = client(server)
        jobs = [here.submit(f"wait_for('gate') or ME + 'x' * {size}") for size in (1, 1_000_000)]
        for job in jobs:
            here.runs(job)
        (tmp_path / "gate").touch()
        first, second = (here.ended(job)["output"] for job in jobs)
        assert len(second) > 1_000_000 and first[:14] != second[:14]
        server.stop()


@isolating
@pytest.mark.compat
def test_nothing_else_is_reached_from_there(host: Host) -> None:
    server = host(isolate="network").ready()
    reach = "__import__('socket').socket().connect_ex(('{}', {}))"
    assert client(server).output(reach.format("127.0.0.1", server.server.port)) == errno.ECONNREFUSED
    assert client(server).output(reach.format("1.1.1.1", 80)) == errno.ENETUNREACH


@linux
@pytest.mark.compat
def test_a_start_that_may_not_isolate_is_refused_with_the_reason(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner whose system call always fails stands for a system that forbids it."""
    runner = changed_runner(tmp_path, "    import ctypes\n", "    raise PermissionError(1, 'no')\n")
    monkeypatch.setattr("runpod_emulator.workers.child.RUNNER", runner)
    server = host(isolate="network")
    with pytest.raises(ConfigurationError, match=r"this user may make no network namespace \(no\)"):
        server.ready()


# Told


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with a handler."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "h.py").touch()
    return tmp_path


@linux
@pytest.mark.usefixtures("folder")
def test_only_commands_are_isolated(caplog: pytest.LogCaptureFixture) -> None:
    found = plans("h.py", "--command", "c=true", "--endpoint", "elsewhere", "--isolate", "network")
    assert {name: plan.isolated for name, plan in found.items()} == {"h": False, "c": True, "elsewhere": False}
    assert caplog.messages == ["endpoint h: --isolate is for commands, so its workers share this machine's network"]


@linux
def test_a_table_of_something_else_may_not_ask_for_it(folder: Path) -> None:
    (folder / "runpod-emulator.toml").write_text("[endpoints.h]\nhandler = 'h.py'\nisolate = 'network'\n")
    said = "runpod-emulator.toml:3: isolate: this is for commands that speak the worker protocol only"
    assert refusal() == said


@pytest.mark.usefixtures("folder")
def test_elsewhere_than_on_linux_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    said = "--isolate: isolate: only Linux has networks for single processes"
    assert refusal("--command", "c=true", "--isolate", "network") == said
