"""A worker asks for the terminal, and gives it back."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any

from runpod_emulator.workers.stops import Stops

from tests.waits import until


class Desk:
    """Lends to one at a time."""

    def __init__(self) -> None:
        self.lent: list[tuple[Callable[[int], None], Callable[[], None]]] = []

    def lend(self, give: Callable[[int], None], interrupt: Callable[[], None]) -> Any:
        self.lent.append((give, interrupt))
        return self.lent[-1]

    def take_back(self, loan: Any) -> None:
        self.lent.remove(loan)


def take(worker: socket.socket) -> None:
    """Receive the descriptor that was given, and let go of it."""
    _, descriptors, *_ = socket.recv_fds(worker, 1, 1)
    os.close(descriptors[0])


async def test_each_stop_is_told_lent_for_and_given_back_whatever_the_worker_says() -> None:
    desk, said, interrupted = Desk(), list[tuple[str, str]](), list[int]()
    stops = Stops(lambda *words: said.append(words), lambda: interrupted.append(1))
    (descriptor,) = stops.begin(desk)
    worker = socket.socket(fileno=os.dup(descriptor))
    stops.begun()
    worker.sendall(b"no json\n[1]\n" + json.dumps({"stop": "h.py:3", "job": "j", "first": True}).encode() + b"\n")
    await until(lambda: desk.lent)
    give, interrupt = desk.lent[0]
    give(worker.fileno())
    take(worker)
    interrupt()
    worker.sendall(b'{"go": true}\n{"stop": "h.py:4", "job": "j"}\n')
    await until(lambda: desk.lent and desk.lent[0][0] is not give)
    assert len(said) == 1, "it waits for its turn"
    desk.lent[0][0](worker.fileno())
    take(worker)  # one that is under way to itself would hold the connection
    assert said == [("h.py:3", "j"), ("", "j")], "only the first is told"
    assert (len(desk.lent), interrupted) == (1, [1])
    worker.close()
    await until(lambda: not desk.lent)
    stops.close()
    give(0)


async def test_without_a_lender_there_is_nothing_to_hand_on() -> None:
    stops = Stops(lambda *words: None, lambda: None)
    assert stops.begin(None) == []
    stops.begun()
    stops.close()
