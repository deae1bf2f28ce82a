"""A client in the standard library: one job with `/runsync`, one read from its stream.

Reads RUNPOD_ENDPOINT_BASE_URL and RUNPOD_API_KEY, as the official SDK does, so it also runs
against the real service. Ends with code 1 if a job does not complete.
"""

import json
import os
import sys
import urllib.request
from typing import Any

BASE_URL = os.environ.get("RUNPOD_ENDPOINT_BASE_URL", "http://127.0.0.1:8000/v2")
API_KEY = os.environ.get("RUNPOD_API_KEY", "any-key")
UNFINISHED = ("IN_QUEUE", "IN_PROGRESS")


def call(path: str, body: Any = None) -> Any:
    """POST `body` as JSON, or GET when there is none."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{BASE_URL}/{path}", data, headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


def echo() -> bool:
    """Run a job and wait for its output."""
    job = call("echo/runsync", {"input": {"message": "hello"}})
    print("echo:", job["status"], job.get("output"))
    return bool(job["status"] == "COMPLETED")


def tokens() -> bool:
    """Run a job and print its chunks as they come."""
    job_id = call("tokens/run", {"input": {"text": "one two three"}})["id"]
    status = "IN_QUEUE"
    while status in UNFINISHED:  # no pause: the server holds a request that has nothing to tell yet
        answer = call(f"tokens/stream/{job_id}")
        status = answer["status"]
        for chunk in answer["stream"]:
            print("tokens:", chunk["output"])
    print("tokens:", status)
    return status == "COMPLETED"


if __name__ == "__main__":
    results = [echo(), tokens()]
    sys.exit(0 if all(results) else 1)
