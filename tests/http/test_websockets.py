"""WebSockets between clients and live load-balancing workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from socket import SHUT_RDWR, create_connection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.compat.servers import until
from tests.workers.web_servers import RAW, Web, app, hosted, raw

pytestmark = pytest.mark.compat

KEY = {"Authorization": "key"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server whose endpoint `lb` echoes; `raw` knows no WebSockets."""
    with _serving(tmp_path_factory.mktemp("sockets")) as served:
        yield served


@contextlib.contextmanager
def _serving(folder: Path, *settings: str, ping: int = 60_000, clock: str = "real") -> Iterator[Web]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EMULATOR_TEST", "")
        servers = [app(folder), raw(folder, source=RAW)]
        chosen = ["idle_timeout=600000", f"ping_interval={ping}", *settings]
        with hosted(load_balancer=servers, workers_max=1, set=chosen, clock=clock) as server:
            yield Web(server.ready())


def opened(web: Web, path: str = "/lb/lb/talk", host: str = "", **options: Any) -> ClientConnection:
    """A connection; `host` is what the client calls the server."""
    address = f"127.0.0.1:{web.server.server.port}"
    options.setdefault("additional_headers", KEY)
    if host:
        options["sock"] = create_connection(("127.0.0.1", web.server.server.port))
    return connect(f"ws://{host or address}{path}", proxy=None, **{"open_timeout": 10, **options})


def told() -> list[str]:
    """The close codes and reasons that the worker was told so far."""
    file = Path("codes")
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("message", ["hello ☃", "", b"\x00\xff", b"", "x" * 1_000_000, os.urandom(1_000_000)])
def test_messages_come_back_as_they_were(web: Web, message: str | bytes) -> None:
    with opened(web) as socket:
        for _ in range(3):
            socket.send(message)
            assert socket.recv(10) == message


def test_many_messages_keep_their_order(web: Web) -> None:
    with opened(web) as socket:
        for number in range(500):
            socket.send(str(number))
        assert [socket.recv(10) for _ in range(500)] == [str(number) for number in range(500)]


def test_an_endpoint_is_reached_by_its_host_too(web: Web) -> None:
    with opened(web, "/a//b%2Fc/?x=%2F&y", host="lb.api.localhost") as socket:
        socket.send("1")
        assert socket.recv(10) == "1"


def test_the_worker_sees_the_request_without_key_and_connection(web: Web) -> None:
    headers = {**KEY, "X-Mine": "1", "Cookie": "a=b", "Origin": "http://page"}
    with opened(web, "/lb/lb/headers?x=%2F&y", additional_headers=headers) as socket:
        pairs, query = json.loads(socket.recv(10))
        worker = socket.response.headers["x-runpod-worker-id"]
    names = [name for name, _ in pairs]
    assert worker and query == "x=%2F&y"
    assert {("x-mine", "1"), ("cookie", "a=b"), ("origin", "http://page")} <= {(name, value) for name, value in pairs}
    assert "authorization" not in names and len({*names}) == len(names)


@pytest.mark.parametrize(("offered", "chosen"), [([], None), (["a"], "a"), (["a", "b.c"], "b.c")])
def test_the_worker_chooses_the_subprotocol(web: Web, offered: list[str], chosen: str | None) -> None:
    with opened(web, subprotocols=[Subprotocol(one) for one in offered] or None) as socket:
        assert socket.subprotocol == chosen


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1011, "oops"), (3000, "mine"), (4999, "ünicode")])
def test_the_client_is_told_how_the_worker_closed(web: Web, code: int, reason: str) -> None:
    with opened(web) as socket:
        socket.send(f"close {code} {reason}")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


def test_what_was_said_before_the_end_arrives_before_it(web: Web) -> None:
    with opened(web) as socket:
        socket.send("last words")
        socket.send("close 1000 done")
        assert socket.recv(10) == "last words"


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_the_worker_is_told_how_the_client_closed(web: Web, code: int) -> None:
    before = len(told())
    with opened(web) as socket:
        socket.close(code)
    until(lambda: len(told()) > before)
    assert told()[before].split()[0] == str(code)


