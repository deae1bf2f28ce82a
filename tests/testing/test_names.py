"""Names and values that nobody knows are refused, with the right one beside them: a wrong one would hold for ever."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from runpod_emulator import Emulator
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.settings import Span

from tests.plain import PLAIN
from tests.tables import table


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with Emulator("llm", clock="virtual") as emu:
        yield emu


Wrong = Callable[[Any], Any]
"""What a test of somebody's does wrong; untyped, as it would be told by mypy."""

CALLS: list[tuple[Wrong, str]] = [
    (lambda emu: emu.fault("latency", endpoint="llmm", delay="1s"), "there is no endpoint llmm; the nearest is llm"),
    (lambda emu: emu.fault("latenci", delay="1s"), "there is no fault latenci; the nearest is latency"),
    (lambda emu: emu.fault("latency", dealy="1s"), "dealy: no such key; the nearest is delay"),
    (lambda emu: emu.fault("latency", status=5, delay="1s"), "status is not for latency: it takes delay"),
    (lambda emu: emu.fault("lost_job", copies=0), "copies is not for lost_job: it takes no parameters of its own"),
    (lambda emu: emu.stub(endpont="llm", respond={}), "endpont: no such key; the nearest is endpoint"),
    (lambda emu: emu.stub(endpoint="bad id", respond={}), "'bad id' can't be an endpoint id"),
    (lambda emu: emu.handler("h", 5), "5 is no function"),
    (lambda emu: emu.handler("bad id", len), "'bad id' can't be an endpoint id"),
    (lambda emu: emu.webhooks.answer(99), "99 is no answer of a webhook; write 200 to 599"),
    (lambda emu: emu.webhooks.answer(200, times=-1), "times: -1"),
    (lambda emu: emu.clock.advance(-5), "-5 is no duration: write seconds, from 0 to"),
    (lambda emu: emu.clock.advance("5 weeks"), "'5 weeks' is no duration"),
    (lambda emu: emu.clock.advance("-5s"), "'-5s' is no duration"),
    (lambda emu: emu.clock.advance(float("nan")), "nan is no duration"),
    (lambda emu: emu.clock.advance(True), "True is no duration"),
    (lambda emu: emu.clock.run_until_idle(float("inf")), "inf is no duration"),
    (lambda emu: emu.clock.advance(None), "None is no duration: write seconds"),
    (lambda emu: emu.clock.advance("5"), "5 has no unit: write '5s' or '5ms', or seconds as a number"),
    (lambda emu: emu.clock.advance(timedelta(seconds=-1)), "is no duration: no time is shorter than none"),
    (lambda emu: emu.wait_for(idle=True, timeout="5"), "timeout: 5 has no unit"),
    (lambda emu: emu.webhooks.answer(delay="1.5"), "delay: 1.5 has no unit"),
    (lambda emu: emu.stub(respond={"delay": 5, "output": 1}), "respond.delay: 5 has no unit: write '5s' or '5ms'"),
    (lambda emu: emu.stub(respond=[{"stream": [{"chunk": 1, "after": "7"}]}]), "after: 7 has no unit"),
    (lambda emu: emu.fault("latency", delay=2), "delay: 2 has no unit"),
    (lambda emu: emu.fault("latency", delay="1-3s"), "delay: 1 has no unit"),
    (lambda emu: emu.fault("latency", delay="1s", ttl=60), "ttl: 60 has no unit"),
    (lambda emu: Emulator(idle_timeout=5_000), "idle_timeout: 5000 has no unit: write '5000s' or '5000ms'"),
    (lambda emu: Emulator("llm", "tts", "llm"), "endpoint llm is named twice"),
    (lambda emu: Emulator(""), "'' can't be an endpoint id"),
    (lambda emu: Emulator(3), "endpoint: 3 is no text"),
    (lambda emu: Emulator(mock="llm"), "mock: write a list, such as ['llm']"),
    (lambda emu: emu.namespace(3), "namespace: 3 is no text"),
    (lambda emu: emu.webhooks.url_for(None), "name: None is no text"),
    (lambda emu: emu.webhooks.received_at(None), "name: None is no text"),
    (lambda emu: emu.webhooks.answer(name=3), "name: 3 is no text"),
    (lambda emu: emu.handler(3, len), "endpoint: 3 is no text"),
    (lambda emu: emu.jobs(3), "endpoint: 3 is no text"),
    (lambda emu: emu.reset(seed="7"), "seed: '7' is no whole number"),
    (lambda emu: emu.assert_requested(method="GTE", count=0), "there is no method GTE; the nearest is GET"),
    (lambda emu: emu.assert_requested(path="llm/run", count=0), "'llm/run' is no path: it begins with /"),
    (lambda emu: emu.requests(path="/v2/llm/stream/a?b=1"), "is no path: it begins with / and ends before ?"),
    (lambda emu: emu.fault("latency", delay="1s", operations=[]), "operations: an empty list fits none; leave it out"),
    (lambda emu: emu.fault("lost_job", calls=[]), "calls: an empty list fits none"),
    (
        lambda emu: emu.fault("stuck_in_queue", operations=["run", "status"]),
        "operations: stuck_in_queue can't strike status; it can run, runsync",
    ),
    (
        lambda emu: emu.fault("not_found_after_run", operations="run"),
        "not_found_after_run can't strike run; it can status, status_sync, stream, cancel, retry",
    ),
    *(
        (
            lambda emu, name=name: emu.fault("status", status=503, headers={name: "1"}),
            f"{name} belongs to the connection: connection_reset and truncated_body break answers",
        )
        for name in ("Content-Length", "transfer-encoding", "Connection", "Upgrade", "Keep-Alive", "Trailer", "TE")
    ),
    (
        lambda emu: emu.stub(respond={"stream": [{"chunk": "x", "aftr": "1s"}]}),
        "respond.stream.0: aftr: no such key; the nearest is after; an item has chunk and no keys but after, chunk",
    ),
    (
        lambda emu: emu.stub(respond={"progress": [{"vlaue": 1, "after": "1s"}]}),
        "vlaue: no such key; the nearest is value",
    ),
    (lambda emu: emu.stub(respond={"stream": [{"polls": 2}]}), "chunk is missing"),
    (
        lambda emu: emu.stub(respond={"delay": "5 sec"}),
        "respond.delay: '5 sec': write a number with ms, s, m, h or d",
    ),
    (lambda emu: emu.fault("latency", delay="soon"), "delay: 'soon': write a number with ms, s, m, h or d, or a range"),
    (lambda emu: emu.fault("latency", delay="1s", ttl="1 week"), "ttl: '1 week': write a number with ms, s, m, h or d"),
    (lambda emu: emu.stub(output="x"), "output: no such key; it belongs in respond: {output: …}"),
    (lambda emu: emu.stub(respond={}, input={"a": 1}), "input: no such key; it belongs in match: {input: …}"),
    (lambda emu: emu.stub(respond={"chunks": ["a"]}), "respond: chunks: no such key; it is written as stream"),
    (lambda emu: emu.stub(respond={"status": 429}), "respond: status: no such key; an HTTP status is a fault"),
    (lambda emu: emu.stub(respond={}, match={"prompt": "x"}), "match: prompt: no such key; a part of the input is "),
    (lambda emu: emu.stub(respond={"stream": "abc"}), "respond.stream: write a list; this is a text"),
    (lambda emu: emu.stub(respond=[]), "respond: write at least one; this list is empty"),
    (lambda emu: emu.stub(respond={"error": {"code": 1}}), "respond.error: write a text; this is a mapping"),
    (lambda emu: emu.stub(respond={"never": "yes"}), "respond.never: write true or false; this is a text"),
    (lambda emu: emu.fault("rate_limit"), "there is no fault rate_limit; write the fault status with status 429"),
    (lambda emu: emu.fault("rate-limited"), "there is no fault rate-limited; it is a profile of faults: profile("),
    (lambda emu: emu.fault("timeout"), "there is no fault timeout; a job that exceeds its time is a stub's"),
    (
        lambda emu: emu.fault("status", status=429, operations=["/run"]),
        "there is no operation /run; the nearest is run",
    ),
    (
        lambda emu: emu.assert_order("run", "cancel"),
        "order.0: write a mapping, such as {operation: run}; this",
    ),
    (lambda emu: emu.wait_for(status="DONE"), "status: Input should be 'IN_QUEUE', "),
    (lambda emu: emu.webhooks.answer("5oo"), "status: 5oo is no answer of a webhook"),
    (
        lambda emu: emu.stub(match={"input_regex": {"a": re.compile(b"x")}}, respond={}),
        "input_regex.a: write a",
    ),
    (lambda emu: Emulator("llm", set={"run_rate": 2}), "set: write a list, such as ['run_rate=2']"),
    (lambda emu: Emulator(["images", "texts"]), "endpoint: ['images', 'texts'] is no text: write 'images', 'texts'"),
    (lambda emu: Emulator(endpoints=["a"]), "there is no option endpoints; their ids come first: Emulator('llm', …)"),
]


