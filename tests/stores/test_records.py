"""Jobs, events and deliveries come back from JSON as they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import Event, Job, JobStatus
from runpod_emulator.core.jobs.listeners import ALL
from runpod_emulator.core.jobs.script_state import ScriptState
from runpod_emulator.stores import records

NUMBERS = st.integers(0, 1 << 53)
WORDS = st.text(max_size=20) | st.sampled_from(["\ud800", "a\udfff\ud83d"])
TEXTS = st.binary(max_size=40)
HEADERS = st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple)
SCRIPTS = st.builds(
    ScriptState, stub=st.none() | WORDS, call=NUMBERS, headers=HEADERS, failure=WORDS, run=NUMBERS,
    numbered=st.booleans(), held_until=st.none() | NUMBERS, polls_owed=NUMBERS,
)  # fmt: skip
BY_NAME = {
    "str": WORDS, "int": NUMBERS, "bytes": TEXTS, "bool": st.booleans(), "JobStatus": st.sampled_from(JobStatus),
    "DeliveryStatus": st.sampled_from(DeliveryStatus), "ScriptState": SCRIPTS, "None": st.none(),
    "tuple[bytes, ...]": st.lists(TEXTS, max_size=4).map(tuple),
}  # fmt: skip
"""Values of each type that a field may have."""


def values(kind: type) -> st.SearchStrategy:
    """Instances of a class with any values in all of its fields."""
    types = {name: getattr(kept, "__forward_arg__", kept) for name, kept in kind.__annotations__.items()}
    fields = getattr(kind, "_fields", None) or kind.__dataclass_fields__
    chosen = {name: st.one_of(*(BY_NAME[one] for one in types[name].split(" | "))) for name in fields}
    return st.builds(kind, **chosen)


@given(values(Job))
def test_a_job_comes_back_as_it_was(job: Job):
    written = records.job_written(job)
    assert records.job_read(written, records.texts_of(job)) == job
    assert json.loads(written) == records.job_values(job)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_event_comes_back_as_it_was(kind: type):
    @given(values(kind))
    def check(event: Event):
        name, fields, texts = records.event_values(event)
        assert records.event_of(name, records.read(records.written(fields)), texts) == event

    check()


@given(values(Delivery))
def test_a_delivery_comes_back_as_it_was(delivery: Delivery):
    assert records.delivery_read(records.delivery_written(delivery), delivery.body) == delivery


def test_an_event_of_no_known_kind_is_refused():
    with pytest.raises(KeyError):
        records.event_of("Beamed", [], [])


def test_the_order_of_the_fields_is_that_of_this_format():
    """Whoever changes one raises `FORMAT`: what older servers have written would be read wrong."""
    assert records.FORMAT == 2
    assert ",".join(Job._fields) == (
        "endpoint,id,status,input,submitted_at,expires_at,retention,execution_timeout,place,low_priority,held,webhook,"
        "s3_config,worker,lease,lease_until,owner,taken_at,ended_at,progressed,retries,output,error,kept_until,script,"
        "trace,batch"
    )
    assert ",".join(ScriptState._fields) == "stub,call,headers,failure,run,numbered,held_until,polls_owed"
    assert ",".join(Delivery._fields) == "endpoint,job,serial,url,body,due,attempts,status,lease"
