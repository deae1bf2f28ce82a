"""Stubs that are slow on purpose: a pattern, a template. The server goes on answering everybody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.servers import Command, Starter
from tests.mocking.test_patterns import KINDS
from tests.security.stalls import LONGEST, Prober
from tests.timing import expect_within, timed

TREE = "{% set ns=namespace(t=(1,)) %}{% for i in range(34) %}{% set ns.t=(ns.t,ns.t) %}{% endfor %}{% set t=ns.t %}"
"""A tuple that is small in memory, and takes hours to be hashed."""


def stub(server: Command, **written: Any) -> None:
    answer = server.http.post(f"{server.root_url}/__emulator/stubs", json=written)
    assert answer.status_code == 201, answer.text


def ran(server: Command, given: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = server.http.post("/ep/runsync", json={"input": given}).json()
    return told


@timed
@pytest.mark.compat
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 40 + "!"),
        ("(a|a)*$", "a" * 40 + "!"),
        (r"a.*?b.*?c.*?d", ("a" * 1000 + "b") * 5_000),
        (rf"[^{KINDS[:60]}]+\d", "a" * 9_000_000),
    ],
)
def test_a_slow_pattern_holds_up_nobody(start: Starter, pattern: str, text: str):
    server = start("serve", "--mock", "ep", "--port", "0").ready()
    for _ in range(5):
        stub(server, match={"input_regex": {"a": pattern}}, respond={"output": 1})
    with Prober(server.root_url, "ep") as prober:
        answer = ran(server, {"a": text})
    assert answer["status"] == "FAILED" and "no stub matches" in answer["error"]
    assert pattern in answer["error"]
    expect_within(prober.longest, LONGEST)
    assert server.stop() == 0


@timed
@pytest.mark.compat
@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ (input.t*100)|wordwrap(1) }}", "more than 250000 steps"),
        ("{{ input.t.translate({120: input.t}) }}", "longer than 20 MB"),
        ("{{ ([input.l]*20000)|sum(start=[]) }}", "more than 250000 steps"),
        ("{{ '{:>{}}'.format(1, 1000000000) }}", "a format as wide as that"),
        ("a{{ [input.l]*20000 }}", "longer than 20 MB"),
        (TREE + "{{ {1: 1}.get(t) }}", "more than 250000 steps"),
        (TREE + "{{ {1: 1}[t] }}", "more than 250000 steps"),
        (TREE + "{{ {1: 1}.keys() - [t] }}", "more than 250000 steps"),
        (TREE + "{{ t is filter }}", "more than 250000 steps"),
    ],
)
def test_a_costly_template_holds_up_nobody(start: Starter, template: str, reason: str):
    server = start("serve", "--mock", "ep", "--port", "0").ready()
    stub(server, respond={"output": template, "stream": [template] * 20})
    with Prober(server.root_url, "ep") as prober:
        answer = ran(server, {"t": "x" * 100_000, "l": list(range(1_000))})
    assert answer["status"] == "FAILED" and reason in answer["error"]
    expect_within(prober.longest, LONGEST)
    assert server.stop() == 0


@timed
@pytest.mark.compat
def test_many_renderings_in_a_row_give_others_their_turn(start: Starter):
    server = start("serve", "--mock", "ep", "--port", "0").ready()
    loop = "{% for i in range(20000) %}{{ i }}{% endfor %}"
    stub(server, respond={"stream": [loop] * 50, "output": 1})
    with Prober(server.root_url, "ep") as prober:
        assert ran(server, {})["status"] == "COMPLETED"
    expect_within(prober.longest, LONGEST)
