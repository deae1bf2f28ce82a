"""The log in a file: nothing that becomes of the file stops the server."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.server.log_file import LogFile


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    told: list[str] = []
    log = LogFile(path, told.append)
    log.write("größer \ud800")
    log.close()
    assert path.read_text() == "before\ngrößer \\ud800\n" and told == []


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path, told = tmp_path / "log", list[str]()
    log = LogFile(path, told.append)
    log.write("one")
    path.rename(tmp_path / "log.1")
    log.write("two")
    path.unlink()
    log.write("three")
    assert (tmp_path / "log.1").read_text() == "one\n" and path.read_text() == "three\n" and told == []


def test_a_folder_that_goes_away_costs_lines_and_that_is_told_once(tmp_path: Path) -> None:
    folder, told = tmp_path / "logs", list[str]()
    folder.mkdir()
    path = folder / "log"
    log = LogFile(path, told.append)
    path.unlink()
    folder.rmdir()
    for line in ("one", "two"):
        log.write(line)
    folder.mkdir()
    log.write("three")
    log.write("four")
    assert path.read_text() == "three\nfour\n"
    assert told == [
        f"the log file {path} can't be written: No such file or directory; lines are dropped",
        f"the log file {path} is written again; 2 lines are missing in it",
    ]


def test_a_full_disk_costs_lines_and_tears_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, told, write = tmp_path / "log", list[str](), os.write
    log = LogFile(path, told.append)
    room = 4

    def limited(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, bytes(data)[:room])
        room -= written
        return written

    monkeypatch.setattr("runpod_emulator.server.log_file.os.write", limited)
    log.write("one, which is long")
    log.write("two")
    room = 1_000
    log.write("three")
    assert path.read_text() == "one,\nthree\n"
    assert told[1].endswith("2 lines are missing in it")


@pytest.mark.parametrize("where", ["no/such/folder/log", "."])
def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--log-file: .* can't be written: "):
        LogFile(tmp_path / where, print)


def test_a_pipe_that_nobody_reads_is_told_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="can't be written"):
        LogFile(tmp_path / "pipe", print)
