"""The terminal as it is lent: what is typed and shown, and what becomes of a borrower whose terminal is gone."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import Callable, Iterator

import pytest
from runpod_emulator.server import terminal as terminals
from runpod_emulator.server.loans import Loan, Loans
from runpod_emulator.server.terminal import Terminal


class Seat:
    """A terminal of ours: `person` is the end of whoever sits there."""

    def __init__(self) -> None:
        self.person, self._other = pty.openpty()
        self.loans = Loans(Terminal(os.open(os.ttyname(self._other), os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)), [])
        self.lent: list[int] = []

    def lend(self) -> Loan:
        return self.loans.lend(lambda descriptor: self.lent.append(os.dup(descriptor)), lambda: None)

    def leave(self) -> None:
        """Close the window."""
        for descriptor in (self.person, self._other):
            os.close(descriptor)
        self.person = self._other = -1

    def close(self) -> None:
        self.loans.close()
        for descriptor in (self.person, self._other, *self.lent):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def seat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seat]:
    monkeypatch.setattr(terminals, "_LOOK", 0.005)
    one = Seat()
    yield one
    one.close()


async def comes(read: Callable[[], bytes], wanted: bytes) -> None:
    """Wait until it has read that."""
    found = b""
    for _ in range(2000):
        try:
            found += read()
        except BlockingIOError:
            await asyncio.sleep(0.001)
        if wanted in found:
            return
    raise AssertionError(found)


async def test_a_borrower_that_is_gone_leaves_no_unfinished_line(seat: Seat) -> None:
    seat.loans.begin()
    os.set_blocking(seat.person, False)
    for said, shown in ((b"(Pdb) ", b"(Pdb) \r\n"), (b"done\n", b"done\r\n")):
        loan = seat.lend()
        os.write(seat.lent[-1], said)
        seat.loans.take_back(loan)
        await comes(lambda: os.read(seat.person, 100), shown)
        with pytest.raises(BlockingIOError):
            os.read(seat.person, 100)


async def test_whoever_stops_where_the_terminal_is_gone_is_told_to_leave(seat: Seat) -> None:
    seat.loans.begin()
    seat.lend()
    os.set_blocking(seat.lent[0], False)
    seat.leave()
    os.write(seat.lent[0], b"(Pdb) ")
    await comes(lambda: os.read(seat.lent[0], 100) or b"EOF", b"EOF")
    assert not seat.loans._shown, "nothing waits for what nobody will see"
