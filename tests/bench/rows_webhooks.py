"""Webhooks: to a receiver that lives, and to a port where nobody listens."""

from __future__ import annotations

import json
import statistics
import time

from tests.bench.live import Client, server
from tests.bench.load import load
from tests.bench.rows import Line, Row, Sample, Scale, in_turn, one
from tests.bench.servers import BODY, Server, peer, stub

REQUESTS = 2_000
DEAD = "http://127.0.0.1:1/nobody"


def delivered(scale: Scale) -> Sample:
    """/run of stubbed jobs without and with a webhook, and what of the webhooks arrives a second."""
    count = scale.jobs // 100
    sample: Sample = {}
    with peer("receiver") as receiver:
        calling = json.dumps({**json.loads(BODY), "webhook": receiver.url("/hook")}).encode()
        for name, body in in_turn([("plain", BODY), ("calling", calling)], scale):
            with stub("run") as serving:
                serving.load(connections=16, seconds=1, warm=False)
                serving.ask("POST", serving.path, calling)  # the client of webhooks is loaded for the first one
                serving.until_idle(serving.path)
                before = _until_quiet(receiver)["count"]
                began = time.monotonic()
                sample[name] = load(serving.url(serving.path), body, connections=16, count=count).rate
                if name == "calling":
                    calls = _until_quiet(receiver)
                    if calls["count"] - before < count:
                        raise RuntimeError(f"only {calls['count'] - before} of {count} webhooks came")
                    sample["arrived"] = (calls["count"] - before) / (calls["last"] - began)
    sample["slower"] = 100 * (1 - sample["calling"] / sample["plain"])
    return sample


def _until_quiet(receiver: Server) -> dict[str, float]:
    """What the receiver has counted, once nothing has come for half a second."""
    seen: dict[str, float] = {}
    while (counted := receiver.ask_json("GET", "/count")) != seen:
        seen = counted
        time.sleep(0.5)
    return seen


def dead(scale: Scale) -> Sample:
    """Milliseconds of the median /run, plain and with a webhook at a dead port."""
    sample: Sample = {}
    bodies: dict[str, dict[str, object]] = {
        "plain": {"input": {"a": 1}},
        "dead": {"input": {"a": 1}, "webhook": DEAD},
    }
    for name in in_turn(list(bodies), scale):
        with server() as port:
            sample[name] = _median(Client(port), bodies[name])
    return sample


def _median(client: Client, body: dict[str, object]) -> float:
    return 1000 * statistics.median(client.post("/v2/echo/run", body) for _ in range(REQUESTS))


ROWS = (
    Row(
        "webhooks",
        "10,000 webhooks to a live receiver, jobs done by a stub, 16 connections",
        delivered,
        (
            Line("peer: `/run` without webhooks", one("plain"), "/s"),
            Line("`/run` with webhooks", one("calling"), "/s"),
            Line("the same, slower by", one("slower"), "%", at_most=20),
            Line("webhooks arrived", one("arrived"), "/s", at_least=2_000),
        ),
    ),
    Row(
        "dead-webhook",
        f"`/run` with a webhook at a dead port, one at a time, median of {REQUESTS:,}",
        dead,
        (
            Line("peer: `/run` without webhooks", one("plain"), "ms"),
            Line("`/run` with a dead webhook", one("dead"), "ms"),
            Line("the same, to the plain one", lambda sample: sample["dead"] / sample["plain"], "x"),
        ),
    ),
)
