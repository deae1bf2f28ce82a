"""The port file: a stale one goes first, ours goes at the end, another server's stays."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.server.port_file import PortFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "port"


def test_a_stale_file_is_cleared(path: Path) -> None:
    path.write_text("1")
    PortFile(path).clear()
    assert not path.exists()


def test_it_holds_the_port_until_it_is_removed(path: Path) -> None:
    file = PortFile(path)
    file.clear()
    file.write(8000)
    assert path.read_text() == "8000"
    assert list(path.parent.iterdir()) == [path]
    file.remove()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("theirs", ["8000", "8001"])
def test_what_another_server_has_written_since_stays(path: Path, theirs: str) -> None:
    ours, other = PortFile(path), PortFile(path)
    ours.write(8000)
    other.clear()
    other.write(int(theirs))
    ours.remove()
    assert path.read_text() == theirs


def test_the_file_of_a_server_that_runs_is_not_stale(path: Path) -> None:
    running, starting = PortFile(path), PortFile(path)
    running.write(8000)
    starting.clear()
    assert path.read_text() == "8000"
    starting.write(8001)
    running.remove()
    assert path.read_text() == "8001"
    starting.remove()
    assert not path.exists()


def test_the_file_of_a_server_that_was_killed_is_stale(path: Path) -> None:
    script = f"""
        import os, pathlib
        from runpod_emulator.server.port_file import PortFile
        PortFile(pathlib.Path({str(path)!r})).write(8000)
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=30)
    assert path.read_text() == "8000"
    PortFile(path).clear()
    assert not path.exists()


def test_what_was_never_written_is_not_removed(path: Path) -> None:
    path.write_text("1")
    PortFile(path).remove()
    assert path.exists()


def test_nothing_is_left_of_a_file_that_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigurationError, match=r"--port-file .+/port: No space left on device"):
        PortFile(path).write(8000)
    assert list(path.parent.iterdir()) == []


def test_what_is_no_file_is_written_to_and_never_removed(path: Path) -> None:
    os.mkfifo(path)
    file = PortFile(path)
    file.clear()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file.write(8000)
    assert os.read(reader, 10) == b"8000"
    os.close(reader)
    file.remove()
    assert path.is_fifo()


def test_a_pipe_that_nobody_reads_does_not_hold_the_server(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="No such device"):
        PortFile(path).write(8000)


def test_a_full_device_says_so_and_stays() -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("there is no such device")
    file = PortFile(full)
    file.clear()
    with pytest.raises(ConfigurationError, match="--port-file /dev/full: No space left on device"):
        file.write(8000)
    assert full.is_char_device()


def test_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="it is a folder"):
        PortFile(tmp_path).clear()
