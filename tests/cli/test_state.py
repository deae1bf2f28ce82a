"""`serve --state FILE` as its users run it: it ends in every way there is, and the next one goes on."""

from __future__ import annotations

import json
import signal
import stat
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.servers import SOURCE, Command, until
from tests.gates import PASS, Gate

HANDLER = f"""
import runpod

def handler(job):
    if job["input"].get("waits"):
        {PASS.format("job['input']['waits']")}
    return {{"done": job["input"]}}

runpod.serverless.start({{"handler": handler}})
"""
QUICK = """
from runpod_emulator.server import keeper
from runpod_emulator.cli.main import main

keeper.EVERY = 0.05  # as if each minute had passed
main()
"""
"""The command, with saves in quick succession."""
ALONE = ("serve", "h.py", "--state", "state.json", "--workers-max", "1", "--port", "0")


class Servers:
    """Servers in one folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "h.py").write_text(textwrap.dedent(HANDLER))
        (folder / "quick.py").write_text(QUICK)
        self._started: list[Command] = []

    def start(self, *arguments: str, quick: bool = False) -> Command:
        """One that is ready."""
        return self.begin(*arguments, quick=quick).ready()

    def begin(self, *arguments: str, quick: bool = False) -> Command:
        """One of which nobody knows yet whether it starts."""
        program = ("quick.py",) if quick else ("-m", "runpod_emulator")
        command = Command(*(arguments or ALONE), cwd=self.folder, program=program, PYTHONPATH=str(SOURCE))
        self._started.append(command)
        return command

    def saved(self) -> dict[str, str]:
        """The jobs in the file, and their states."""
        try:
            (world,) = json.loads((self.folder / "state.json").read_bytes())["worlds"]
        except FileNotFoundError:
            return {}
        return {row[1]: row[2] for row in world["jobs"]}

    def close(self) -> None:
        """Leave none behind."""
        for one in self._started:
            one.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    one = Servers(tmp_path)
    yield one
    one.close()


def run(server: Command, **given: Any) -> str:
    answer = server.http.post("/h/run", json={"input": given})
    assert answer.status_code == 200
    return str(answer.json()["id"])


def status(server: Command, job: str) -> dict[str, Any]:
    told: dict[str, Any] = server.http.get(f"/h/status/{job}").json()
    return told


def health(server: Command) -> dict[str, int]:
    counts: dict[str, int] = server.http.get("/h/health").json()["jobs"]
    return counts


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_next_server_goes_on_however_this_one_ends(servers: Servers, gate: Gate, sign: signal.Signals) -> None:
    first = servers.start(quick=sign is signal.SIGKILL)
    done = run(first, n=0)
    until(lambda: status(first, done)["status"] == "COMPLETED")
    runs = run(first, waits=str(gate), n=1)
    until(lambda: status(first, runs)["status"] == "IN_PROGRESS")
    waiting = [run(first, n=number) for number in (2, 3, 4)]
    if sign is signal.SIGKILL:
        states = {done: "COMPLETED", runs: "IN_PROGRESS", **dict.fromkeys(waiting, "IN_QUEUE")}
        until(lambda: servers.saved() == states)
        assert first.stop(sign) == -signal.SIGKILL
    else:
        assert first.stop(sign) == 0
        assert "Stopping: 4 jobs kept in state.json" in first.out.whole()
    assert stat.S_IMODE((servers.folder / "state.json").stat().st_mode) == 0o600

    second = servers.start()
    assert "5 jobs are back from state.json, of which 1 ran and lost its worker" in second.err.text
    assert status(second, done)["output"] == {"done": {"n": 0}}
    until(lambda: status(second, runs)["status"] == "IN_PROGRESS")
    assert health(second) == {"completed": 1, "failed": 0, "inProgress": 1, "inQueue": 3, "retried": 1}
    assert {status(second, job)["status"] for job in waiting} == {"IN_QUEUE"}
    assert run(second, n=5) not in {done, runs, *waiting}
    gate.open()
    until(lambda: health(second)["completed"] == 6)
    told = second.http.get(f"{second.root_url}/__emulator/timeline").json()["jobs"]
    events = {one["id"]: [(event, retries) for _, event, _, _, retries in one["moments"]] for one in told}
    assert events[done] == [("Submitted", 0), ("Taken", 0), ("Completed", 0)]
    assert events[runs] == [("Submitted", 0), ("Taken", 0), ("Requeued", 1), ("Taken", 1), ("Completed", 1)]
    ends = [next(at for at, event, *_ in one["moments"] if event == "Completed") for one in told]
    order = [one["id"] for _, one in sorted(zip(ends, told, strict=True), key=lambda pair: pair[0])]
    assert order[:5] == [done, runs, *waiting]


def test_dev_keeps_its_jobs_too(servers: Servers, gate: Gate) -> None:
    arguments = ("dev", *ALONE[1:])
    first = servers.start(*arguments)
    job = run(first, waits=str(gate))
    until(lambda: status(first, job)["status"] == "IN_PROGRESS")
    assert first.stop() == 0
    gate.open()
    second = servers.start(*arguments)
    until(lambda: status(second, job)["status"] == "COMPLETED")
    assert second.stop() == 0


def test_a_second_server_with_the_same_file_does_not_start(servers: Servers) -> None:
    first = servers.start()
    second = servers.begin()
    assert second.code() == 2
    told = f"--state state.json: another server (process {first.process.pid}) uses it: give this one another"
    assert told in second.err.whole()
    assert first.stop() == 0
    assert not (servers.folder / "state.json.lock").exists()


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        ('{"format":"runpod-emulator state","version":7}', "state.json", "its version is 7"),
        ("", "nowhere/state.json", "--state nowhere/state.json: No such file or directory"),
        ("", ".", "--state .: it is no plain file"),
    ],
)
def test_what_cannot_be_used_ends_the_start(servers: Servers, text: str, path: str, told: str) -> None:
    (servers.folder / "state.json").write_text(text)
    one = servers.begin(*ALONE[:3], path, *ALONE[4:])
    assert one.code() == 2
    assert told in one.err.whole()
    assert (servers.folder / "state.json").read_text() == text


def test_a_broken_file_is_kept_aside_and_the_server_starts(servers: Servers) -> None:
    (servers.folder / "state.json").write_text('{"format": "runpod-emu')
    one = servers.start()
    (aside,) = servers.folder.glob("state.json.broken-*")
    assert f"It is kept as {aside.name}, and nothing was loaded" in one.err.text
    assert servers.saved() == {}
    assert one.stop() == 0


def test_run_uses_no_file_of_a_server(servers: Servers) -> None:
    (servers.folder / "runpod-emulator.toml").write_text('[server]\nstate = "state.json"\n')
    one = servers.begin("run", "h.py", '{"n": 1}')
    assert one.code() == 0
    assert json.loads(one.out.whole()) == {"done": {"n": 1}}
    assert not (servers.folder / "state.json").exists()
