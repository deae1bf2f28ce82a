"""Request windows and limits of requests at once."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest
from runpod_emulator.core.errors import RateLimited
from runpod_emulator.core.platform import Platform, preset
from runpod_emulator.core.rates import Admission, Counter, Limits, Operation, OwnCounter, rows_of
from runpod_emulator.core.time.timeline import Timeline

from tests.core.passing_time import Passing
from tests.core.steps import both_profiles, finish

NOON = 1_700_000_000_000


def limits_of(platform: Platform, workers: int = 0, counter: Counter | None = None, endpoint: str = "ep") -> Limits:
    """Limits of an endpoint at which so many workers run."""

    async def running() -> int:
        return workers

    return Limits(platform, endpoint, counter or OwnCounter(), running)


def admit(limits: Limits, operation: Operation, at: int = NOON) -> Admission:
    """A request that is let in; raises RateLimited. On a counter of this process it is one step."""
    return finish(limits.admit(operation, at))


def ask(limits: Limits, operation: Operation, at: int = NOON) -> int | None:
    """None when the request was let in and answered, else the seconds after which to come back."""
    try:
        with admit(limits, operation, at):
            return None
    except RateLimited as refusal:
        return int(refusal.headers["Retry-After"])


def admitted(limits: Limits, operation: Operation, at: int = NOON) -> int:
    """How many requests are let in at one moment."""
    return next(count for count in itertools.count() if ask(limits, operation, at) is not None)


@both_profiles
def test_the_published_table(profile):
    assert {name: tuple(row) for name, row in rows_of(preset(profile)).items()} == {
        "run": (1000, 200),
        "runsync": (2000, 400),
        "status": (2000, 400),
        "stream": (2000, 400),
        "cancel": (100, 20),
        "purge": (2, 0),
        "requests": (10, 2),
        "openai": (2000, 400),
    }


@pytest.mark.parametrize(
    ("operation", "rate"),
    [("run", 1000), ("runsync", 2000), ("status", 2000), ("status_sync", 2000), ("stream", 2000), ("cancel", 100)],
)
def test_each_operation_admits_its_own_number_in_a_window(operation: str, rate: int):
    assert admitted(limits_of(preset("observed")), Operation(operation)) == rate


@pytest.mark.parametrize("operation", [Operation.RETRY, Operation.HEALTH])
def test_operations_without_a_row_have_no_limit(operation: Operation):
    limits = limits_of(preset("observed", run_rate=1))
    with ExitStack() as open_requests:
        for _ in range(3_000):
            open_requests.enter_context(admit(limits, operation, NOON))
        assert ask(limits, operation) is None


def test_operations_do_not_use_up_each_others_window():
    limits = limits_of(preset("observed"))
    assert admitted(limits, Operation.PURGE) == 2
    assert admitted(limits, Operation.REQUESTS) == 10
    assert admitted(limits, Operation.CANCEL) == 100


def test_status_sync_counts_as_status():
    limits = limits_of(preset("observed", status_rate=3))
    assert [ask(limits, op) for op in (Operation.STATUS, Operation.STATUS_SYNC)] == [None, None]
    assert admitted(limits, Operation.STATUS_SYNC) == 1
    assert ask(limits, Operation.STATUS) is not None
    assert ask(limits, Operation.STREAM) is None


def test_streams_share_the_status_row_where_asked():
    limits = limits_of(preset("observed", status_rate=3, shared_status_pool=True))
    assert [ask(limits, op) for op in (Operation.STATUS, Operation.STATUS_SYNC, Operation.STREAM)] == [None] * 3
    assert ask(limits, Operation.STREAM) is not None


def counting(passing: Passing, **changes: object) -> tuple[Limits, Timeline]:
    return limits_of(preset("observed", run_rate=2, **changes)), Timeline(passing.clock)


async def test_a_window_opens_with_the_first_request_and_lasts_ten_seconds(passing: Passing):
    limits, line = counting(passing)
    await passing.by(3_700)
    assert [ask(limits, Operation.RUN, line.now()) for _ in range(3)] == [None, None, 10]
    await passing.by(9_999)
    assert ask(limits, Operation.RUN, line.now()) == 1
    await passing.by(1)
    assert [ask(limits, Operation.RUN, line.now()) for _ in range(3)] == [None, None, 10]


async def test_an_aligned_window_ends_with_the_clocks_ten_seconds(passing: Passing):
    limits, line = counting(passing, rate_window="aligned")
    await passing.by(13_700 - line.now() % 10_000)
    assert line.now() % 10_000 == 3_700
    assert [ask(limits, Operation.RUN, line.now()) for _ in range(3)] == [None, None, 7]
    await passing.by(6_299)
    assert ask(limits, Operation.RUN, line.now()) == 1
    await passing.by(1)
    assert [ask(limits, Operation.RUN, line.now()) for _ in range(3)] == [None, None, 10]


async def test_the_next_window_opens_with_its_own_first_request(passing: Passing):
    limits, line = counting(passing)
    assert admitted(limits, Operation.RUN, line.now()) == 2
    await passing.by(14_000)
    assert admitted(limits, Operation.RUN, line.now()) == 2
    await passing.by(9_000)
    assert ask(limits, Operation.RUN, line.now()) == 1


@pytest.mark.parametrize(("later", "seconds"), [(0, 10), (1, 10), (8_999, 2), (9_000, 1), (9_999, 1)])
def test_retry_after_is_rounded_up_and_at_least_one(later: int, seconds: int):
    limits = limits_of(preset("observed", run_rate=1))
    ask(limits, Operation.RUN, NOON)
    assert ask(limits, Operation.RUN, NOON + later) == seconds


def test_a_refused_request_does_not_count():
    limits = limits_of(preset("observed", run_rate=1, run_concurrency=1))
    with admit(limits, Operation.RUN, NOON):
        for _ in range(5):
            assert ask(limits, Operation.RUN, NOON + 10_000) == 1
    assert ask(limits, Operation.RUN, NOON + 10_000) is None


@pytest.mark.parametrize(("operation", "most"), [("run", 200), ("cancel", 20), ("requests", 2), ("stream", 400)])
def test_requests_at_once_are_limited_and_leave_room_when_answered(operation: str, most: int):
    limits = limits_of(preset("observed"))
    with ExitStack() as open_requests:
        for _ in range(most - 1):
            open_requests.enter_context(admit(limits, Operation(operation), NOON))
        with admit(limits, Operation(operation), NOON):
            assert ask(limits, Operation(operation)) == 1
        assert ask(limits, Operation(operation)) is None


def test_a_request_that_fails_leaves_room_too():
    limits = limits_of(preset("observed", run_concurrency=1))
    with pytest.raises(KeyError), admit(limits, Operation.RUN, NOON):
        raise KeyError
    assert ask(limits, Operation.RUN) is None


def test_purges_are_not_limited_at_once():
    limits = limits_of(preset("observed", purge_rate=1_000))
    with ExitStack() as open_requests:
        for _ in range(999):
            open_requests.enter_context(admit(limits, Operation.PURGE, NOON))
        assert ask(limits, Operation.PURGE) is None


@pytest.mark.parametrize(("workers", "rate"), [(0, 1000), (20, 1000), (21, 1050), (50, 2500)])
def test_running_workers_raise_the_rate(workers: int, rate: int):
    assert admitted(limits_of(preset("observed"), workers), Operation.RUN) == rate


def test_requests_at_once_stay_limited_however_many_workers_run():
    limits = limits_of(preset("observed", run_concurrency=1), workers=50)
    with admit(limits, Operation.RUN):
        assert ask(limits, Operation.RUN) == 1


def refusal(platform: Platform) -> RateLimited:
    limits = limits_of(platform)
    ask(limits, Operation.RUN)
    with pytest.raises(RateLimited) as refused, admit(limits, Operation.RUN, NOON + 2_500):
        pass
    return refused.value


def test_the_body_and_headers_of_a_refusal():
    plain = refusal(preset("observed", run_rate=1))
    assert (plain.status, plain.title, plain.detail) == (429, "Too Many Requests", "rate limit exceeded")
    assert plain.headers == {"Retry-After": "8"}
    fuller = refusal(preset("observed", run_rate=1, rate_limit_headers=True))
    assert fuller.headers == {"Retry-After": "8", "RateLimit": "limit=1, remaining=0, reset=8"}


def test_endpoints_count_apart():
    platform = preset("observed")
    assert [admitted(limits_of(platform), Operation.PURGE) for _ in range(2)] == [2, 2]


def test_limits_over_one_counter_count_together_but_each_endpoint_apart():
    platform, counter = preset("observed", run_rate=3, run_concurrency=1), OwnCounter()
    here, there, other = (limits_of(platform, 0, counter, endpoint) for endpoint in ("ep", "ep", "other"))
    with admit(here, Operation.RUN):
        assert [ask(limits, Operation.RUN) for limits in (there, other)] == [1, None]
    assert [ask(limits, Operation.RUN) for limits in (there, here, there)] == [None, None, 10]
    finish(counter.clear("ep"))
    assert [ask(limits, Operation.RUN) for limits in (here, there, here, other, other, other)] == [None] * 5 + [10]


def test_a_request_from_before_a_reset_leaves_nothing_behind_it():
    counter = OwnCounter()
    limits = limits_of(preset("observed", run_concurrency=1), counter=counter)
    with admit(limits, Operation.RUN):
        finish(counter.clear("ep"))
    with admit(limits, Operation.RUN):
        assert ask(limits, Operation.RUN) == 1


def test_a_window_of_no_length_limits_nothing():
    for window in ("first_request", "aligned"):
        limits = limits_of(preset("observed", run_rate=1, rate_limit_window=0, rate_window=window))
        assert [ask(limits, Operation.RUN) for _ in range(3)] == [None] * 3
