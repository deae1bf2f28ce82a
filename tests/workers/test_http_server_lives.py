"""How live load-balancing workers come up, fall ill, die, are renewed and end."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.core.errors import ConfigurationError

from tests.compat.servers import until
from tests.workers.processes import needs_proc
from tests.workers.programs import Hosted
from tests.workers.web_servers import RAW, Web, app, hosted, raw, write

pytestmark = pytest.mark.compat

Host = Callable[..., Hosted]
FAST = ["idle_timeout=600000", "ping_interval=30"]
SELDOM = ["idle_timeout=600000", "ping_interval=60000"]
"""So that no health check comes between a worker's death and its notice."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Serve endpoint `lb` by the application, or by what is told, in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMULATOR_TEST", "")
    opened: list[Any] = []

    def serve(*servers: str, **settings: Any) -> Hosted:
        told = {"load_balancer": list(servers) or [app(tmp_path)], "set": FAST, "workers_max": 1, **settings}
        opened.append(hosted(**told))
        server: Hosted = opened[-1].__enter__()
        return server

    yield serve
    for one in opened:
        one.__exit__(None, None, None)


def kill(web: Web) -> None:
    """Let the worker die."""
    os.kill(web.about()["pid"], signal.SIGKILL)


# Coming up


def test_a_worker_that_says_204_is_up_and_not_ready(host: Host, tmp_path: Path) -> None:
    (tmp_path / "ping").write_text("204")
    server = host()
    web = Web(server)
    until(lambda: web.workers() == {"running": 1})
    assert not server.starting.done()
    with ThreadPoolExecutor() as pool:
        early = pool.submit(web.call)
        (tmp_path / "ping").unlink()
        assert early.result(20).status_code == 200
    server.ready()
    assert web.workers() == {"idle": 1, "ready": 1}


def test_health_checks_go_where_the_endpoint_says(host: Host, tmp_path: Path) -> None:
    (tmp_path / "ping").write_text("500")
    web = Web(host(environment={"HEALTH_CHECK_PATH": "/about"}).ready())
    told = web.about()
    assert told["environment"]["HEALTH_CHECK_PATH"] == "/about" and told["requests"] > 1


def test_a_health_path_without_its_slash_is_understood(host: Host, tmp_path: Path) -> None:
    (tmp_path / "ping").write_text("500")
    web = Web(host(environment={"HEALTH_CHECK_PATH": "about"}).ready())
    assert web.about()["requests"] > 1


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("import no_such_module", ["web_app.py", "ModuleNotFoundError: No module named 'no_such_module'"]),
        ("def broken(:", ["web_app.py", "SyntaxError"]),
        ("raise RuntimeError('no model')", ["web_app.py", "RuntimeError: no model"]),
        ("del app", ["web_app.py has no app"]),
        ("async def app(scope, receive, send): raise RuntimeError('no lifespan')", ["is not ready", "404"]),
        ("print('last words'); sys.exit(7)", ["last words"]),
        pytest.param("sys.exit(7)", ["exited with code 7"]),
    ],
    ids=["import", "syntax", "raise", "name", "never healthy", "exit", "code"],
)
def test_an_application_that_does_not_come_up_stops_the_start(
    host: Host, tmp_path: Path, extra: str, said: list[str]
) -> None:
    never = said[0] == "is not ready"
    server = host(app(tmp_path, extra), set=[*FAST, "init_timeout=500"] if never else FAST)
    with pytest.raises(ConfigurationError) as error:
        server.ready()
    if never:
        assert "endpoint lb: the worker was not ready within 0.5 s (init_timeout)" in str(error.value)
        return
    assert all(part in str(error.value) for part in said), str(error.value)
    assert "runner/asgi.py" not in str(error.value) and "runner/loading.py" not in str(error.value)


@pytest.mark.parametrize(
    ("command", "said"),
    [("no/such/program --port 1", "cannot run no/such/program: No such file"), ("SHELL exit 3", "exited with code 3")],
)
def test_a_command_that_does_not_come_up_stops_the_start(host: Host, command: str, said: str) -> None:
    words = command.replace("SHELL exit 3", f"{sys.executable} -c 'import sys; print(1); sys.exit(3)'")
    with pytest.raises(ConfigurationError, match=said):
        host(f"lb={words}").ready()


