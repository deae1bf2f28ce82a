"""Bodies that are no JSON, or not such JSON: each is a 400 that says why, and queues nothing."""

import time
import tracemalloc

import pytest

from tests.doors.doors import JOB, Doors, expect_bad_request, open_doors
from tests.tables import table
from tests.timing import expect_within, timed

ROUTES = ["/run", "/runsync"]
DEEP = 10_000


async def expect_refusal(body: bytes, route: str) -> Doors:
    doors = open_doors()
    answer = await doors.post(route, content=body)
    assert answer.status_code == 400, answer.text
    shown = answer.json()
    assert list(shown) == ["status", "title", "detail"]
    assert (shown["status"], shown["title"]) == (400, "Bad Request")
    assert shown["detail"].startswith("bad request: body: invalid json: ")
    assert len(shown["detail"]) < 150
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.invalid_body"
    assert (await doors.get("/health")).json()["jobs"]["inQueue"] == 0
    return doors


def inside(text: bytes) -> bytes:
    return b'{"input":{"a":' + text + b"}}"


BROKEN = {
    "empty": b"",
    "blank": b" \r\n\t",
    "words": b"hello",
    "form": b"input=1&webhook=2",
    "one brace": b"{",
    "unclosed": b'{"input":{"a":1}',
    "unclosed string": b'{"input":{"a":"b}}',
    "single quotes": b"{'input':{'a':1}}",
    "bare key": b"{input:{}}",
    "number as key": b'{"input":{1:2}}',
    "trailing comma": b'{"input":{"a":1,}}',
    "missing colon": b'{"input" {"a":1}}',
    "two values": b'{"input":{"a":1}} {"input":{"a":2}}',
    "rest": b'{"input":{"a":1}}x',
    "NUL at the end": b'{"input":{"a":1}}\0',
    "comment": b'{"input":{"a":1}} // note',
    "wrong bracket": b'{"input":{"a":[1}}',
    "NaN": inside(b"NaN"),
    "Infinity": inside(b"Infinity"),
    "minus Infinity": inside(b"-Infinity"),
    "NaN beside the input": b'{"x":NaN,"input":{"a":1}}',
    "NaN in the policy": b'{"input":{"a":1},"policy":{"ttl":NaN}}',
    "None": inside(b"None"),
    "leading zero": inside(b"01"),
    "plus": inside(b"+1"),
    "half a float": inside(b"1."),
    "hexadecimal": inside(b"0x10"),
    "control character": inside(b'"\x01"'),
    "line break in a string": inside(b'"a\nb"'),
    "unknown escape": inside(b'"\\q"'),
    "half an escape": inside(b'"\\u12"'),
    "lone surrogate": inside(b'"\\ud800 and more text"'),
    "reversed surrogates": inside(b'"\\udc00\\ud800"'),
    "lone surrogate as key": b'{"\\ud800":1,"input":{"a":1}}',
    "lone surrogate in the webhook": b'{"input":{"a":1},"webhook":"http://h/\\udc00"}',
    "UTF-16 without mark": JOB.decode().encode("utf-16-le"),
    "byte order mark": b"\xef\xbb\xbf" + JOB,
    "byte order mark twice": b"\xef\xbb\xbf" * 2 + JOB,
}

NOT_UTF8 = {
    "stray byte": inside(b'"\xff"'),
    "cut sequence": inside(b'"\xc5"'),
    "overlong": inside(b'"\xc0\xaf"'),
    "encoded surrogate": inside(b'"\xed\xa0\x80"'),
    "beyond Unicode": inside(b'"\xf4\x90\x80\x80"'),
    "latin-1": inside('"é"'.encode("latin-1")),
    "UTF-16": inside(b'"x"').decode().encode("utf-16"),
    "in a key": b'{"\xff":1,"input":{"a":1}}',
    "after the end": JOB + b"\xff",
    "gzip": b"\x1f\x8b\x08\x00" + bytes(20),
}

NOT_OBJECTS = {
    "array": b"[]",
    "array of jobs": b"[" + JOB + b"]",
    "string": b'"input"',
    "number": b"5",
    "float": b"1e5",
    "true": b"true",
    "null": b"null",
}

