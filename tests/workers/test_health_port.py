"""Load-balancing workers whose health is asked for on a port of its own, as PORT_HEALTH says."""

from __future__ import annotations

import shlex
import socket
import sys
from pathlib import Path

import pytest

from tests.compat.servers import until
from tests.workers.web_servers import Web, hosted, write

HEALTH = """
import http.server, json, os, sys, threading

PORTS = [int(word) for word in sys.argv[1:]] or [int(os.environ["PORT"]), int(os.environ["PORT_HEALTH"])]


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(int(open("ping").read()) if os.path.exists("ping") else 200, {})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Main(Health):
    def do_GET(self):
        told = {"ports": PORTS, "environment": [int(os.environ["PORT"]), int(os.environ["PORT_HEALTH"])]}
        self.answer(500 if self.path == "/ping" and PORTS[0] != PORTS[1] else 200, told)


def listen(kind, port):
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), kind)


if PORTS[0] != PORTS[1]:
    threading.Thread(target=listen(Health, PORTS[1]).serve_forever, daemon=True).start()
"""
PROGRAM = f"{HEALTH}\nlisten(Main, PORTS[0]).serve_forever()\n"
APP = f"""{HEALTH}

async def app(scope, receive, send):
    if scope["type"] == "http":
        body = json.dumps({{"ports": PORTS, "environment": PORTS}}).encode()
        status = 500 if scope["path"] == "/ping" else 200
        await send({{"type": "http.response.start", "status": status, "headers": []}})
        await send({{"type": "http.response.body", "body": body}})
"""
"""Each of them has one server for requests, which is never healthy, and another for health."""


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serves(folder: Path, kind: str) -> str:
    """What serves endpoint `lb`."""
    if kind == "app":
        return f"lb={write(folder, APP, 'two_ports_app.py')}:app"
    words = f"{shlex.quote(sys.executable)} {write(folder, PROGRAM, 'two_ports.py')}"
    return f"lb={words}" + (" $PORT $PORT_HEALTH" if kind == "words" else "")


@pytest.mark.parametrize("kind", ["app", "program", "words"])
def test_health_is_asked_for_on_the_port_that_each_worker_has_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"workers_min": 2, "environment": {"PORT_HEALTH": "{port2}"}}
    with hosted(load_balancer=[serves(tmp_path, kind)], **settings) as server:
        web = Web(server.ready())
        until(lambda: web.workers() == {"idle": 2, "ready": 2})
        healthy = server.http.get("/lb/metrics").json()["readyWorkers"]
        asks = [{"x-runpod-worker-id": worker} for worker in healthy]
        until(lambda: all(web.call(headers=ask).status_code == 200 for ask in asks))  # its health listens first
        told = {web.call(headers=ask).text for ask in asks}
        assert len(told) == 2
        answer = web.about()
        assert answer["ports"] == answer["environment"] and len(set(answer["ports"])) == 2
        (tmp_path / "ping").write_text("503")
        until(lambda: "ready" not in web.workers())
        assert server.line("its health check /ping answers 503")


@pytest.mark.parametrize("same", [True, False], ids=["of one value with PORT", "a number"])
def test_a_number_is_taken_and_the_value_of_port_means_the_same_port(tmp_path: Path, same: bool) -> None:
    number = str(a_free_port())
    environment = {"PORT_HEALTH": number} | ({"PORT": number} if same else {})
    with hosted(load_balancer=[serves(tmp_path, "program")], environment=environment, workers_max=1) as server:
        ports = Web(server.ready()).about()["ports"]
    assert (ports[1] == ports[0]) is same
    assert (str(ports[1]) == number) is not same


def test_the_log_says_which_port_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runpod_emulator.workers.http_server.HINT_AFTER", 0.1)
    words = f"lb={shlex.quote(sys.executable)} -m http.server --bind 127.0.0.1 $PORT"
    with hosted(load_balancer=[words], environment={"PORT_HEALTH": "{port2}"}) as server:
        assert server.line("($PORT_HEALTH); it gives no answer")
