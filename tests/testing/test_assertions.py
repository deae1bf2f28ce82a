"""What a test says about requests: which, how many, in which order; and what it is told when they were others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.tables import table
from tests.testing.conftest import HELLO, Client


def failed(emu: Emulator, **wish: Any) -> str:
    """What a failing assertion tells."""
    with pytest.raises(AssertionError) as told:
        emu.assert_requested(**wish)
    return str(told.value)


def test_a_429_has_the_same_body_as_the_request_after_it(emu: Emulator, client: Client):
    emu.fault("status", status=429, operations=["run"], times=1)
    answers = [client.ask("POST", "/llm/run", HELLO).status_code for _ in range(2)]
    assert answers == [429, 200]
    emu.assert_requested(operation="run", body=HELLO, count=2)
    emu.assert_requested(operation="run", body=HELLO, status=429, count=1)


def test_what_was_not_read_was_not_compared(emu: Emulator, client: Client):
    emu.fault("status", status=429, operations=["run"], times=1)
    client.ask("POST", "/llm/run", {"input": {"prompt": "x" * 70_000}})
    assert "body: not compared, for it was not read: it is longer than 65536 bytes" in failed(emu, body=HELLO)
    (request,) = emu.requests()
    assert (request.body, request.body_cut) == (None, "it is longer than 65536 bytes")


@table("wish", [{"count": 0}, {"at_most": 0}, {"count": 1}])
def test_none_is_not_known_of_a_body_that_was_not_compared(emu: Emulator, client: Client, wish: dict[str, int]):
    emu.reset()
    for _ in range(wish.get("count", 0)):
        client.run()
    client.run("x" * 70_000)
    client.ask("GET", "/llm/health")
    told = failed(emu, operation="run", body={"input": {}}, **wish)
    assert ", and 1 whose body can't be compared:\n  #" in told and "body: not compared, for only 65536 of its" in told
    emu.assert_requested(operation="run", body={"input": {}}, headers={"x-other": "a"}, count=0)
    emu.assert_requested(operation="run", body={"input": {}}, at_least=wish.get("count", 0))


def test_what_was_forgotten_is_told(emu: Emulator, client: Client):
    def note(world: Any) -> None:
        world.journal._entries.extend([last._replace(number=number) for number in range(2, 10_006)])

    client.run()
    (last,) = emu.link.ask(lambda world: list(world.journal))
    emu.link.ask(note)
    assert failed(emu, operation="run", count=5).startswith(
        "expected 5 such requests, got 10000 among the last 10000; 5 older ones were forgotten:"
    )
    with pytest.raises(AssertionError, match="5 older requests were forgotten"):
        emu.assert_order({"operation": "cancel"}, {"operation": "run"})
    assert "requests (older ones forgotten: 5): 10000" in emu.story()


COUNTS: list[tuple[dict[str, int], str]] = [
    ({}, ""),
    ({"count": 3}, ""),
    ({"at_least": 3}, ""),
    ({"at_most": 3}, ""),
    ({"at_least": 1, "at_most": 4}, ""),
    ({"count": 2}, "expected 2 such requests, got 3"),
    ({"count": 0}, "expected no such request, got 3"),
    ({"count": 4}, "expected 4 such requests, got 3"),
    ({"at_least": 4}, "expected at least 4 such requests, got 3"),
    ({"at_most": 2}, "expected at most 2 such requests, got 3"),
    ({"at_least": 4, "at_most": 9}, "expected 4 to 9 such requests, got 3"),
]


def test_how_many_is_said_in_three_ways(emu: Emulator, client: Client):
    for _ in range(3):
        client.run()
    for counts, said in COUNTS:
        if said:
            assert failed(emu, operation="run", **counts).startswith(said)
        else:
            emu.assert_requested(operation="run", **counts)


@table("wrong", [{"count": 1, "at_least": 1}, {"at_least": 3, "at_most": 2}, {"count": -1}, {"at_most": "x"}])
def test_counts_that_mean_nothing_are_refused(emu: Emulator, wrong: dict[str, Any]):
    with pytest.raises(ConfigurationError):
        emu.assert_requested(operation="run", **wrong)


def test_too_many_shows_those_that_came_and_folds_polls(emu: Emulator, client: Client):
    first, second = client.run("one"), client.run("two")
    for _ in range(12):
        client.status(first)
        client.status(second)
    told = failed(emu, endpoint="llm", count=1)
    assert told.splitlines()[1:] == [
        f"  #1 POST /v2/llm/run: 200, job {first}",
        f"  #2 POST /v2/llm/run: 200, job {second}",
        f"  12 x GET /v2/llm/status/{first}: 200, #3 to #25",
        f"  12 x GET /v2/llm/status/{second}: 200, #4 to #26",
    ]


def test_too_few_shows_the_nearest(emu: Emulator, client: Client):
    job = client.run("bye")
    for _ in range(12):
        client.status(job)
    told = failed(emu, operation="run", body=HELLO).splitlines()
    assert told[0] == "expected at least 1 such request, got none; the nearest:"
    assert told[1] == f'  #1 POST /v2/llm/run: 200, job {job}: body.input.prompt: expected "hello", got "bye"'
    assert told[2].startswith(f"  12 x GET /v2/llm/status/{job}: 200, #2 to #13: operation: expected 'run'")
    emu.reset()
    assert failed(emu, operation="run") == "expected at least 1 such request, got none; no request came"


FITTING: list[dict[str, Any]] = [
    {"path": re.compile("/run$")},
    {"path": re.compile("LLM", re.IGNORECASE)},
    {"headers": {"x-tenant": re.compile("^ac")}},
    {"body": {"input": {"prompt": re.compile("^hel+o$")}}},
    {"body": {"input": {"list": [1, re.compile("b")]}}},
    {"body": {"input": {"list": [re.compile("^1$"), "b"]}}},
    {"path_regex": "/run$"},
    {"headers": {"x-tenant": {"regex": "^ac"}}},
    {"body_regex": {"input.prompt": "^hel", "input.list.1": "b"}},
    {"endpoint": "l*"},
    {"endpoint": "ll[m]"},
]
OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"path": re.compile("/runsync$")}, "path: expected a match of '/runsync$', got '/v2/llm/run'"),
    ({"path_regex": "/runsync$"}, "path: expected a match of '/runsync$', got '/v2/llm/run'"),
    ({"headers": {"x-tenant": re.compile("^b")}}, "header x-tenant: expected a match of '^b', got 'acme'"),
    ({"headers": {"x-other": re.compile("^b")}}, "header x-other: expected a match of '^b', got None"),
    ({"headers": {"x-tenant": {"regex": "^b"}}}, "header x-tenant: expected a match of '^b', got 'acme'"),
    ({"body": {"input": {"prompt": re.compile("^b")}}}, 'body.input.prompt: expected a match of "^b", got "hello"'),
    ({"body": {"input": {"prompt": [re.compile("^b")]}}}, 'body.input.prompt: expected ["^b"], got "hello"'),
    ({"body_regex": {"input.prompt": "^b"}}, 'body.input.prompt: expected a match of ^b, got "hello"'),
    ({"body_regex": {"input.no": "^b"}}, "body.input.no: missing"),
    ({"endpoint": "x*"}, "endpoint: expected 'x*', got 'llm'"),
    ({"headers": {"authorization": re.compile("^Bearer other-secret-key")}}, "header authorization: expected a match"),
]


def test_values_may_be_patterns(emu: Emulator, client: Client):
    client.ask("POST", "/llm/run", {"input": {"prompt": "hello", "list": [1, "b"]}}, **{"x-tenant": "acme"})
    for wish in FITTING:
        emu.assert_requested(**wish)
        assert len(emu.requests(**wish)) == 1
    for wish, said in OTHERS:
        assert said in failed(emu, **wish)
    assert "other-secret" not in failed(emu, headers={"authorization": re.compile("^Bearer other-secret-key")})


def test_a_pattern_that_takes_too_long_is_refused(emu: Emulator, client: Client):
    client.ask("POST", "/llm/run", {"input": {"prompt": "a" * 5_000 + "b"}})
    with pytest.raises(ConfigurationError, match="took too long"):
        emu.requests(body_regex={"input.prompt": "(a+)+$"})
    with pytest.raises(ConfigurationError, match=r"path_regex: .*missing"):
        emu.requests(path_regex="(")


def test_the_order_is_asserted(emu: Emulator, client: Client):
    job = client.run("one")
    client.status(job)
    client.ask("POST", f"/llm/cancel/{job}")
    emu.assert_order({"operation": "run"}, {"operation": "cancel", "job": job})
    emu.assert_order({"operation": "run", "body": {"input": {"prompt": re.compile("o")}}}, {"operation": "status"})
    with pytest.raises(AssertionError) as told:
        emu.assert_order({"operation": "run"}, {"operation": "cancel"}, {"operation": "status"})
    assert str(told.value).splitlines() == [
        "request 3 of 3 did not come after the others",
        f"  1: #1 POST /v2/llm/run: 200, job {job}",
        f"  2: #3 POST /v2/llm/cancel/{job}: 200",
        f"  it came before: #2 GET /v2/llm/status/{job}: 200",
    ]
    with pytest.raises(AssertionError, match=r"(?s)request 1 of 2 did not come; the nearest:\n  #1 POST .*operation"):
        emu.assert_order({"operation": "purge"}, {"operation": "status"})
    with pytest.raises(ConfigurationError, match="which requests"):
        emu.assert_order({"operation": "run"}, {})
    with pytest.raises(ConfigurationError, match="two"):
        emu.assert_order({"operation": "run"})


def test_a_pattern_of_endpoints_means_the_same_everywhere(emu: Emulator, client: Client):
    emu.stub(endpoint="l*", respond={"output": 1})
    job, other = client.run(), client.run(endpoint="other")
    emu.wait_for(status="COMPLETED", endpoint="l*")
    assert [one.id for one in emu.jobs("l*")] == [one.id for one in emu.jobs("ll?")] == [job]
    assert {one.id for one in emu.jobs("*")} == {job, other}
    assert [one.endpoint for one in emu.requests(endpoint="o*")] == ["other"]
    with pytest.raises(TimeoutError):
        emu.wait_for(status="COMPLETED", endpoint="o*", timeout=0)


def test_a_wrong_stub_shows_one_traceback(emu: Emulator):
    with pytest.raises(ConfigurationError) as told:
        emu.stub(respond={"outputt": 1})  # type: ignore[typeddict-unknown-key]
    assert told.value.__cause__ is None and told.value.__context__ is None
    assert str(told.value) == "respond: outputt: no such key; the nearest is output"


WRONG_NAMES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda emu: emu.assert_requested(operation="runn", count=0), "there is no operation runn; the nearest is run"),
    (lambda emu: emu.assert_requested(operation="RUN"), "there is no operation RUN; the nearest is run"),
    (lambda emu: emu.requests(operation="statussync"), "the nearest is status_sync"),
    (lambda emu: emu.assert_requested(endpoint="lm", count=0), "there is no endpoint lm; the nearest is llm"),
    (lambda emu: emu.requests(endpoint="lm"), "there is no endpoint lm; the nearest is llm"),
    (lambda emu: emu.assert_order({"endpoint": "llm"}, {"endpoint": "lm"}), "there is no endpoint lm"),
    (lambda emu: emu.jobs("lm"), "there is no endpoint lm"),
    (lambda emu: emu.wait_for(status="COMPLETED", endpoint="lm"), "there is no endpoint lm"),
]


@table(("wrong", "said"), WRONG_NAMES)
def test_a_name_that_nobody_knows_is_refused(emu: Emulator, wrong: Callable[[Any], Any], said: str):
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        wrong(emu)


def test_an_endpoint_that_was_asked_for_in_vain_is_known(emu: Emulator, client: Client):
    client.ask("GET", "/nope/health")
    emu.assert_requested(endpoint="nope", status=404, count=1)
