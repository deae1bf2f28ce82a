"""The log of a worker: what is remembered, what comes, and where a client goes on that comes back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from runpod_emulator.core.fleet.worker import Said

from tests.doors.doors import Doors, open_doors
from tests.tables import table

START = "2023-11-14T22:13:20."


async def printed(doors: Doors, *texts: str) -> str:
    """A worker that has printed these, one a second but for the first two, and is gone."""
    worker = await doors.world.worker()
    for place, text in enumerate(texts):
        await doors.world.advance(1_000 if place > 1 else 0)
        doors.endpoint.workforce.printed(worker, "", Said(text))
    await doors.endpoint.work.worker_gone(worker)
    return worker


def told(answer: httpx.Response) -> list[str]:
    return [one["line"] for one in events(answer.text)]


def events(text: str) -> list[dict[str, Any]]:
    found = [dict(line.split(": ", 1) for line in one.split("\n")) for one in text.strip().split("\n\n") if one]
    shown = [json.loads(one["data"]) for one in found]
    assert [one["id"] for one in found] == [one["ts"] for one in shown]
    return shown


@table(
    ("query", "header", "lines"),
    [
        ("", "", ["a", "b", "c", "d"]),
        ("tail=2", "", ["c", "d"]),
        ("tail=0", "", []),
        ("source=system", "", []),
        ("source=container&tail=1", "", ["d"]),
        ("since=2023-11-14T22:13:21Z", "", ["c", "d"]),
        ("since=2023-11-14T23:13:22%2B01:00&tail=0", "", ["d"]),
        ("", START + "000000001Z", ["b", "c", "d"]),
        ("since=2030-01-01T00:00:00Z", START + "000000002Z", ["c", "d"]),
        ("", "2023-11-14T22:13:22.000000001Z", []),
    ],
)
async def test_what_is_remembered_of_a_worker_that_is_gone(query: str, header: str, lines: list[str]):
    doors = open_doors(rate_limits=False)
    worker = await printed(doors, "a", "b", "c", "d")
    headers = {"last-event-id": header} if header else {}
    answer = await doors.http.get(f"/v2/serverless/ep/workers/{worker}/logs?{query}", headers=headers)
    assert told(answer) == lines
    assert answer.headers["cache-control"] == "no-cache" and answer.headers["x-accel-buffering"] == "no"


async def test_a_line_has_its_source_and_its_time_and_no_secret_of_the_server():
    doors = open_doors()
    worker = await printed(doors, "Authorization: Bearer rpa_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345")
    (event,) = events((await doors.http.get(f"/v2/serverless/ep/workers/{worker}/logs")).text)
    assert (event["source"], event["ts"]) == ("container", START + "000000001Z")
    assert "ABCDEFGHIJKLMNOP" not in event["line"]


async def test_what_comes_is_told_until_the_worker_is_gone():
    doors = open_doors()
    worker = await doors.world.worker()
    answer = asyncio.ensure_future(doors.http.get(f"/v2/serverless/ep/workers/{worker}/logs"))
    while not doors.world.emulator.feeds:
        await asyncio.sleep(0)
    doors.endpoint.workforce.printed(worker, "", Said("here"))
    doors.endpoint.workforce.printed("another", "", Said("not this"))
    await doors.endpoint.work.worker_gone(worker)
    shown = events((await answer).text)
    assert [(one["source"], one["line"]) for one in shown] == [
        ("container", "here"),
        ("system", "worker is gone: it ended by itself"),
    ]
    assert not doors.world.emulator.feeds


async def test_the_stop_of_the_server_ends_it():
    doors = open_doors()
    worker = await doors.world.worker()
    answer = asyncio.ensure_future(doors.http.get(f"/v2/serverless/ep/workers/{worker}/logs"))
    while not doors.world.emulator.feeds:
        await asyncio.sleep(0)
    doors.world.emulator.hang_up()
    assert (await answer).status_code == 200


@table(
    "query",
    ["tail=-1", "tail=5001", "tail=x", "source=both", "since=yesterday", "since=", "since=2023-13-01T00:00:00Z"],
)
async def test_what_is_no_question_is_refused(query: str):
    doors = open_doors(rate_limits=False)
    worker = await printed(doors, "a")
    answer = await doors.http.get(f"/v2/serverless/ep/workers/{worker}/logs?{query}")
    assert answer.status_code == 422 and answer.json()["errors"][0].startswith(query.partition("=")[0])
