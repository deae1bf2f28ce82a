"""Requests that go out on a connection which was used before: it may be dead by then."""

from __future__ import annotations

from typing import Any

import aiohttp


class Sent:
    """One request, given to aiohttp as its `trace_request_ctx`."""

    is_on_kept = False
    """Whether it went out on a connection that was used before."""


def tracing() -> aiohttp.TraceConfig:
    """What a session needs to tell each Sent."""

    async def reused(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
        context.trace_request_ctx.is_on_kept = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(reused)
    return config
