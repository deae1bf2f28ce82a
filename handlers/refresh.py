r"""A fresh worker after a job: `refresh_worker`, for code that leaks memory or keeps state.

It has two forms, with the same end: the job is COMPLETED, then its worker is replaced.
- Returned, as here: a handler that returns a dict with a true `refresh_worker` decides job by job.
  The key is taken out of the output.
- Configured: `start({"handler": handler, "refresh_worker": True})` does it after every job.

This handler counts the jobs of its worker: with a refresh each answer is 1, without one it grows.

Request:
    {"input": {"refresh": true}}

Try it:
    curl http://127.0.0.1:8000/v2/refresh/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"refresh": true}}'
"""

from __future__ import annotations

import itertools
from typing import Any

import runpod

jobs_of_this_worker = itertools.count(1)


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """Count the job, and ask for a fresh worker unless `refresh` is false."""
    return {
        "jobs_of_this_worker": next(jobs_of_this_worker),
        "refresh_worker": bool(job["input"].get("refresh", True)),
    }


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
