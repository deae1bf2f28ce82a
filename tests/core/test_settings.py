"""One endpoint's settings."""

from __future__ import annotations

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import AT_ONCE, EndpointSettings, Span, default_settings

from tests.core.steps import both_profiles


@both_profiles
def test_an_endpoint_starts_from_the_documented_defaults(profile):
    assert default_settings("ep", preset(profile)) == EndpointSettings(
        id="ep",
        workers_min=0,
        workers_max=3,
        idle_timeout=5_000,
        execution_timeout=600_000,
        job_ttl=86_400_000,
        scaler={"observed": "REQUEST_COUNT", "documented": "QUEUE_DELAY"}[profile],
        scaler_requests=1,
        scaler_delay=4_000,
        init_timeout=420_000,
    )


def test_changed_platform_fields_become_the_endpoints_settings():
    platform = preset("observed", workers_min=1, workers_max=2, idle_timeout=7, execution_timeout=6_000, job_ttl=60_000)
    expected = EndpointSettings(
        "e", 1, 2, idle_timeout=7, execution_timeout=6_000, job_ttl=60_000, init_timeout=420_000
    )
    assert default_settings("e", platform) == expected


def test_more_workers_at_least_than_at_most_is_a_mistake():
    with pytest.raises(ConfigurationError, match=r"ep: workers_min \(4\) is above workers_max \(3\)"):
        default_settings("ep", preset("observed", workers_min=4))


def test_no_workers_at_all_are_allowed():
    assert default_settings("ep", preset("observed", workers_max=0)).workers_max == 0


@pytest.mark.parametrize(
    "change",
    [{"job_ttl": 9_999}, {"job_ttl": 604_800_001}, {"execution_timeout": 4_999}, {"execution_timeout": 604_800_001}],
)
def test_a_time_outside_the_services_range_is_a_mistake(change: dict[str, int]):
    ((name, value),) = change.items()
    with pytest.raises(ConfigurationError, match=f"{name} must be from .* got {value}"):
        default_settings("ep", preset("observed", **change))


def test_no_execution_timeout_at_all_is_allowed():
    assert default_settings("ep", preset("observed", execution_timeout=0)).execution_timeout == 0


def test_changes_go_before_the_platforms_fields():
    platform = preset("observed", workers_max=7, scaler_delay=9)
    changed = default_settings("e", platform, workers_min=2, scaler="QUEUE_DELAY", scaler_delay=11, init_timeout=0)
    assert (changed.workers_min, changed.workers_max) == (2, 7)
    assert (changed.scaler, changed.scaler_delay, changed.scaler_requests) == ("QUEUE_DELAY", 11, 1)
    assert changed.init_timeout == 0


def test_the_platforms_scaling_and_time_to_be_ready_become_the_endpoints():
    platform = preset("documented", scaler_requests=5, scaler_delay=6, init_timeout=7)
    settings = default_settings("e", platform)
    assert (settings.scaler, settings.scaler_requests, settings.scaler_delay) == ("QUEUE_DELAY", 5, 6)
    assert settings.init_timeout == 7


def test_changes_may_be_of_fields_that_no_platform_has():
    spans = {"throttle": Span(1, 2), "cold_start": Span(3, 4, seed=5)}
    settings = default_settings("e", preset("observed"), **spans, starts_workers=False)
    assert (settings.throttle, settings.cold_start, settings.starts_workers) == ((1, 2, None), (3, 4, 5), False)


def test_an_unknown_change_is_refused():
    with pytest.raises(TypeError, match="workers_most"):
        default_settings("e", preset("observed"), workers_most=1)


@pytest.mark.parametrize("change", [{"job_ttl": 9_999}, {"execution_timeout": 4_999}])
def test_a_changed_time_outside_the_services_range_is_a_mistake(change: dict[str, int]):
    ((name, value),) = change.items()
    with pytest.raises(ConfigurationError, match=f"{name} must be from .* got {value}"):
        default_settings("ep", preset("observed"), **change)


def test_a_change_that_contradicts_the_platform_is_a_mistake():
    with pytest.raises(ConfigurationError, match=r"ep: workers_min \(4\) is above workers_max \(3\)"):
        default_settings("ep", preset("observed"), workers_min=4)


def test_nothing_is_simulated_unless_it_is_asked_for():
    settings = default_settings("e", preset("observed"))
    assert settings.throttle == settings.cold_start == AT_ONCE == Span(0, 0, None)
    assert settings.starts_workers
