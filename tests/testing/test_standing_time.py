"""Time that stands hangs nothing in silence: what waits for it says what is due, who holds time, and what moves it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from runpod_emulator.testing import Emulator

from tests import waits
from tests.compat.servers import until
from tests.plain import PLAIN
from tests.tables import table
from tests.timing import expect_within, timed

HELLO = {"input": {"prompt": "hello"}}


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator("llm", clock="virtual") as emu:
        yield emu


@pytest.fixture
def emu(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


def post(emu: Emulator, path: str = "/llm/run", **more: Any) -> httpx.Response:
    headers = {"authorization": emu.key}
    return httpx.post(emu.base_url + path, json={**HELLO, **more}, headers=headers, timeout=60, **PLAIN)


def run(emu: Emulator, **more: Any) -> str:
    return str(post(emu, **more).json()["id"])


def raised(kind: type[BaseException], call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as told:
        call()
    return str(told.value)


IN_VAIN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"queue_delay": "3s", "output": 1},
        {"idle": True},
        "jobs wait or run, or a webhook is owed: time stands, and nothing runs; the next deadline is in 3 s, the "
        "release from the queue of job JOB: clock.advance(3) or clock.run_until_idle() moves time on",
    ),
    (
        {"delay": "1500ms", "output": 1},
        {"status": "COMPLETED", "timeout": 2},
        "0 of 1 jobs were COMPLETED: time stands, and nothing runs; the next deadline is in 1.5 s, the next step of "
        "the stub of job JOB: clock.advance(1.5) or clock.run_until_idle() moves time on",
    ),
    (
        {"never": True},
        {"webhooks": 1},
        "0 of 1 webhook calls were acknowledged: time stands, and nothing runs; the next deadline is in 600 s, the "
        "execution timeout of job JOB: clock.advance(600) or clock.run_until_idle() moves time on",
    ),
]


@timed
@table("respond, awaited, said", IN_VAIN)
def test_a_wait_in_vain_is_over_at_once_and_says_what_is_due(
    emu: Emulator, respond: dict[str, Any], awaited: dict[str, Any], said: str
) -> None:
    emu.reset()
    emu.stub(respond=respond)
    job = run(emu)
    began = time.monotonic()
    assert raised(TimeoutError, lambda: emu.wait_for(**awaited)).splitlines()[0] == said.replace("JOB", job)
    expect_within(time.monotonic() - began, 1)


@table(
    "respond, said",
    [
        ({"polls_before_completed": 1, "output": 1}, "is IN_PROGRESS: it waits for polls of its client"),
        ({"polls_before_in_progress": 1, "output": 1}, "is IN_QUEUE: it waits for polls of its client"),
        ({"delay": "3s", "output": 1}, "is IN_PROGRESS: time stands, and nothing runs; the next deadline is in 3 s"),
    ],
)
def test_a_wait_for_a_job_says_what_that_waits_for(emu: Emulator, respond: dict[str, Any], said: str) -> None:
    emu.reset()
    emu.stub(respond=respond)
    job = run(emu)
    assert f"job {job} {said}" in raised(TimeoutError, lambda: emu.wait_for(job=job))


def test_a_webhook_that_is_tried_again_later_is_the_next_deadline(emu: Emulator) -> None:
    emu.webhooks.answer(500)
    emu.stub(respond={"output": 1})
    run(emu, webhook=emu.webhooks.url)
    said = raised(TimeoutError, lambda: emu.wait_for(webhooks=1))
    assert "the next deadline is in 5 s, the next attempt of a webhook call: clock.advance(5)" in said
    emu.clock.advance(5)
    emu.wait_for(webhooks=1)


def test_what_comes_a_moment_later_is_waited_for(emu: Emulator) -> None:
    emu.stub(respond={"output": 1})
    thread = threading.Timer(0.1, lambda: post(emu))
    thread.start()
    emu.wait_for(status="COMPLETED")
    thread.join()


def test_on_an_automatic_clock_a_job_that_comes_later_is_waited_for_in_real_time() -> None:
    with Emulator("llm") as emu:
        emu.stub(respond={"delay": "10m", "output": 1})
        thread = threading.Timer(0.3, lambda: post(emu, policy={"executionTimeout": 3_600_000}))
        thread.start()
        emu.wait_for(status="COMPLETED")
        thread.join()
        with pytest.raises(
            TimeoutError, match=r"^0 of 1 webhook calls were acknowledged\n  no job has asked for a webhook yet$"
        ):
            emu.wait_for(webhooks=1, timeout=0.2)
        with (
            impatient(emu, 0.2),
            pytest.raises(TimeoutError, match=r"acknowledged: not over after 0\.2 s of real time"),
        ):
            emu.wait_for(webhooks=1)


@timed
def test_on_an_automatic_clock_a_vain_wait_ends_so_long_after_the_last_thing_that_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runpod_emulator.world.stillness._IDLE", 0.4)
    monkeypatch.setattr("runpod_emulator.world.stillness._LOOK", 0.02)
    with Emulator("llm") as emu:
        thread = threading.Timer(0.1, lambda: emu.requests(operation="run") or post(emu, "/llm/purge-queue"))
        thread.start()
        began = time.monotonic()
        assert "were COMPLETED" in raised(TimeoutError, lambda: emu.wait_for(status="COMPLETED"))
        assert time.monotonic() - began >= 0.5
        expect_within(time.monotonic() - began, 0.75)
        thread.join()


def test_by_http_the_answer_names_the_routes(emu: Emulator) -> None:
    emu.stub(respond={"delay": "3s", "output": 1})
    run(emu)
    url = emu.base_url.removesuffix("/v2") + "/__emulator"
    answer = httpx.post(f"{url}/wait", json={"idle": True}, timeout=10, **PLAIN).json()
    assert not answer["ok"] and 'POST /__emulator/clock/advance with {"by": "3s"}' in answer["detail"]


class Held:
    """A handler that is a function, and goes on when the test says so."""

    def __init__(self, emu: Emulator) -> None:
        self.gate = threading.Event()
        emu.handler("held", lambda job: self.gate.wait(20))
        self.job = str(post(emu, "/held/run").json()["id"])
        until(lambda: emu.clock.held_by() != [], 10)


@contextlib.contextmanager
def impatient(emu: Emulator, seconds: float) -> Iterator[None]:
    """An emulator whose calls may take so long only."""
    before, emu.link._thread.patience = emu.link.patience, seconds
    try:
        yield
    finally:
        emu.link._thread.patience = before


@table(
    "call",
    [
        lambda emu: emu.clock.advance(1),
        lambda emu: emu.clock.run_until_idle(),
        lambda emu: emu.wait_for(idle=True),
    ],
)
def test_what_holds_time_for_too_long_is_told(emu: Emulator, call: Callable[[Emulator], Any]) -> None:
    held = Held(emu)
    holder = f"job {held.job}, which runs in the handler function of endpoint held"
    assert emu.clock.held_by() == [holder]
    with impatient(emu, 0.3):
        said = raised(TimeoutError, lambda: call(emu))
    assert said.splitlines()[0].endswith(f"not over after 0.3 s of real time; time is held by {holder}")
    held.gate.set()
    emu.wait_for(idle=True)


def test_a_webhook_on_the_wire_and_a_held_request_are_told(emu: Emulator) -> None:
    emu.stub(match={"input": {"slow": 1}}, respond={"delay": "1h", "output": 1})
    emu.stub(match={"input": {"prompt": "hello"}}, respond={"output": 1})
    with silent_receiver() as url:
        job = run(emu, webhook=url)
        until(lambda: emu.clock.held_by() != [], 10)
        assert emu.clock.held_by() == [f"the webhook call of job {job} to {url}, which is not answered yet"]
    client = threading.Thread(target=lambda: post(emu, "/llm/runsync", input={"slow": 1}))
    client.start()
    waits = "a client's request waits for job sync-"
    until(lambda: any(waits in one for one in emu.clock.held_by()), 10)
    shown = httpx.get(emu.base_url.removesuffix("/v2") + "/__emulator/clock", **PLAIN).json()
    assert any(one.startswith("a client's request waits for job sync-") for one in shown["heldBy"])
    emu.clock.advance("1h")
    client.join()


@contextlib.contextmanager
def silent_receiver() -> Iterator[str]:
    """The address of a receiver that accepts calls, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@table(
    "call",
    [
        lambda emu: emu.clock.advance(1),
        lambda emu: emu.clock.run_until_idle(),
        lambda emu: emu.wait_for(idle=True),
        lambda emu: emu.aio.clock.advance(1),
        lambda emu: emu.stop(),
        lambda emu: in_thread(lambda: emu.wait_for(idle=True)),
        lambda emu: in_thread(lambda: in_thread(lambda: emu.clock.advance(1))),
        lambda emu: in_thread(lambda: asyncio.run(emu.aio.wait_for(idle=True))),
    ],
)
def test_a_handler_may_not_wait_for_what_waits_for_it(emu: Emulator, call: Callable[[Emulator], Any]) -> None:
    emu.reset()
    emu.handler("h", lambda job: call(emu))
    post(emu, "/h/run")
    emu.wait_for(idle=True)
    (job,) = emu.jobs("h")
    assert job.status == "FAILED" and f"in the handler of job {job.id}: it runs until that has" in str(job.error)


