"""What no route has is in the journal, and so in the log, in the story and in a strict test's reasons."""

from __future__ import annotations

import logging

import pytest
from runpod_emulator.doors.admin.story import story
from runpod_emulator.doors.admin.strictness import unmet
from runpod_emulator.effects.request_log import LogOptions, request_log
from runpod_emulator.http.access import Access
from runpod_emulator.server.app import Application
from runpod_emulator.world.worlds import Worlds

from tests.doors.conftest import no_endless_wait  # noqa: F401 - a fixture
from tests.doors.doors import JOB, Doors, open_doors
from tests.tables import table
from tests.worlds import make_world

NO_ROUTE = "route not found"
UNROUTED = {
    "a verb": ("POST", "/v2/ep/runn", 404, "ep", NO_ROUTE),
    "/v2 twice": ("POST", "/v2/v2/ep/run", 404, "v2", NO_ROUTE),
    "no /v2": ("POST", "/ep/run", 404, "", NO_ROUTE),
    "the root": ("POST", "/", 405, "", "the route takes GET"),
    "a method": ("GET", "/v2/ep/run", 405, "ep", "the route takes POST"),
    "no verb": ("POST", "/v2/ep/", 404, "ep", NO_ROUTE),
    "management": ("POST", "/v1/pods", 501, "", "the management API (REST v1) exists on RunPod"),
}
OF_NOBODY = [
    "/__emulator/nope",
    "/__emulator/ui/nope.js",
    "/favicon.ico",
    "/.well-known/x",
    "/docs/x",
    "/openapi.json/x",
]


@table("name", UNROUTED)
async def test_it_is_a_request_like_any_other(name: str) -> None:
    method, path, status, endpoint, why = UNROUTED[name]
    doors = open_doors()
    world = doors.world.emulator
    assert (await doors.http.request(method, path, content=JOB)).status_code == status
    (entry,) = world.journal
    assert (entry.method, entry.path, entry.status, entry.endpoint) == (
        method,
        path.rstrip("/") or "/",
        status,
        endpoint,
    )
    assert entry.operation == "" and entry.why.startswith(why) and entry.body == (JOB if method == "POST" else b"")
    assert f"{method} {entry.path}: {status}" in await story(world)
    assert [f"{method} {entry.path}: {status}" in reason for reason in unmet(world, ())] == [True]
    assert unmet(world, {entry.number}) == []


async def test_what_is_not_for_the_service_is_none() -> None:
    doors = open_doors()
    for path in OF_NOBODY:
        assert (await doors.http.get(path)).status_code == 404
        assert (await doors.http.post("/__emulator/health")).status_code == 405
    asks = {"origin": "http://x.test", "access-control-request-method": "POST"}
    assert (await doors.http.options("/v2/ep/run", headers=asks)).status_code >= 400, "a browser's own question"
    assert list(doors.world.emulator.journal) == []


async def test_it_is_in_the_journal_of_its_namespace() -> None:
    first, other = make_world(), make_world()
    worlds = Worlds(first.emulator, lambda name: other.emulator)
    app = Application(worlds, Access())
    doors = Doors(first, Access())
    doors.app, doors.http._transport.app = app, app  # type: ignore[attr-defined]
    for made, found in ((False, 0), (True, 1)):
        if made:
            worlds.named("w2")
        await doors.post("/runn", headers={"x-emulator-namespace": "w2"})
        assert (len(first.emulator.journal), len(other.emulator.journal)) == (0, found)


async def test_it_has_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = make_world()
    world.emulator.log = LogOptions("errors")
    world.emulator.news.tell(request_log(world.emulator.log, world.emulator.history))
    doors = Doors(world, Access())
    with caplog.at_level(logging.INFO, "runpod_emulator.requests"):
        await doors.post("/runn")
        await doors.http.get("/__emulator/nope")
    lines = [record.getMessage() for record in caplog.records if record.name == "runpod_emulator.requests"]
    assert lines == ["POST ep/runn 404 route not found", "GET /__emulator/nope 404"]
