"""The named profiles: every one is sound, and does something."""

from __future__ import annotations

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.mocking.profiles import PROFILES, profile

from tests.core.faulty_worlds import Mocked, script


def test_these_are_shipped():
    assert set(PROFILES) == {"flaky-network", "cold-fleet", "rate-limited", "edge-timeouts", "worker-crashes"}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_a_list_of_faults_with_names_of_their_own(name: str):
    faults = profile(name)
    ids = [str(fault.id) for fault in faults]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith(f"{name}.") for one in ids)
    assert profile(name) == faults


def test_an_unknown_profile_is_named_with_those_there_are():
    with pytest.raises(ConfigurationError, match=r"no fault profile flaky; there are flaky-network, cold-fleet"):
        profile("flaky")


async def statuses(name: str) -> tuple[Mocked, list[str]]:
    """How many jobs end under a profile."""
    mocked = Mocked(script(chunks=3, rest=2_000), workers=3)
    for fault in profile(name):
        mocked.emulator.faults.add(fault.to_core(mocked.timeline.now()))
    jobs = [await mocked.submit() for _ in range(60)]
    await mocked.world.advance(1_000_000)
    mocked.expect_sound()
    return mocked, [(await mocked.endpoint.status(job.id)).status.value for job in jobs]


async def test_worker_crashes_cost_time_and_now_and_then_a_job():
    mocked, ends = await statuses("worker-crashes")
    assert set(ends) == {"COMPLETED", "FAILED"}
    assert ends.count("COMPLETED") > 40
    assert (await mocked.endpoint.health()).retried > 5


async def test_a_cold_fleet_delays_the_first_jobs():
    mocked, ends = await statuses("cold-fleet")
    assert set(ends) == {"COMPLETED"}
    first = min(one.at for one in mocked.heard if type(one.event).__name__ == "Taken")
    assert first - mocked.began >= 3_000


@pytest.mark.parametrize("name", ["flaky-network", "rate-limited", "edge-timeouts"])
def test_profiles_of_the_edge_leave_workers_alone(name: str):
    edge = {"status", "latency", "connection_reset", "truncated_body", "not_found_after_run"}
    assert {FaultKind(fault.fault).value for fault in profile(name)} <= edge
