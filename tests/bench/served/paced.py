"""An async generator: `count` numbered chunks, one `every` so many seconds; 20 jobs at once in one worker."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import runpod


async def handler(job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    told = job["input"]
    due = time.monotonic()
    for number in range(told["count"]):
        due += told["every"]
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield {"n": number, "at": time.monotonic()}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 20})
