"""The two presets, and the evidence behind every field."""

from __future__ import annotations

import dataclasses
from enum import Enum

import pytest
from runpod_emulator.core.platform import Evidence, Platform, Source, preset, source_of

from tests.tables import table

FIELDS = [field.name for field in dataclasses.fields(Platform)]
DISPUTED = {
    "execution_timeout_end": ("failed", "timed_out"),
    "scaler": ("REQUEST_COUNT", "QUEUE_DELAY"),
    "lost_worker_end": ("failed", "timed_out"),
    "queued_ttl_end": ("deleted", "timed_out"),
    "strip_empty_input": ("lost", "keep"),
    "runsync_failed_status": (200, 400),
    "webhook_retry_delays": ((5_000, 15_000), (10_000, 10_000)),
    "paused_endpoint": ("conflict", "queue"),
    "run_result_limit": (20 * 1024 * 1024, 10 * 1024 * 1024),
    "runsync_wait_retention": ("fixed", "extended"),
    "oversized_result": ("completed_without_output", "failed"),
}
NUMBERS = {
    "run_body_limit": 10 * 1024 * 1024,
    "runsync_body_limit": 20 * 1024 * 1024,
    "execution_timeout": 600_000,
    "execution_timeout_min": 5_000,
    "execution_timeout_max": 604_800_000,
    "job_ttl": 86_400_000,
    "job_ttl_min": 10_000,
    "job_ttl_max": 604_800_000,
    "runsync_result_limit": 20 * 1024 * 1024,
    "run_retention": 1_800_000,
    "runsync_retention": 60_000,
    "runsync_retention_max": 300_000,
    "wait_min": 1_000,
    "wait_max": 300_000,
    "runsync_wait": 90_000,
    "status_sync_wait": 90_000,
    "stream_wait": 9_500,
    "stream_chunk_limit": 1_000_000,
    "worker_lease": 40_000,
    "worker_ping_interval": 4_000,
    "platform_retries": 1,
    "scaler_requests": 1,
    "scaler_delay": 4_000,
    "rate_limit_window": 10_000,
    "requests_per_worker": 50,
    "queue_limit_floor": 50,
    "queue_limit_per_worker": 500,
    "webhook_timeout": 10_000,
}


def test_the_presets_differ_in_exactly_the_disputed_fields():
    observed, documented = preset("observed"), preset("documented")
    different = {
        name: (getattr(observed, name), getattr(documented, name))
        for name in FIELDS
        if getattr(observed, name) != getattr(documented, name)
    }
    assert different == DISPUTED


def test_the_observed_preset_is_the_default():
    assert preset("observed") == Platform()


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_the_numbers_that_both_presets_share(profile):
    platform = preset(profile)
    assert {name: getattr(platform, name) for name in NUMBERS} == NUMBERS


@table("name", FIELDS)
def test_every_field_has_evidence_in_words(name: str):
    source = source_of(name)
    assert isinstance(source, Source)
    assert source.evidence in Evidence
    assert source.text.strip()
    assert (source.documented is not None) == (name in DISPUTED)
    value = getattr(Platform(), name)
    counts = isinstance(value, tuple) or (type(value) is int and not name.endswith("_status"))
    assert bool(source.unit) == counts


def test_an_unknown_field_has_no_evidence():
    with pytest.raises(KeyError):
        source_of("no_such_field")


@table("name", FIELDS)
def test_the_evidence_of_a_presets_value_is_its_source(name: str):
    assert preset("observed").evidence_of(name) is source_of(name).evidence
    strength = Evidence.DOCUMENTED if name in DISPUTED else source_of(name).evidence
    assert preset("documented").evidence_of(name) is strength


@table(
    ("name", "value", "evidence"),
    [
        ("webhook_retry_delays", (1_000,), Evidence.GUESS),
        ("webhook_retry_delays", (10_000, 10_000), Evidence.DOCUMENTED),
        ("webhook_retry_delays", (5_000, 15_000), Evidence.OBSERVED),
        ("job_ttl", 20_000, Evidence.GUESS),
        ("id_suffix", "", Evidence.GUESS),
        ("id_suffix", "-e1", Evidence.GUESS),
        ("runsync_failed_status", 400, Evidence.DOCUMENTED),
        ("stream_shape", "array", Evidence.GUESS),
    ],
)
@table("profile", ["observed", "documented"])
def test_a_value_that_no_preset_holds_is_a_guess(profile, name: str, value: object, evidence: Evidence):
    assert preset(profile, **{name: value}).evidence_of(name) is evidence


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_a_preset_can_be_changed_field_by_field(profile):
    changed = preset(profile, run_rate=5)
    assert changed == dataclasses.replace(preset(profile), run_rate=5)
    with pytest.raises(TypeError):
        preset(profile, no_such_field=1)


@pytest.mark.parametrize("change", [{"run_rate": -1}, {"webhook_retry_delays": (1_000, -1)}, {"job_ttl": -5}])
def test_a_negative_number_is_refused(change: dict[str, object]):
    with pytest.raises(ValueError, match=next(iter(change))):
        preset("observed", **change)


def test_evidence_ranks_from_strong_to_weak():
    assert [evidence.label for evidence in sorted(Evidence)] == ["observed", "client", "documented", "guess"]
    assert issubclass(Evidence, Enum)


def test_a_platform_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("observed").run_rate = 1  # type: ignore[misc]
