"""Named profiles: faults that go together. The numbers are those that were seen in production, where there are any."""

from __future__ import annotations

from typing import Any

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.mocking.faults import Fault

_SUBMITS = ["run", "runsync"]
_HELD = ["runsync", "status_sync"]
_POLLS = ["status", "status_sync", "stream"]

PROFILES: dict[str, tuple[dict[str, Any], ...]] = {
    "flaky-network": (
        {"id": "slow", "fault": "latency", "delay": "50ms-800ms", "probability": 0.3},
        {"id": "reset", "fault": "connection_reset", "probability": 0.03},
        {"id": "lost-answer", "fault": "connection_reset", "processed": True, "probability": 0.02},
        {"id": "half", "fault": "truncated_body", "probability": 0.02},
        {"id": "bad-gateway", "fault": "status", "status": 502, "probability": 0.02},
    ),
    "cold-fleet": (
        # Recorded: cold CPU workers 3-11 s, cold GPU workers 40-105 s, throttled ones back within 30 s.
        {"id": "throttled", "fault": "throttled_workers", "delay": "5s-30s", "probability": 0.25},
        {"id": "cold-gpu", "fault": "cold_starts", "delay": "40s-105s", "probability": 0.2},
        {"id": "cold-cpu", "fault": "cold_starts", "delay": "3s-11s"},
    ),
    "rate-limited": (
        {"id": "submits", "fault": "status", "status": 429, "headers": {"Retry-After": 2}, "operations": _SUBMITS,
         "probability": 0.3},
        {"id": "polls", "fault": "status", "status": 429, "headers": {"Retry-After": 1}, "operations": _POLLS,
         "probability": 0.1},
    ),
    "edge-timeouts": (
        # Recorded: the edge gives up after about 100 s, while the job goes on; large bodies sometimes meet a 502.
        {"id": "gave-up", "fault": "status", "status": 524, "delay": "100s", "processed": True, "operations": _HELD,
         "probability": 0.3},
        {"id": "large-body", "fault": "status", "status": 502, "larger_than": 9_000_000, "operations": _SUBMITS,
         "probability": 0.5},
        {"id": "lag", "fault": "not_found_after_run", "delay": "200ms-2s", "probability": 0.5},
    ),
    "worker-crashes": (
        {"id": "crash", "fault": "worker_crash", "delay": "0ms-2s", "probability": 0.2},
        {"id": "mid-stream", "fault": "worker_crash", "chunks": 2, "probability": 0.1},
        {"id": "zombie", "fault": "zombie", "delay": "1s-5s", "probability": 0.05},
        {"id": "silent", "fault": "dropped_report", "probability": 0.03},
    ),
}  # fmt: skip
"""The faults of each profile; their ids are completed with its name."""


def profile(name: str) -> list[Fault]:
    """The faults of a profile; raises ConfigurationError for an unknown one."""
    if name not in PROFILES:
        raise ConfigurationError(f"there is no fault profile {name}; there are {', '.join(PROFILES)}")
    return [Fault.model_validate({**fault, "id": f"{name}.{fault['id']}"}) for fault in PROFILES[name]]
