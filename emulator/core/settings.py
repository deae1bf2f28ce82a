"""What one endpoint is configured to do."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.core.errors import ConfigurationError
from emulator.core.platform import Platform


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One endpoint's settings; durations in milliseconds. Raises ConfigurationError when they contradict."""

    id: str
    workers_min: int
    workers_max: int
    idle_timeout: int
    execution_timeout: int
    """Limit of a job without a policy of its own; 0 is none."""
    job_ttl: int
    starts_workers: bool = True
    """False where only workers that were started elsewhere serve."""

    def __post_init__(self) -> None:
        if self.workers_min > self.workers_max:
            raise ConfigurationError(
                f"endpoint {self.id}: workers_min ({self.workers_min}) is above workers_max ({self.workers_max})"
            )


def default_settings(endpoint: str, platform: Platform) -> EndpointSettings:
    """An endpoint with the platform's defaults; raises ConfigurationError for a time outside the platform's range."""
    _check("job_ttl", platform.job_ttl, platform.job_ttl_min, platform.job_ttl_max)
    if platform.execution_timeout:
        low, high = platform.execution_timeout_min, platform.execution_timeout_max
        _check("execution_timeout", platform.execution_timeout, low, high)
    return EndpointSettings(
        id=endpoint,
        workers_min=platform.workers_min,
        workers_max=platform.workers_max,
        idle_timeout=platform.idle_timeout,
        execution_timeout=platform.execution_timeout,
        job_ttl=platform.job_ttl,
    )


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{name} must be from {low} to {high} ms, got {value}")
