"""Stubs that are slow on purpose: a pattern, a template. The server goes on answering everybody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.servers import Command, Starter
from tests.security.stalls import LONGEST, Prober

T, L = "x" * 100_000, list(range(1_000))


def stub(server: Command, **written: Any) -> None:
    answer = server.http.post(f"{server.root_url}/__emulator/stubs", json=written)
    assert answer.status_code == 201, answer.text


def ran(server: Command, given: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = server.http.post("/ep/runsync", json={"input": given}).json()
    return told


@pytest.mark.compat
@pytest.mark.parametrize(
    ("pattern", "text"),
    [("(a+)+$", "a" * 40 + "!"), ("(a|a)*$", "a" * 40 + "!"), (r"a.*?b.*?c.*?d", ("a" * 1000 + "b") * 5_000)],
)
def test_a_slow_pattern_holds_up_nobody(start: Starter, pattern: str, text: str):
    server = start("serve", "--mock", "ep", "--port", "0").ready()
    for _ in range(5):
        stub(server, match={"input_regex": {"a": pattern}}, respond={"output": 1})
    with Prober(server.root_url, "ep") as prober:
        answer = ran(server, {"a": text})
    assert answer["status"] == "FAILED" and "no stub matches" in answer["error"]
    assert pattern in answer["error"]
    assert prober.longest < LONGEST
    assert server.stop() == 0
