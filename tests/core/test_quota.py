"""The windows of the management API."""

from __future__ import annotations

import pytest
from runpod_emulator.core.management_errors import QuotaSpent
from runpod_emulator.core.platform import DAY, preset
from runpod_emulator.core.quota import Quota, Window, windows_of


def test_windows_begin_at_round_times_and_each_has_its_quota():
    quota = Quota((Window("minute", 60_000, 2), Window("hour", 3_600_000, 3)))
    quota.spend(59_000)
    assert quota.headers(59_000) == {
        "RateLimit": '"minute";r=1;t=1, "hour";r=2;t=3541',
        "RateLimit-Policy": '"minute";q=2;w=60, "hour";q=3;w=3600',
    }
    quota.spend(59_999)
    with pytest.raises(QuotaSpent, match="minute window") as full:
        quota.spend(59_999)
    assert full.value.headers == {"Retry-After": "1"}
    quota.spend(60_000)
    with pytest.raises(QuotaSpent, match="hour window") as full:
        quota.spend(60_001)
    assert full.value.headers == {"Retry-After": "3540"}
    assert quota.headers(60_001)["RateLimit"] == '"minute";r=1;t=60, "hour";r=0;t=3540'


def test_the_quotas_are_the_platforms():
    day = windows_of(preset("observed", management_day_rate=7))[2]
    assert day == Window("day", DAY, 7)
