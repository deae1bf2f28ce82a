"""Lines that come without end are read in small portions, so that everybody else has a turn."""

from __future__ import annotations

import os

import pytest
from runpod_emulator.workers.lines import Lines
from runpod_emulator.workers.log_pipe import LogPipe, log_pipe

from tests.workers.conftest import until


@pytest.mark.parametrize(("line", "most"), [(b"a\n", 320), (b"x" * 79 + b"\n", 110), (b"y" * 4_000 + b"\n", 3)])
async def test_few_lines_are_read_in_one_step(monkeypatch: pytest.MonkeyPatch, line: bytes, most: int):
    ours, theirs = log_pipe()
    portions: list[int] = []
    feed = Lines.feed

    def counted(lines: Lines, data: bytes) -> None:
        portions.append(data.count(b"\n"))
        feed(lines, data)

    monkeypatch.setattr(Lines, "feed", counted)
    came: list[bytes] = []
    pipe = LogPipe(ours, came.append)
    try:
        for number in range(1, 6):
            os.write(theirs, line * (8 * 1024 // len(line)))
            await until(lambda number=number: len(came) == number * (8 * 1024 // len(line)))
    finally:
        pipe.close()
        os.close(theirs)
    assert max(portions[1:]) <= most
