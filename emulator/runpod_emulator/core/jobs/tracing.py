"""What the rest knows of distributed tracing: contexts as texts, in the form of the W3C's `traceparent`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Job

TRACEPARENT = b"traceparent"
"""The header, https://www.w3.org/TR/trace-context/."""
_SOUND = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.{0,200})?")


class Tracing(Protocol):
    """Makes a trace of each job, and tells who takes part in it."""

    def of_run(self, job: Job) -> str:
        """The context for the worker that has the job; "" for none."""
        ...

    def calling(self, delivery: Delivery, at: int) -> str:
        """A webhook is about to be called: the context for whoever takes the call; "" for none."""
        ...


def parent_in(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The context that a client's request came with, "" for none, or for one that is nonsense."""
    for name, value in headers:
        if name == TRACEPARENT:
            text = value.decode("latin-1").strip()
            return text if _SOUND.fullmatch(text) and not text.startswith("ff") else ""
    return ""