def in_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor() as pool:
        return pool.submit(call).result()


def test_a_handler_may_not_wait_on_a_real_clock_either_but_ask_another_emulator(emu: Emulator) -> None:
    def chained(job: Any) -> str:
        emu.wait_for(job=run(emu))
        real.wait_for(idle=True)
        return "never"

    emu.stub(endpoint="llm", respond={"output": 1})
    with Emulator("llm", clock="real") as real:
        real.handler("llm", chained)
        job = run(real)
        real.wait_for(job=job)
        assert f"wait_for in the handler of job {job}" in str(real.job(job).error)


def test_a_wait_that_may_last_longer_than_the_patience_says_what_lasts_longer() -> None:
    with Emulator("llm", patience=0.2) as emu:
        held = Held(emu)
        said = raised(TimeoutError, lambda: emu.wait_for(job=held.job, timeout="10m"))
        assert "not over after 0.2 s of real time" in said and "Emulator(patience=…) lets it last longer" in said
        held.gate.set()
        emu.wait_for(job=held.job)


@table("most, passed, fired", [(1, 1, 0), ("4s", 4, 0), (timedelta(seconds=6), 5, 1), (60, 5, 1)])
def test_it_moves_by_as_much_as_was_said_where_it_is_not_idle_before(
    emu: Emulator, most: Any, passed: float, fired: int
) -> None:
    emu.reset()
    emu.stub(respond={"delay": "5s", "output": 1})
    run(emu)
    before = emu.clock.now()
    assert len(emu.clock.run_until_idle(most)) == fired
    assert emu.clock.now() - before == passed


