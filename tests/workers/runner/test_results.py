"""The mapping from what a handler does to what is reported, row by row and against the official worker."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Result
from runpod_emulator.workers.runner.results import NOT_FINITE, Lost, Unsendable, result
from runpod_emulator.workers.runner.running import run

from tests.tables import table

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


@table("kind", [plain, later])
@table(
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
        ({"error": True}, Result(None, "true", False)),
        ({"error": 1.0}, Result(None, "1.0", False)),
        ({"refresh_worker": True, "job_results": 3}, Result(b'{"job_results": 3}', None, True)),
        ({"refresh_worker": True}, Result(None, None, True)),
        ({"refresh_worker": True, "error": "e"}, Result(None, "e", True)),
        ({"refresh_worker": False, "a": 1}, Result(b'{"a": 1}', None, False)),
        ("äöü 漢 \u2028", Result('"äöü 漢 \u2028"'.encode(), None, False)),
        (float("nan"), Result(None, NOT_FINITE, False)),
        ({"a": [float("inf")], "refresh_worker": True}, Result(None, NOT_FINITE, False)),
        ({"error": float("-inf")}, Result(None, NOT_FINITE, False)),
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


@functools.cache
def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason", "goes_on"),
    [
        (b"bytes", "TypeError: Object of type bytes is not JSON serializable", True),
        (object, "TypeError: Object of type type is not JSON serializable", True),
        ({"a": {1, 2}}, "TypeError: Object of type set is not JSON serializable", True),
        ({(1, 2): 3}, "TypeError: keys must be str, int, float, bool or None, not tuple", True),
        ((x for x in "ab"), "TypeError: Object of type generator is not JSON serializable. The handler returned", True),
        (yields_async(1)(None), "TypeError: Object of type async_generator is not JSON serializable. The", True),
        (circle(), "ValueError: Circular reference detected", False),
        ("half \ud800 ä", "UnicodeEncodeError: 'utf-8' codec can't encode character", False),
    ],
)
def test_what_cannot_be_sent_is_lost_and_says_why(value: Any, reason: str, goes_on: bool) -> None:
    with pytest.raises(Unsendable) as caught:
        perform(plain(value))
    assert str(caught.value).startswith(f"The handler's result is not JSON: {reason}")
    assert caught.value.goes_on is goes_on


@pytest.mark.parametrize("error", [b"no JSON", "half \ud800"])
def test_an_error_that_cannot_be_sent_is_lost(error: object) -> None:
    with pytest.raises(Unsendable, match="The handler's error is not JSON"):
        perform(plain({"error": error}))


def test_a_value_of_which_no_text_can_be_made_fails_the_job() -> None:
    """The official worker logs the value before it takes it apart."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert json.loads(perform(plain(Mute()))[1].error or "")["error_message"] == "no text"
    chunks, report = perform(yields("a", Mute()))
    assert chunks == [b'"a"']
    assert (report.error or "").startswith("handler: no text \ntraceback: ")


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


def test_a_recursion_without_end_is_reported_as_any_error() -> None:
    assert json.loads(perform(fails(RecursionError()))[1].error or "")["error_message"] == ""


