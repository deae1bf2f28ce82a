"""The ledger of evidence."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from runpod_emulator.core import balancer_errors, errors
from runpod_emulator.core.fidelity import BEHAVIOURS, LEDGER, Behaviour, Ledger, Row, weakest
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.platform import Evidence, Platform, preset

from tests.core.steps import both_profiles
from tests.tables import table

FIELDS = {field.name for field in dataclasses.fields(Platform)}
ENTRIES = [*LEDGER.values(), *BEHAVIOURS]
RANK = ["observed", "client", "documented", "guess"]


@table("entry", ENTRIES)
def test_every_field_that_the_ledger_names_exists(entry: Row | Behaviour):
    assert set(entry.fields) <= FIELDS
    assert len(set(entry.fields)) == len(entry.fields)
    assert entry.text.strip()


def test_a_row_is_filed_under_its_own_name():
    assert all(name == row.id for name, row in LEDGER.items())


@both_profiles
@table("row", LEDGER.values())
def test_a_label_is_the_weakest_of_the_row_and_what_decides_it(profile, row: Row):
    platform = preset(profile)
    labels = [row.evidence.label, *(platform.evidence_of(name).label for name in row.fields)]
    expected = max(labels, key=RANK.index)
    assert Ledger(platform).headers[row.id] == f"{expected}; row={row.id}"
    assert weakest(row, platform).label == expected


@table(
    ("row", "profile", "changes", "label"),
    [
        ("run.accepted", "observed", {}, "observed"),
        ("run.accepted", "documented", {}, "observed"),
        ("error.paused", "observed", {}, "observed"),
        ("error.paused", "documented", {"paused_endpoint": "conflict"}, "observed"),
        ("openai.failed", "observed", {"openai_failure": "shown"}, "guess"),
        ("openai.error", "observed", {"openai_errors": "status"}, "guess"),
        ("run.accepted", "observed", {"id_suffix": "-x9"}, "guess"),
        ("status.completed", "observed", {}, "observed"),
        ("status.completed", "documented", {}, "observed"),
        ("runsync.in_queue", "observed", {}, "documented"),
        ("runsync.in_queue", "observed", {"runsync_wait": 1_000}, "guess"),
        ("status_sync.in_queue", "observed", {}, "client"),
        ("runsync.failed", "observed", {}, "client"),
        ("status.timed_out", "observed", {}, "guess"),
        ("error.no_token", "documented", {}, "observed"),
    ],
)
def test_labels_of_single_rows(row: str, profile, changes: dict[str, object], label: str):
    assert Ledger(preset(profile, **changes)).headers[row] == f"{label}; row={row}"


def test_an_answer_without_a_row_is_a_mistake():
    with pytest.raises(KeyError):
        Ledger(preset("observed")).headers["no.such_row"]


def error_classes(base: type[errors.RequestError]) -> list[type[errors.RequestError]]:
    return [base, *itertools.chain.from_iterable(error_classes(kind) for kind in base.__subclasses__())]


assert balancer_errors  # the tree's other file
LEAVES = [kind for kind in error_classes(errors.RequestError) if not kind.__subclasses__()]


@table("kind", LEAVES)
def test_every_error_has_a_row(kind: type[errors.RequestError]):
    assert kind.row in LEDGER


def test_every_status_of_every_answer_with_an_envelope_has_a_row():
    names = [status.value.lower() for status in JobStatus]
    for operation in ("runsync", "status", "status_sync", "stream"):
        assert {f"{operation}.{name}" for name in names} <= set(LEDGER)


def test_what_every_guess_says_is_a_guess_for_every_profile():
    guesses = [row.id for row in LEDGER.values() if row.evidence is Evidence.GUESS]
    assert guesses
    for profile in ("observed", "documented"):
        ledger = Ledger(preset(profile))
        assert all(ledger.headers[row].startswith("guess; ") for row in guesses)


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_few_answers_are_guesses(profile):
    """There were 45 of 75 before the answers that were recorded in 2026 were known; its own doors are no claim.

    Of the batch API only the docs speak, which leave 8 answers open.
    """
    platform = preset(profile)
    claims = [row for row in LEDGER.values() if not row.text.startswith("the emulator's own answer")]
    assert sum(weakest(row, platform) is Evidence.GUESS for row in claims) <= 39


def test_no_answer_that_was_recorded_is_called_a_guess_for_a_field_beside_it():
    """A field decides the answers that it is named for; what it decides elsewhere is a behaviour."""
    platform = preset("observed")
    for row in LEDGER.values():
        if row.evidence is not Evidence.GUESS:
            assert weakest(row, platform) is not Evidence.GUESS, row.id
