"""Which handlers share a server: few enough for two cores, as each official worker takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.parity.cases import Handler

SIZE = 8


def batches(handlers: Sequence[Handler]) -> Iterator[tuple[Handler, ...]]:
    """The handlers in groups; a sample is not mixed with what is not."""
    for sample in (True, False):
        group = [handler for handler in handlers if handler.sample is sample]
        for at in range(0, len(group), SIZE):
            yield tuple(group[at : at + SIZE])
