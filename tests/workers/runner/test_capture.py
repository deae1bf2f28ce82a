"""`RUNPOD_LOG_CAPTURE=all`: the report of a failure tells what was printed, and by whom is known by the context."""

from __future__ import annotations

import json
from typing import Any

import pytest

RULES = ("--rules", "2.0")
PLAIN = """
    import runpod, sys, threading

    def handler(job):
        print("out", job["input"])
        sys.stderr.write("err\\n")
        thread = threading.Thread(target=print, args=("a thread",))
        thread.start()
        thread.join()
        raise ValueError("x")

    runpod.serverless.start({"handler": handler})
"""
STREAM = """
    import runpod

    def handler(job):
        print("before")
        yield {"a": 1}
        print("between")
        raise ValueError("x")

    runpod.serverless.start({"handler": handler})
"""


def line(message: str) -> str:
    return json.dumps({"requestId": "job-1", "message": message, "level": "DEBUG"}) + "\n"


def test_a_handlers_error_tells_what_it_printed(start: Any) -> None:
    child = start(PLAIN, options=RULES, RUNPOD_LOG_CAPTURE="all")
    child.ready()
    for number in (1, 2):
        told = json.loads(child.run(number).error)
        assert list(told)[-1] == "logs"
        assert told["logs"] == f"out {number}\nerr\n"


@pytest.mark.parametrize("environment", [{}, {"RUNPOD_LOG_CAPTURE": "off"}, {"RUNPOD_LOG_CAPTURE": "some"}], ids=str)
def test_by_default_it_does_not(start: Any, environment: dict[str, str]) -> None:
    child = start(PLAIN, options=RULES, **environment)
    child.ready()
    assert "logs" not in json.loads(child.run(1).error)


def test_nor_by_the_rules_of_1_12(start: Any) -> None:
    child = start(PLAIN, options=("--rules", "1.12"), RUNPOD_LOG_CAPTURE="all")
    child.ready()
    assert "logs" not in json.loads(child.run(1).error)


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
@pytest.mark.parametrize(("kind", "called"), [("def", "Generator"), ("async def", "Async Generator")])
def test_a_generators_error_holds_the_log_lines_of_the_sdk_too(start: Any, level: str, kind: str, called: str) -> None:
    source = STREAM.replace("def handler", f"{kind} handler")
    child = start(source, options=RULES, RUNPOD_LOG_CAPTURE="all", RUNPOD_LOG_LEVEL=level)
    child.ready()
    child.job()
    _, report = child.chunks()
    logs = report.error.split("\nlogs:\n")[1]
    sdk = [line(f"{called} output: {{'a': 1}}"), line("Stream output: {'output': {'a': 1}}")]
    sdk += [line("Intermediate results sent.")]
    assert logs == "before\n" + ("".join(sdk) if level == "DEBUG" else "") + "between\n"


def test_only_the_end_is_kept(start: Any) -> None:
    source = PLAIN.replace('print("out", job["input"])', 'print("x" * 20_000)')
    child = start(source, options=RULES, RUNPOD_LOG_CAPTURE="all")
    child.ready()
    logs = json.loads(child.run().error)["logs"]
    assert len(logs) == 16 * 1024
    assert logs.endswith("xxx\nerr\n")
