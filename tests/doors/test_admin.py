"""The emulator's own door: alive, and ready."""

import pytest
from runpod_emulator import __version__
from runpod_emulator.http.access import Access

from tests.doors.doors import open_doors

KEYS = Access(keys=frozenset({"rpa_ONE"}))


@pytest.mark.parametrize("access", [Access(), KEYS, Access(required=False)])
async def test_health_needs_no_key(access):
    answer = await open_doors(access=access, key=None).http.get("/__emulator/health")
    assert (answer.status_code, answer.text) == (200, f'{{"status":"ok","version":"{__version__}"}}')
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("access", [Access(), KEYS])
async def test_ready_is_503_until_every_handler_has_been_imported(access):
    doors = open_doors(access=access, key=None)
    answer = await doors.http.get("/__emulator/ready")
    assert (answer.status_code, answer.text) == (503, '{"ready":false}')
    doors.app.state.ready = True
    answer = await doors.http.get("/__emulator/ready")
    assert (answer.status_code, answer.text) == (200, '{"ready":true}')
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/__emulator", "/__emulator/", "/__emulator/nope", "/__emulator/health/x"])
async def test_nothing_else_is_there(path):
    answer = await open_doors().http.get(path)
    assert (answer.status_code, answer.json()["detail"]) == (404, "route not found")


@pytest.mark.parametrize("path", ["/__emulator/health", "/__emulator/ready"])
async def test_they_are_only_read(path):
    answer = await open_doors().http.post(path)
    assert answer.json() == {"status": 405, "title": "Method Not Allowed", "detail": "method not allowed"}
    assert answer.headers["allow"] == "GET"


async def test_two_applications_do_not_share_their_readiness():
    one, two = open_doors(), open_doors()
    one.app.state.ready = True
    assert (await two.http.get("/__emulator/ready")).status_code == 503
