r"""Three ways to fail; `mode` chooses one.

- `raise` (the default): FAILED; `error` is a JSON text with the type, the message and the traceback.
- `return`: FAILED; `error` is the returned message, other keys of the dict become the `output`.
- `crash`: the process dies without a report. The job is given to another worker once, then it is FAILED.

Request:
    {"input": {"mode": "raise", "message": "out of memory"}}

Try it:
    curl http://127.0.0.1:8000/v2/failing/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"mode": "raise", "message": "out of memory"}}'
"""

from __future__ import annotations

import os
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """Fail in the way that `mode` names."""
    mode = job["input"].get("mode") or "raise"
    message = job["input"].get("message") or "failed on request"
    if mode == "crash":
        os._exit(1)
    if mode == "return":
        return {"error": message, "hint": "a dict with an error key"}
    if mode == "raise":
        raise RuntimeError(message)
    raise ValueError(f"mode must be raise, return or crash, not {mode!r}")


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
