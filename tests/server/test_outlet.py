"""Output that nobody reads: nothing waits for it, nothing is out of order, and what is lost is counted."""

from __future__ import annotations

import errno
import os
import pty
import select
import stat
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from runpod_emulator.server.outlet import KEPT, Outlet, OutputLost, take_streams

from tests.compat.servers import LIMIT, until

LINE = b"x" * 99 + b"\n"
TOO_MANY = 3 * 2**20 // len(LINE)


class Pipe:
    """Both ends of what an outlet writes into."""

    def __init__(self, kind: str, folder: Path) -> None:
        if kind == "pipe":
            self.reader, self.writer = os.pipe()
        elif kind == "terminal":
            self.reader, self.writer = pty.openpty()
            tty.setraw(self.writer)
        else:
            self.writer = os.open(folder / "file", os.O_WRONLY | os.O_CREAT)
            self.reader = os.open(folder / "file", os.O_RDONLY)

    def read(self, size: int) -> bytes:
        """So many bytes, waiting for them."""
        found = b""
        while len(found) < size:
            found += self._some(size - len(found))
        return found

    def read_until(self, end: bytes) -> bytes:
        found = b""
        while not found.endswith(end):
            found += self._some(1 << 16)
        return found

    def _some(self, most: int) -> bytes:
        assert select.select([self.reader], [], [], LIMIT)[0], "nothing came"
        return os.read(self.reader, most)

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            os.close(descriptor)


@pytest.fixture(params=["pipe", "terminal"])
def pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(request.param, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["pipe", "terminal", "file"])
def test_what_can_be_written_is_written_at_once(kind: str, tmp_path: Path) -> None:
    pipe, before = Pipe(kind, tmp_path), set(threading.enumerate())
    outlet = Outlet(pipe.writer)
    for number in range(10):
        assert outlet.write(b"%d\n" % number) == 2
        assert pipe.read(2) == b"%d\n" % number
    assert "runpod-emulator log" not in {one.name for one in set(threading.enumerate()) - before}
    pipe.close()


def test_a_reader_that_comes_late_finds_what_was_kept_in_order_and_how_much_was_not(pipe: Pipe) -> None:
    outlet = Outlet(pipe.writer)
    for number in range(TOO_MANY):
        outlet.write(b"%99d\n" % number)
    found = pipe.read_until(b"nobody read them\n").splitlines()
    assert [int(line) for line in found[:-1]] == list(range(len(found) - 1))
    lost = TOO_MANY - (len(found) - 1)
    assert found[-1] == b"%d lines were dropped: nobody read them" % lost
    assert (len(found) - 1) * len(LINE) >= KEPT == 2**20
    until(lambda: outlet._writer is None)
    outlet.write(b"on\n")
    assert pipe.read(3) == b"on\n"


def test_a_line_longer_than_what_a_pipe_takes_at_once_is_whole(pipe: Pipe) -> None:
    outlet = Outlet(pipe.writer)
    long = b"a" * 500_000 + b"\n"
    outlet.write(long)
    outlet.write(b"b\n")
    assert pipe.read(len(long) + 2) == long + b"b\n"


def test_the_end_waits_for_a_reader_but_not_for_ever(pipe: Pipe) -> None:
    outlet = Outlet(pipe.writer)
    outlet.write(b"a" * 500_000)
    outlet.finish(0.01)
    reader = threading.Thread(target=pipe.read, args=(500_000,))
    reader.start()
    outlet.finish(30)
    assert outlet._size == 0
    reader.join()


def test_a_descriptor_that_somebody_made_non_blocking_is_no_trap(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    outlet = Outlet(pipe.writer)
    outlet.write(b"a" * 300_000 + b"\n")
    assert len(pipe.read(300_001)) == 300_001


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full() -> int:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no such device")
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize(("make", "number"), [(closed_pipe, errno.EPIPE), (full, errno.ENOSPC)])
def test_what_can_never_be_written_is_an_error_only_where_it_is_wanted(make: object, number: int) -> None:
    descriptor = make()  # type: ignore[operator]
    assert Outlet(descriptor).write(LINE) == len(LINE)
    with pytest.raises(OutputLost) as lost:
        Outlet(descriptor, faithful=True).write(LINE)
    assert lost.value.errno == number
    os.close(descriptor)


def test_a_patient_one_waits_and_drops_nothing(tmp_path: Path) -> None:
    pipe = Pipe("pipe", tmp_path)
    outlet = Outlet(pipe.writer, patient=True)
    writing = threading.Thread(target=lambda: [outlet.write(LINE) for _ in range(TOO_MANY)])
    writing.start()
    assert pipe.read(TOO_MANY * len(LINE)) == LINE * TOO_MANY
    writing.join()
    pipe.close()


def test_streams_that_are_no_standard_ones_stay(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    take_streams()
    assert (sys.stdout, sys.stderr) == before


def test_it_is_what_a_stream_must_be(tmp_path: Path) -> None:
    pipe = Pipe("terminal", tmp_path)
    outlet = Outlet(pipe.writer)
    assert outlet.isatty() and outlet.writable() and outlet.fileno() == pipe.writer
    assert stat.S_ISCHR(os.fstat(outlet.fileno()).st_mode)
    outlet.close()
    os.fstat(pipe.writer)
    pipe.close()
