"""What the record of a job that plays a script says, and when time alone lets it go."""

from __future__ import annotations

import pytest
from runpod_emulator.core.jobs.deadlines import deadline_event
from runpod_emulator.core.jobs.job import (
    Cancelled,
    Completed,
    Event,
    Failed,
    Forgotten,
    Job,
    Released,
    Requeued,
    Retried,
    Returned,
    Taken,
    apply,
)  # fmt: skip
from runpod_emulator.core.jobs.script_state import Looked, Paused, ScriptState
from runpod_emulator.core.platform import preset

from tests.core.jobs.test_job import LEASE, QUEUED, job_in
from tests.tables import table

STATE = ScriptState("s", 4, ((b"x-who", b"me"),))
HELD = STATE._replace(run=2, numbered=True, held_until=9_000, polls_owed=2)
WAITS = QUEUED._replace(script=STATE)
HOLDS = QUEUED._replace(held=True, script=HELD)
RUNS = apply(WAITS, Taken("w1", run=7), 2_000).job


def after(job: Job, *events: Event, at: int = 5_000) -> Job:
    for event in events:
        job = apply(job, event, at).job
    return job


def state(job: Job, *events: Event, at: int = 5_000) -> ScriptState | None:
    return after(job, *events, at=at).script


def test_a_run_has_its_number_from_the_moment_it_begins():
    assert RUNS.script == STATE._replace(run=7)
    assert state(HOLDS, Released(), Taken("w1", run=2)) == STATE._replace(run=2, numbered=True)


def test_a_hand_out_with_a_number_is_otherwise_the_same():
    taken = Taken(*Taken._fields)  # type: ignore[arg-type]
    assert taken.beginning(5) == taken._replace(run=5)


def test_a_claim_that_is_given_back_leaves_a_number_only_where_there_was_one_from_the_start():
    assert state(RUNS, Paused(LEASE, 3), Returned(LEASE)) == STATE
    numbered = after(HOLDS, Released(), Taken("w1", run=2), Returned(LEASE))
    assert numbered == HOLDS._replace(held=False, lease=LEASE, script=STATE._replace(run=2, numbered=True))


def test_a_lost_run_has_used_its_number():
    assert state(RUNS, Paused(LEASE, 3), Requeued(LEASE)) == STATE


def test_a_retry_plays_what_was_chosen_for_it():
    failed = after(RUNS, Failed("boom", None, LEASE))
    assert state(failed, Retried(9, HELD)) == HELD
    assert [after(failed, Retried(9, script)).held for script in (HELD, STATE, None)] == [True, False, False]
    assert state(failed, Retried(9)) is None


@table("event", [Completed(LEASE), Failed("boom", None, LEASE), Cancelled()])
def test_the_end_leaves_what_was_played(event: Event):
    assert state(RUNS, event) == RUNS.script


# Polls


def test_each_poll_is_one_less_that_is_owed():
    owed = [state(RUNS, Paused(LEASE, 2), *[Looked()] * polls) for polls in range(4)]
    assert [one and one.polls_owed for one in owed] == [2, 1, 0, 0]


def test_a_poll_of_a_job_without_a_script_changes_nothing():
    for job in (QUEUED, job_in(QUEUED.status)):
        assert after(job, Looked()) == job


def test_the_last_poll_releases_a_job_when_its_time_has_come():
    early = state(HOLDS, Looked(), Looked(), at=3_000)
    late = state(HOLDS, Looked(), Looked(), at=9_500)
    assert [one and one.held_until for one in (early, late)] == [9_000, 9_500]
    assert state(HOLDS, Looked(), at=9_500) == HELD._replace(polls_owed=1)


# The release as a deadline


@pytest.mark.parametrize(
    ("job", "due"),
    [
        (HOLDS, QUEUED.expires_at),
        (after(HOLDS, Looked()), QUEUED.expires_at),
        (after(HOLDS, Looked(), Looked()), 9_000),
        (after(HOLDS, Looked(), Looked())._replace(expires_at=8_000), 8_000),
        (after(HOLDS, Looked(), Looked(), Released()), QUEUED.expires_at),
        (QUEUED._replace(held=True, script=HELD.released()), QUEUED.expires_at),
        (QUEUED._replace(held=True), QUEUED.expires_at),
    ],
)
def test_a_job_is_released_by_time_once_no_poll_is_owed(job: Job, due: int):
    assert job.next_deadline == due
    expected = Released() if due == 9_000 else Forgotten()
    assert deadline_event(job, preset("observed")) == expected


def test_of_a_release_and_the_end_of_its_life_in_the_same_ms_the_end_comes_first():
    job = after(HOLDS, Looked(), Looked())._replace(expires_at=9_000)
    assert deadline_event(job, preset("observed")) == Forgotten()
