"""Large jobs: 20 MB in, and the same out, through a worker process."""

from __future__ import annotations

import statistics
import time
from contextlib import AbstractContextManager

from tests.bench.proc import peak, reset_peak, resident
from tests.bench.rows import Line, Row, Sample, Scale, in_turn, one
from tests.bench.servers import Server, sdk, worker

SIZE = 20_000_000
"""Bytes of a request, and of its answer."""
REPEATS = 5
_AROUND = b'{"input": {"data": "%s"}}'


def transfer(scale: Scale) -> Sample:
    """What the first such job adds to the server's memory, and megabytes a second, both ways together, of the next."""
    sample: Sample = {}
    for name in in_turn(("sdk", "worker"), scale):
        serving: AbstractContextManager[Server] = sdk() if name == "sdk" else worker("runsync")
        with serving as server:
            body = _AROUND % (b"x" * (SIZE - len(_AROUND)))
            server.ask("POST", server.path, _AROUND % b"x")
            reset_peak(server.pid)
            before = resident(server.pid)
            _echo(server, body)
            sample[f"{name} copies"] = (peak(server.pid) - before) / (2 * SIZE)
            took = statistics.median(_echo(server, body) for _ in range(REPEATS))
            sample[f"{name} rate"] = 2 * SIZE / took / 1e6
    return sample


def _echo(server: Server, body: bytes) -> float:
    began = time.perf_counter()
    answer = server.ask("POST", server.path, body)
    took = time.perf_counter() - began
    assert len(answer) > len(body) - 100 and b'"COMPLETED"' in answer, answer[:200]
    return took


ROWS = (
    Row(
        "transfer",
        "20 MB in and 20 MB out through a worker (a copy is all 40 MB)",
        transfer,
        (
            Line("peer: the SDK's local server, added peak memory", one("sdk copies"), "copies"),
            Line("peer: the SDK's local server", one("sdk rate"), "MB/s"),
            Line("added peak memory of the server", one("worker copies"), "copies", at_most=3),
            Line("in and out", one("worker rate"), "MB/s", at_least=200),
        ),
    ),
)
