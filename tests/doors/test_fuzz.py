"""Whatever is sent: an answer in the service's shape, and never a fault of the emulator."""

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doors.doors import Doors, Visit, live, open_doors
from tests.stores.both import RUN

Answer = TypeVar("Answer")

FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 4_999, 5_000, 10_000, 604_800_000, 604_800_001, 2**63, 2**64, 10**40, 1e308, -0.0]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)
POLICIES = st.fixed_dictionaries(
    {}, optional={"executionTimeout": NUMBERS | VALUES, "ttl": NUMBERS | VALUES, "lowPriority": VALUES}
)
URLS = st.sampled_from(["http://", "https://", "ftp://", "//", ""]).flatmap(lambda s: st.text().map(lambda t: s + t))
JOBS = st.fixed_dictionaries(
    {"input": st.dictionaries(st.text(max_size=8), VALUES, max_size=4) | VALUES},
    optional={"webhook": URLS | VALUES, "policy": POLICIES | VALUES, "s3Config": VALUES, "x": VALUES},
)
PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b"input", b"policy", b"null", b"1e400", b"-", b"9" * 5_000,
     b"[" * 501, b'\\"', b"\\\\", b"\\ud800", b"\xff", b"\x00", b" ", b"\n", b"NaN"],
)  # fmt: skip


@functools.cache
def doors() -> Doors:
    return open_doors(rate_limits=False)


def ask(call: Callable[[Doors], Coroutine[Any, Any, Answer]]) -> Answer:
    """What a call brings: all to the same doors, but to new ones where the store has connections, each of one loop."""
    if RUN == "memory":
        return asyncio.run(call(doors()))
    answers: list[Answer] = []

    async def once() -> None:
        answers.append(await call(open_doors(rate_limits=False)))

    live(once())
    return answers[0]


JOB_IDS: WeakKeyDictionary[Doors, str] = WeakKeyDictionary()


async def job_id(doors: Doors) -> str:
    if doors not in JOB_IDS:
        JOB_IDS[doors] = (await doors.completed()).id
    return JOB_IDS[doors]


def send(body: bytes) -> httpx.Response:
    return ask(lambda doors: doors.post("/run", content=body))


def check(answer: httpx.Response) -> None:
    shown = answer.json()
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert list(shown) == ["id", "status"]
        return
    assert list(shown) == ["status", "title", "detail"]
    assert (shown["status"], shown["title"]) == (400, "Bad Request")
    assert shown["detail"].startswith("bad request: ") and len(shown["detail"]) < 200


@FUZZ
@given(body=st.binary(max_size=200))
def test_any_bytes(body):
    answer = send(body)
    check(answer)
    assert answer.status_code == 400


@FUZZ
@given(body=st.lists(PIECES | st.binary(max_size=3), max_size=40).map(b"".join))
def test_bytes_that_are_almost_json(body):
    check(send(body))


@FUZZ
@given(value=VALUES)
def test_any_json(value):
    check(send(json.dumps(value).encode("utf-8", "surrogatepass")))


@FUZZ
@given(job=JOBS, escaped=st.booleans())
def test_any_job(job, escaped):
    check(send(json.dumps(job, ensure_ascii=escaped).encode("utf-8", "surrogatepass")))


@FUZZ
@given(
    query=st.dictionaries(
        st.sampled_from(["wait", "ttl", "offset", "limit", "x"]),
        st.integers().map(str) | TEXTS | st.sampled_from(["--1", "9" * 5_000, "1e9", "\u00b2", "\u0663", "1\x00"]),
        max_size=4,
    ),
    path=st.sampled_from(["/status/", "/status-sync/", "/stream/", "/requests"]),
)  # fmt: skip
def test_any_query(query, path):
    async def sent(doors: Doors) -> httpx.Response:
        return await doors.get(path if path == "/requests" else path + await job_id(doors), params=query)

    answer = ask(sent)
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or answer.json()["title"] == "Bad Request"


@FUZZ
@given(
    path=st.text(alphabet="/.%abv2epsx~\u017c\x00?#", max_size=30), method=st.sampled_from(["GET", "POST", "DELETE"])
)
def test_any_path(path, method):
    async def sent(doors: Doors) -> Visit:
        visit = Visit(doors, method, "/" + path)
        await visit.task
        return visit

    visit = ask(sent)
    if visit.status == 200:  # the one address that shows something
        assert (method, visit.body[:15]) == ("GET", b"runpod-emulator")
        return
    assert visit.status in (400, 404, 405, 501)
    assert list(json.loads(visit.body)) == ["status", "title", "detail"]
    assert "x-emulator-fidelity" in visit.headers
