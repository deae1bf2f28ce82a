"""What a caller of the admin API can make the server parse: within bounds, and refused at once beyond them."""

from __future__ import annotations

import time

import pytest

from tests.api.admin.test_admin_api import Admin
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
@pytest.mark.parametrize("path", ["/stubs", "/faults", "/reset", "/requests/find", "/endpoints", "/hooks/answers"])
@pytest.mark.parametrize(("body", "reason"), TOO_MUCH.values(), ids=TOO_MUCH)
async def test_a_body_beyond_all_bounds_is_refused_soon(path: str, body: bytes, reason: str):
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