def test_a_lifespan_that_fails_stops_the_start_with_its_traceback(host: Host, tmp_path: Path) -> None:
    failing = """
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no weights"})
    """
    with pytest.raises(ConfigurationError, match="no weights"):
        host(app(tmp_path, failing)).ready()


@needs_proc
def test_a_worker_that_never_answers_its_health_check_is_ended_and_named(host: Host, tmp_path: Path) -> None:
    (tmp_path / "ping").write_text("")
    server = host(set=[*FAST, "init_timeout=700"])
    with pytest.raises(ConfigurationError, match=r"lb: the worker was not ready within 0\.7 s \(init_timeout\)"):
        server.ready()
    until(lambda: not server.processes())


# Health


def test_a_worker_whose_health_check_fails_gets_no_requests_until_it_is_well(host: Host, tmp_path: Path) -> None:
    web = Web(host().ready())
    pid = web.about()["pid"]
    (tmp_path / "ping").write_text("500")
    until(lambda: web.workers() == {"unhealthy": 1})
    web.server.line("its health check /ping answers 500: it gets no requests")
    (tmp_path / "ping").unlink()
    until(lambda: web.workers() == {"idle": 1, "ready": 1})
    assert web.about()["pid"] == pid


@pytest.mark.parametrize("ways", [("204",), ("204", "500")])
def test_a_worker_that_says_204_again_leaves_too(host: Host, tmp_path: Path, ways: tuple[str, ...]) -> None:
    web = Web(host().ready())
    for said in ways:
        (tmp_path / "new").write_text(said)
        (tmp_path / "new").rename(tmp_path / "ping")
        until(lambda: "ready" not in web.workers())


# Dying


def test_a_worker_that_dies_in_mid_answer_cuts_it_and_the_next_request_gets_another(host: Host) -> None:
    web = Web(host(set=SELDOM).ready())
    pid = web.about()["pid"]
    with web.stream("hold") as answer:
        parts = answer.iter_bytes()
        assert next(parts) == b"begun"
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):
            next(parts)
    web.server.line("the worker was killed by SIGKILL")
    assert web.about()["pid"] != pid


def test_a_worker_that_dies_before_its_answer_is_a_bad_gateway(host: Host, tmp_path: Path) -> None:
    web = Web(host(set=SELDOM).ready())
    pid = web.about()["pid"]
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(web.call, "hold?silent", "POST", content=b"{}")
        until((tmp_path / "held").exists)
        os.kill(pid, signal.SIGKILL)
        got = answer.result(20)
    web.server.line("the worker was killed by SIGKILL")
    assert (got.status_code, got.json()["title"]) == (502, "Bad Gateway")
    assert "did not answer" in got.json()["detail"]
    assert web.about()["pid"] != pid


@needs_proc
def test_a_worker_whose_death_shows_in_a_health_check_first_is_replaced(host: Host) -> None:
    web = Web(host().ready())
    pid = web.about()["pid"]
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGSTOP)  # so that the end is noticed late
    os.kill(pid, signal.SIGKILL)
    web.server.line("its health check /ping fails")
    os.kill(keeper, signal.SIGCONT)
    web.server.line("the worker was killed by SIGKILL")
    assert web.about(timeout=3)["pid"] != pid


def test_a_body_sent_while_no_worker_is_up_arrives(host: Host) -> None:
    web = Web(host(set=SELDOM).ready())
    kill(web)
    until(lambda: not web.workers())
    assert web.about(method="POST", content=b"hello", timeout=20)["size"] == 5


def test_an_idle_worker_ends_and_the_next_request_brings_up_another(host: Host) -> None:
    server = host(set=["idle_timeout=200"]).ready()
    web = Web(server)
    pid = web.about()["pid"]
    until(lambda: not web.workers() and not server.processes())
    assert web.about()["pid"] != pid


# Several


def test_many_requests_at_once_share_the_workers(host: Host, tmp_path: Path) -> None:
    web = Web(host(workers_min=2, workers_max=2).ready())
    with ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(web.call, f"meet?{number}") for number in range(50)]
        until(lambda: len(list(tmp_path.glob("at-*"))) == 50)
        (tmp_path / "gate").touch()
        pids = [answer.result(20).json() for answer in answers]
    assert sorted(map(pids.count, {*pids})) == [25, 25]
    web.free()


