"""What makes a trace of each job of a world; OpenTelemetry is only loaded where somebody wants one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.fleet.arrivals import Arrival

if TYPE_CHECKING:
    from runpod_emulator.effects.traces import Traces


def traces_by(
    tracer: Any, queue: Callable[[str], Endpoint | None], drift: Callable[[], int], shown: Callable[[str], str]
) -> Traces:
    """Traces made with a `tracer` of OpenTelemetry; `queue` finds an endpoint, `shown` is what is shown of a text."""
    from runpod_emulator.effects.traces import Traces

    def arrival_of(endpoint: str, worker: str) -> Arrival | None:
        found = queue(endpoint)
        return None if found is None else found.fleet.arrivals.of(worker)

    return Traces(tracer, arrival_of, drift, shown)
