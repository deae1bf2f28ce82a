"""Jobs and queries of the wrong shape: each gets a clear 400 and queues nothing."""

import pytest

from tests.doors.doors import JOB, expect_bad_request, expect_problem, open_doors
from tests.tables import table

ROUTES = ["/run", "/runsync"]
EXECUTION = "policy.executionTimeout must be a whole number of milliseconds from 5000 to 604800000"
TTL = "policy.ttl must be a whole number of milliseconds from 10000 to 604800000"


async def expect_refusal(body: bytes, route: str, detail: str, row: str):
    doors = open_doors()
    answer = await doors.post(route, content=body)
    expect_bad_request(answer, detail)
    assert answer.headers["x-emulator-fidelity"] == f"guess; row=error.{row}"
    assert (await doors.get("/health")).json()["jobs"]["inQueue"] == 0


@table("route", ROUTES)
@table(
    "body",
    [
        b"{}",
        b'{"input":null}',
        b'{ "input" : null }',
        b'{"Input":{"a":1}}',
        b'{"inputs":{}}',
        b'{"input":{},"input":null}',
    ],
)
async def test_no_input(body, route):
    await expect_refusal(body, route, "body: input is required", "input_missing")


@table("route", ROUTES)
@table("text", ["[]", '[{"a":1}]', '"text"', '""', "5", "-0.5", "0", "true", "false"])
async def test_an_input_that_is_no_object(text, route):
    body = b'{"input":%s}' % text.encode()
    await expect_refusal(body, route, "body: input must be an object", "input_not_object")


@table("route", ROUTES)
@table("name", ["policy", "s3Config"])
@table("text", ["[]", '"text"', "5", "true", "false", "0", '""'])
async def test_a_part_that_must_be_an_object(name, text, route):
    body = b'{"input":{"a":1},"%s":%s}' % (name.encode(), text.encode())
    await expect_refusal(body, route, f"body: {name} must be an object", "invalid_body")


@table("route", ROUTES)
@table("text", ["5", "true", "false", "0", "[]", "{}", '["http://h/"]'])
async def test_a_webhook_that_is_no_string(text, route):
    body = b'{"input":{"a":1},"webhook":%s}' % text.encode()
    await expect_refusal(body, route, "body: webhook must be a string", "invalid_body")


@table("route", ROUTES)
@table(
    "url", ["ftp://h/", "h/path", "//h/", "http:", "http://", "http:///p", "javascript:1", "http://[::1", "http://h:x/",
            "http://h:99999/", "http://:80/", " ", "http://h:0/",
            "http://ex ample/", " http://h/", "\\thttp://h/", "http://h/\\u0000", "http://h/\\n", "http://h\\t/", "http://h/\\u007f",
            "http://a\\\\b/", "http://h|h/", "http://h^/", "http://{h}/", "http://[::g]/", "http://u@/",
            f"http://{'a.' * 127}/", f"http://{'ﬃ' * 3_000_000}/", f"http://h/{'p' * 65_536}"],
)  # fmt: skip
async def test_a_webhook_that_is_no_http_url(url, route):
    body = b'{"input":{"a":1},"webhook":"%s"}' % url.encode()
    await expect_refusal(body, route, "body: webhook must be an http or https URL", "webhook_invalid")


@table("route", ROUTES)
@table("text", ['"yes"', '"true"', '""', "[]", "{}", "2", "-1", "0.5"])
async def test_a_low_priority_that_is_neither_true_nor_false(text, route):
    body = b'{"input":{"a":1},"policy":{"lowPriority":%s}}' % text.encode()
    await expect_refusal(body, route, "body: policy.lowPriority must be true or false", "invalid_body")


@pytest.mark.parametrize("text", ["0", "1", "0.0", "1.0"])
async def test_a_low_priority_that_only_equals_true_or_false(text):
    body = b'{"input":{"a":1},"policy":{"lowPriority":%s}}' % text.encode()
    await expect_refusal(body, "/run", "body: policy.lowPriority must be true or false", "invalid_body")


BEYOND = ["0", "-1", "604800001", "9" * 40, "1e300", "true", "false", '""', "[]", "{}"]