# New code


def test_a_full_worker_takes_no_request_more(host: Host, tmp_path: Path) -> None:
    """The first request brings up a second worker; what both can't take is dropped, or waits if it must have one."""
    web = Web(host(workers_max=2, worker_capacity=1).ready())
    with ThreadPoolExecutor(3) as pool:
        met = [pool.submit(web.call, f"meet?{number}") for number in range(2)]
        until(lambda: len(list(tmp_path.glob("at-*"))) == 2)
        dropped = web.call()
        assert (dropped.status_code, dropped.json()) == (400, {"error": "no workers available"})
        assert dropped.headers["x-emulator-fidelity"] == "guess; row=error.overloaded"
        worker = web.server.http.get("/lb/metrics").json()["readyWorkers"][0]
        strict = pool.submit(web.call, headers={"x-runpod-worker-id": f"strict {worker}"})
        (tmp_path / "gate").touch()
        assert {answer.result().status_code for answer in met} == {200}
        assert strict.result().headers["x-runpod-worker-id"] == worker
    assert len({answer.result().json() for answer in met}) == 2


def test_saved_code_is_in_use_at_once_and_what_runs_is_answered(host: Host, tmp_path: Path) -> None:
    server = host(reload=True, set=["idle_timeout=600000"]).ready()
    web = Web(server)
    old = web.about()["pid"]
    with ThreadPoolExecutor() as pool:
        running = pool.submit(web.call, "meet?1")
        until(lambda: list(tmp_path.glob("at-*")))
        app(tmp_path, "async def about(scope, receive, send): await reply(send, {'pid': 0, 'new': True})")
        until(lambda: web.about().get("new"))
        (tmp_path / "gate").touch()
        assert running.result(20).json() == old
    until(lambda: len(server.processes()) == 1)


def test_broken_code_leaves_the_last_good_worker(host: Host, tmp_path: Path) -> None:
    web = Web(host(reload=True, set=["idle_timeout=600000"]).ready())
    old = web.about()["pid"]
    app(tmp_path, "raise RuntimeError('half saved')")
    web.server.line("the new code can't be started")
    assert web.about()["pid"] == old


def test_a_commands_file_is_watched_too(host: Host, tmp_path: Path) -> None:
    server = host(raw(tmp_path, "lb"), reload=True, set=["idle_timeout=600000"]).ready()
    web = Web(server)
    write(tmp_path, RAW.replace('"size": len(body)', '"size": -1'), "lb_server.py")
    until(lambda: web.about()["size"] == -1)


# The end


@needs_proc
def test_a_stubborn_worker_and_its_children_end_with_the_server(host: Host) -> None:
    server = host().ready()
    pids = set(Web(server).call("breed").json())
    assert pids <= server.processes()
    server.do(server.server.emulator.endpoints.remove("lb"))
    until(lambda: not server.processes())


@needs_proc
def test_a_worker_in_mid_answer_ends_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMULATOR_TEST", "")
    with hosted(load_balancer=[app(tmp_path)]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.ready().server.port, timeout=20)
        connection.request("GET", "/lb/lb/hold", headers={"Authorization": "key"})
        answer = connection.getresponse()
        assert answer.read(5) == b"begun"
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()


SLOW_TO_LEAVE = """
inner = app


async def app(scope, receive, send):
    async def tell(message):
        if message["type"] == "lifespan.shutdown.complete":
            await asyncio.sleep(PAUSE)
            open("bye", "w").close()
        await send(message)

    await inner(scope, receive, tell)
"""


@needs_proc
def test_an_idle_server_leaves_in_peace(host: Host, tmp_path: Path) -> None:
    server = host(app(tmp_path, SLOW_TO_LEAVE.replace("PAUSE", "1.2")), set=["idle_timeout=100", "ping_interval=30"])
    until(lambda: not server.ready().processes())
    assert (tmp_path / "bye").exists()


@needs_proc
def test_a_server_that_leaves_does_not_hold_up_the_stop(host: Host, tmp_path: Path) -> None:
    server = host(app(tmp_path, SLOW_TO_LEAVE.replace("PAUSE", "99")), set=["idle_timeout=100", "ping_interval=30"])
    until(lambda: Web(server.ready()).workers() == {})
    assert server.processes()
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5
