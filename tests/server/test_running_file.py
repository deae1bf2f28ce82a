"""Servers say that they run, for as long as they do, in files of their user's alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from runpod_emulator.server.running_file import RunningFile, folder, running

from tests.tables import table

URL = "http://127.0.0.1:8123/v2"


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "runpod-emulator"


def test_a_file_is_there_while_its_server_is(runtime: Path) -> None:
    file = RunningFile(8123, URL)
    assert running() == []
    file.write()
    (one,) = running()
    assert (one.pid, one.port, one.base_url) == (os.getpid(), 8123, URL)
    assert one.admin_url == "http://127.0.0.1:8123/__emulator"
    (path,) = runtime.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    file.remove()
    file.remove()
    assert list(runtime.iterdir()) == []


def test_the_last_started_comes_first() -> None:
    files = [RunningFile(port, URL) for port in (1, 2)]
    files[0]._told = files[0]._told._replace(started=5)
    for file in files:
        file.write()
    assert [one.port for one in running()] == [2, 1]
    for file in files:
        file.remove()


def test_a_stale_file_is_passed_over_and_taken_away_by_the_next_server(runtime: Path) -> None:
    killed = RunningFile(8123, URL)
    killed.write()
    assert killed._lock is not None
    os.close(killed._lock)  # as the end of a process does
    assert running() == []
    assert len(list(runtime.iterdir())) == 1
    file = RunningFile(8124, URL)
    file.write()
    assert [path.name for path in runtime.iterdir()] == [f"{os.getpid()}-8124.json"]
    file.remove()


@table("text", ["", "{", "[]", '{"pid": 1}', '{"pid":"1","port":1,"base_url":"","admin_url":"","started":1}'])
def test_what_a_server_has_not_written_is_none(runtime: Path, text: str) -> None:
    file = RunningFile(8123, URL)
    file.write()
    assert file._path is not None
    file._path.write_text(text)
    assert running() == []
    file.remove()


def test_a_folder_that_others_may_write_to_is_not_believed(runtime: Path) -> None:
    file = RunningFile(8123, URL)
    file.write()
    runtime.chmod(0o777)
    assert running() == []
    runtime.chmod(0o700)
    assert len(running()) == 1
    file.remove()


def test_a_link_to_elsewhere_is_not_followed(runtime: Path, tmp_path: Path) -> None:
    file = RunningFile(8123, URL)
    file.write()
    assert file._path is not None
    (runtime / "link.json").symlink_to(file._path)
    assert len(running()) == 1
    file.remove()


def test_where_it_cannot_be_written_the_server_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runpod-emulator").write_text("a file")
    file = RunningFile(8123, URL)
    file.write()
    file.remove()
    assert running() == []


def test_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder() == tmp_path / "runpod-emulator"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert folder() == tmp_path / "state" / "runpod-emulator" / "running"
