"""Answers with the moment at which it ended, `delay` seconds after it began."""

import time
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> dict[str, Any]:
    time.sleep(job["input"].get("delay", 0))
    return {"at": time.monotonic()}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
