r"""Does what the request says: the inputs of RunPod's public mock-worker, so one request works there and here.

- `mock_return`: the output (default "Hello World!"); a generator yields its items
- `mock_delay`: seconds to wait before the output, the error or the crash; a generator waits before each item
- `mock_progress`: an object with `updates`, a list, and `wait_time`, the seconds after each (no generators)
- `mock_error`: raise; `mock_crash`: end the process; `mock_refresh`: ask for a fresh worker (no generators)
- `mock_logs`: a list of objects with `level` and `message`, printed to the worker's log

As a script it takes `--generator` or `--async_generator`, and `--return_aggregate_stream`; with the async one
the environment variable CONCURRENCY_MODIFIER sets how many jobs it runs at once.

Request:
    {"input": {"mock_return": {"answer": 42}, "mock_delay": 0.1, "mock_progress": {"updates": ["50%"]}}}

Try it:
    curl http://127.0.0.1:8000/v2/mock_worker/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' \
        -d '{"input": {"mock_return": {"answer": 42}, "mock_delay": 0.1, "mock_progress": {"updates": ["50%"]}}}'
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import runpod


def log(job: dict[str, Any]) -> None:
    """Print what `mock_logs` holds."""
    for entry in job["input"].get("mock_logs") or []:
        print(f"{entry.get('level', 'INFO').upper():<7}| {job['id']} | {entry.get('message', '')}", flush=True)


def fail(asked: dict[str, Any]) -> None:
    """Crash or raise, if the input asks for it."""
    if asked.get("mock_crash"):
        os._exit(1)
    if asked.get("mock_error"):
        raise Exception("Mock error")


def handler(job: dict[str, Any]) -> Any:
    """The plain kind: one output at the end."""
    asked = job["input"]
    log(job)
    time.sleep(asked.get("mock_delay", 0))
    fail(asked)
    progress = asked.get("mock_progress") or {}
    for update in progress.get("updates", []):
        runpod.serverless.progress_update(job, update)
        time.sleep(progress.get("wait_time", 0))
    output = asked.get("mock_return", "Hello World!")
    return {"refresh_worker": True, "mock_return": output} if asked.get("mock_refresh") else output


def generator_handler(job: dict[str, Any]) -> Iterator[Any]:
    """The generator kind: each item of `mock_return` is a chunk."""
    asked = job["input"]
    log(job)
    for item in asked.get("mock_return", ["Hello World!"]):
        time.sleep(asked.get("mock_delay", 0))
        fail(asked)
        yield item


async def async_generator_handler(job: dict[str, Any]) -> AsyncIterator[Any]:
    """The same without blocking the worker's other jobs."""
    asked = job["input"]
    log(job)
    for item in asked.get("mock_return", ["Hello World!"]):
        await asyncio.sleep(asked.get("mock_delay", 0))
        fail(asked)
        yield item


if __name__ == "__main__":
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--generator", action="store_true")
    parser.add_argument("--async_generator", action="store_true")
    parser.add_argument("--return_aggregate_stream", action="store_true")
    flags, _ = parser.parse_known_args()  # the rest belongs to the SDK

    config: dict[str, Any] = {"handler": handler, "return_aggregate_stream": flags.return_aggregate_stream}
    if flags.generator:
        config["handler"] = generator_handler
    elif flags.async_generator:
        config["handler"] = async_generator_handler
        config["concurrency_modifier"] = lambda current: int(os.environ.get("CONCURRENCY_MODIFIER") or current)
    runpod.serverless.start(config)
