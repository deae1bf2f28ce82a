"""How much one request may add: what is checked while nobody else is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 5_000
"""Stubs or faults at a time; each takes about 30 µs."""
MOST_STEPS = 20_000
"""Updates and chunks of all stubs at a time; each takes about 15 µs, and 5 KB as long as the stub is there."""


def few_stubs(given: Any) -> Any:
    """One stub or a list of them, as it was parsed; raises ValueError where they are too many."""
    stubs = given if isinstance(given, list) else [given]
    steps = sum(_steps(stubs))
    if len(stubs) > MOST or steps > MOST_STEPS:
        raise ValueError(f"{len(stubs)} stubs and {steps} steps: at most {MOST} and {MOST_STEPS} at a time")
    return given


def few_faults(given: Any) -> Any:
    """One fault or a list of them, as it was parsed; raises ValueError where they are too many."""
    if isinstance(given, list) and len(given) > MOST:
        raise ValueError(f"{len(given)} faults: at most {MOST} at a time")
    return given


def _steps(stubs: list[Any]) -> Iterator[int]:
    """The number of steps of each response, and one for each response but a stub's first; what is none has none."""
    for stub in stubs:
        respond = stub.get("respond") if isinstance(stub, Mapping) else None
        responses = respond if isinstance(respond, list) else [respond]
        yield max(0, len(responses) - 1)
        for response in responses:
            if isinstance(response, Mapping):
                lists = (response.get(name) for name in ("progress", "stream", "steps"))
                yield sum(len(one) for one in lists if isinstance(one, list))
