"""Who is let in at `/__emulator`, asked byte by byte: by which name it calls, and what page it is."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from runpod_emulator.cli.probe import until_ready
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.security.raw import Raw, send
from tests.tables import table

WEB = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""
NAMES = {"tls_name": ["emulator.test", "*.lb.test"], "allowed_host": ["Allowed.Test", "*.allowed.test", "10.9.8.7"]}


@pytest.fixture(scope="module")
def emu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("tls")
    (folder / "web.py").write_text(WEB)
    balanced = [f"app={folder / 'web.py'}:app"]
    with Emulator("llm", tls=True, tls_folder=str(folder), load_balancer=balanced, **NAMES) as emu:
        yield emu


@pytest.fixture(scope="module")
def guarded() -> Iterator[Emulator]:
    with Emulator("llm", admin_key=["open-sesame"]) as emu:
        yield emu


@pytest.fixture(scope="module")
def everywhere() -> Iterator[Emulator]:
    with Emulator("llm", host="0.0.0.0") as emu:
        yield emu


def port_of(emu: Emulator) -> int:
    return emu.link.server.port


def get(emu: Emulator, path: str, *headers: str, method: str = "GET") -> Raw:
    return send(port_of(emu), f"{method} {path}", [line.replace("PORT", str(port_of(emu))) for line in headers])


def is_closed(answer: Raw) -> bool:
    assert answer.status == 403
    assert (answer.json["status"], answer.json["title"]) == (403, "Forbidden")
    assert "--allowed-host NAME" in answer.json["detail"]
    assert answer.headers["content-type"] == "application/json"
    return True


def shows_no_cors(answer: Raw) -> bool:
    return not [name for name in answer.headers if name.startswith("access-control") or name == "vary"]


KNOWN = [
    "localhost", "LOCALHOST:1", "localhost.", "a.b.localhost", "127.0.0.1:PORT", "127.0.0.1", "127.9.9.9:80", "[::1]",
    "[::1]:PORT", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "emulator.test:8443", "x.lb.test", "allowed.test:99",
    "x.ALLOWED.test", "10.9.8.7",
]  # fmt: skip
UNKNOWN = [
    "evil.example", "evil.example:PORT", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost", "", " ",
    "localhost:PORT@evil.example", "localhost, evil.example", "localhost/evil", "http://localhost", "[::1]evil",
    "[::2]", "0.0.0.0", "10.9.8.8", "192.168.0.1", "lb.test", "x.y.lb.test", "x.emulator.test", "emulator", "::1",
    "localhost:x", "localhost:999999", "evil.example#localhost", "*.lb.test", "128.0.0.1", "2130706433", "127.1",
    "xn--localhost-9za", "l\xf6calhost",
]  # fmt: skip
PATHS = [
    "/__emulator/endpoints", "/__emulator/docs", "/__emulator/openapi.json", "/__emulator", "/__emulator/",
    "//__emulator//requests", "/__emulator/requests/", "/%5F%5femulator/jobs", "/__emulator%2Fjobs", "/__emulator/nope",
    "/__emulator/static-offline-docs/favicon.png", "/__emulator/health", "/__emulator/ready", "/__emulator/hooks",
]  # fmt: skip


@table("host", KNOWN)
def test_it_answers_to_its_own_names(emu: Emulator, host: str) -> None:
    assert get(emu, "/__emulator/jobs", f"Host: {host}").status == 200


@table("host", UNKNOWN)
def test_it_answers_to_no_other_name(emu: Emulator, host: str) -> None:
    assert is_closed(get(emu, "/__emulator/jobs", f"Host: {host}"))
    assert is_closed(get(emu, "/__emulator/reset", f"Host: {host}", method="POST"))


@pytest.mark.parametrize("headers", [[], ["Host: localhost", "Host: evil.example"], ["Host: localhost"] * 2])
def test_one_host_is_what_it_takes(emu: Emulator, headers: list[str]) -> None:
    assert is_closed(get(emu, "/__emulator/jobs", *headers))


@table("path", PATHS)
@table("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_all_that_is_there_is_behind_the_door(emu: Emulator, path: str, method: str) -> None:
    for strange in (["Host: evil.example"], ["Host: 127.0.0.1:PORT", "Origin: http://evil.example"]):
        answer = get(emu, path, *strange, method=method)
        assert answer.status == 403
        assert method == "HEAD" or is_closed(answer)
        assert shows_no_cors(answer)


OWN = [
    ("localhost:PORT", "http://localhost:PORT"), ("127.0.0.1:PORT", "http://127.0.0.1:PORT"),
    ("[::1]:PORT", "http://[::1]:PORT"), ("localhost", "http://localhost"), ("localhost:80", "http://localhost"),
    ("allowed.test:PORT", "http://Allowed.test:PORT"), ("x.lb.test", "http://x.lb.test:80"),
]  # fmt: skip
STRANGE = [
    ("localhost:PORT", origin)
    for origin in (
        "http://evil.example", "https://localhost:PORT", "http://localhost:1", "http://127.0.0.1:PORT", "null", "",
        "http://localhost", "http://localhost:PORT/", "http://localhost:PORT.evil.example", "localhost:PORT",
        "http://x@localhost:PORT", "http://localhost:PORT http://evil.example", "file://", "http://allowed.test:PORT",
        "chrome-extension://abcdef", "ws://localhost:PORT",
    )
] + [("evil.example:PORT", "http://evil.example:PORT"), ("emulator:PORT", "http://emulator:PORT")]  # fmt: skip


@pytest.mark.parametrize(("host", "origin"), OWN)
def test_its_own_pages_are_let_in_without_cors(emu: Emulator, host: str, origin: str) -> None:
    for method, path, status in (("GET", "/jobs", 200), ("POST", "/reset", 204), ("OPTIONS", "/reset", 405)):
        preflight = "Access-Control-Request-Method: POST"
        answer = get(emu, f"/__emulator{path}", f"Host: {host}", f"Origin: {origin}", preflight, method=method)
        assert (answer.status, shows_no_cors(answer)) == (status, True)


@table(("host", "origin"), STRANGE)
def test_no_other_page_is_let_in(emu: Emulator, host: str, origin: str) -> None:
    assert is_closed(get(emu, "/__emulator/jobs", f"Host: {host}", f"Origin: {origin}"))


def test_of_two_origins_each_must_be_its_own(emu: Emulator) -> None:
    own, strange = "Origin: http://localhost:PORT", "Origin: http://evil.example"
    for both in ((own, strange), (strange, own)):
        assert is_closed(get(emu, "/__emulator/jobs", "Host: localhost:PORT", *both))


@pytest.mark.parametrize(
    ("told", "let_in"),
    [
        (["Sec-Fetch-Site: none"], True),
        (["Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"], True),
        (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], True),
        (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"], False),
        (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"], False),
        (["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"], False),
    ],
)
def test_a_page_that_says_no_origin_is_known_by_what_its_browser_says(
    emu: Emulator, told: list[str], let_in: bool
) -> None:
    answer = get(emu, "/__emulator/jobs", "Host: localhost:PORT", *told)
    assert answer.status == 200 if let_in else is_closed(answer)


def test_over_tls_it_is_the_same(emu: Emulator) -> None:
    number, secure = emu.link.server.tls_port or 0, ssl.create_default_context(cafile=str(emu.ca_file))
    secure.check_hostname = False
    for host, origin, status in (
        (f"emulator.test:{number}", f"https://emulator.test:{number}", 200),
        (f"localhost:{number}", f"http://localhost:{number}", 403),
        (f"localhost:{number}", f"https://evil.example:{number}", 403),
        (f"evil.example:{number}", f"https://evil.example:{number}", 403),
    ):
        headers = [f"Host: {host}", f"Origin: {origin}"]
        assert send(number, "GET /__emulator/jobs", headers, secure=secure).status == status


KEY = "Authorization: Bearer open-sesame"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Host: evil.example", KEY], 200),
        (["Host: evil.example:PORT", "Origin: http://evil.example:PORT", KEY], 200),
        (["Host: localhost:PORT", "Origin: https://app.example", KEY], 200),
        (["Host: localhost:PORT", "Origin: null", "Sec-Fetch-Site: cross-site", KEY], 200),
        ([KEY], 200),
        (["Host: evil.example", "Authorization: Bearer open-sesam"], 401),
        (["Host: evil.example", "Authorization: open-sesame"], 200),
        (["Host: localhost:PORT", "Origin: https://app.example"], 401),
        (["Host: localhost:PORT", "Authorization: any"], 401),
        (["Host: localhost:PORT"], 401),
    ],
)
def test_the_admin_key_opens_it_to_all_still_without_cors(guarded: Emulator, headers: list[str], status: int) -> None:
    answer = get(guarded, "/__emulator/jobs", *headers)
    assert (answer.status, shows_no_cors(answer)) == (status, True)


def test_without_an_admin_key_no_key_opens_it(emu: Emulator) -> None:
    for key in ("open-sesame", emu.key, "Bearer"):
        assert is_closed(get(emu, "/__emulator/jobs", "Host: evil.example", f"Authorization: {key}"))


@pytest.mark.parametrize("path", ["/__emulator/health", "/__emulator/ready"])
@pytest.mark.parametrize("host", ["emulator:8000", "172.17.0.2:PORT", "[fd00::7]:8000", "localhost", None])
def test_probes_call_it_by_an_address_or_a_name_in_their_own_network(
    everywhere: Emulator, path: str, host: str | None
) -> None:
    headers = [f"Host: {host}"] if host else []
    assert get(everywhere, path, *headers).status == 200
    assert is_closed(get(everywhere, "/__emulator/jobs", *(headers if host != "localhost" else [])))
    assert is_closed(get(everywhere, path, "Host: emulator.evil.example"))
    assert is_closed(get(everywhere, path, *headers, "Origin: http://emulator:8000"))


def test_who_waits_by_another_name_is_told_what_to_do(everywhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1", *more, **named))
    assert until_ready(f"http://emulator:{port_of(everywhere)}", 5) == ""
    assert "answered 403: 'emulator.example.test" in until_ready(
        f"http://emulator.example.test:{port_of(everywhere)}/v2", 0
    )


def test_hooks_are_called_by_any_name_but_by_no_page(emu: Emulator) -> None:
    path = "/__emulator/hooks/-/test"
    assert get(emu, path, "Host: x.tunnel.example", method="POST").status == 200
    for host in ("localhost:PORT", "x.tunnel.example"):
        assert is_closed(get(emu, path, f"Host: {host}", "Origin: http://evil.example", method="POST"))
        assert is_closed(get(emu, path, f"Host: {host}", f"Origin: http://{host}x", method="POST"))
    assert is_closed(get(emu, path, "Host: evil.example", "Origin: http://evil.example", method="POST"))
    assert is_closed(get(emu, "/__emulator/hooks/answers", "Host: x.tunnel.example", method="POST"))


@pytest.mark.parametrize(
    "headers", [["Host: evil.example"], ["Host: 127.0.0.1", "Origin: http://evil.example"], ["Host: 127.0.0.1"]]
)
def test_a_websocket_is_not_let_in(emu: Emulator, headers: list[str]) -> None:
    upgrade = ["Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    request = ["GET /__emulator/events HTTP/1.1", *headers, "Connection: Upgrade", *upgrade, "", ""]
    with socket.create_connection(("127.0.0.1", port_of(emu)), 10) as connection:
        connection.sendall("\r\n".join(request).encode())
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert (b"--allowed-host" in answer) == (headers != ["Host: 127.0.0.1"])
    assert b"access-control" not in answer.lower()


@pytest.mark.parametrize("host", ["app.localhost:PORT", "app.evil.example"])
def test_a_load_balancers_name_opens_nothing(emu: Emulator, host: str) -> None:
    for path in ("/__emulator/jobs", "//__emulator/jobs", "/x"):
        answer = get(emu, path, f"Host: {host}")
        assert answer.status == 401, "it is a request for the endpoint, which wants a key"
        assert "total" not in answer.body.decode()


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css", "/__emulator/docs",
                                  "/__emulator/jobs", "/__emulator/health", "/__emulator/nope"])  # fmt: skip
def test_a_browser_is_told_what_it_may_do_with_it(emu: Emulator, path: str) -> None:
    answer = get(emu, path, "Host: localhost")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_what_the_service_answers_is_as_it_was(emu: Emulator) -> None:
    answer = get(emu, "/v2/llm/health", "Host: evil.example", "Authorization: any")
    assert answer.status == 200
    assert set(answer.headers) == {"x-emulator-fidelity", "content-length", "content-type", "vary", "connection"}


@pytest.mark.parametrize("name", ["emulator.test:8000", "http://emulator.test", "*", "a*.test", "[::1]", "x/y", "x@y"])
def test_a_name_is_no_url(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^allowed_host: .*write a name or an address without a port"):
        Emulator("llm", allowed_host=[name]).start()


def test_a_bind_address_is_a_name(tmp_path: Path) -> None:
    with Emulator("llm", host="127.0.0.3") as emu:
        answer = send(port_of(emu), "GET /__emulator/jobs", ["Host: 127.0.0.3"], address="127.0.0.3")
        assert answer.status == 200
