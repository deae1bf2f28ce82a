"""The bodies of requests that no verb has read are in the journal too, or it says why they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.records.news import LONGEST_BODY, Entry
from runpod_emulator.core.settings import Span
from runpod_emulator.http.access import Access

from tests.doors.doors import JOB, Doors, Visit, open_doors


def last(doors: Doors) -> Entry:
    """The request that came last."""
    return list(doors.world.emulator.journal)[-1]


class Refused(NamedTuple):
    """Doors that refuse a request, and the status with which."""

    status: int
    path: str = "/v2/ep/run"
    fault: dict[str, Any] | None = None
    options: Mapping[str, Any] = MappingProxyType({})


REFUSED = {
    "no key": Refused(401, options={"key": None}),
    "wrong key": Refused(401, options={"access": Access(keys=frozenset({"other"}))}),
    "unknown endpoint": Refused(404, "/v2/nope/run"),
    "rate limit": Refused(429, options={"run_rate": 0}),
    "paused": Refused(409, options={"workers_max": 0}),
    "fault": Refused(429, fault={"kind": FaultKind.STATUS, "status": 429}),
    "fault after a while": Refused(429, fault={"kind": FaultKind.STATUS, "status": 429, "delay": Span(50, 50)}),
    "late refusal": Refused(401, "/v2/ep/openai/v1/models", options={"key": None}),
    "no such job": Refused(404, "/v2/ep/retry/none"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_the_body_of_a_refused_request_is_kept(name: str):
    case = REFUSED[name]
    doors = open_doors(**case.options)
    if case.fault:
        doors.world.emulator.faults.add(Fault("f", **case.fault))
    asked = asyncio.ensure_future(doors.http.post(case.path, content=JOB))
    if case.fault and "delay" in case.fault:
        while not doors.waiting:
            await asyncio.sleep(0)
        await doors.world.advance(50)
    assert (await asked).status_code == case.status
    assert (last(doors).status, last(doors).body, last(doors).is_cut) == (case.status, JOB, False)


async def test_a_reset_connection_has_its_body_in_the_journal():
    doors = open_doors()
    doors.world.emulator.faults.add(Fault("f", FaultKind.CONNECTION_RESET))
    visit = Visit(doors, "POST", "/v2/ep/run", headers={"content-length": str(len(JOB))}, parts=(JOB,))
    await asyncio.wait([visit.task])
    assert (last(doors).status, last(doors).body) == (0, JOB)


async def test_an_answered_request_keeps_a_body_that_its_verb_does_not_want():
    doors = open_doors()
    job = await doors.completed()
    for path in (f"/status/{job.id}", f"/cancel/{job.id}"):
        await doors.post(path, content=JOB)
        assert (last(doors).body, last(doors).unread) == (JOB, "")
    assert (await doors.get(f"/status/{job.id}")).status_code == 200
    assert (last(doors).body, last(doors).is_cut) == (b"", False)


async def test_a_body_that_comes_while_its_request_waits_is_kept():
    doors = open_doors()
    job_id = await doors.submit()
    held = await doors.hold(doors.post(f"/status-sync/{job_id}?wait=1000", content=JOB))
    await doors.world.advance(1_000)
    assert (await held).status_code == 200
    assert (last(doors).body, last(doors).unread) == (JOB, "")


UNREAD = {
    "announced": ({"content-length": "70000"}, [b"x" * 70_000], f"longer than {LONGEST_BODY} bytes", 70_000, 0),
    "in pieces": (
        {"transfer-encoding": "chunked"}, [b"x" * 40_000] * 2, f"longer than {LONGEST_BODY} bytes", 80_000, LONGEST_BODY
    ),
    "asks first": ({"content-length": "9", "expect": "100-continue"}, [], "waited to be asked", 9, 0),
    "late": ({"content-length": "9"}, [b"abc"], "had not come", 9, 3),
    "lost": ({"content-length": "9"}, [b"abc", None], "connection was lost", 9, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
async def test_what_could_not_be_read_says_why(name: str):
    headers, parts, reason, size, kept = UNREAD[name]
    doors = open_doors(access=Access(keys=frozenset({"other"})))
    visit = Visit(doors, "POST", "/v2/ep/run", headers=headers, parts=None)
    for part in parts:
        visit.leave() if part is None else visit.feed(part)
    await asyncio.wait([visit.task])
    entry = last(doors)
    assert visit.status == 401 and entry.is_cut and reason in entry.unread
    assert (entry.body_size, len(entry.body)) == (size, kept)


async def test_a_body_over_the_limit_of_its_verb_says_so():
    doors = open_doors()
    answer = await doors.post("/run", content=b"x" * (10 * 1024 * 1024 + 1))
    assert answer.status_code == 400
    assert (last(doors).body, last(doors).unread) == (b"", "it is longer than 10485760 bytes")


async def test_of_a_flood_few_are_waited_for():
    doors = open_doors(key=None, access=Access(keys=frozenset({"other"})))
    headers = {"content-length": "9"}
    visits = [Visit(doors, "POST", "/v2/ep/run", headers=headers, parts=None) for _ in range(100)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert sum(visit.task.done() for visit in visits) == 36
    await asyncio.wait([visit.task for visit in visits])
    assert {visit.status for visit in visits} == {401}


async def test_no_more_is_read_than_is_kept():
    doors = open_doors(access=Access(keys=frozenset({"other"})))
    visit = Visit(doors, "POST", "/v2/ep/run", headers={"transfer-encoding": "chunked"}, parts=(b"x" * 10_000,) * 50)
    await asyncio.wait([visit.task])
    assert visit.unread == 44
    assert (len(last(doors).body), last(doors).unread) == (LONGEST_BODY, f"it is longer than {LONGEST_BODY} bytes")
