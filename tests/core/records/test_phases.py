"""How a job spent its time, from its history."""

from __future__ import annotations

from typing import Any

from runpod_emulator.core.fleet.arrivals import Arrival
from runpod_emulator.core.records.history import Moment
from runpod_emulator.core.records.phases import phases

from tests.tables import table

Q, P = "IN_QUEUE", "IN_PROGRESS"
ARRIVALS = {"cold": Arrival(2, 3, 4, 8), "warm": Arrival(-9, -8, -7, -5), "coming": Arrival(2)}


def moments(*rows: tuple[int, str, str, str | None]) -> list[Moment]:
    retries, told = 0, []
    for at, event, status, worker in rows:
        retries += event == "Requeued"
        told.append(Moment(at, event, status, worker, retries))
    return told


@table("rows, expected", [
    ([(0, "Submitted", Q, None)], [("queued", 0, None, None, 0, "")]),
    (
        [(0, "Submitted", Q, None), (9, "Taken", P, "cold"), (9, "Emitted", P, "cold"),
         (12, "Completed", "COMPLETED", "cold"), (99, "Forgotten", "GONE", "cold")],
        [("queued", 0, 9, None, 0, "Taken"), ("cold start", 2, 8, "cold", 0, "ready"),
         ("running", 9, 12, "cold", 0, "Completed")],
    ),
    (
        [(0, "Submitted", Q, None), (1, "Taken", P, "warm"), (2, "Requeued", Q, None), (3, "Taken", P, "coming"),
         (5, "Failed", "FAILED", "coming"), (7, "Retried", Q, None), (8, "Released", Q, None)],
        [("queued", 0, 1, None, 0, "Taken"), ("running", 1, 2, "warm", 0, "Requeued"),
         ("queued", 2, 3, None, 1, "Taken"), ("running", 3, 5, "coming", 1, "Failed"),
         ("queued", 7, None, None, 1, "")],
    ),
    ([(0, "Submitted", Q, None), (4, "Cancelled", "CANCELLED", None)], [("queued", 0, 4, None, 0, "Cancelled")]),
])  # fmt: skip
def test_the_parts_of_a_life(rows: list[Any], expected: list[Any]):
    assert [tuple(one) for one in phases(moments(*rows), ARRIVALS.get)] == expected
