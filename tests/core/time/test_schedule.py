"""The heap of ranked keys, against a plain dictionary."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from runpod_emulator.core.time.schedule import Schedule

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 3), st.none() | st.integers(0, 5)),
        st.just("pop"),
    ),
    min_size=5,
    max_size=100,
)


@settings(derandomize=True, database=None, deadline=None)
@given(ACTIONS, st.sampled_from([2, 64]))
def test_it_behaves_like_a_sorted_dictionary(actions: list[tuple[int, int | None] | str], few: int):
    with mock.patch("runpod_emulator.core.time.schedule._FEW", few):
        follow(actions)


def follow(actions: list[tuple[int, int | None] | str]) -> None:
    """Do all to a schedule and to a dictionary, which must stay alike."""
    schedule: Schedule[int] = Schedule()
    plain: dict[int, int] = {}
    for action in actions:
        if isinstance(action, str):
            lowest = min(plain, key=lambda key: (plain[key], key), default=None)
            assert schedule.pop() == (None if lowest is None else (plain.pop(lowest), lowest))
        else:
            key, rank = action
            schedule.set(key, rank)
            plain.pop(key, None)
            if rank is not None:
                plain[key] = rank
        in_order = sorted(plain, key=lambda key: (plain[key], key))
        assert schedule.first() == ((plain[in_order[0]], in_order[0]) if in_order else None)
        assert schedule.keys() == in_order
        assert len(schedule) == len(plain)


def test_keys_of_one_rank_come_out_in_their_own_order():
    schedule: Schedule[str] = Schedule()
    for key in ("b", "c", "a"):
        schedule.set(key, 7)
    assert [schedule.pop() for _ in range(4)] == [(7, "a"), (7, "b"), (7, "c"), None]


def test_removing_what_is_not_there_is_harmless():
    schedule: Schedule[str] = Schedule()
    schedule.set("a", None)
    assert schedule.first() is None and len(schedule) == 0


def test_a_key_that_comes_back_to_an_old_rank_comes_out_once():
    schedule: Schedule[str] = Schedule()
    for rank in (5, 9, 5):
        schedule.set("a", rank)
    assert (schedule.pop(), schedule.pop()) == ((5, "a"), None)


def test_stale_entries_never_outnumber_the_live_ones():
    schedule: Schedule[int] = Schedule()
    for key in range(10_000):
        schedule.set(key, 86_400_000 + key)
        schedule.set(key, None if key % 100 else 1)
        assert len(schedule._heap) <= max(65, 2 * len(schedule) + 1)
    assert schedule.keys() == list(range(0, 10_000, 100))


def test_stale_entries_leave_a_few_with_each_change():
    schedule: Schedule[int] = Schedule()
    for key in range(1_000):
        schedule.set(key, key)
    for key in range(0, 1_000, 2):
        schedule.set(key, None)
    sizes = []
    for rank in range(1_000, 1_600):
        schedule.set(1, rank)  # makes one entry stale each time
        sizes.append(len(schedule._heap) + len(schedule._old))
    assert max(sizes) <= 1_010
    assert sizes[-1] <= 2 * len(schedule) + 4
    assert [schedule.pop() for _ in range(3)] == [(3, 3), (5, 5), (7, 7)]