def test_a_held_request_on_a_standing_clock_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with Emulator("llm", clock="virtual") as emu, caplog.at_level(logging.WARNING, "runpod_emulator"):
        emu.stub(respond={"delay": "3s", "output": 1})
        clients = [threading.Thread(target=lambda: post(emu, "/llm/runsync")) for _ in range(2)]
        for client in clients:
            client.start()
        until(lambda: "time stands" in caplog.text, 10)
        emu.clock.run_until_idle()
        for client in clients:
            client.join()
    (said,) = [record.getMessage() for record in caplog.records if "time stands" in record.getMessage()]
    assert "a client's request waits for job sync-" in said and "clock/advance" in said and "in 3 s" in said


async def test_a_call_that_blocks_the_loop_of_its_thread_says_how_not_to(emu: Emulator) -> None:
    held = Held(emu)
    with impatient(emu, 0.2):
        said = raised(TimeoutError, lambda: emu.clock.advance(1))
    assert "This call blocks the event loop of its own thread" in said and "await emu.aio" in said
    held.gate.set()


# aio


class Backend:
    """An application on the test's own event loop, that takes webhook calls."""

    def __init__(self) -> None:
        self.received: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        self.received.append(message["body"].decode())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def served(app: Any) -> Any:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    task = asyncio.ensure_future(server.serve())
    await waits.until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
    server.should_exit = True
    await task


async def test_an_application_on_the_tests_own_loop_takes_a_webhook_while_time_moves(emu: Emulator) -> None:
    emu.stub(respond={"delay": "20m", "output": "done"})
    backend = Backend()
    async with served(backend) as url, httpx.AsyncClient(trust_env=False) as client:
        body = {**HELLO, "webhook": url, "policy": {"executionTimeout": 3_600_000}}
        headers = {"authorization": emu.key}
        job = (await client.post(f"{emu.base_url}/llm/run", json=body, headers=headers)).json()["id"]
        await emu.aio.clock.run_until_idle()
        assert len(backend.received) == 1 and '"done"' in backend.received[0]
    await emu.aio.wait_for(webhooks=1, job=job)
    await emu.aio.assert_requested(operation="run", count=1)
    assert [one.status for one in await emu.aio.requests(operation="run")] == [200]
    assert (await emu.aio.job(job)).status == "COMPLETED" == (await emu.aio.jobs())[0].status
    with pytest.raises(AssertionError, match="expected 2"):
        await emu.aio.assert_requested(operation="run", count=2)
    await emu.aio.webhooks.answer(503, name="a")
    await emu.aio.webhooks.assert_received(count=0)
    assert await emu.aio.webhooks.received() == await emu.aio.webhooks.received_at("a") == []
    await emu.aio.webhooks.clear()
    other = await emu.aio.namespace("w2")
    assert other is emu.namespace("w2") and await other.aio.jobs() == []
    await emu.aio.reset()
    assert await emu.aio.jobs() == []


async def test_the_loop_goes_on_and_a_cancelled_wait_leaves_no_thread(emu: Emulator) -> None:
    held = Held(emu)
    threads = threading.active_count()
    moving = asyncio.ensure_future(emu.aio.clock.advance(5))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not moving.done()
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    await waits.until(lambda: threading.active_count() <= threads)
    held.gate.set()
    await emu.aio.wait_for(idle=True)


def test_a_late_answer_is_late_for_its_client_on_an_automatic_clock_too() -> None:
    with Emulator("llm") as emu:
        emu.fault("latency", delay="20s", times=1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{emu.base_url}/llm/health", headers={"authorization": emu.key}, timeout=0.2, **PLAIN)
