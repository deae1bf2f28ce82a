"""One job through its handler, by the rules of the official worker."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from . import results, sdk_log
from .capture import Capture
from .output import say
from .results import Lost, NotFinite, Outcome, Unsendable, Unspeakable
from .tracebacks import user_traceback

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    Handler = Callable[[Any], Any]

_LEAVE = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""What goes through the official worker's code: a stop, and the end of the process."""
_UNREPORTED = "{kind} left the handler: the official worker reports an Exception only"


def is_cooperative(handler: Any) -> bool:
    """Whether a stop can reach the handler while it waits: only what is async gives the loop its turn."""
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (handler, getattr(handler, "__call__", None))  # noqa: B004
    )


async def run(config: Any, job: Any, emit: Callable[[bytes], None], capture: Capture | None = None) -> Outcome:
    """Call the handler; `emit` gets the JSON of each chunk it yields. `capture` gets what it prints.

    Raises Lost where the official worker never reports.
    """
    capture = capture or Capture(enabled=False)
    if "handler" not in config:
        raise Lost("runpod.serverless.start was given no handler")
    handler = config["handler"]
    try:
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            return await _stream(handler, job, config.get("return_aggregate_stream", False), emit, capture)
        return await _call(handler, job, capture)
    except (Lost, *_LEAVE):
        raise
    except BaseException as error:
        _logged(error)
        raise Lost(_UNREPORTED.format(kind=type(error).__name__)) from None


async def _call(handler: Handler, job: Any, capture: Capture) -> Outcome:
    with capture:
        try:
            value = handler(job)
            if inspect.isawaitable(value):
                value = await value
            return results.returned(value)
        except Exception as error:
            logs = capture.text()
            return results.raised(error, _logged(error), logs)


async def _stream(
    handler: Handler, job: Any, aggregate: bool, emit: Callable[[bytes], None], capture: Capture
) -> Outcome:
    kept: list[Any] = []
    talks = capture.enabled and sdk_log.shows("DEBUG")
    async for value, failure in _outcomes(handler, job, capture):
        if failure is not None:
            return failure
        if talks:
            capture.log(f"Stream output: {{'output': {value!r}}}")
        error = value.get("error") if isinstance(value, dict) else None
        if error:
            return Outcome(error=str(error))
        if aggregate:
            kept.append(value)
        try:
            if _send(value, emit) and talks:
                capture.log("Intermediate results sent.")
        except Unspeakable as unspeakable:
            return results.raised_in_stream(unspeakable.error, _logged(unspeakable.error), capture.text())
        await asyncio.sleep(0)  # the official worker posts each chunk, and other jobs go on meanwhile
    return Outcome(kept)


def _send(value: object, emit: Callable[[bytes], None]) -> bool:
    """Emit a chunk; returns whether it could be sent. Raises Unsendable where the official worker breaks off."""
    try:
        emit(results.encode(value, "chunk"))
    except NotFinite:
        say("The chunk holds NaN or Infinity, which is no JSON: RunPod refuses it, and the job goes on without it.")
        return False
    except Unsendable as error:
        if not error.goes_on:
            raise
        say(f"{error}. The official worker leaves it out and goes on.")
        return False
    return True


async def _outcomes(handler: Handler, job: Any, capture: Capture) -> AsyncIterator[tuple[Any, Outcome | None]]:
    """What a generator yields, and the failure that an exception in it is."""
    talks = capture.enabled and sdk_log.shows("DEBUG")
    is_async = inspect.isasyncgenfunction(handler)
    said = "Async Generator output" if is_async else "Generator output"
    with capture:
        try:
            # Not through one more generator: that would make a RuntimeError of a StopAsyncIteration.
            if is_async:
                async for value in handler(job):
                    if talks:
                        capture.log(f"{said}: {value}")
                    yield value, None
            else:
                for value in handler(job):
                    if talks:
                        capture.log(f"{said}: {value}")
                    yield value, None
        except Exception as error:
            logs = capture.text()
            yield None, results.raised_in_stream(error, _logged(error), logs)


def _logged(error: BaseException) -> str:
    text = user_traceback(error)
    say(text.rstrip("\n"))
    # Where the call itself failed no frame is the handler's, but the report begins as all do.
    return text if "Traceback (most recent call last)" in text else f"Traceback (most recent call last):\n{text}"
