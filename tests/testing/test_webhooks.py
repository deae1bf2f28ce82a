"""The receiver of webhooks, as a test uses it: names, what it answers, and what it got."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN
from tests.tables import table
from tests.testing.conftest import Client


@pytest.fixture(autouse=True)
def answered(emu: Emulator):
    emu.stub(endpoint="llm", respond={"output": "{{ input.prompt }}"})


def problems(emu: Emulator) -> list[str]:
    """What went wrong with each call, as the sender saw it."""
    return emu.link.ask(lambda world: [one.problem for one in world.attempts])


def test_each_name_has_calls_and_answers_of_its_own(emu: Emulator, client: Client):
    emu.webhooks.answer(500, name="b")
    for name in "ab":
        client.run(f"for {name}", webhook=emu.webhooks.url_for(name))
    emu.clock.run_until_idle()
    emu.wait_for(webhooks=2)
    assert [(call.name, call.status, call.json["output"]) for call in emu.webhooks.received] == [
        ("a", 200, "for a"), ("b", 500, "for b"), ("b", 200, "for b"),
    ]  # fmt: skip
    assert [call.json["output"] for call in emu.webhooks.received_at("b")] == ["for b"] * 2
    assert emu.webhooks.url == emu.webhooks.url_for("test")


def test_an_answer_may_come_late(emu: Emulator, client: Client):
    emu.webhooks.answer(delay="5s")
    client.run(webhook=emu.webhooks.url)
    emu.clock.advance(4)
    assert (len(emu.webhooks.received), problems(emu)) == (1, [])
    emu.clock.advance(1)
    assert problems(emu) == [""]
    emu.wait_for(webhooks=1)


def test_one_that_comes_too_late_is_none(emu: Emulator, client: Client):
    emu.webhooks.answer(delay="1h")
    client.run(webhook=emu.webhooks.url)
    emu.clock.run_until_idle()
    assert [bool(problem) for problem in problems(emu)] == [True, False]
    assert "no answer within" in problems(emu)[0]


def test_a_connection_may_be_dropped(emu: Emulator, client: Client):
    emu.webhooks.answer(drop=True, times=2)
    client.run(webhook=emu.webhooks.url)
    emu.clock.run_until_idle()
    assert [call.status for call in emu.webhooks.received] == [0, 0, 200]
    emu.webhooks.answer(drop=True)
    with pytest.raises(httpx.TransportError):
        httpx.post(emu.webhooks.url, json={}, **PLAIN)


def test_who_posts_itself_gets_status_body_and_delay(emu: Emulator):
    with Emulator("m") as real:
        real.webhooks.answer(202, body={"seen": True}, delay="20ms")
        answer = httpx.post(real.webhooks.url, json={}, **PLAIN)
    assert (answer.status_code, answer.json(), answer.headers["content-type"]) == (
        202, {"seen": True}, "application/json",
    )  # fmt: skip
    emu.webhooks.answer(400, body="no")
    answer = httpx.post(emu.webhooks.url, json={}, **PLAIN)
    assert (answer.status_code, answer.text) == (400, "no")


def test_clear_forgets_calls_and_answers(emu: Emulator, client: Client):
    emu.webhooks.answer(500, times=3)
    client.run(webhook=emu.webhooks.url)
    emu.clock.advance(0)
    emu.webhooks.clear()
    assert emu.webhooks.received == []
    emu.clock.run_until_idle()
    assert [call.status for call in emu.webhooks.received] == [200]


def test_what_came_is_asserted(emu: Emulator, client: Client):
    job = client.run("one", webhook=emu.webhooks.url_for("a"))
    emu.clock.run_until_idle()
    hooks = emu.webhooks
    hooks.assert_received()
    hooks.assert_received(name="a", body={"id": job, "status": "COMPLETED"}, count=1)
    hooks.assert_received(name="b", count=0)
    hooks.assert_received(body={"output": re.compile("^o")}, headers={"Content-Type": "application/json"}, at_most=1)
    hooks.assert_received(body_regex={"output": "^o"}, status=200)
    with pytest.raises(AssertionError) as told:
        hooks.assert_received(name="b", body={"output": "two"})
    assert str(told.value).splitlines() == [
        "expected at least 1 such call, got none; the nearest:",
        "  a (200): name: expected 'b', got 'a'; body.output: expected \"two\", got \"one\"",
    ]
    with pytest.raises(AssertionError) as told:
        hooks.assert_received(name="a", count=0)
    assert str(told.value).splitlines()[0] == "expected no such call, got 1:"
    assert f'"id":"{job}"' in str(told.value)


def test_a_reset_ends_what_is_on_the_wire(emu: Emulator, client: Client):
    emu.webhooks.answer(delay="5s")
    client.run(webhook=emu.webhooks.url)
    emu.clock.advance(1)
    emu.reset()
    emu.clock.advance(60)
    assert (problems(emu), emu.webhooks.received) == ([], [])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"status": 99}, "status"),
    ({"times": -1}, "times"),
    ({"delay": "soon"}, "soon"),
    ({"delay": -1}, "-1"),
    ({"drop": True, "body": "x"}, "drop"),
    ({"name": "a/b"}, "a/b"),
]


@table(("wrong", "said"), WRONG)
def test_a_wrong_wish_is_refused(emu: Emulator, wrong: dict[str, Any], said: str):
    with pytest.raises(ConfigurationError, match=said):
        emu.webhooks.answer(**wrong)


def test_a_wrong_name_or_filter_is_refused(emu: Emulator):
    with pytest.raises(ConfigurationError, match="a b"):
        emu.webhooks.url_for("a b")
    with pytest.raises(ConfigurationError, match="nam"):
        emu.webhooks.assert_received(nam="a")  # type: ignore[call-arg]


def test_the_same_over_http(emu: Emulator, client: Client):
    root = emu.base_url.removesuffix("/v2") + "/__emulator/hooks"
    wish = {"status": 503, "times": 1, "delay": "1s", "name": "a"}
    assert httpx.post(f"{root}/answers", json=wish, **PLAIN).status_code == 204
    assert httpx.post(f"{root}/answers", json={"drop": True, "name": "b"}, **PLAIN).status_code == 204
    for name in "ab":
        client.run(webhook=emu.webhooks.url_for(name))
    emu.clock.run_until_idle()
    assert [(one["name"], one["status"]) for one in httpx.get(root, **PLAIN).json()] == [
        ("a", 503), ("b", 0), ("a", 200), ("b", 200),
    ]  # fmt: skip
    match = {"match": {"name": "a", "body": {"output": "hello"}}, "count": 2}
    assert httpx.post(f"{root}/verify", json=match, **PLAIN).json() == {"ok": True, "count": 2, "detail": ""}
    assert httpx.delete(root, **PLAIN).status_code == 204
    assert httpx.get(root, **PLAIN).json() == []
