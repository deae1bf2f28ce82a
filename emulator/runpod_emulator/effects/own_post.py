"""Webhook calls to the emulator's own receiver, without the way through its own port: that takes half a millisecond."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from runpod_emulator.core.jobs.deliveries import CALLER
from runpod_emulator.core.records.receiver import Answer
from runpod_emulator.effects.webhooks import PRESENT_TRACE, Post

Take = Callable[[str, bytes], Answer | None]
"""Takes a call by its URL and body; returns its answer, None for one that is for somebody else."""
PassTime = Callable[[int], Awaitable[None]]
"""Lets so many ms pass on the emulator's clock."""


class OwnPost:
    """Makes webhook calls: those that `take` knows at once, all others by `post`."""

    def __init__(self, post: Post, take: Take, pass_time: PassTime, timeout: int) -> None:
        self._post = post
        self._take = take
        self._pass_time = pass_time
        self._timeout = timeout
        """Of a call, in ms."""

    async def send(self, url: str, body: bytes) -> str:
        """One call. Returns "" for a 2xx, else what went wrong."""
        answer = self._take(url, body)
        if answer is None:
            return await self._post.send(url, body)
        if answer.delay:
            await self._pass_time(min(answer.delay, self._timeout))
        if answer.delay >= self._timeout:
            return f"no answer within {self._timeout / 1000:g} s"
        if answer.drops:
            return "the connection was dropped"
        return "" if 200 <= answer.status < 300 else f"answered {answer.status}"

    async def close(self) -> None:
        """Close all connections."""
        await self._post.close()


def call_headers() -> dict[str, str]:
    """The headers with which the service calls."""
    return {
        "Content-Type": "application/json",
        "User-Agent": CALLER,
        "traceparent": PRESENT_TRACE.get() or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
    }


def arriving_headers(url: str, body: bytes) -> Mapping[str, str]:
    """The headers that a receiver of such a call sees."""
    sent = {"Host": urlsplit(url).netloc, **call_headers(), "Content-Length": str(len(body))}
    return {name.lower(): value for name, value in sent.items()}
