"""One job through its handler, by the rules of the official worker."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from . import results
from .output import say
from .results import NotJSON, Outcome
from .tracebacks import user_traceback

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    Handler = Callable[[Any], Any]

_LEAVE = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


def is_cooperative(handler: Any) -> bool:
    """Whether a stop can reach the handler while it waits: only what is async gives the loop its turn."""
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (handler, getattr(handler, "__call__", None))  # noqa: B004
    )


async def run(config: Any, job: Any, emit: Callable[[bytes], None]) -> Outcome:
    """Call the handler; `emit` gets the JSON of each chunk it yields."""
    handler = config["handler"]
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        return await _stream(handler, job, config.get("return_aggregate_stream", False), emit)
    return await _call(handler, job)


async def _call(handler: Handler, job: Any) -> Outcome:
    try:
        value = handler(job)
        if inspect.isawaitable(value):
            value = await value
        return results.returned(value)
    except _LEAVE:
        raise
    except BaseException as error:
        return results.raised(error, _logged(error))


async def _stream(handler: Handler, job: Any, aggregate: bool, emit: Callable[[bytes], None]) -> Outcome:
    kept: list[Any] = []
    try:
        async for value in _yielded(handler, job):
            error = value.get("error") if isinstance(value, dict) else None
            if error:
                return Outcome(error=str(error))
            if aggregate:
                kept.append(value)
            emit(results.encode(value, "chunk"))
            await asyncio.sleep(0)  # the official worker posts each chunk, and other jobs go on meanwhile
    except NotJSON as error:
        return Outcome(error=str(error))
    except _LEAVE:
        raise
    except BaseException as error:
        return results.raised_in_stream(error, _logged(error))
    return Outcome(kept)


async def _yielded(handler: Handler, job: Any) -> AsyncIterator[Any]:
    if inspect.isasyncgenfunction(handler):
        async for value in handler(job):
            yield value
    else:
        for value in handler(job):
            yield value


def _logged(error: BaseException) -> str:
    text = user_traceback(error)
    say(text.rstrip("\n"))
    return text
