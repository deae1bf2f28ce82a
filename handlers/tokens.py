r"""A generator: each `yield` is one chunk of the job's stream.

`/stream/<id>` hands the chunks out while the job runs. With `return_aggregate_stream` the finished job
has all of them as its `output` too, so `/runsync` and `/status/<id>` show the whole list.

Request:
    {"input": {"text": "one two three", "delay": 0.1}}

Try it:
    curl http://127.0.0.1:8000/v2/tokens/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"text": "one two three", "delay": 0.1}}'
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> Iterator[str]:
    """Yield the words of `text`, each with the space that follows it."""
    text = job["input"].get("text") or "Tokens come one by one."
    delay = float(job["input"].get("delay", 0.1))
    for token in re.findall(r"\S+\s*", text):
        time.sleep(delay)
        yield token


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
