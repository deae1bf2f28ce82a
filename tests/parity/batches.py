"""Which handlers share a server: few enough for two cores, as each official worker takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.parity.cases import Handler

MANY_CASES = 6
LONG, SHORT = 10, 20
"""Handlers on one server: of those with many cases, and of others."""


def batches(handlers: Sequence[Handler]) -> Iterator[tuple[Handler, ...]]:
    """The handlers in groups of like length; a sample is not mixed with what is not."""
    for sample in (True, False):
        group = [handler for handler in handlers if handler.sample is sample]
        group.sort(key=lambda handler: (-len(handler.cases), handler.name))
        while group:
            size = LONG if len(group[0].cases) > MANY_CASES else SHORT
            yield tuple(group[:size])
            del group[:size]
