"""The transition table, cell by cell, and what each event writes into the record."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
from runpod_emulator.core.errors import IllegalTransition, JobNotFound, StaleLease
from runpod_emulator.core.jobs.job import (  # fmt: skip
    TRANSITIONS,
    Cancelled,
    Completed,
    Emitted,
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Progressed,
    Released,
    Renewed,
    Requeued,
    Retried,
    Returned,
    Shortened,
    Submitted,
    Taken,
    TimedOut,
    Transition,
    apply,
    submit,
)
from runpod_emulator.core.jobs.script_state import Looked, Paused
from runpod_emulator.stores.memory import MemoryStore

from tests.core.steps import finish
from tests.tables import table

TABLE = """
            new       IN_QUEUE     IN_PROGRESS  COMPLETED  FAILED    CANCELLED  TIMED_OUT  gone
Submitted   IN_QUEUE  -            -            -          -         -          -          -
Looked      -         IN_QUEUE     IN_PROGRESS  -          -         -          -          -
Released    -         IN_QUEUE     -            -          -         -          -          -
Taken       -         IN_PROGRESS  -            -          -         -          -          -
Renewed     -         -            IN_PROGRESS  -          -         -          -          -
Returned    -         -            IN_QUEUE     -          -         -          -          -
Requeued    -         -            IN_QUEUE     -          -         -          -          -
Progressed  -         -            IN_PROGRESS  -          -         -          -          -
Emitted     -         -            IN_PROGRESS  -          -         -          -          -
Paused      -         -            IN_PROGRESS  -          -         -          -          -
Completed   -         -            COMPLETED    -          -         -          -          -
Failed      -         -            FAILED       -          -         -          -          -
Cancelled   -         CANCELLED    CANCELLED    -          -         -          -          -
TimedOut    -         TIMED_OUT    TIMED_OUT    -          -         -          -          -
Retried     -         -            -            -          IN_QUEUE  -          IN_QUEUE   -
Shortened   -         IN_QUEUE     IN_PROGRESS  COMPLETED  FAILED    CANCELLED  TIMED_OUT  -
Forgotten   -         gone         gone         gone       gone      gone       gone       -
"""

_HEADER, *_LINES = (line.split() for line in TABLE.strip().splitlines())
CELLS = {(status, line[0]): end for line in _LINES for status, end in zip(_HEADER, line[1:], strict=True)}

LEASE = 3
EVENTS: dict[str, Event] = {
    type(event).__name__: event
    for event in (
        Submitted(),
        Looked(),
        Released(),
        Taken("w2", 9_000),
        Renewed(LEASE, 9_500),
        Returned(LEASE),
        Requeued(LEASE),
        Progressed(LEASE, b"0.5"),
        Emitted(LEASE, (b'"chunk"',)),
        Paused(LEASE, 2),
        Completed(LEASE, b'"out"'),
        Failed("boom", None, LEASE),
        Cancelled(),
        TimedOut("late"),
        Retried(77),
        Shortened(5),
        Forgotten(),
    )
}
QUEUED = Job(
    endpoint="ep",
    id="j1",
    status=JobStatus.IN_QUEUE,
    input=b'{"a":1}',
    submitted_at=1_000,
    expires_at=61_000,
    retention=30_000,
    execution_timeout=4_000,
    place=5,
    webhook="http://127.0.0.1/hook",
    s3_config=b'{"k":1}',
    lease=LEASE - 1,
    retries=1,
)
RUNNING = apply(QUEUED, Taken("w1", 8_000), 2_000).job
WAYS: dict[JobStatus, tuple[Event, ...]] = {
    JobStatus.IN_QUEUE: (),
    JobStatus.IN_PROGRESS: (Taken("w1", 8_000),),
    JobStatus.COMPLETED: (Taken("w1", 8_000), Completed(LEASE, b'"out"')),
    JobStatus.FAILED: (Taken("w1", 8_000), Failed("boom", b'"half"', LEASE)),
    JobStatus.CANCELLED: (Taken("w1", 8_000), Cancelled()),
    JobStatus.TIMED_OUT: (Taken("w1", 8_000), TimedOut("late")),
}


def job_in(status: JobStatus) -> Job:
    job = QUEUED
    for at, event in enumerate(WAYS[status], 2):
        job = apply(job, event, at * 1_000).job
    assert job.status is status
    return job


def store_with(status: JobStatus) -> MemoryStore:
    store = MemoryStore()
    finish(store.create(submit(QUEUED)))
    for at, event in enumerate(WAYS[status], 2):
        change(store, event, at * 1_000)
    return store


def change(store: MemoryStore, event: Event, at: int) -> Transition:
    transition = finish(store.update("ep", "j1", lambda job: apply(job, event, at))).transition
    assert transition is not None
    return transition


def contents(store: MemoryStore) -> tuple[object, ...]:
    """All that a store tells of its jobs."""
    return (
        finish(store.recent("ep", 0, 10)),
        finish(store.queued("ep")),
        finish(store.first_due()),
        finish(store.deliveries.next_due()),
        copy.deepcopy(finish(store.counts("ep"))),
    )


def test_the_table_here_has_a_row_for_every_event_and_a_column_for_every_status():
    assert {line[0] for line in _LINES} == {kind.__name__ for kind in get_args(Event)} == set(EVENTS)
    columns = ["new", *(status.value for status in JobStatus), "gone"]
    assert columns == _HEADER


@table(("status", "name"), [(s, e) for s in JobStatus for e in EVENTS])
def test_every_cell_of_the_matrix(status: JobStatus, name: str):
    end = CELLS[status.value, name]
    store = store_with(status)
    heard: list[Transition] = []
    store.news.transitions.append(heard.append)
    before = contents(store)
    event = EVENTS[name]
    if end == "-":
        assert type(event) not in TRANSITIONS[status]
        with pytest.raises(IllegalTransition) as refusal:
            change(store, event, 5_000)
        assert (refusal.value.status, refusal.value.event) == (status.value, name)
        assert contents(store) == before
        assert heard == []
    elif end == "gone":
        assert TRANSITIONS[status][type(event)] is None
        transition = change(store, event, 5_000)
        assert transition.after is None and transition.job == transition.before
        assert contents(store)[:3] == (([], 0), [], None)
        assert heard == [transition]
    else:
        transition = change(store, event, 5_000)
        assert TRANSITIONS[status][type(event)] is transition.job.status is JobStatus(end)
        assert finish(store.get("ep", "j1")) == transition.after
        assert (transition.before, transition.at, heard) == (before[0][0][0], 5_000, [transition])


def test_only_a_submission_makes_a_job():
    legal = {kind.__name__: status.value for kind, status in TRANSITIONS[None].items() if status}
    assert legal == {name: end for (status, name), end in CELLS.items() if status == "new" and end != "-"}
    transition = submit(QUEUED)
    assert (transition.before, transition.after, transition.at) == (None, QUEUED, QUEUED.submitted_at)


@table("name", EVENTS)
def test_nothing_happens_to_a_job_that_is_gone(name: str):
    assert CELLS["gone", name] == "-"
    store = store_with(JobStatus.COMPLETED)
    change(store, Forgotten(), 4_000)
    before = contents(store)
    with pytest.raises(JobNotFound):
        change(store, EVENTS[name], 5_000)
    assert contents(store) == before


LEASED = [name for name, event in EVENTS.items() if getattr(event, "lease", None) is not None]


def test_eight_events_carry_a_lease():
    assert LEASED == ["Renewed", "Returned", "Requeued", "Progressed", "Emitted", "Paused", "Completed", "Failed"]


@table("wrong", [LEASE - 1, LEASE + 1, 0])
@table("name", LEASED)
def test_a_report_on_another_hand_out_is_refused(name: str, wrong: int):
    event = EVENTS[name]
    stale = type(event)(**{field: getattr(event, field) for field in event.__slots__} | {"lease": wrong})
    store = store_with(JobStatus.IN_PROGRESS)
    before = contents(store)
    with pytest.raises(StaleLease):
        change(store, stale, 5_000)
    assert contents(store) == before


def test_a_late_report_of_the_present_lease_is_illegal_rather_than_stale():
    with pytest.raises(IllegalTransition) as refusal:
        apply(job_in(JobStatus.COMPLETED), Completed(LEASE, b"2"), 5_000)
    assert not isinstance(refusal.value, StaleLease)


def test_the_platform_itself_needs_no_lease_to_fail_a_job():
    assert apply(RUNNING, Failed("executionTimeout exceeded"), 5_000).job.status is JobStatus.FAILED


# What each event writes


def changed(before: Job, event: Event, at: int = 5_000) -> dict[str, object]:
    after = apply(before, event, at).job
    return {name: value for name, value in after._asdict().items() if value != getattr(before, name)}


def test_taking_opens_a_lease_with_the_next_number():
    assert changed(QUEUED, Taken("w1", 8_000), 2_000) == {
        "status": JobStatus.IN_PROGRESS, "worker": "w1", "lease": LEASE, "lease_until": 8_000, "taken_at": 2_000,
    }  # fmt: skip


def test_a_job_of_a_watched_process_names_its_owner_as_long_as_that_answers_for_it():
    owned = apply(QUEUED, Taken("w1", owner="server"), 2_000).job
    assert (owned.owner, owned.lease_until) == ("server", None)
    for event in (Progressed(LEASE, b"1"), Emitted(LEASE, (b"1",)), Shortened(5)):
        assert apply(owned, event, 3_000).job.owner == "server"
    ends = (Completed(LEASE), Failed("boom"), Cancelled(), TimedOut("late"), Returned(LEASE), Requeued(LEASE))
    for event in (*ends, Renewed(LEASE, 9_000)):  # from now on the lease's own end watches it
        assert apply(owned, event, 3_000).job.owner is None


def test_a_sign_of_life_moves_the_end_of_the_lease_only():
    assert changed(RUNNING, Renewed(LEASE, 9_500)) == {"lease_until": 9_500}


def test_progress_shows_as_output():
    assert changed(RUNNING, Progressed(LEASE, b"0.5")) == {"output": b"0.5", "progressed": True}


def test_chunks_leave_the_record_alone():
    assert changed(RUNNING, Emitted(LEASE, (b"1",))) == {}


def test_a_returned_job_looks_as_if_it_was_never_taken_but_its_lease_is_used_up():
    back = apply(apply(RUNNING, Progressed(LEASE, b"1"), 3_000).job, Returned(LEASE), 4_000).job
    assert back == QUEUED._replace(lease=LEASE)


def test_a_lost_job_comes_back_counted_at_its_old_place():
    back = apply(apply(RUNNING, Progressed(LEASE, b"1"), 3_000).job, Requeued(LEASE), 4_000).job
    assert back == QUEUED._replace(lease=LEASE, retries=QUEUED.retries + 1)


@pytest.mark.parametrize(
    ("event", "output", "error"),
    [
        (Completed(LEASE, b'"out"'), b'"out"', None),
        (Completed(LEASE), None, None),
        (Failed("boom", b'"rest"', LEASE), b'"rest"', "boom"),
        (Cancelled(), None, None),
        (TimedOut("late"), None, "late"),
    ],
)
def test_an_end_replaces_the_progress_and_starts_the_retention(event: Event, output: bytes | None, error: str | None):
    running = apply(RUNNING, Progressed(LEASE, b"0.5"), 3_000).job
    after = apply(running, event, 5_000).job
    assert (after.output, after.error) == (output, error)
    assert (after.ended_at, after.kept_until, after.lease_until) == (5_000, 5_000 + QUEUED.retention, None)
    assert (after.taken_at, after.worker, after.lease) == (2_000, "w1", LEASE)


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.TIMED_OUT])
def test_a_retry_keeps_id_input_and_policy_and_starts_all_counts_anew(status: JobStatus):
    after = apply(job_in(status), Retried(77), 90_000).job
    fresh = QUEUED._replace(lease=LEASE, place=77, retries=0, submitted_at=90_000, expires_at=90_000 + 60_000)
    assert after == fresh


def test_a_shorter_life_of_an_unfinished_job_counts_from_its_end():
    for job in (QUEUED, RUNNING):
        assert changed(job, Shortened(5)) == {"retention": 5}
        assert changed(job, Shortened(99_000)) == {}


def test_a_shorter_life_of_an_ended_job_counts_from_the_call_and_never_lengthens():
    ended = job_in(JobStatus.COMPLETED)
    assert ended.kept_until == 33_000
    assert changed(ended, Shortened(1_000), 5_000) == {"kept_until": 6_000}
    assert changed(ended, Shortened(99_000), 5_000) == {}


# Derived properties


def test_the_next_deadline_is_the_ttl_while_the_job_waits():
    assert QUEUED.next_deadline == QUEUED.expires_at


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, 6_000),
        ({"execution_timeout": 0}, 8_000),
        ({"execution_timeout": 0, "lease_until": None}, 61_000),
        ({"expires_at": 5_500}, 5_500),
        ({"lease_until": 2_500}, 2_500),
    ],
)
def test_the_next_deadline_of_a_running_job_is_the_earliest_of_three(changes: dict[str, object], due: int):
    assert RUNNING._replace(**changes).next_deadline == due


@pytest.mark.parametrize("status", [status for status in JobStatus if status.terminal])
def test_the_next_deadline_of_an_ended_job_is_its_retention(status: JobStatus):
    job = job_in(status)
    assert job.next_deadline == job.kept_until == 3_000 + QUEUED.retention


def test_four_states_are_terminal():
    assert [status.value for status in JobStatus if status.terminal] == [
        "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT",
    ]  # fmt: skip


@pytest.mark.parametrize("text", [b"{}", b"{ }", b"{\r\n\t}"])
def test_an_empty_object_is_an_empty_input(text: bytes):
    assert QUEUED._replace(input=text).input_is_empty


@pytest.mark.parametrize("text", [b"[]", b'""', b'{"":0}', b"0", b'{"a":{}}'])
def test_anything_else_is_no_empty_input(text: bytes):
    assert not QUEUED._replace(input=text).input_is_empty


def test_blanks_do_not_fill_an_empty_input():
    assert QUEUED._replace(input=b"{" + b" " * 20 + b"}").input_is_empty


def test_a_transition_knows_whether_it_queued_ended_or_left_a_worker():
    def facts(transition: Transition) -> tuple[bool, bool, bool]:
        return transition.queued, transition.ended, transition.left_worker

    assert facts(submit(QUEUED)) == (True, False, False)
    assert facts(apply(QUEUED, Shortened(5), 0)) == (False, False, False)
    assert facts(apply(QUEUED, Taken("w1"), 0)) == (False, False, False)
    assert facts(apply(QUEUED, Cancelled(), 0)) == (False, True, False)
    assert facts(apply(QUEUED, Forgotten(), 0)) == (False, False, False)
    assert facts(apply(RUNNING, Requeued(LEASE), 0)) == (True, False, True)
    assert facts(apply(RUNNING, Progressed(LEASE, b"1"), 0)) == (False, False, False)
    assert facts(apply(RUNNING, Completed(LEASE), 0)) == (False, True, True)
    assert facts(apply(RUNNING, Forgotten(), 0)) == (False, False, True)
    assert facts(apply(job_in(JobStatus.FAILED), Retried(9), 0)) == (True, False, False)
    assert facts(apply(job_in(JobStatus.FAILED), Shortened(9), 0)) == (False, False, False)
    assert facts(apply(job_in(JobStatus.FAILED), Forgotten(), 0)) == (False, False, False)


@table("event", [Taken("w1", 8_000), Taken("w1", None, "server")])
@pytest.mark.parametrize("behind", [2_000, 1])
def test_a_server_whose_clock_is_behind_makes_no_negative_duration(event: Taken, behind: int):
    submitted = QUEUED.submitted_at + 10_000
    queued = QUEUED._replace(submitted_at=submitted, expires_at=submitted + 60_000)
    taken = apply(queued, event, submitted - behind)
    assert (taken.at, taken.job.taken_at) == (submitted, submitted)
    ended = apply(taken.job, Completed(taken.job.lease), submitted - behind)
    assert (ended.at, ended.job.ended_at) == (submitted, submitted)
