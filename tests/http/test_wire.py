"""Every JSON shape, both ways, apart from HTTP."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runpod_emulator.core.endpoint.submission import Health, Submission
from runpod_emulator.core.errors import InvalidBody, InvalidQuery, OutOfRange, RouteNotFound
from runpod_emulator.core.fleet.worker import WorkerCounts
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.platform import preset
from runpod_emulator.http import wire

from tests.tables import table

OBSERVED = preset("observed")
DOCUMENTED = preset("documented")

NEW = Job(
    endpoint="ep",
    id="j-u1",
    status=JobStatus.IN_QUEUE,
    input=b'{"a": 1}',
    submitted_at=1_000,
    expires_at=9_000_000,
    retention=60_000,
    execution_timeout=0,
    place=1,
)
RUNNING = NEW._replace(status=JobStatus.IN_PROGRESS, taken_at=1_040, worker="w")
DONE = RUNNING._replace(status=JobStatus.COMPLETED, ended_at=1_050, output=b'{"z":1, "a":2}')
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)


def test_a_whole_submission():
    body = (
        b'{"policy":{"executionTimeout":900000,"lowPriority":true,"ttl":3600000},"webhook":"https://h/",'
        b'"s3Config":{"accessId": "A"},"input": {"x": 1.50} }'
    )
    assert wire.submission(body, OBSERVED, sync=True) == Submission(
        input=b'{"x": 1.50}',
        webhook="https://h/",
        execution_timeout=900_000,
        ttl=3_600_000,
        low_priority=True,
        s3_config=b'{"accessId": "A"}',
        sync=True,
    )


def test_a_bare_submission():
    assert wire.submission(b'{"input":{}}', OBSERVED, sync=False) == Submission(b"{}")


@pytest.mark.parametrize(
    ("text", "value"), [("1000", 1_000), ("300000", 300_000), ("001000", 1_000), ("90000", 90_000)]
)
def test_milliseconds(text, value):
    assert wire.milliseconds({"wait": text}, "wait", 1_000, 300_000, 5, OBSERVED) == value


def test_milliseconds_that_were_not_sent():
    assert wire.milliseconds({}, "wait", 1_000, 300_000, 5, OBSERVED) == 5
    assert wire.milliseconds({"Wait": "2000"}, "wait", 1_000, 300_000, None, OBSERVED) is None


@table(
    "text", ["999", "300001", "-1", "", " ", "1 000", "1_000", "\uff11\uff10\uff10\uff10", "1e3", "0x3e8", "+1000", "-"]
)
def test_milliseconds_out_of_range(text):
    with pytest.raises(OutOfRange, match="wait must be a whole number of milliseconds from 1000 to 300000"):
        wire.milliseconds({"wait": text}, "wait", 1_000, 300_000, 5, OBSERVED)


def test_milliseconds_without_an_upper_end():
    assert wire.milliseconds({"ttl": "1" * 15}, "ttl", 1, None, None, OBSERVED) == int("1" * 15)
    with pytest.raises(OutOfRange, match="ttl must be a whole number of milliseconds of 1 or more"):
        wire.milliseconds({"ttl": "0"}, "ttl", 1, None, None, OBSERVED)


def test_counts():
    assert wire.count({"limit": "7"}, "limit", 50, 1, 1_000) == 7
    assert wire.count({}, "limit", 50, 1, 1_000) == 50
    assert wire.count({"offset": "0"}, "offset", 9, 0, None) == 0
    for text in ("0", "1001", "-1", "x", ""):
        with pytest.raises(InvalidQuery, match="limit must be a whole number from 1 to 1000"):
            wire.count({"limit": text}, "limit", 50, 1, 1_000)


@pytest.mark.parametrize(
    ("job", "at", "shown"),
    [
        (NEW, 1_000, '{"id":"j-u1","status":"IN_QUEUE"}'),
        (NEW._replace(retries=1), 1_000, '{"id":"j-u1","status":"IN_QUEUE"}'),
        (
            RUNNING, 9_000,
            '{"delayTime":40,"id":"j-u1","status":"IN_PROGRESS","workerId":"w"}',
        ),
        (
            RUNNING._replace(progressed=True, output=b"[1]", retries=1), 1_043,
            '{"delayTime":40,"executionTime":3,"id":"j-u1","output":[1],"retries":1,"status":"IN_PROGRESS","workerId":"w"}',
        ),
        (
            DONE, 9_000,
            '{"delayTime":40,"executionTime":10,"id":"j-u1","output":{"z":1, "a":2},"status":"COMPLETED",'
            '"workerId":"w"}',
        ),
        (
            DONE._replace(status=JobStatus.CANCELLED, retries=1, output=None), 9_000,
            '{"delayTime":40,"executionTime":10,"id":"j-u1","status":"CANCELLED","workerId":"w"}',
        ),
    ],
)  # fmt: skip
def test_envelopes(job, at, shown):
    assert wire.envelope(job, at, OBSERVED).decode() == wire.envelope(job, at, DOCUMENTED).decode() == shown


def test_the_worker_may_be_left_out_of_an_envelope():
    platform = preset("observed", envelope_worker_id=False)
    assert wire.envelope(RUNNING, 9_000, platform).decode() == '{"delayTime":40,"id":"j-u1","status":"IN_PROGRESS"}'


def test_the_webhook_body_has_input_and_webhook_and_no_worker():
    job = DONE._replace(webhook="https://h/ż", retries=1)
    for platform in (OBSERVED, DOCUMENTED):
        assert wire.webhook_body(job, platform).decode() == (
            '{"delayTime":40,"executionTime":10,"id":"j-u1","input":{"a": 1},"output":{"z":1, "a":2},"retries":1,'
            '"status":"COMPLETED","webhook":"https://h/ż"}'
        )


def test_the_webhook_body_of_a_job_that_never_ran():
    job = NEW._replace(status=JobStatus.CANCELLED, ended_at=2_000, webhook="http://h/")
    assert wire.webhook_body(job, OBSERVED).decode() == (
        '{"id":"j-u1","input":{"a": 1},"status":"CANCELLED","webhook":"http://h/"}'
    )


def test_the_small_answers():
    assert wire.accepted(NEW) == b'{"id":"j-u1","status":"IN_QUEUE"}'
    assert wire.purged(2) == b'{"removed":2,"status":"completed"}'
    assert wire.problem(RouteNotFound()) == b'{"status":404,"title":"Not Found","detail":"route not found"}'
    assert wire.health(Health(1, 2, 3, 4, 5, WorkerCounts(6, 7, 8, 9, 10, 11))) == (
        b'{"jobs":{"completed":3,"failed":4,"inProgress":2,"inQueue":1,"retried":5},'
        b'"workers":{"idle":6,"initializing":7,"ready":8,"running":9,"throttled":10,"unhealthy":11}}'
    )


def test_streams():
    chunks = [b"1", b'{"b": 2}']
    assert wire.stream(JobStatus.COMPLETED, [], OBSERVED) == b'{"status":"COMPLETED","stream":[]}'
    assert wire.stream(JobStatus.IN_PROGRESS, chunks, DOCUMENTED) == (
        b'{"status":"IN_PROGRESS","stream":[{"output":1},{"output":{"b": 2}}]}'
    )
    array = preset("observed", stream_shape="array")
    assert wire.stream(JobStatus.IN_PROGRESS, chunks, array) == b'[{"output":1},{"output":{"b": 2}}]'
    assert wire.chunk_event(b'{"b": 2}') == '{"output":{"b": 2}}'
    assert wire.status_event(JobStatus.FAILED) == '{"status":"FAILED"}'


@pytest.mark.parametrize(("total", "offset", "more"), [(3, 0, True), (2, 0, False), (3, 1, False), (0, 9, False)])
def test_pages(total, offset, more):
    page = json.loads(wire.requests_page([NEW, DONE], total, offset, 2, 1_060, OBSERVED))
    assert list(page) == ["requests", "total", "offset", "limit", "hasMore"]
    assert [job["id"] for job in page["requests"]] == ["j-u1", "j-u1"]
    assert (page["total"], page["offset"], page["limit"], page["hasMore"]) == (total, offset, 2, more)


BRACKETS = st.text(alphabet='[]{}"\\ :,a\u017c', max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | BRACKETS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BRACKETS, inner, max_size=3),
    max_leaves=12,
)


def depth_of(value) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@EXAMPLES
@given(value=VALUES, spaced=st.booleans(), escaped=st.booleans())
@example(value={'"': ['\\"[[[[']}, spaced=True, escaped=False)
@example(value={"\\": {"\\\\": ["\\\\\\"]}}, spaced=False, escaped=True)
@example(value=['""[', '"[', "[]{}", '\\"', ""], spaced=False, escaped=False)
def test_the_depth_is_counted_outside_strings_only(value, spaced, escaped):
    job = {"input": {"a": value}}
    body = json.dumps(job, ensure_ascii=escaped, separators=None if spaced else (",", ":")).encode()
    depth = depth_of(job)
    wire.submission(body, preset("observed", json_depth_limit=depth), sync=False)
    with pytest.raises(InvalidBody, match=f"nested more than {depth - 1} levels deep"):
        wire.submission(body, preset("observed", json_depth_limit=depth - 1), sync=False)


@EXAMPLES
@given(value=st.dictionaries(BRACKETS, VALUES, max_size=4), indent=st.sampled_from([None, 1]), before=VALUES)
def test_the_input_is_cut_out_as_it_stands(value, indent, before):
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    body = f'{{"x": {json.dumps(before)} , "input" :\n{text}\t,"y":{text}}}'.encode()
    assert wire.submission(body, OBSERVED, sync=False).input == text.encode()
