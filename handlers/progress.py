r"""A slow handler that tells how far it is.

Each `progress_update` becomes the `output` of the running job. Send the request to `/run` and ask
`/status/<id>` while it runs; `/runsync` shows only the end. Updates are news, not a log: a later one
replaces an earlier one, and the result replaces them all.

Request:
    {"input": {"steps": 4, "delay": 0.25}}

Try it:
    curl http://127.0.0.1:8000/v2/progress/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"steps": 4, "delay": 0.25}}'
"""

from __future__ import annotations

import time
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> dict[str, int]:
    """Work in steps of `delay` seconds and report each one."""
    steps = int(job["input"].get("steps", 4))
    delay = float(job["input"].get("delay", 0.25))
    for step in range(1, steps + 1):
        time.sleep(delay)
        runpod.serverless.progress_update(job, {"step": step, "of": steps})
    return {"steps": steps}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
