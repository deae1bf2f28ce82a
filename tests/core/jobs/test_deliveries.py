"""What is owed to a webhook, as pure rules; the calls themselves are in tests/effects/test_webhooks.py."""

from __future__ import annotations

import pytest
from runpod_emulator.core.jobs.deadlines import owes_delivery
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus, attempted
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.platform import preset

from tests.core.jobs.test_job import job_in
from tests.core.steps import both_profiles

OWED = Delivery("ep", "j1", 1, "http://127.0.0.1/hook", b"{}", due=1_000)
DELAYS = (5_000, 15_000)


def test_an_acknowledged_delivery_is_settled():
    after = attempted(OWED, True, 1_200, DELAYS)
    assert after == OWED._replace(attempts=1, status=DeliveryStatus.DELIVERED)


def test_a_refused_delivery_is_owed_again_after_each_delay_and_then_given_up():
    first = attempted(OWED, False, 1_200, DELAYS)
    assert first == OWED._replace(attempts=1, due=6_200)
    second = attempted(first, False, 6_300, DELAYS)
    assert second == OWED._replace(attempts=2, due=21_300)
    third = attempted(second, False, 21_400, DELAYS)
    assert (third.attempts, third.status) == (3, DeliveryStatus.GIVEN_UP)


def test_the_last_attempt_can_still_be_acknowledged():
    assert attempted(OWED._replace(attempts=2), True, 9, DELAYS).status is DeliveryStatus.DELIVERED


def test_without_delays_there_is_one_attempt():
    assert attempted(OWED, False, 9, ()).status is DeliveryStatus.GIVEN_UP


def test_the_key_tells_runs_of_one_job_apart():
    assert OWED.key == (1, "ep", "j1")
    assert OWED._replace(serial=2).key != OWED.key == OWED._replace(attempts=2, due=9).key


ENDS = [status for status in JobStatus if status.terminal]


@both_profiles
@pytest.mark.parametrize("status", ENDS)
def test_every_end_calls_the_webhook(profile, status: JobStatus):
    assert owes_delivery(job_in(status), preset(profile))


@pytest.mark.parametrize("status", ENDS)
def test_a_job_without_webhook_owes_nothing(status: JobStatus):
    assert not owes_delivery(job_in(status)._replace(webhook=None), preset("observed"))


def test_cancelled_and_timed_out_can_be_switched_off_one_by_one():
    def calling(**changes: bool) -> list[str]:
        return [status.value for status in ENDS if owes_delivery(job_in(status), preset("observed", **changes))]

    assert calling(webhook_on_cancelled=False) == ["COMPLETED", "FAILED", "TIMED_OUT"]
    assert calling(webhook_on_timed_out=False) == ["COMPLETED", "FAILED", "CANCELLED"]
