"""Live load-balancing workers: what they are told, and what passes between them and clients."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from runpod_emulator.workers.environment import server_environment

from tests.compat.servers import until
from tests.workers.web_servers import Web, app, hosted, raw

MIB = 1024 * 1024
BLOB = os.urandom(20 * MIB)
SHA = hashlib.sha256(BLOB).hexdigest()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One server for all tests of this file: endpoint `lb` is an application, `raw` a command."""
    folder = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.chdir(folder)
        patch.setenv("EMULATOR_TEST", "")
        patch.setenv("MY_OWN", "kept")
        patch.setenv("PORT", "1")
        for name in [name for name in os.environ if name.startswith("RUNPOD_")]:
            patch.delenv(name)
        server = stack.enter_context(hosted(load_balancer=[app(folder), raw(folder)], workers_max=1, api_key=["c'key"]))
        yield Web(server.ready())


@pytest.mark.parametrize("endpoint", ["lb", "raw"])
def test_a_worker_gets_the_environment_of_the_contract(web: Web, endpoint: str) -> None:
    answer = web.call(endpoint=endpoint)
    told, worker = answer.json()["environment"], answer.headers["x-runpod-worker-id"]
    port = int(told["PORT"])
    expected = server_environment(web.server.root_url, endpoint, worker, "c'key", port, port, "/ping")
    assert {name: told[name] for name in expected} == expected
    assert (told["PORT"], told["HEALTH_CHECK_PATH"], told["RUNPOD_POD_ID"]) == (told["PORT_HEALTH"], "/ping", worker)
    assert {name for name in told if name.startswith("RUNPOD_")} == {
        name for name in expected if name.startswith("RUNPOD_")
    }
    assert (told["MY_OWN"], told["PYTHONUNBUFFERED"]) == ("kept", "1")


def test_an_application_is_served_with_its_lifespan_where_the_server_was_started(web: Web) -> None:
    told = web.about()
    assert (told["state"], told["folder"], told["scheme"]) == ("began", os.getcwd(), "http")
    assert told["client"][0] == "127.0.0.1"


def test_what_a_worker_writes_is_in_the_log(web: Web) -> None:
    web.call("log")
    for text in ("to out", "to err"):
        assert re.fullmatch(rf"lb#[1-9] │ {text}", web.server.line(text))


@pytest.mark.parametrize("endpoint", ["lb", "raw"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_every_method_reaches_the_worker_with_its_body(web: Web, method: str, endpoint: str) -> None:
    for body in (b"", b"hello"):
        told = web.call(method=method, endpoint=endpoint, content=body).json()
        assert (told["method"], told["size"]) == (method, len(body))


@pytest.mark.parametrize("endpoint", ["lb", "raw"])
def test_head_has_the_headers_and_no_body(web: Web, endpoint: str) -> None:
    for _ in range(2):
        answer = web.call(method="HEAD", endpoint=endpoint)
        assert (answer.status_code, answer.content) == (200, b"") and int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_arrives_whole(web: Web, chunked: bool) -> None:
    parts = (BLOB[at : at + 70_001] for at in range(0, len(BLOB), 70_001))
    told = web.call(method="POST", content=parts if chunked else BLOB).json()
    assert (told["size"], told["sha256"]) == (len(BLOB), SHA)


def test_a_large_answer_arrives_whole(web: Web) -> None:
    answer = web.call("download?200")
    assert answer.content == b"".join(bytes([number]) * 100_000 for number in range(200))


def test_a_stream_both_ways_arrives_whole(web: Web) -> None:
    parts = (BLOB[at : at + 70_001] for at in range(0, len(BLOB), 70_001))
    answer = web.call("echo", "POST", content=parts, timeout=5)
    assert hashlib.sha256(answer.content).hexdigest() == SHA


def test_events_arrive_one_by_one(web: Web) -> None:
    with web.stream("events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        heard = []
        for text in answer.iter_text():
            heard.append(text)
            assert web.call("next").status_code == 200
    assert heard == [f"data: {number}\n\n" for number in range(3)]


@pytest.mark.parametrize("size", [0, 200_000])
def test_a_worker_notices_a_client_who_hangs_up_in_mid_stream(web: Web, size: int) -> None:
    left = web.about()["left"]
    with web.stream("hold", "POST", content=b"x" * size) as answer:
        assert next(answer.iter_bytes()) == b"begun"
    until(lambda: web.about()["left"] == left + 1)
    web.free()


def test_one_connection_serves_many_requests(web: Web) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.server.server.port, timeout=20)
    connection.connect()
    socket = connection.sock
    for number in range(200):
        connection.request("POST", "/lb/lb/about", b"x" * number, {"Authorization": "c'key"})
        told = json.loads(connection.getresponse().read())
        assert told["size"] == number
    assert connection.sock is socket
    connection.close()


def test_a_304_that_tells_the_length_leaves_the_connection_open(web: Web) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.server.server.port, timeout=20)
    connection.connect()
    socket = connection.sock
    for path in ("unchanged", "about"):
        connection.request("GET", f"/lb/raw/{path}", headers={"Authorization": "c'key"})
        connection.getresponse().read()
    assert connection.sock is socket
    connection.close()


def test_what_is_asked_at_the_same_time_is_answered_to_who_asked(web: Web) -> None:
    def ask(number: int) -> bool:
        body = bytes([number]) * (number * 3_000)
        return bool(web.about(method="PUT", content=body)["sha256"] == hashlib.sha256(body).hexdigest())

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(60)))
    web.free()


def test_a_command_without_a_scheme_of_its_own_is_served_by_host_as_well(web: Web) -> None:
    answer = web.server.http.get(f"{web.server.root_url}/any/path?x=1", headers={"host": "raw.api.localhost:1"})
    assert answer.json()["method"] == "GET" and answer.headers["server"].startswith("BaseHTTP")
