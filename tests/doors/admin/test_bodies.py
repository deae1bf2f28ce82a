"""What a caller of the admin API can make the server parse: within bounds, and refused at once beyond them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.doors.admin.test_admin_api import Admin
from tests.timing import expect_within, timed

MIB = 1024 * 1024
TOO_MUCH = {
    "a long body": (b'{"respond":{"output":"' + b"x" * 20 * MIB + b'"}}', "exceeded max body size of 20MiB"),
    "open brackets": (b"[" * 10 * MIB, "nested more than 500 levels deep"),
    "points": (b'{"respond":{"output":[' + b"[1,2]," * 3 * MIB + b"1]}}", "more than 500000 commas"),
    "a long key": (b'{"' + b"k" * 19 * MIB + b'":1}', "no such key; the nearest is"),
    "many faults": (b"[" + b'{"a":1},' * 600_000 + b"1]", "more than 500000 commas"),
}


@timed
@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("/stubs", name) for name in TOO_MUCH),
        *((path, "a long key") for path in ("/faults", "/reset", "/requests/find", "/endpoints", "/hooks/answers")),
        *((path, "open brackets") for path in ("/faults", "/reset", "/endpoints")),
    ],
)
async def test_a_body_beyond_all_bounds_is_refused_soon(path: str, name: str):
    body, reason = TOO_MUCH[name]
    admin = Admin()
    await admin.ask("GET", "/stubs")  # builds the application
    began = time.process_time()
    answer = await admin.http.post(f"/__emulator{path}", content=body)
    took = time.process_time() - began
    assert len(answer.content) < 10_000
    if path == "/stubs" or "key" not in reason:  # others name what is missing, or have no need of a body
        assert (answer.status_code, reason in answer.text) == (400, True)
    expect_within(took, 0.5)


async def test_a_stub_may_be_as_long_as_a_result():
    admin = Admin()
    text = "one, two " * (2 * MIB)
    await admin.ask("POST", "/stubs", 201, json={"respond": {"output": text[: 4 * MIB]}})
    assert len((await admin.ask("GET", "/stubs"))[0]["stub"]["respond"]["output"]) == 4 * MIB


ONE = {"respond": {"output": 1}}
STATUS = {"fault": "status", "status": 500}
TOO_MANY: list[tuple[str, Any, str]] = [
    ("/stubs", [ONE] * 5_001, "5001 stubs and 0 steps: at most 5000 and 20000 at a time"),
    ("/stubs", {"respond": {"stream": ["x"] * 20_001}}, "1 stubs and 20001 steps"),
    ("/stubs", {"respond": {"progress": ["x"] * 10_001, "stream": ["x"] * 10_000}}, "1 stubs and 20001 steps"),
    ("/stubs", [{"respond": [{"steps": [{"chunk": 1}] * 7_000}] * 3}], "1 stubs and 21002 steps"),
    ("/faults", [STATUS] * 5_001, "5001 faults: at most 5000 at a time"),
]


@timed
@pytest.mark.parametrize(("path", "given", "reason"), TOO_MANY)
async def test_more_at_a_time_than_can_be_checked_in_a_moment_is_refused(path: str, given: Any, reason: str):
    admin = Admin()
    await admin.ask("GET", path)
    began = time.process_time()
    told = await admin.ask("POST", path, 400, json=given)
    took = time.process_time() - began
    assert reason in told["detail"]
    assert await admin.ask("GET", path) == []
    expect_within(took, 0.3)


@timed
@pytest.mark.parametrize(("path", "one"), [("/stubs", ONE), ("/faults", STATUS)])
async def test_the_most_at_a_time_is_soon_added_to_many(path: str, one: Any):
    admin = Admin()
    await admin.ask("POST", path, 201, json=[one] * 5_000)
    began = time.process_time()
    told = await admin.ask("POST", path, 201, json=[one] * 5_000)
    took = time.process_time() - began
    assert told["ids"][-1].endswith("-10000")
    assert len(await admin.ask("GET", path, params={"limit": 2, "offset": 9_999})) == 1
    expect_within(took, 1)


@timed
async def test_a_stub_with_many_steps_is_soon_there():
    admin = Admin()
    await admin.ask("GET", "/stubs")
    began = time.process_time()
    await admin.ask("POST", "/stubs", 201, json={"respond": {"stream": ["x"] * 20_000}})
    expect_within(time.process_time() - began, 1)


@pytest.mark.parametrize(
    "given", [[1], {"respond": 1}, [{"respond": [1]}], {"respond": {"steps": 1}}, "x", None, [None]]
)
async def test_what_is_no_stub_at_all_is_refused_as_ever(given: Any):
    assert (await Admin().ask("POST", "/stubs", 400, json=given))["detail"]


@pytest.mark.parametrize(
    ("path", "wish"), [("/endpoints", {"id": "x" * 201}), ("/stubs", ONE | {"endpoint": "x" * 201})]
)
async def test_an_endpoint_has_no_longer_id_than_a_pattern_is_soon_compared_with(path: str, wish: Any):
    admin = Admin()
    assert "200 characters" in (await admin.ask("POST", path, 400, json=wish))["detail"]
    assert "x" * 201 not in str(await admin.ask("GET", "/endpoints"))


@timed
async def test_many_stubs_without_an_id_are_named_soon():
    admin = Admin()
    one = {"respond": {"output": 1}}
    await admin.ask("GET", "/stubs")
    began = time.process_time()
    told = await admin.ask("POST", "/stubs", 201, json=[one] * 500)
    took = time.process_time() - began
    assert told["ids"] == [f"stub-{number}" for number in range(1, 501)]
    page = await admin.ask("GET", "/stubs", params={"limit": 2, "offset": 3})
    assert len(page) == 2
    expect_within(took, 1.5)
