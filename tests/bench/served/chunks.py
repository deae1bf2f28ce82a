"""A generator: `count` numbered chunks, each with the moment it was yielded, the first after `delay` seconds."""

import time
from collections.abc import Iterator
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    told = job["input"]
    time.sleep(told.get("delay", 0))
    for number in range(told["count"]):
        yield {"n": number, "at": time.monotonic()}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
