"""HEAD: as GET where a look changes nothing, refused where it would take something or be held."""

from __future__ import annotations

from tests.doors.doors import open_doors
from tests.tables import table

LIKE_GET = [
    "/__emulator/health", "/__emulator/ready", "/__emulator/stubs", "/__emulator/requests", "/__emulator/nope",
    "/v2/ep/health", "/v2/ep/metrics", "/v2/ep/requests", "/v2/ep/status/JOB", "/v2/ep/status/nobody",
    "/v2//ep/health/", "/v2/flash/status/JOB", "/docs", "/openapi.json", "/nowhere",
]  # fmt: skip
REFUSED = [
    "/v2/ep/status/JOB?ttl=1000", "/v2/ep/status-sync/JOB", "/v2/ep/stream/JOB", "/v2/ep/job-take/w1",
    "/v2/ep/job-take-batch/w1", "/v2/ep/job-stop/w1", "/v2/ep/ping/w1", "/v2/ep/run",
    "/v2/ep/openai/v1/models", "/__emulator/events",
]  # fmt: skip


@table("path", LIKE_GET)
async def test_head_is_get_without_a_body(path: str) -> None:
    doors = open_doors()
    path = path.replace("JOB", await doors.submit())
    get = await doors.http.get(path)
    head = await doors.http.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    names = ("content-type", "content-length", "x-emulator-fidelity")
    assert [head.headers.get(name) for name in names] == [get.headers.get(name) for name in names]


@table("path", REFUSED)
async def test_head_takes_nothing_and_waits_for_nothing(path: str) -> None:
    doors = open_doors()
    path = path.replace("JOB", await doors.submit())
    answer = await doors.http.head(path)
    assert answer.status_code == 405