@table("route", ROUTES)
@table(
    ("key", "text", "reason"),
    [("executionTimeout", text, EXECUTION) for text in (*BEYOND, "4999", "5000.5", '"6000"')]
    + [("ttl", text, TTL) for text in (*BEYOND, "9999", "10000.5", '"10000"')],
)
async def test_a_time_of_the_policy_out_of_range(key, text, reason, route):
    body = b'{"input":{"a":1},"policy":{"%s":%s}}' % (key.encode(), text.encode())
    await expect_refusal(body, route, reason, "out_of_range")


@pytest.mark.parametrize("text", ["true", '"6000"', "5000.5", "[]"])
async def test_what_is_no_whole_number_cannot_be_clamped(text):
    doors = open_doors(out_of_range="clamp")
    body = b'{"input":{"a":1},"policy":{"executionTimeout":%s}}' % text.encode()
    expect_bad_request(await doors.post("/run", content=body), EXECUTION)


async def test_the_ranges_are_fields():
    doors = open_doors(job_ttl_min=1, job_ttl_max=86_400_000)
    await doors.submit(b'{"input":{"a":1},"policy":{"ttl":1}}')
    answer = await doors.post("/run", content=b'{"input":{"a":1},"policy":{"ttl":86400001}}')
    expect_bad_request(answer, "policy.ttl must be a whole number of milliseconds from 1 to 86400000")


@pytest.mark.parametrize("route", ["status-sync", "stream"])
async def test_a_wait_of_two_signs_is_out_of_range(route):
    job = await (doors := open_doors()).completed()
    answer = await doors.get(f"/{route}/{job.id}?wait=--5")
    expect_bad_request(answer, "wait must be a whole number of milliseconds from 1000 to 300000")


@pytest.mark.parametrize("route", ["status-sync", "stream"])
async def test_a_wait_of_5000_digits_is_out_of_range(route):
    job = await (doors := open_doors()).completed()
    answer = await doors.get(f"/{route}/{job.id}?wait={'9' * 5_000}")
    expect_bad_request(answer, "wait must be a whole number of milliseconds from 1000 to 300000")


@pytest.mark.parametrize("ttl", ["--1", "9" * 5_000], ids=["two signs", "5000 digits"])
async def test_a_ttl_that_python_cannot_read_is_no_fault(ttl):
    job = await (doors := open_doors()).completed()
    assert (await doors.get(f"/status/{job.id}?ttl={ttl}")).status_code in (200, 400)


@pytest.mark.parametrize("offset", ["9" * 19, "9" * 30, "9" * 5_000], ids=["2**63", "30 digits", "5000 digits"])
async def test_an_offset_beyond_all_others_is_no_fault(offset):
    assert (await open_doors().get(f"/requests?offset={offset}")).status_code in (200, 400)


async def test_a_very_long_ttl_is_a_long_life():
    job = await (doors := open_doors()).completed()
    assert (await doors.get(f"/status/{job.id}?ttl={'9' * 15}")).status_code == 200


@table(
    ("method", "path"),
    [
        ("POST", "/run"), ("POST", "/runsync"), ("GET", "/status/x"), ("POST", "/status/x"), ("GET", "/status-sync/x"),
        ("POST", "/status-sync/x"), ("GET", "/stream/x"), ("POST", "/stream/x"), ("POST", "/cancel/x"),
        ("POST", "/retry/x"), ("POST", "/purge-queue"), ("GET", "/health"), ("GET", "/requests"),
    ],
)  # fmt: skip
async def test_an_unknown_endpoint(method, path):
    doors = open_doors()
    for endpoint in ("nope", "EP", "ep2", "e", "%20", "..."):
        content = JOB if method == "POST" else None
        answer = await doors.http.request(method, f"/v2/{endpoint}{path}", content=content)
        expect_problem(answer, 404, "Not Found", "endpoint not found")
        assert answer.headers["x-emulator-fidelity"] == "observed; row=error.endpoint_not_found"


@pytest.mark.parametrize("job_id", ["x", "%00", "%F0%9F%90%A2", "a b", "..%2e", "'--", "x" * 500])
async def test_an_id_that_is_no_id(job_id):
    expect_problem(await open_doors().get(f"/status/{job_id}"), 404, "Not Found", "job not found")