TOO_DEEP = {
    "arrays": inside(b"[" * DEEP + b"]" * DEEP),
    "objects": b'{"input":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "mixed": inside(b'[{"a":' * DEEP + b"1" + b"}]" * DEEP),
    "arrays at the top": b"[" * DEEP + b"]" * DEEP,
    "unclosed arrays": b"[" * DEEP,
    "unclosed objects": b'{"input":' * DEEP,
    "in an unknown key": b'{"input":{"a":1},"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "in the policy": b'{"input":{"a":1},"policy":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "behind many strings": inside(b'["]","}","\\"",' + b"[" * DEEP + b"]" * DEEP + b"]"),
    "one more than is allowed": inside(b"[" * 499 + b"]" * 499),
}

SHALLOW = {
    "as deep as is allowed": inside(b"[" * 498 + b"]" * 498),
    "brackets in a string": inside(b'"' + b"[{" * DEEP + b'"'),
    "brackets and quotes in a string": inside(b'"' + b'\\"[\\\\' * DEEP + b'"'),
    "brackets in a key": b'{"input":{"' + b"[" * DEEP + b'":1}}',
    "wide": inside(b"[" + b"[],{}," * DEEP + b"1]"),
}


@table("route", ROUTES)
@table("body", BROKEN.values())
async def test_what_is_no_json_is_refused(body, route):
    await expect_refusal(body, route)


@table("route", ROUTES)
@table("body", NOT_UTF8.values())
async def test_what_is_no_utf8_is_refused(body, route):
    doors = open_doors()
    expect_bad_request(await doors.post(route, content=body), "body: invalid json: not UTF-8")


@table("route", ROUTES)
@table("body", NOT_OBJECTS.values())
async def test_what_is_no_object_is_refused(body, route):
    expect_bad_request(await open_doors().post(route, content=body), "body: must be a json object")


@table("route", ROUTES)
@table("body", TOO_DEEP.values())
async def test_what_is_nested_too_deep_is_refused(body, route):
    answer = await open_doors().post(route, content=body)
    expect_bad_request(answer, "body: invalid json: nested more than 500 levels deep")


@pytest.mark.parametrize("body", SHALLOW.values(), ids=SHALLOW)
async def test_what_only_looks_deep_is_accepted_and_arrives_whole(body):
    doors = open_doors()
    await doors.submit(body)
    assert b'{"input":' + (await doors.take()).input + b"}" == body


async def test_the_depth_that_is_allowed_is_a_field():
    doors = open_doors(json_depth_limit=3)
    await doors.submit(inside(b"[1]"))
    answer = await doors.post("/run", content=inside(b"[[1]]"))
    expect_bad_request(answer, "body: invalid json: nested more than 3 levels deep")


async def test_a_depth_beyond_the_parsers_own_is_refused_too():
    doors = open_doors(json_depth_limit=10**9)
    answer = await doors.post("/run", content=inside(b"[" * 100_000 + b"]" * 100_000))
    expect_bad_request(answer, "body: invalid json: nested too deep")


async def test_a_string_of_brackets_is_no_object():
    answer = await open_doors().post("/run", content=b'"' + b"[" * 501 + b'"')
    expect_bad_request(answer, "body: must be a json object")


@pytest.mark.parametrize("name", ["policy", "s3Config"])
async def test_an_integer_of_5000_digits_is_no_fault(name):
    body = b'{"input":{"a":1},"%s":{"unknown":%s}}' % (name.encode(), b"9" * 5_000)
    assert (await open_doors().post("/run", content=body)).status_code == 200


@pytest.mark.parametrize("number", [b"9" * 5_000, b"1e400", b"-1e400"], ids=["5000 digits", "1e400", "-1e400"])
@pytest.mark.parametrize(("name", "low"), [("ttl", 10_000), ("executionTimeout", 5_000)])
async def test_a_number_beyond_all_others_is_out_of_range(name, low, number):
    body = b'{"input":{"a":1},"policy":{"%s":%s}}' % (name.encode(), number)
    answer = await open_doors().post("/run", content=body)
    expect_bad_request(answer, f"policy.{name} must be a whole number of milliseconds from {low} to 604800000")


@timed
async def test_the_search_for_strings_is_linear():
    doors = open_doors()
    began = time.process_time()
    answer = await doors.post("/run", content=b"[" * 501 + b'"' + b'\\"' * 5_000)
    expect_within(time.process_time() - began, 0.2)
    expect_bad_request(answer, "body: invalid json: nested more than 500 levels deep")


async def test_brackets_beside_a_long_string_take_no_memory():
    doors = open_doors()
    body = inside(b'["' + b"x" * 2**20 + b'",' + b"[]," * 600 + b"1]")
    tracemalloc.start()
    try:
        answer = await doors.post("/run", content=body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 200
    assert peak < 8 * len(body)


@pytest.mark.parametrize("depth", [501, 600, 900])
async def test_what_is_too_deep_is_told_so_even_where_it_is_not_closed(depth):
    answer = await open_doors().post("/run", content=b'{"input":' + b"[" * depth)
    expect_bad_request(answer, "body: invalid json: nested more than 500 levels deep")
