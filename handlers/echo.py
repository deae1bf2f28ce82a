r"""The smallest handler: the input comes back as the output.

Mind one rule of RunPod: a returned dict loses its `error` key, and with an `error` in it the job is FAILED.

Request:
    {"input": {"message": "hello"}}

Try it:
    curl http://127.0.0.1:8000/v2/echo/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"message": "hello"}}'
"""

from __future__ import annotations

from typing import Any

import runpod


def handler(job: dict[str, Any]) -> Any:
    """Give the input back."""
    return job["input"]


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
