"""What pages of strangers may send to the queue API, to workers' routes and to load-balancing endpoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runpod_emulator.testing import Emulator

from tests.security.raw import Raw, send
from tests.security.test_own_door import WEB
from tests.tables import table


@pytest.fixture(scope="module")
def keyed() -> Iterator[Emulator]:
    with Emulator("llm", endpoint=["out"], set=["paused_endpoint=queue"]) as emu:
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
    port = emu.link.server.port
    return send(port, request, [line.replace("PORT", str(port)) for line in headers], body)


ROUTES = ["GET /v2/llm/requests", "GET /v2/llm/health", "GET /v2/llm/metrics", "GET /v2/llm/status/j1",
          "GET /v2/llm/stream/j1", "GET /v2/llm/openai/v1/models", "POST /v2/llm/run", "POST /v2//llm/run/",
          "POST /v2/out/purge-queue", "GET /v2/out/job-take/thief",
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
    [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Authorization: Basic eDp5"],
    ["Host: emu.shared.example", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"],
    [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
]
FRIENDLY = [
    [HOST],
    ["Host: emulator.svc.example:PORT"],
    [HOST, "Origin: http://localhost:3000"],
    [HOST, "Origin: http://127.0.0.1:PORT"],
    ["Host: 192.0.2.7:PORT", "Origin: http://192.0.2.7:PORT"],
    ["Host: emulator:PORT", "Origin: http://emulator:PORT"],
    ["Host: told.test", "Origin: https://told.test"],
    [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Referer: http://localhost:3000/a"],
    [HOST, "Origin: https://staging.example", "Authorization: Bearer any"],
]
BROWSER = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
POWERSHELL = "User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1682"
NAVIGATED = [HOST, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", BROWSER]
TYPED = [HOST, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", BROWSER]
UNSAID = ["Host: 192.0.2.2:PORT", BROWSER]
"""As a browser asks over plain HTTP at an address that is not loopback: it does not say for whom."""
FOR_WORKERS = ["/v2/out/job-take/thief", "/v2/out/job-take-batch/thief?batch_size=9", "/v2/out/job-stop/thief",
               "/v2/out/ping/thief?status=unhealthy&check=c&reason=r", "/v2//out/job-take/thief/",
               "/v2/out/%6aob-take/thief&job_in_progress=0"]  # fmt: skip
CHANGING = ["/v2/llm/stream/JOB", "/v2/llm/status/JOB?ttl=10000", "/v2/llm/status/JOB?%74tl=10000",
            "/v2/llm/status-sync/JOB", "/v2/llm/openai/v1/models", "/v2/flash/stream/JOB"]  # fmt: skip
READS = ["/v2/llm/health", "/v2/llm/metrics", "/v2/llm/requests", "/v2/llm/status/JOB", "/docs", "/lb/web/x",
         "/lb/web/v2/llm/stream/JOB"]  # fmt: skip


@table(
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


@table("headers", FRIENDLY)
@table("request_line", ["POST /v2/llm/run", "POST /v2/out/job-done/w/j1", "POST /lb/web/x"])
def test_all_others_are_served(open_to_all: Emulator, request_line: str, headers: list[str]) -> None:
    assert ask(open_to_all, request_line, *headers).status == 200


def known_job(emu: Emulator) -> str:
    """The id of a job that has ended: what is asked for it is answered at once."""
    job = ask(emu, "POST /v2/llm/runsync", HOST, "Authorization: any").json["id"]
    assert isinstance(job, str)
    return job


@table(
    ("path", "headers"),
    [
        *((path, headers) for path in FOR_WORKERS for headers in (NAVIGATED, TYPED, UNSAID)),
        *((path, headers) for path in CHANGING for headers in (NAVIGATED, UNSAID)),
        *((path, [*UNSAID, "Referer: http://evil.example/"]) for path in FOR_WORKERS + CHANGING),
        *((path, [*UNSAID, "Authorization: Basic eDp5"]) for path in FOR_WORKERS + CHANGING),
        *(
            (path, ["Host: evil.example:PORT", BROWSER, "Authorization: any", "Referer: http://evil.example:PORT/"])
            for path in FOR_WORKERS + CHANGING
        ),
    ],
)
@table("server", ["keyed", "open_to_all"])
def test_no_address_that_a_browser_is_led_to_changes_anything(
    server: str, path: str, headers: list[str], request: pytest.FixtureRequest
) -> None:
    emu: Emulator = request.getfixturevalue(server)
    job = known_job(emu)
    waiting = ask(emu, "POST /v2/out/run", HOST, "Authorization: any").json["id"]
    assert ask(emu, f"GET {path.replace('JOB', job)}", *headers).status == 403
    kept = next(one for one in emu.jobs() if one.id == waiting)
    assert (kept.status, kept.worker) == ("IN_QUEUE", None)


@table("headers", [NAVIGATED, TYPED, UNSAID])
@table("path", READS)
def test_a_person_may_look_with_a_browser(open_to_all: Emulator, path: str, headers: list[str]) -> None:
    assert ask(open_to_all, f"GET {path.replace('JOB', known_job(open_to_all))}", *headers).status == 200


@table(
    "headers",
    [
        TYPED,
        [*UNSAID, "Referer: http://192.0.2.2:PORT/lb/web/"],
        [*UNSAID, "Referer: http://localhost:3000/"],
        [*UNSAID, "Authorization: Bearer any"],
        [HOST, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", BROWSER],
        ["Host: localhost:PORT", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", BROWSER],
        ["Host: 192.0.2.2:PORT", POWERSHELL],
        ["Host: emulator.svc.example", "User-Agent: python-requests/2.32"],
    ],
)
@table("path", ["/v2/llm/stream/JOB", "/v2/llm/status/JOB?ttl=10000"])
def test_pages_of_here_and_who_is_no_browser_do_all(open_to_all: Emulator, path: str, headers: list[str]) -> None:
    assert ask(open_to_all, f"GET {path.replace('JOB', known_job(open_to_all))}", *headers).status == 200


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
