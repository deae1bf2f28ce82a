"""What it costs to have the page open: requests while its feed is read, and the wake-ups of an idle server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tests.bench.proc import activity
from tests.bench.rows import Line, Row, Sample, Scale, in_turn, one
from tests.bench.servers import Server, worker

KINDS = "transition,request,worker,webhook,log,reset"
_AT_ONCE = 16
_IDLE = 5.0
"""Seconds for which wake-ups are counted."""


@contextmanager
def watching(server: Server) -> Iterator[list[int]]:
    """Somebody reads all kinds of news meanwhile; the list holds how many bytes came."""
    came = [0]
    with socket.create_connection(("127.0.0.1", server.port), 30) as feed:
        head = f"GET /__emulator/events?kinds={KINDS} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
        feed.sendall(head.encode())
        if b" 200 " not in feed.recv(4096):
            raise RuntimeError("there is no event feed")

        def read() -> None:
            with contextlib.suppress(ConnectionResetError):  # it is left with something unread
                while data := feed.recv(1 << 16):
                    came[0] += len(data)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield came
        finally:
            feed.shutdown(socket.SHUT_RDWR)
            reader.join(10)


def watched(scale: Scale) -> Sample:
    """Processor time of the server for each request, in µs, without and with somebody who reads all that happens."""
    sample: Sample = {}
    for verb in ("run", "status"):
        with worker("run") as server:
            server.ask("GET", "/__emulator/clock")  # the admin API is loaded
            path, body = server.path, b'{"input": {"message": "hello"}}'
            if verb == "status":
                job = server.ask_json("POST", "/v2/echo/runsync", {"input": {"message": "hello"}})
                path, body = f"/v2/echo/status/{job['id']}", None
            server.load(path, body, connections=_AT_ONCE, seconds=1)
            cost = _costs(server, path, body, scale)
            sample[f"{verb} alone"], sample[f"{verb} watched"] = cost["alone"], cost["watched"]
            sample[f"{verb} dearer"] = 100 * (cost["watched"] / cost["alone"] - 1)
    with worker("run") as server, watching(server):
        time.sleep(1)
        before = activity(server.pid)
        time.sleep(_IDLE)
        sample["wakes"] = (activity(server.pid).wakes - before.wakes) / _IDLE
    return sample


def _costs(server: Server, path: str, body: bytes | None, scale: Scale) -> dict[str, float]:
    """µs of processor time a request; both are measured twice on one server, in a mirrored order."""
    ways: dict[str, Callable[[Server], AbstractContextManager[object]]] = {"alone": _nobody, "watched": watching}
    order = in_turn(list(ways), scale)
    seconds = dict.fromkeys(ways, 0.0)
    answers = dict.fromkeys(ways, 0)
    for name in (*order, *reversed(order)):
        with ways[name](server):
            before = activity(server.pid).seconds
            answers[name] += server.load(path, body, connections=_AT_ONCE, seconds=scale.seconds, warm=False).answers
            server.until_idle(path)
            seconds[name] += activity(server.pid).seconds - before
    return {name: 1e6 * seconds[name] / answers[name] for name in ways}


def _nobody(server: Server) -> AbstractContextManager[object]:
    return nullcontext()


ROWS = (
    Row(
        "watched",
        "Processor time of the server for each request, with the page open: its feed of all kinds is read",
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
