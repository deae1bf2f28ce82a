"""The file of `--state`: whose it is, how it is replaced, and what becomes of one that cannot be read."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.server import state_file
from runpod_emulator.server.state_file import StateFile
from runpod_emulator.world.covers import Cover
from runpod_emulator.world.snapshot import Snapshot
from runpod_emulator.world.snapshot_json import pieces_of

EMPTY = b"".join(pieces_of([Snapshot("", "real", 1, 0)], Cover(Masks())))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.fixture
def file(path: Path) -> Iterator[StateFile]:
    one = StateFile(path)
    one.lock()
    yield one
    one.unlock()


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def refusal(work: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        work()
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Written


def test_what_is_written_is_read_and_nobody_else_may(file: StateFile, path: Path) -> None:
    assert file.read() == ([], "")
    file.write(iter([EMPTY[:10], EMPTY[10:]]))
    ((snapshot,), problem) = file.read()
    assert (snapshot.namespace, problem) == ("", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path.parent) == ["state.json", "state.json.lock"]


def test_a_file_that_others_could_read_is_so_no_more(file: StateFile, path: Path) -> None:
    path.write_bytes(EMPTY)
    path.chmod(0o644)
    file.write([EMPTY])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_old_one_is_whole_until_the_new_one_is(file: StateFile, path: Path) -> None:
    file.write([EMPTY])
    with path.open("rb") as old:
        file.write([b"new"])
        assert old.read() == EMPTY
    assert path.read_bytes() == b"new"


def test_what_fails_in_the_middle_leaves_the_old_one_and_nothing_else(file: StateFile, path: Path) -> None:
    file.write([EMPTY])

    def breaks() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        file.write(breaks())
    assert path.read_bytes() == EMPTY
    assert names(path.parent) == ["state.json", "state.json.lock"]


def test_a_full_disk_leaves_the_old_one(file: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write([EMPTY])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(state_file.os, "write", full)
        with pytest.raises(OSError, match="No space left on device"):
            file.write([b"new"])
    assert path.read_bytes() == EMPTY
    assert names(path.parent) == ["state.json", "state.json.lock"]


def test_what_is_written_in_parts_is_written_whole(
    file: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(state_file.os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
        file.write([b"a longer text"])
    assert path.read_bytes() == b"a longer text"


def test_what_a_killed_server_had_begun_is_in_nobodys_way(file: StateFile, path: Path) -> None:
    path.with_name("state.json.new").write_bytes(b"half of a")
    file.write([EMPTY])
    assert names(path.parent) == ["state.json", "state.json.lock"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "real.json"
    target.parent.mkdir()
    link = tmp_path / "state.json"
    link.symlink_to(target)
    file = StateFile(link)
    file.lock()
    file.write([EMPTY])
    file.unlock()
    assert (link.is_symlink(), target.read_bytes()) == (True, EMPTY)
    assert names(target.parent) == ["real.json"]


# Broken

BROKEN: dict[str, bytes] = {
    "cut off": EMPTY[: len(EMPTY) // 2],
    "no JSON": b"jobs: []\n",
    "no text": b"\x00\xff\xfe",
    "another document": b'{"jobs": []}',
    "a list": b"[]",
    "without worlds": b'{"format":"runpod-emulator state","version":2}',
    "with a job that is none": EMPTY.replace(b'"jobs":[', b'"jobs":[[1,2]'),
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_put_aside_and_told(file: StateFile, path: Path, name: str) -> None:
    path.write_bytes(BROKEN[name])
    snapshots, problem = file.read()
    (aside,) = [one for one in path.parent.iterdir() if ".broken-" in one.name]
    assert snapshots == []
    assert problem.startswith(f"--state {path}: it is no ") or "does not fit together" in problem
    assert problem.endswith(f". It is kept as {aside.name}, and nothing was loaded")
    assert aside.read_bytes() == BROKEN[name]
    assert not path.exists()
    assert file.read() == ([], "")


def test_several_broken_ones_are_all_kept(file: StateFile, path: Path) -> None:
    for number in range(3):
        path.write_bytes(b"%d" % number)
        file.read()
    aside = [one for one in path.parent.iterdir() if ".broken-" in one.name]
    assert sorted(one.read_bytes() for one in aside) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("version", [0, 1, 3, "2", None])
def test_one_of_another_version_stays_as_it_is(file: StateFile, path: Path, version: object) -> None:
    data = json.dumps({**json.loads(EMPTY), "version": version}).encode()
    path.write_bytes(data)
    told = refusal(file.read)
    assert f"--state {path}: its version is {version} (written by runpod-emulator" in told
    assert told.endswith("It is left as it is: give another file, or move this one away")
    assert path.read_bytes() == data


def test_an_empty_file_is_a_new_one(file: StateFile, path: Path) -> None:
    path.touch()
    assert file.read() == ([], "")
    assert names(path.parent) == ["state.json", "state.json.lock"]


# Whose it is


def test_a_second_server_is_refused_until_the_first_has_gone(file: StateFile, path: Path) -> None:
    second = StateFile(path)
    assert refusal(second.lock) == (
        f"--state {path}: another server (process {os.getpid()}) uses it: give this one another"
    )
    file.unlock()
    assert names(path.parent) == []
    second.lock()
    second.unlock()


def test_a_killed_server_leaves_it_to_the_next(path: Path) -> None:
    holding = f"""
import sys
from pathlib import Path
from runpod_emulator.server.state_file import StateFile
StateFile(Path({str(path)!r})).lock()
print("locked", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        file = StateFile(path)
        assert f"(process {other.pid})" in refusal(file.lock)
        other.kill()
        other.wait(30)
    file.lock()
    assert names(path.parent) == ["state.json.lock"]
    file.unlock()


def test_where_no_file_can_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name, reason in {
        "folder": "it is no plain file",
        "nowhere/state.json": "No such file or directory",
        "file/state.json": "Not a directory",
    }.items():
        path = tmp_path / name
        assert refusal(StateFile(path).lock) == f"--state {path}: {reason}"
    assert refusal(StateFile(Path("/dev/null")).lock) == "--state /dev/null: it is no plain file"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert refusal(StateFile(tmp_path / "state.json").lock).endswith(": Permission denied")
    finally:
        tmp_path.chmod(0o700)
