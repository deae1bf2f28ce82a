"""The short cut of ordinary requests leads where the long way leads."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from runpod_emulator.doors import openai, public, worker
from runpod_emulator.http.routing import ShortCut

from tests.doors.doors import JOB, open_doors

PLAIN = [
    ("POST", "/v2/ep/run"),
    ("GET", "/v2/ep/status/{job}"),
    ("POST", "/v2/ep/status/{job}"),
    ("GET", "/v2/ep/status/nobody"),
    ("GET", "/v2/ep/health"),
    ("GET", "/v2/ep/metrics"),
    ("GET", "/v2/ep/requests?limit=1"),
    ("POST", "/v2/ep/cancel/{job}"),
    ("POST", "/v2/ep/retry/{job}"),
    ("POST", "/v2/ep/purge-queue"),
    ("POST", "/v2/nowhere/run"),
    ("GET", "/v2/ep/stream/{job}?wait=1000"),
    ("GET", "/v2/ep%2Fstatus/{job}"),
    ("GET", "/v2/nowhere/openai/v1/models"),
    ("POST", "/v2/nowhere/openai/v1/models/org%2Fmodel"),
    ("POST", "/v2/ep/job-done/w/{job}"),
    ("POST", "/v2/ep/job-done/w&gpu=x"),
    ("POST", "/v2/ep/job-stream/w/{job}"),
    ("GET", "/v2/ep/ping/w?job_id={job}"),
    ("GET", "/v2/ep/ping/w/and/more?job_id={job}"),
]
OTHERS = [
    ("GET", "/v2/ep/run"),
    ("HEAD", "/v2/ep/health"),
    ("OPTIONS", "/v2/ep/health"),
    ("POST", "/v2//ep/run"),
    ("POST", "/v2/ep/run/"),
    ("GET", "/v2/ep/status/{job}/"),
    ("GET", "/v2/ep/status"),
    ("GET", "/v2/ep/status/{job}/more"),
    ("GET", "/v2/ep/status/{job}%2Fmore"),
    ("POST", "/v2/flash/run"),
    ("GET", "/v2/ep/nothing"),
    ("GET", "/v1/ep/health"),
    ("GET", "/v2/ep/openai"),
    ("GET", "/v2/nowhere/openai//v1/models"),
    ("GET", "/v2/nowhere/openai/v1/models/"),
    ("GET", "/v2/ep/job-done/w/{job}"),
    ("POST", "/v2/ep/job-done/w/{job}/more"),
    ("GET", "/"),
]


async def asked(method: str, path: str, **options: Any) -> httpx.Response:
    """The answer of fresh doors, behind which one job has ended well."""
    doors = open_doors()
    job = await doors.completed()
    try:
        content = JOB if method == "POST" else None
        return await doors.http.request(method, path.replace("{job}", job.id), content=content, **options)
    finally:
        await doors.world.emulator.stop()


def seen(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """What a client sees."""
    return answer.status_code, dict(answer.headers), answer.content


def short_cut(method: str, path: str, **headers: str) -> Any:
    """The handler that the short cut finds."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": unquote(path.partition("?")[0]), "headers": raw}
    return ShortCut([*public.routes, *openai.routes, *worker.routes]).find(scope)


@pytest.mark.parametrize(("method", "path"), PLAIN)
def test_ordinary_requests_take_it(method: str, path: str):
    assert short_cut(method, path) is not None
    assert short_cut(method, path, host="localhost:8000") is not None
    assert short_cut(method, path, host="127.0.0.1:8000") is not None


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_all_others_go_the_long_way(method: str, path: str):
    assert short_cut(method, path) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://page"}, {"sec-fetch-site": "none"}, {"sec-fetch-mode": "navigate"},
        {"user-agent": "Mozilla/5.0 (X11)"}, {"host": "ep.api.localhost"}, {"host": "a.b:80"},
    ],
)  # fmt: skip
def test_so_do_browsers_and_hosts_that_may_name_an_endpoint(headers: dict[str, str]):
    assert short_cut("POST", "/v2/ep/run", **headers) is None


@pytest.mark.parametrize(("method", "path"), [*PLAIN, *OTHERS])
async def test_both_ways_answer_alike(method: str, path: str, monkeypatch: pytest.MonkeyPatch):
    by_short_cut = await asked(method, path)
    monkeypatch.setattr(ShortCut, "find", lambda self, scope: None)
    assert seen(by_short_cut) == seen(await asked(method, path))