@table(("wrong", "said"), CALLS)
def test_a_wrong_call_is_refused(emu: Emulator, wrong: Wrong, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        wrong(emu)


@table(
    ("options", "said"),
    [
        ({"clok": "virtual"}, "there is no option clok; the nearest is clock"),
        ({"clock": "slow"}, "clock: Input should be"),
        ({"workers_max": -1}, "workers_max: Input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_option_is_refused_in_the_words_of_python(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(said)}"):
        Emulator("llm", **options).start()


def test_what_is_clear_is_accepted(emu: Emulator) -> None:
    emu.reset()
    written: Any = emu
    written.webhooks.answer("500")
    stub = emu.stub(
        endpoint="llm",
        match={"input_regex": {"prompt": re.compile("^HEL", re.IGNORECASE)}, "headers": {"x-a": re.compile("b+")}},
        respond={"output": 1},
    )
    for prompt, tenant in (("hello", "abba"), ("hello", "a"), ("help", "b"), ("shell", "b")):
        client = {**emu.headers, "x-a": tenant}
        httpx.post(emu.base_url + "/llm/run", json={"input": {"prompt": prompt}}, headers=client, **PLAIN)
    emu.clock.run_until_idle()
    assert stub.matched == 2


def test_a_duration_may_be_a_text(emu: Emulator) -> None:
    before = emu.clock.now()
    for by in ("31m", "1.5s", "250ms", 2, 0.25, timedelta(0), "0", 0):
        emu.clock.advance(by)
    assert emu.clock.now() - before == 31 * 60 + 1.5 + 0.25 + 2 + 0.25


@table("written", ["90s", timedelta(seconds=90), "1.5m"])
def test_a_duration_may_be_a_timedelta_wherever_one_is_written(written: Any) -> None:
    with Emulator("llm", clock="virtual", execution_timeout=written) as emu:
        emu.stub(respond={"queue_delay": written, "progress": [{"value": 1, "after": written}], "output": 1})
        emu.fault("latency", delay=written, ttl=written)
        (fault,) = emu.link.ask(lambda world: list(world.faults))
        assert (fault.delay, fault.lasts) == (Span(90_000, 90_000), 90_000)
        assert emu.link.world.endpoints.queues["llm"].settings.execution_timeout == 90_000
        before = emu.clock.now()
        emu.clock.advance(written)
        assert emu.clock.now() - before == 90


@table("item", [{"chunk": 1, "index": 0}, {"chunks": [1]}, {"text": "a", "value": 1}, {"data": 1, "polling": 2}])
def test_data_of_ones_own_is_a_chunk_as_a_whole(emu: Emulator, item: dict[str, Any]) -> None:
    emu.reset()
    emu.stub(endpoint="llm", respond={"stream": [item], "progress": [item], "output": 1})
    job = httpx.post(emu.base_url + "/llm/run", json={"input": {}}, headers=emu.headers, **PLAIN).json()["id"]
    emu.clock.run_until_idle()
    shown = httpx.get(f"{emu.base_url}/llm/stream/{job}", headers=emu.headers, **PLAIN).json()
    assert [one["output"] for one in shown["stream"]] == [item]


def test_a_method_is_meant_in_any_case(emu: Emulator) -> None:
    emu.assert_requested(method="post", path="/v2/llm/purge-queue", count=0)


@table("clock", ["real", "auto"])
def test_only_a_virtual_clock_is_moved(clock: Any) -> None:
    with Emulator("llm", clock=clock) as emu:
        for move in (lambda: emu.clock.advance(1), emu.clock.run_until_idle):
            with pytest.raises(ConfigurationError, match=r'make it with Emulator\(clock="virtual"\)'):
                move()
