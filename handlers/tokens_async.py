r"""An async generator, without `return_aggregate_stream`: the chunks exist only in the stream.

The finished job has an empty list as its `output`. To see the chunks, send the request to `/run` and
read `/stream/<id>` until the status is COMPLETED.

Request:
    {"input": {"text": "one two three", "delay": 0.1}}

Try it:
    curl http://127.0.0.1:8000/v2/tokens_async/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"text": "one two three", "delay": 0.1}}'
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import runpod


async def handler(job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Yield the words of `text` as numbered objects: a chunk may be any JSON."""
    text = job["input"].get("text") or "Tokens come one by one."
    delay = float(job["input"].get("delay", 0.1))
    for index, token in enumerate(text.split()):
        await asyncio.sleep(delay)
        yield {"index": index, "token": token}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
