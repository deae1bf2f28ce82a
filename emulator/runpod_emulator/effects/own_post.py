"""Webhook calls to the emulator's own receiver, without the way through its own port: that takes half a millisecond."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from runpod_emulator.core.jobs.deliveries import CALLER
from runpod_emulator.effects.webhooks import Post

Take = Callable[[str, bytes], int | None]
"""Takes a call by its URL and body; returns its status, None for one that is for somebody else."""


class OwnPost:
    """Makes webhook calls: those that `take` knows at once, all others by `post`."""

    def __init__(self, post: Post, take: Take) -> None:
        self._post = post
        self._take = take

    async def send(self, url: str, body: bytes) -> str:
        """One call. Returns "" for a 2xx, else what went wrong."""
        status = self._take(url, body)
        if status is None:
            return await self._post.send(url, body)
        return "" if 200 <= status < 300 else f"answered {status}"

    async def close(self) -> None:
        """Close all connections."""
        await self._post.close()


def call_headers() -> dict[str, str]:
    """The headers with which the service calls."""
    return {
        "Content-Type": "application/json",
        "User-Agent": CALLER,
        "traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
    }


def arriving_headers(url: str, body: bytes) -> Mapping[str, str]:
    """The headers that a receiver of such a call sees."""
    sent = {"Host": urlsplit(url).netloc, **call_headers(), "Content-Length": str(len(body))}
    return {name.lower(): value for name, value in sent.items()}
