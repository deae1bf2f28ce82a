"""What the official worker sends."""

from __future__ import annotations

from typing import Any

import httpx

from tests.doors.doors import JOB, Doors

SDK_HEADERS = {
    "authorization": "rpa_KEY",
    "user-agent": "RunPod-Python-SDK/1.12.0 (Linux; x86_64) Language/Python 3.11",
    "accept-encoding": "gzip, deflate",
}
SDK_POST = {**SDK_HEADERS, "content-type": "application/x-www-form-urlencoded", "charset": "utf-8"}
TAKE = "/job-take/w1?gpu=CPU&job_in_progress=0"
BATCH = "/job-take-batch/w1?gpu=CPU&batch_size=3&job_in_progress=0"
STOP = "/job-stop/w1?gpu=CPU"
PING = "/ping/w1?gpu=CPU"
HOLD = 10_000


def done_path(job: str, worker: str = "w1") -> str:
    return f"/job-done/{worker}/{job}?gpu=CPU&isStream=false"


def stream_path(job: str, worker: str = "w1") -> str:
    return f"/job-stream/{worker}/{job}?gpu=CPU&isStream=false"


async def holding(doors: Doors, body: bytes = JOB) -> str:
    """A job that worker `w1` holds; returns its id."""
    job = await doors.submit(body)
    answer = await doors.get(TAKE)
    assert answer.json()["id"] == job
    return job


async def post(doors: Doors, path: str, content: bytes, **headers: str) -> httpx.Response:
    """A post as the SDK makes it."""
    return await doors.post(path, content=content, headers={**SDK_POST, **headers})


async def status(doors: Doors, job: str) -> dict[str, Any]:
    return (await doors.get(f"/status/{job}")).json()


def is_ok(answer: httpx.Response) -> bool:
    """Assert the answer that a report or a ping gets."""
    assert (answer.status_code, answer.content) == (200, b"{}")
    return True


WORKER_CALLS = [
    ("GET", TAKE), ("GET", BATCH), ("GET", STOP), ("GET", PING), ("POST", done_path("j")), ("POST", stream_path("j")),
]  # fmt: skip
