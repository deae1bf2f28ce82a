"""A server with `--state`: what it loads, when it saves, and what it does when it can't."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.mocking.models import Stub
from runpod_emulator.server import keeper
from runpod_emulator.server.server import Server
from runpod_emulator.server.state_file import StateFile
from runpod_emulator.world.snapshot_json import snapshots_in

from tests.compat.servers import LIMIT
from tests.waits import turns, until

JOB = Submission(b'{"a":1}')
Opener = Callable[..., Server]


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opener]:
    """Servers that keep their worlds in `state.json`, stopped at the end."""
    monkeypatch.chdir(tmp_path)
    opened: list[Server] = []

    def open_one(**settings: Any) -> Server:
        usual = {"port": 0, "endpoint": ["far"], "state": Path("state.json"), "config": os.devnull}
        opened.append(Server(read_settings(**{**usual, **settings})))
        return opened[-1]

    yield open_one
    for one in opened:
        if not one.is_closed:
            await asyncio.wait_for(one.stop(), LIMIT)


async def submitted(one: Server, namespace: str = "", endpoint: str = "far") -> str:
    world = one.worlds.named(namespace) if namespace else one.emulator
    return (await world.endpoints.queue(endpoint).submit(JOB)).id


def saved() -> list[tuple[str, list[str]]]:
    """The namespaces in the file, and the jobs of each."""
    found = snapshots_in(Path("state.json").read_bytes())
    return [(one.namespace, [job.id for shelf in one.store.shelves for job in shelf.jobs]) for one in found]


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


async def test_every_namespace_comes_back(server: Opener) -> None:
    one = server()
    await one.start()
    jobs = {name: await submitted(one, name) for name in ("", "w2", "w3")}
    one.worlds.named("empty")
    await one.stop()
    assert saved() == [(name, [job]) for name, job in jobs.items()]
    two = server()
    await two.start()
    assert two.worlds.names == ["w2", "w3"]
    for name, job in jobs.items():
        world = two.worlds.named(name) if name else two.emulator
        assert await world.store.queued("far") == [job]


async def test_a_namespace_that_is_a_key_comes_back_too(server: Opener) -> None:
    one = server(namespaces="key")
    await one.start()
    job = await submitted(one, "rpa_TENANT")
    await one.stop()
    two = server(namespaces="key")
    await two.start()
    assert await two.worlds.of("", "rpa_TENANT").store.queued("far") == [job]


async def test_what_has_changed_is_saved_each_minute_and_nothing_else(
    server: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keeper.EVERY == 60.0
    monkeypatch.setattr(keeper, "EVERY", 0.01)
    writes = 0
    write = StateFile.write

    def counted(file: StateFile, pieces: Iterable[bytes]) -> None:
        nonlocal writes
        writes += 1
        write(file, pieces)

    monkeypatch.setattr(StateFile, "write", counted)
    one = server()
    await one.start()
    assert writes == 1
    job = await submitted(one)
    await until(lambda: saved() == [("", [job])])
    await turns()
    assert writes == 2
    await one.stop()
    assert writes == 3


async def test_a_save_that_fails_is_told_once_and_the_next_one_may_be_better(
    server: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator")
    monkeypatch.setattr(keeper, "EVERY", 0.01)
    one = server()
    await one.start()
    attempts = 0

    def full(file: StateFile, pieces: Iterable[bytes]) -> None:
        nonlocal attempts
        attempts += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "write", full)
        job = await submitted(one)
        await until(lambda: attempts > 3)
        assert saved() == [("", [])]
    await until(lambda: any("saved again" in record.getMessage() for record in caplog.records))
    assert saved() == [("", [job])]
    told = [record.getMessage() for record in caplog.records if "--state" in record.getMessage()]
    problem = "--state state.json: No space left on device: the file is as it was, and the next save may be better"
    assert told == [problem, "--state state.json: saved again"]


async def test_a_disk_that_is_full_at_the_start_ends_it(server: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: StateFile, pieces: Iterable[bytes]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(StateFile, "write", full)
    one = server()
    with pytest.raises(ConfigurationError, match=r"^--state state\.json: No space left on device$"):
        await one.start()
    await one.stop()
    assert list(Path.cwd().iterdir()) == []


async def test_two_servers_do_not_share_a_file_and_the_second_gives_its_port_back(server: Opener) -> None:
    one = server()
    with pytest.raises(ConfigurationError, match=r"another server \(process \d+\) uses it"):
        server()
    await one.start()
    await one.stop()
    two = server(port=one.port)
    await two.start()


async def test_a_start_that_fails_leaves_the_file_as_it_was(server: Opener) -> None:
    one = server()
    await one.start()
    job = await submitted(one)
    await one.stop()
    write("broken.py", "import missing_module\n")
    two = server(handlers=["broken.py"])
    with pytest.raises(ConfigurationError, match="missing_module"):
        await two.start()
    await two.stop()
    assert saved() == [("", [job])]
    three = server()
    await three.stop()  # before it has started
    assert saved() == [("", [job])]


async def test_jobs_of_an_endpoint_that_is_not_served_are_told_and_come_back(
    server: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator")
    one = server(endpoint=["far", "gone"])
    await one.start()
    jobs = [await submitted(one, endpoint="gone") for _ in range(2)]
    await one.stop()
    two = server()
    await two.start()
    told = [record.getMessage() for record in caplog.records]
    assert (
        "state.json has 2 jobs of endpoint gone, which nobody serves here: kept in the file until somebody does" in told
    )
    assert "0 jobs are back from state.json" in told
    await two.stop()
    three = server(endpoint=["gone"])
    await three.start()
    assert await three.emulator.store.queued("gone") == jobs


async def test_a_broken_file_is_told_and_the_server_starts_without(
    server: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    write("state.json", "{")
    one = server()
    await one.start()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "--state state.json: it is no JSON" in record.getMessage()
    (aside,) = Path.cwd().glob("state.json.broken-*")
    assert (aside.read_text(), saved()) == ("{", [("", [])])


async def test_one_of_another_version_ends_the_start_and_stays(server: Opener) -> None:
    data = '{"format":"runpod-emulator state","version":99,"emulator":"9.9.9"}'
    write("state.json", data)
    with pytest.raises(ConfigurationError, match=r"its version is 99 \(written by runpod-emulator 9\.9\.9\)"):
        server()
    assert [(path.name, path.read_text()) for path in Path.cwd().iterdir()] == [("state.json", data)]


async def test_stubs_of_callers_come_back_and_those_of_files_are_those_of_the_files(server: Opener) -> None:
    write("stubs.yaml", "stubs: [{id: a, endpoint: m, respond: {output: 1}}, {id: b, respond: {output: 2}}]")
    one = server(endpoint=[], mock=["m"], stubs=[Path("stubs.yaml")], clock="virtual")
    await one.start()
    one.emulator.stub(Stub.model_validate({"endpoint": "new", "respond": {"output": 3, "delay": "1s"}}).to_core())
    await one.emulator.endpoints.queue("m").submit(JOB)
    await one.emulator.timeline.settle()
    await one.stop()
    write("stubs.yaml", "stubs: [{id: a, endpoint: m, respond: {output: 7}}]")
    two = server(endpoint=[], mock=["m"], stubs=[Path("stubs.yaml")], clock="virtual")
    await two.start()
    assert [(stub.id, stub.matched) for stub in two.emulator.stubs] == [("stub-1", 0), ("a", 0)]
    assert set(two.emulator.endpoints.queues) == {"m", "new"}
    (a,) = [stub for stub in two.emulator.stubs if stub.id == "a"]
    assert a.source["respond"]["output"] == 7
    await two.emulator.reset()
    assert [stub.id for stub in two.emulator.stubs] == ["a"]
