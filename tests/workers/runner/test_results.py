"""The mapping from what a handler does to what is reported, row by row and against the official worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from emulator.workers.runner.frames import Result
from emulator.workers.runner.results import result
from emulator.workers.runner.running import run

Report = tuple[list[bytes], Result]


def perform(handler: Callable[[Any], Any], **config: Any) -> Report:
    """The chunks and the report of one job."""
    chunks: list[bytes] = []
    config["handler"] = handler
    outcome = asyncio.run(run(config, {"id": "job", "input": None}, chunks.append))
    return chunks, result(outcome, bool(config.get("refresh_worker")))


def plain(value: Any) -> Callable[[Any], Any]:
    return lambda job: value


def later(value: Any) -> Callable[[Any], Any]:
    async def handler(job: Any) -> Any:
        await asyncio.sleep(0)
        return value

    return handler


def yields(*values: Any) -> Callable[[Any], Iterator[Any]]:
    def handler(job: Any) -> Iterator[Any]:
        yield from values

    return handler


def yields_async(*values: Any) -> Callable[[Any], AsyncIterator[Any]]:
    async def handler(job: Any) -> AsyncIterator[Any]:
        for value in values:
            yield value

    return handler


@pytest.mark.parametrize("kind", [plain, later])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", Result(b'"x"', None, False)),
        (1, Result(b"1", None, False)),
        (1.5, Result(b"1.5", None, False)),
        (True, Result(b"true", None, False)),
        (None, Result(b"null", None, False)),
        ([], Result(b"[]", None, False)),
        ([1, {"error": "kept"}], Result(b'[1, {"error": "kept"}]', None, False)),
        ({"a": {"b": 2}}, Result(b'{"a": {"b": 2}}', None, False)),
        ({}, Result(None, None, False)),
        ({"error": "x"}, Result(None, "x", False)),
        ({"error": "e", "extra": 1}, Result(b'{"extra": 1}', "e", False)),
        ({"error": ""}, Result(None, None, False)),
        ({"error": None, "a": 1}, Result(b'{"a": 1}', None, False)),
        ({"error": False, "refresh_worker": 0}, Result(None, None, False)),
        ({"error": {"code": 7, "text": "ä"}}, Result(None, '{"code": 7, "text": "ä"}', False)),
        ({"error": ["a", 1]}, Result(None, '["a", 1]', False)),
        ({"error": 5}, Result(None, "5", False)),
        ({"error": {"when": b"no JSON"}}, Result(None, "{'when': b'no JSON'}", False)),
        ({"refresh_worker": True, "job_results": 3}, Result(b'{"job_results": 3}', None, True)),
        ({"refresh_worker": True}, Result(None, None, True)),
        ({"refresh_worker": True, "error": "e"}, Result(None, "e", True)),
        ({"refresh_worker": False, "a": 1}, Result(b'{"a": 1}', None, False)),
        ("äöü 漢 \u2028", Result('"äöü 漢 \u2028"'.encode(), None, False)),
        ("half \ud800 ä", Result(b'"half \\ud800 \\u00e4"', None, False)),
        ({1: 2, None: 3}, Result(b'{"1": 2, "null": 3}', None, False)),
        ((1, 2), Result(b"[1, 2]", None, False)),
    ],
)
def test_a_return_value(kind: Any, value: Any, expected: Result) -> None:
    if isinstance(value, dict):
        value = dict(value)  # the mapping takes keys out
    assert perform(kind(value)) == ([], expected)


@pytest.mark.parametrize("value", ["x", {"error": "e"}, {}])
def test_the_refresh_setting_holds_for_every_job(value: Any) -> None:
    assert perform(plain(value), refresh_worker=True)[1].stop_worker
    assert not perform(plain(value), refresh_worker=False)[1].stop_worker


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"bytes", "TypeError: Object of type bytes is not JSON serializable"),
        (object, "TypeError: Object of type type is not JSON serializable"),
        ({"a": {1, 2}}, "TypeError: Object of type set is not JSON serializable"),
        ({(1, 2): 3}, "TypeError: keys must be str, int, float, bool or None, not tuple"),
        (float("nan"), "ValueError: Out of range float values are not JSON compliant"),
        ([float("inf")], "ValueError: Out of range float values are not JSON compliant"),
        (circle(), "ValueError: Circular reference detected"),
        (deep(), "RecursionError: "),
        ((x for x in "ab"), "TypeError: Object of type generator is not JSON serializable. The handler returned a gen"),
    ],
)
def test_what_is_not_json_fails_the_job_and_says_so(value: Any, reason: str) -> None:
    chunks, report = perform(plain(value))
    assert report.error is not None
    assert report.error.startswith(f"The handler's result is not JSON: {reason}")
    assert (chunks, report.output, report.stop_worker) == ([], None, False)


def test_a_plain_function_that_returns_an_async_generator_is_told_so() -> None:
    handler = yields_async(1)
    report = perform(lambda job: handler(job))[1]
    assert report.error is not None
    assert report.error.endswith("to stream, use yield in the handler itself")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Abort(BaseException):
    pass


def fails(error: BaseException) -> Callable[[Any], Any]:
    def handler(job: Any) -> Any:
        raise error

    return handler


def test_a_raised_error_has_six_keys_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_POD_HOSTNAME", "host-1")
    monkeypatch.setenv("RUNPOD_POD_ID", "worker-1")
    report = perform(fails(ValueError("bad ä")))[1]
    assert report.output is None
    assert report.error is not None
    assert report.error.isascii()
    told = json.loads(report.error)
    assert list(told) == [
        "error_type", "error_message", "error_traceback", "hostname", "worker_id", "runpod_version",
    ]  # fmt: skip
    assert told["error_type"] == "<class 'ValueError'>"
    assert told["error_message"] == "bad ä"
    assert (told["hostname"], told["worker_id"]) == ("host-1", "worker-1")
    lines = told["error_traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{__file__}"')
    assert lines[-1] == "ValueError: bad ä"


def test_the_names_of_a_worker_that_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_POD_HOSTNAME", raising=False)
    monkeypatch.delenv("RUNPOD_POD_ID", raising=False)
    told = json.loads(perform(fails(ValueError()))[1].error or "")
    assert (told["hostname"], told["worker_id"]) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("error", "message"), [(Mute(), "<unprintable Mute object>"), (Abort("stop"), "stop"), (RecursionError(), "")]
)
def test_errors_out_of_the_ordinary_are_reported_too(error: BaseException, message: str) -> None:
    told = json.loads(perform(fails(error))[1].error or "")
    assert told["error_message"] == message


def test_a_handler_that_takes_no_argument_gets_a_traceback_without_the_runner() -> None:
    handler: Any = lambda: None  # noqa: E731
    text = json.loads(perform(handler)[1].error or "")["error_traceback"]
    assert "takes 0 positional arguments but 1 was given" in text
    assert "running.py" not in text


def test_the_cause_of_an_error_is_shown() -> None:
    def handler(job: Any) -> None:
        try:
            fails(KeyError("inner"))(job)
        except KeyError as inner:
            raise ValueError("outer") from inner

    text = json.loads(perform(handler)[1].error or "")["error_traceback"]
    assert "KeyError: 'inner'" in text
    assert "direct cause" in text
    assert "running.py" not in text


def test_comparing_the_result_may_fail_as_it_does_in_the_official_worker() -> None:
    class Vague:
        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

        __hash__ = object.__hash__

    assert json.loads(perform(plain(Vague()))[1].error or "")["error_message"] == "ambiguous"


@pytest.mark.parametrize("kind", [yields, yields_async])
class TestGenerators:
    def test_each_yield_is_a_chunk_and_the_output_an_empty_list(self, kind: Any) -> None:
        assert perform(kind("a", 1, None, {"b": 2})) == (
            [b'"a"', b"1", b"null", b'{"b": 2}'],
            Result(b"[]", None, False),
        )

    def test_aggregated(self, kind: Any) -> None:
        assert perform(kind("a", {"b": 2}), return_aggregate_stream=True) == (
            [b'"a"', b'{"b": 2}'],
            Result(b'["a", {"b": 2}]', None, False),
        )

    def test_nothing_yielded(self, kind: Any) -> None:
        assert perform(kind()) == ([], Result(b"[]", None, False))

    def test_a_yielded_error_ends_the_stream_and_loses_the_aggregate(self, kind: Any) -> None:
        report = perform(kind("a", {"error": "bad", "more": 1}, "b"), return_aggregate_stream=True)
        assert report == ([b'"a"'], Result(None, "bad", False))

    def test_a_yielded_error_that_is_a_dict_becomes_its_repr(self, kind: Any) -> None:
        assert perform(kind({"error": {"code": 1}}))[1] == Result(None, "{'code': 1}", False)

    def test_a_falsy_error_is_an_ordinary_chunk(self, kind: Any) -> None:
        assert perform(kind({"error": ""}), return_aggregate_stream=True) == (
            [b'{"error": ""}'],
            Result(b'[{"error": ""}]', None, False),
        )

    def test_refresh_is_a_setting_and_no_key_of_a_chunk(self, kind: Any) -> None:
        assert perform(kind({"refresh_worker": True}))[1] == Result(b"[]", None, False)
        assert perform(kind("a"), refresh_worker=True)[1] == Result(b"[]", None, True)

    def test_a_chunk_that_is_not_json_fails_the_job(self, kind: Any) -> None:
        chunks, report = perform(kind("a", {1, 2}, "b"))
        reason = "The handler's chunk is not JSON: TypeError: Object of type set is not JSON serializable"
        assert (chunks, report) == ([b'"a"'], Result(None, reason, False))


def breaks(job: Any) -> Iterator[str]:
    yield "a"
    raise RuntimeError("half way")


async def breaks_async(job: Any) -> AsyncIterator[str]:
    yield "a"
    raise RuntimeError("half way")


@pytest.mark.parametrize("handler", [breaks, breaks_async])
def test_a_generator_that_raises(handler: Any) -> None:
    chunks, report = perform(handler, return_aggregate_stream=True)
    assert chunks == [b'"a"']
    assert report.output is None
    assert report.error is not None
    head, trace = report.error.split("\ntraceback: ", 1)
    assert head == "handler: half way "
    assert trace.startswith(f'Traceback (most recent call last):\n  File "{__file__}"')
    assert trace.endswith("RuntimeError: half way\n")


def test_a_mutated_chunk_is_aggregated_as_it_ended() -> None:
    def handler(job: Any) -> Iterator[dict[str, int]]:
        value = {"n": 0}
        for n in range(2):
            value["n"] = n
            yield value

    assert perform(handler, return_aggregate_stream=True) == (
        [b'{"n": 0}', b'{"n": 1}'],
        Result(b'[{"n": 1}, {"n": 1}]', None, False),
    )


class CallsGenerator:
    def __call__(self, job: Any) -> Iterator[int]:
        yield 1


def test_only_functions_are_taken_for_generators() -> None:
    assert "not JSON" in (perform(CallsGenerator())[1].error or "")


COMPARED: list[Callable[[], tuple[Any, dict[str, Any]]]] = [
    *(
        lambda value=value: (plain(value), {})
        for value in ["x", 0, None, True, [], [1, {"error": "e"}], "ä\u2028", (1, (2,)), 1.5, -0.0, 10**30, {1: {2: 3}}]
    ),
    lambda: (plain({}), {}),
    lambda: (plain({"error": ""}), {}),
    lambda: (plain({"error": "e"}), {}),
    lambda: (plain({"error": "e", "extra": {"a": 1}}), {}),
    lambda: (plain({"refresh_worker": True, "a": 1}), {}),
    lambda: (plain({"refresh_worker": True}), {}),
    lambda: (later({"a": [1, 2]}), {}),
    lambda: (later({"error": "e"}), {"refresh_worker": True}),
    lambda: (plain("x"), {"refresh_worker": True}),
    lambda: (yields(1, "b", {"c": 3}), {}),
    lambda: (yields(1, "b", {"c": 3}), {"return_aggregate_stream": True}),
    lambda: (yields(1, {"error": "e"}, 2), {"return_aggregate_stream": True}),
    lambda: (yields({"error": {"a": 1}}), {}),
    lambda: (yields({"error": 0}, {"refresh_worker": True}), {"return_aggregate_stream": True}),
    lambda: (yields(), {"refresh_worker": True}),
    lambda: (yields_async(1, "b", {"c": 3}), {"return_aggregate_stream": True}),
    lambda: (yields_async(1, {"error": "e"}, 2), {}),
]


@pytest.fixture(scope="module")
def official() -> Any:
    return pytest.importorskip("runpod.serverless.modules.rp_job")


@pytest.mark.parametrize("case", COMPARED)
def test_the_official_worker_reports_the_same_bytes(
    case: Callable[[], tuple[Any, dict[str, Any]]], official: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks: list[str] = []
    posted: list[dict[str, Any]] = []

    async def stream_result(session: Any, data: dict[str, Any], job: Any) -> None:
        chunks.append(json.dumps(data, ensure_ascii=False))

    async def send_result(session: Any, data: dict[str, Any], job: Any, is_stream: bool = False) -> None:
        posted.append(data)

    monkeypatch.setattr(official, "stream_result", stream_result)
    monkeypatch.setattr(official, "send_result", send_result)
    handler, config = case()
    asyncio.run(official.handle_job(None, {"handler": handler, **config}, {"id": "job", "input": None}))

    handler, config = case()
    ours, report = perform(handler, **config)
    assert [f'{{"output": {chunk.decode()}}}' for chunk in ours] == chunks
    text = [f'"output": {report.output.decode()}'] if report.output is not None else []
    text += [f'"error": {json.dumps(report.error)}'] if report.error is not None else []
    text += ['"stopPod": true'] if report.stop_worker else []
    assert [f"{{{', '.join(text)}}}"] == [json.dumps(data, ensure_ascii=False) for data in posted]
