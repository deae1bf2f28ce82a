r"""One worker, several jobs at once: an async handler and a `concurrency_modifier`.

RunPod asks `concurrency_modifier` before each fetch how many jobs the worker wants to hold. The handler
must be async and must await while it waits, or the jobs run one after the other all the same. Send a few
requests to `/run` together and compare their outputs.

Request:
    {"input": {"delay": 0.5}}

Try it:
    curl http://127.0.0.1:8000/v2/parallel/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"delay": 0.5}}'
"""

from __future__ import annotations

import asyncio
from typing import Any

import runpod

JOBS_AT_ONCE = 4
running: set[str] = set()


def concurrency_modifier(current: int) -> int:
    """How many jobs this worker wants; `current` is what it holds now at most."""
    return JOBS_AT_ONCE


async def handler(job: dict[str, Any]) -> dict[str, int]:
    """Wait `delay` seconds and tell how many jobs shared the worker."""
    running.add(job["id"])
    try:
        at_start = len(running)
        await asyncio.sleep(float(job["input"].get("delay", 0.5)))
        return {"running_at_start": at_start, "running_at_end": len(running)}
    finally:  # a cancelled job leaves here too, with a CancelledError
        running.discard(job["id"])


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "concurrency_modifier": concurrency_modifier})