def test_the_worker_is_told_why_the_client_closed(web: Web) -> None:
    before = len(told())
    with opened(web) as socket:
        socket.close(4000, "enough")
    until(lambda: len(told()) > before)
    assert told()[before] == "4000 enough"


def test_a_client_who_breaks_off_is_reported_to_the_worker(web: Web) -> None:
    before = len(told())
    with opened(web) as socket:
        socket.send("1")
        socket.recv(10)
        socket.socket.shutdown(SHUT_RDWR)
    until(lambda: len(told()) > before)
    assert told()[before].startswith("100")


# Refusals


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        ("/lb/lb/talk", {}, 401, "no token provided"),
        ("/lb/nope/talk", KEY, 404, "endpoint not found"),
        ("/lb/lb/talk", {**KEY, "X-Runpod-Worker-Id": "strict nobody"}, 404, "affinity_worker_gone"),
        ("/lb/lb/refuse", KEY, 403, ""),
        ("/lb/raw/talk", KEY, 200, ""),
    ],
    ids=["no key", "unknown", "affinity", "refused", "not spoken"],
)
def test_a_refusal_is_an_answer_to_the_upgrade(
    web: Web, path: str, headers: dict[str, str], status: int, said: str
) -> None:
    with pytest.raises(InvalidStatus) as refusal, opened(web, path, additional_headers=headers):
        pass
    assert refusal.value.response.status_code == status
    assert said in (json.loads(refusal.value.response.body)["detail"] if said else "")
    web.free()


def test_a_client_who_gives_up_on_a_silent_worker_is_forgotten(web: Web) -> None:
    with pytest.raises(TimeoutError), opened(web, "/lb/lb/never", open_timeout=0.2):
        pass
    until(lambda: not web.server.do(_bridges()), 1)


def test_a_client_who_gives_up_while_no_worker_is_up_is_forgotten(tmp_path: Path) -> None:
    with _serving(tmp_path, ping=30) as web:
        (tmp_path / "ping").write_text("500")
        until(lambda: "unhealthy" in web.workers())
        with pytest.raises(TimeoutError), opened(web, open_timeout=0.2):
            pass
        until(lambda: not web.server.do(_bridges()), 1)


async def _bridges() -> int:
    """WebSockets that the server is busy with."""
    return sum("run_asgi" in str(task.get_coro()) for task in asyncio.all_tasks())


# Workers that end


def test_a_worker_that_dies_in_mid_session_closes_it_with_1011(web: Web) -> None:
    with opened(web) as socket:
        socket.send("die")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011
    web.server.line("the worker was killed by SIGKILL")
    with opened(web) as socket:
        socket.send("1")
        assert socket.recv(10) == "1"


def test_an_idle_worker_is_scaled_down_in_mid_session_but_not_while_messages_flow(tmp_path: Path) -> None:
    with _serving(tmp_path, "idle_timeout=1000", clock="virtual") as web, opened(web) as socket:
        balancer = web.server.server.emulator.endpoints.balancers["lb"]
        (began,) = balancer.fleet.workers
        for _ in range(5):
            socket.send("1")
            assert socket.recv(10) == "1"
            _pass(web, 900)
        assert began in balancer.fleet.workers
        _pass(web, 100)
        with pytest.raises(ConnectionClosed):
            socket.recv(10)
        assert began not in balancer.fleet.workers


def _pass(web: Web, milliseconds: int) -> None:
    url = f"{web.server.root_url}/__emulator/clock/advance"
    assert web.server.http.post(url, json={"by": milliseconds}).status_code == 200


def test_a_session_that_counts_keeps_its_worker(tmp_path: Path) -> None:
    with _serving(tmp_path, "idle_timeout=100", "websockets_count=true") as web:
        with opened(web) as socket:
            assert web.workers() == {"ready": 1, "running": 1}
            with pytest.raises(TimeoutError):
                socket.recv(0.5)
        until(lambda: not web.workers())
