"""What pages of strangers may send to the queue API, to workers' routes and to load-balancing endpoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulator.testing import Emulator
from tests.security.raw import Raw, send
from tests.security.test_own_door import WEB


@pytest.fixture(scope="module")
def keyed() -> Iterator[Emulator]:
    with Emulator("llm", endpoint=["out"]) as emu:
        yield emu


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "web.py").write_text(WEB)
    with Emulator(
        "llm", no_auth=True, endpoint=["out"], load_balancer=[f"web={folder / 'web.py'}:app"],
        set=["paused_endpoint=queue"], allowed_host=["told.test"],
    ) as emu:  # fmt: skip
        yield emu


def ask(emu: Emulator, request: str, *headers: str, body: bytes = b'{"input": {"a": 1}}') -> Raw:
    port = emu._running.port
    return send(port, request, [line.replace("PORT", str(port)) for line in headers], body)


ROUTES = ["POST /v2/llm/run", "POST /v2//llm/run/", "POST /v2/out/purge-queue", "GET /v2/out/job-take/thief",
          "POST /v2/out/job-done/thief/j1", "POST /lb/web/x", "GET /lb/web/x", "GET /docs"]  # fmt: skip
HOST = "Host: 127.0.0.1:PORT"
STRANGE = [
    [HOST, "Origin: http://evil.example"],
    [HOST, "Origin: null"],
    [HOST, "Origin: http://localhost.evil.example"],
    ["Host: evil.example:PORT", "Origin: http://evil.example:PORT"],
    ["Host: evil.example:PORT", "Origin: http://evil.example:PORT", "Authorization: any"],
    [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
    [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Referer: http://evil.example/"],
]
FRIENDLY = [
    [HOST],
    ["Host: emulator.svc.example:PORT"],
    [HOST, "Origin: http://localhost:3000"],
    [HOST, "Origin: http://127.0.0.1:PORT"],
    ["Host: 192.0.2.7:PORT", "Origin: http://192.0.2.7:PORT"],
    ["Host: emulator:PORT", "Origin: http://emulator:PORT"],
    ["Host: told.test", "Origin: https://told.test"],
    [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"],
    [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Referer: http://localhost:3000/a"],
    [HOST, "Origin: https://staging.example", "Authorization: Bearer any"],
]


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [
        (line, headers)
        for line in ROUTES
        for headers in STRANGE
        if line.startswith("GET") or "Sec-Fetch" not in headers[1]  # a browser says the origin of every POST
    ],
)
def test_without_keys_too_a_page_of_a_stranger_sends_nothing(
    open_to_all: Emulator, request_line: str, headers: list[str]
) -> None:
    answer = ask(open_to_all, request_line, *headers)
    assert (answer.status, answer.json["title"]) == (403, "Forbidden")
    assert "cors=open" in answer.json["detail"] and "--allowed-host NAME" in answer.json["detail"]
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.foreign_page"
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("headers", FRIENDLY)
@pytest.mark.parametrize("request_line", ["POST /v2/llm/run", "POST /v2/out/job-done/w/j1", "POST /lb/web/x"])
def test_all_others_are_served(open_to_all: Emulator, request_line: str, headers: list[str]) -> None:
    assert ask(open_to_all, request_line, *headers).status == 200


def test_what_was_sent_before_a_key_was_asked_for_left_no_job(open_to_all: Emulator) -> None:
    open_to_all.reset()
    for headers in STRANGE[:5]:
        ask(open_to_all, "POST /v2/llm/run", *headers)
    assert open_to_all.jobs() == []


@pytest.mark.parametrize("headers", STRANGE[:5])
def test_workers_routes_take_nothing_from_pages(keyed: Emulator, headers: list[str]) -> None:
    for request in ("GET /v2/out/job-take/thief", "POST /v2/out/job-done/thief/j1"):
        assert ask(keyed, request, *headers).status == 403


def test_pages_of_all_origins_are_let_in_when_that_is_wanted() -> None:
    with Emulator("llm", no_auth=True, set=["cors=open"]) as emu:
        for headers in STRANGE:
            assert ask(emu, "POST /v2/llm/run", *headers).status == 200
        assert ask(emu, "GET /__emulator/jobs", *STRANGE[0]).status == 403
