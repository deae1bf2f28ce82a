"""Requests that no effect is told of, in the log."""

from __future__ import annotations

import asyncio
import logging

import pytest
from runpod_emulator.effects.request_log import LogOptions, Mode
from runpod_emulator.http.remarks import remarks_of
from runpod_emulator.http.strays import Strays
from starlette.types import Message, Receive, Scope, Send

from tests.tables import table

ROWS: dict[str, tuple[Mode, str, str, int, str, list[str]]] = {
    "refused": ("all", "info", "/v2/ep/nope", 404, "route not found", ["INFO POST ep/nope 404 route not found"]),
    "refused, errors alone": ("errors", "info", "/x/v2/", 404, "", ["INFO POST /x/v2/ 404"]),
    "refused, nothing asked for": ("none", "debug", "/v2/ep/nope", 404, "route not found", []),
    "long": ("all", "info", "/v2/" + "x" * 201, 405, "", [f"INFO POST {'x' * 200}… 405"]),
    "answered": ("all", "info", "/v2/ep/job-done/w", 200, "", []),
    "answered, at debug": ("errors", "debug", "/v2/ep/job-done/w", 200, "", ["DEBUG POST ep/job-done/w 200"]),
}


@table("row", ROWS)
def test_a_request_that_nobody_else_tells_of(caplog: pytest.LogCaptureFixture, row: str) -> None:
    mode, level, path, status, why, said = ROWS[row]
    caplog.clear()
    caplog.set_level(level.upper(), "runpod_emulator.requests")
    asyncio.run(ask(LogOptions(mode), path, status, why))
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == said
    assert all(record.facts["path"] == path for record in caplog.records)


PLACES = ("/__emulator/hooks/", "/__emulator/namespaces/", "//__emulator//hooks//", "/v2/hooks/")


@table("place", PLACES)
@table("are_keys", [True, False])
def test_a_namespace_that_is_a_key_is_masked(caplog: pytest.LogCaptureFixture, place: str, are_keys: bool) -> None:
    caplog.clear()
    caplog.set_level(logging.INFO, "runpod_emulator.requests")
    asyncio.run(ask(LogOptions("all", are_keys), f"{place}a-key-of-a-client/test", 404, ""))
    shown = f"{place}****ient/test" if are_keys and "__" in place else f"{place}a-key-of-a-client/test"
    assert caplog.records[0].facts["path"] == shown
    assert caplog.messages == [f"POST {shown.removeprefix('/v2/')} 404"]


def test_one_that_was_told_of_is_not_told_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "runpod_emulator.requests")
    asyncio.run(ask(LogOptions("all"), "/v2/ep/run", 404, "", noted=True))
    assert caplog.messages == []


async def ask(options: LogOptions, path: str, status: int, why: str, *, noted: bool = False) -> None:
    """A request that the rest of the server answers so."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        remarks = remarks_of(scope)
        remarks.why, remarks.noted = why, noted
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(message: Message) -> None:
        pass

    await Strays(answer, options)({"type": "http", "method": "POST", "path": path}, receive, send)