@pytest.mark.parametrize("error", [Mute(), Abort("stop"), GeneratorExit()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("generates", [False, True])
def test_what_the_official_worker_never_reports_is_lost(error: BaseException, generates: bool) -> None:
    def stream(job: Any) -> Iterator[str]:
        yield "a"
        raise error

    with pytest.raises(Lost, match=type(error).__name__):
        perform(stream if generates else fails(error))


def test_a_handler_that_takes_no_argument_gets_a_traceback_without_the_runner() -> None:
    handler: Any = lambda: None  # noqa: E731
    text = json.loads(perform(handler)[1].error or "")["error_traceback"]
    assert text.startswith("Traceback (most recent call last):\n")
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

    @pytest.mark.parametrize("value", [{1, 2}, float("nan")], ids=["set", "nan"])
    def test_a_chunk_that_is_not_json_is_left_out(self, kind: Any, value: Any) -> None:
        assert perform(kind("a", value, "b")) == ([b'"a"', b'"b"'], Result(b"[]", None, False))

    def test_with_the_aggregate_such_a_chunk_loses_the_job(self, kind: Any) -> None:
        with pytest.raises(Unsendable, match="The handler's result is not JSON: TypeError"):
            perform(kind("a", {1, 2}, "b"), return_aggregate_stream=True)
        report = perform(kind("a", float("nan")), return_aggregate_stream=True)[1]
        assert report == Result(None, NOT_FINITE, False)

    @pytest.mark.parametrize("value", [circle(), "half \ud800"], ids=["circle", "surrogate"])
    def test_a_chunk_that_breaks_the_official_worker_loses_the_job_there(self, kind: Any, value: Any) -> None:
        with pytest.raises(Unsendable, match="The handler's chunk is not JSON"):
            perform(kind("a", value, "b"))


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


def test_what_a_plain_generator_raises_is_told_as_it_is_whatever_it_is() -> None:
    def handler(job: Any) -> Iterator[int]:
        yield 1
        raise StopAsyncIteration("enough")

    assert (perform(handler)[1].error or "").startswith("handler: enough \ntraceback: ")


def test_a_chunk_with_two_faults_is_left_out_for_the_one_that_the_official_worker_meets() -> None:
    assert perform(yields("a", [float("inf"), {1}], "b")) == ([b'"a"', b'"b"'], Result(b"[]", None, False))


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
    with pytest.raises(Unsendable):
        perform(CallsGenerator())


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


def theirs(official: Any, handler: Any, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that the official worker posts for one job; nothing more once its code has broken."""
    posted: list[bytes] = []

    async def transmit(session: Any, url: str, text: str) -> None:
        posted.append(text.encode())

    monkeypatch.setattr("runpod.serverless.modules.rp_http._transmit", transmit)
    session: Any = type("Session", (), {"headers": {}})()
    with contextlib.suppress(BaseException):  # it leaves the task, which nobody looks at
        asyncio.run(official.handle_job(session, {"handler": handler, **config}, {"id": "job", "input": None}))
    return posted


def ours(handler: Any, config: dict[str, Any]) -> list[bytes]:
    """What the official worker would have posted, by our report."""
    chunks: list[bytes] = []
    config = {"handler": handler, **config}
    posted: list[bytes] = []
    try:
        outcome = asyncio.run(run(config, {"id": "job", "input": None}, chunks.append))
        report = result(outcome, bool(config.get("refresh_worker")))
    except Lost:
        pass
    else:
        text = [f'"output": {report.output.decode()}'] if report.output is not None else []
        text += [f'"error": {json.dumps(report.error, ensure_ascii=False)}'] if report.error is not None else []
        text += ['"stopPod": true'] if report.stop_worker else []
        posted = [f"{{{', '.join(text)}}}".encode()]
    return [b'{"output": ' + chunk + b"}" for chunk in chunks] + posted


@table("case", COMPARED)
def test_the_official_worker_posts_the_same_bytes(
    case: Callable[[], tuple[Any, dict[str, Any]]], official: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ours(*case()) == theirs(official, *case(), monkeypatch)


UNSENDABLE: list[Callable[[], Any]] = [
    lambda: b"bytes",
    lambda: {1, 2},
    lambda: {"a": object()},
    lambda: {(1, 2): 3},
    circle,
    deep,
    lambda: "half \ud800",
    lambda: {"half \ud800": 1},
    lambda: (x for x in "ab"),
]


@table("make", UNSENDABLE)
@table("kind", [plain, later, yields, yields_async])
@table("config", [{}, {"return_aggregate_stream": True}, {"refresh_worker": True}])
def test_the_official_worker_posts_as_little(
    make: Callable[[], Any], kind: Any, config: dict[str, Any], official: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bare(ours(kind(make()), config)) == bare(theirs(official, kind(make()), config, monkeypatch))
    if kind in (yields, yields_async):
        around = [kind("a", make(), "b") for _ in range(2)]
        assert bare(ours(around[0], config)) == bare(theirs(official, around[1], config, monkeypatch))


def bare(posted: list[bytes]) -> list[Any]:
    """The bodies without tracebacks, in which the files differ."""
    shown = [json.loads(body) for body in posted]
    return [{name: str(value).split("traceback")[0] for name, value in body.items()} for body in shown]
