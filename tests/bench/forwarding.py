"""What the way through the load balancer costs: calls of `/lb/ID/` against calls of the worker's own port.

`python -m tests.bench.forwarding`
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from tests.bench.live import Client, server

ROUNDS = 7
BLOCKS = 20
REQUESTS = 100
"""Requests of a block; blocks go to the worker and through the balancer in turn."""
CONNECTIONS = 16
SECONDS = 2.0
BODY = b'{"prompt": "%s"}' % (b"x" * 1010)
LAST = b"the end of every answer\n"


async def app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """The worker: it says which port it has, takes a body, and is done."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = str(scope["server"][1]).encode() + b" " + LAST
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Latency(NamedTuple):
    """Milliseconds of one request, of many."""

    median: float
    low: float
    """A tenth of all took no longer."""
    high: float
    """Nine tenths of all took no longer."""

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}-{self.high:.3f})"


Measure = TypeVar("Measure")


@dataclass
class Ways(Generic[Measure]):
    """The same of both ways."""

    direct: Measure
    through: Measure


@dataclass
class Round:
    """What was measured on one server."""

    get: Ways[Latency]
    post: Ways[Latency]
    rates: Ways[float]
    """Answers in a second."""


class Rate(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self.answers = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count the answer when it has come to its end, and ask again."""
        if data.endswith(LAST):
            self.answers += 1
            if self._transport is not None:
                self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody should end it but us."""
        self.lost = self._transport is not None

    def close(self) -> None:
        """Ask no more."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()


def compare(direct: Client, through: Client, method: str, body: bytes | None, blocks: int = BLOCKS) -> Ways[Latency]:
    """The same requests both ways, in turn."""
    times: Ways[list[float]] = Ways([], [])
    for _ in range(blocks):
        times.direct.extend(1000 * direct.ask(method, "/any", body) for _ in range(REQUESTS))
        times.through.extend(1000 * through.ask(method, "/lb/bench/any", body) for _ in range(REQUESTS))
    return Ways(latency(times.direct), latency(times.through))


def latency(times: list[float]) -> Latency:
    """The middle of these times, and what most of them lie between."""
    tenths = statistics.quantiles(times, n=10)
    return Latency(statistics.median(times), tenths[0], tenths[-1])


async def rate(port: int, path: str) -> float:
    """Answers in a second over all connections."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer k\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    opened = [await loop.create_connection(lambda: Rate(request), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.sleep(SECONDS)
    took = time.perf_counter() - began
    clients = [client for _, client in opened]
    if any(client.lost for client in clients):
        raise RuntimeError(f"{path}: a connection was lost")
    for client in clients:
        client.close()
    return sum(client.answers for client in clients) / took


def measured() -> Round:
    """One round, on a fresh server with one worker."""
    served = ["--load-balancer", f"bench={Path(__file__).resolve()}:app", "--workers-min", "1", "--workers-max", "1"]
    with server(*served) as port:
        through = Client(port)
        worker = int(through.read("/lb/bench/port").split()[0])
        direct = Client(worker)
        compare(direct, through, "GET", None, blocks=1)
        return Round(
            compare(direct, through, "GET", None),
            compare(direct, through, "POST", BODY),
            Ways(asyncio.run(rate(worker, "/any")), asyncio.run(rate(port, "/lb/bench/any"))),
        )


def main() -> None:
    """Print the two tables of docs/benchmarks.md."""
    rounds = [measured() for _ in range(ROUNDS)]
    print("| round | GET, worker | GET, `/lb` | more | POST, worker | POST, `/lb` | more |")
    print("|---|---|---|---|---|---|---|")
    for number, one in enumerate(rounds, 1):
        print(f"| {number} | {cells(one.get)} | {cells(one.post)} |")
    print(f"| median | {middle([one.get for one in rounds])} | {middle([one.post for one in rounds])} |")
    print("\n| round | worker | `/lb` |\n|---|---|---|")
    for number, one in enumerate(rounds, 1):
        print(f"| {number} | {one.rates.direct:,.0f} | {one.rates.through:,.0f} |")
    direct = statistics.median(one.rates.direct for one in rounds)
    through = statistics.median(one.rates.through for one in rounds)
    print(f"| median | {direct:,.0f} | {through:,.0f} |")


def cells(ways: Ways[Latency]) -> str:
    """Three cells: both ways, and the difference of their medians."""
    return f"{ways.direct} | {ways.through} | {ways.through.median - ways.direct.median:.3f}"


def middle(ways: list[Ways[Latency]]) -> str:
    """Three cells: the medians of the medians, and their difference."""
    direct = statistics.median(one.direct.median for one in ways)
    through = statistics.median(one.through.median for one in ways)
    return f"{direct:.3f} | {through:.3f} | {through - direct:.3f}"


if __name__ == "__main__":
    main()
