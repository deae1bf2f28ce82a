"""What it costs to have the page open: requests while it watches, and the wake-ups of an idle server."""

from __future__ import annotations

import contextlib
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tests.bench.proc import activity
from tests.bench.rows import Line, Row, Sample, Scale, in_turn, one
from tests.bench.servers import ROOT, Server, worker

_PAGE = (ROOT / "emulator" / "runpod_emulator" / "doors" / "static" / "world.js").read_text()
_AT_ONCE = 16
_IDLE = 5.0
"""Seconds for which wake-ups are counted."""
_TURNS = 2
"""How often, in each round, both are measured in an order and its mirror image."""


def _of_the_page(name: str) -> str:
    """A constant of the page, as it is written there."""
    found = re.search(rf'^const {name} = "?([\w,]+)', _PAGE, re.MULTILINE)
    assert found is not None, name
    return found[1]


KINDS = _of_the_page("KINDS")


class Watcher:
    """Does what the page does, but for drawing: reads its feed, and asks again for what the feed has left out."""

    _share = int(_of_the_page("SHARE"))
    _longest_rest = int(_of_the_page("LONGEST_REST")) / 1000

    def __init__(self, server: Server, feed: socket.socket) -> None:
        self._server = server
        self._feed = feed
        self._has_news, self._is_stale, self._is_over = threading.Event(), threading.Event(), threading.Event()
        self._is_open = threading.Event()
        work = self._read, self._overview, self._picture
        self._threads = [threading.Thread(target=one, daemon=True) for one in work]

    def __enter__(self) -> Watcher:
        for thread in self._threads:
            thread.start()
        self._is_open.wait(30)  # to open it is dearer than to have it open
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._feed.shutdown(socket.SHUT_RDWR)
        for event in (self._has_news, self._is_stale):
            event.set()
        for thread in self._threads:
            thread.join(10)

    def _read(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # it is left with something unread
            while data := self._feed.recv(1 << 16):
                self._has_news.set()
                if b"event: left-out" in data:
                    self._is_stale.set()

    def _overview(self) -> None:
        """Once a second, while there is news."""
        while self._next(self._has_news):
            self._server.ask("GET", "/__emulator/overview")
            self._is_over.wait(1)

    def _picture(self) -> None:
        """All jobs: as the page is opened, and where news was left out."""
        self._is_stale.set()
        while self._next(self._is_stale):
            began = time.monotonic()
            self._server.ask("GET", "/__emulator/clock")
            self._server.ask("GET", f"/__emulator/timeline?limit={_of_the_page('MOST').replace('_', '')}")
            self._is_open.set()
            self._is_over.wait(min(self._longest_rest, self._share * (time.monotonic() - began)))

    def _next(self, event: threading.Event) -> bool:
        event.wait()
        event.clear()
        return not self._is_over.is_set()


@contextmanager
def watching(server: Server) -> Iterator[Watcher]:
    """Somebody has the page open meanwhile."""
    with socket.create_connection(("127.0.0.1", server.port), 30) as feed:
        head = f"GET /__emulator/events?kinds={KINDS} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
        feed.sendall(head.encode())
        if b" 200 " not in feed.recv(4096):
            raise RuntimeError("there is no event feed")
        feed.settimeout(None)
        with Watcher(server, feed) as watcher:
            yield watcher


def watched(scale: Scale) -> Sample:
    """Processor time of the server for each request, in µs, without and with the page open."""
    sample: Sample = {}
    for verb in ("run", "status"):
        with worker("run") as server:
            server.ask("GET", "/__emulator/clock")  # the admin API is loaded
            path, body = server.path, b'{"input": {"message": "hello"}}'
            if verb == "status":
                job = server.ask_json("POST", "/v2/echo/runsync", {"input": {"message": "hello"}})
                path, body = f"/v2/echo/status/{job['id']}", None
            server.load(path, body, connections=_AT_ONCE, seconds=1)
            sample |= {f"{verb} {name}": value for name, value in _costs(server, path, body, scale).items()}
    with worker("run") as server, watching(server):
        time.sleep(1)
        before = activity(server.pid)
        time.sleep(_IDLE)
        sample["wakes"] = (activity(server.pid).wakes - before.wakes) / _IDLE
    return sample


def _costs(server: Server, path: str, body: bytes | None, scale: Scale) -> dict[str, float]:
    """µs of processor time a request, and how much dearer one is with the page open, in %.

    Each is the median of slices that take turns on one server: what else the machine does spoils some of them.
    """
    ways: dict[str, Callable[[Server], AbstractContextManager[object]]] = {"alone": _nobody, "watched": watching}
    order = in_turn(list(ways), scale)
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for name in _TURNS * (*order, *reversed(order)):
        with ways[name](server):
            before = activity(server.pid).seconds
            answers = server.load(path, body, connections=_AT_ONCE, seconds=scale.seconds, warm=False).answers
            server.until_idle(path)
            costs[name].append(1e6 * (activity(server.pid).seconds - before) / answers)
    pairs = zip(costs["alone"], costs["watched"], strict=True)
    dearer = statistics.median(100 * (watched / alone - 1) for alone, watched in pairs)
    return {**{name: statistics.median(values) for name, values in costs.items()}, "dearer": dearer}


def _nobody(server: Server) -> AbstractContextManager[object]:
    return nullcontext()


ROWS = (
    Row(
        "watched",
        "Processor time of the server for each request, with the page open: its feed, and what it asks for again",
        watched,
        (
            Line("`/run` with the job that follows, no page open", one("run alone"), "µs"),
            Line("the same, with the page open", one("run watched"), "µs"),
            Line("dearer by", one("run dearer"), "%", at_most=3.0),
            Line("`/status`, no page open", one("status alone"), "µs"),
            Line("the same, with the page open", one("status watched"), "µs"),
            Line("dearer by", one("status dearer"), "%", at_most=3.0),
            Line("wake-ups of an idle server with the page open", one("wakes"), "/s", at_most=1.0),
        ),
    ),
)
