"""The page and its files, from outside: who gets them, with which headers, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from runpod_emulator.doors import ui
from runpod_emulator.http.access import Access
from runpod_emulator.http.names import OwnNames
from runpod_emulator.server.app import Application
from runpod_emulator.world.worlds import Worlds

from tests.tables import table
from tests.worlds import make_world

FOLDER = Path(ui.__file__).parent / "static"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "user-agent": "Mozilla/5.0"}
VENDORED = {
    "htm.mjs": "ab33dd3f38059b9be4d5f5350128eefb2356639c4e0bbe9d9e8b3ba75847e9e4",
    "preact-hooks.mjs": "e862ab2973aa6455eaa0f77c5d832d2157d6be59a17c8ba546550a575b58c6b4",
    "preact.mjs": "bdcbd9abdf2c77c5c45326eab42191e949222d479d0d5f69467387a77040cb55",
    "uPlot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.mjs": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
}
"""Of the files at npm."""


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that asks for an admin key, under a name that it does not have."""
    world = make_world()
    app = Application(
        Worlds(world.emulator), Access(), admin_access=Access(True, frozenset({"open"})), names=OwnNames()
    )
    transport = httpx.ASGITransport(app, client=("10.1.2.3", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator.lan:8000", trust_env=False) as client:
        yield client


async def test_a_browser_gets_the_page_and_everybody_else_the_addresses(http: httpx.AsyncClient) -> None:
    shown, told = await http.get("/", headers=BROWSER), await http.get("/")
    assert shown.headers["content-type"] == "text/html; charset=utf-8" and '<div id="app">' in shown.text
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    for address in ("http://emulator.lan:8000/v2", "http://emulator.lan:8000/\n", "/__emulator/docs", "/health"):
        assert address in told.text
    assert "Accept" in shown.headers["vary"] and "Accept" in told.headers["vary"]
    assert (await http.get("/__emulator/ui")).text == shown.text
    assert (await http.head("/", headers=BROWSER)).status_code == 200
    assert (await http.post("/", headers=BROWSER)).status_code == 405


async def test_the_page_needs_no_key_and_what_it_shows_does(http: httpx.AsyncClient) -> None:
    assert (await http.get("/__emulator/ui/main.js")).status_code == 200
    for path in ("/__emulator/timeline", "/__emulator/uix", "/__emulator/events"):
        assert (await http.get(path)).status_code == 401, path


async def test_only_this_server_may_run_anything_in_the_page(http: httpx.AsyncClient) -> None:
    answer = await http.get("/", headers=BROWSER)
    policy = dict(part.partition(" ")[::2] for part in answer.headers["content-security-policy"].split("; "))
    [inline] = re.findall(r"<script type=\"importmap\">(.*?)</script>", answer.text)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert policy["default-src"] == "'none'" and policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert not re.search(r"\son\w+=|style=|https?://", answer.text)


async def test_a_file_that_the_browser_has_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/__emulator/ui/style.css")
    assert first.headers["cache-control"] == "no-cache"
    again = await http.get("/__emulator/ui/style.css", headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


@table(
    "path",
    ["../ui.py", "..%2fui.py", "%2e%2e/ui.py", "vendor/../../ui.py", "/etc/passwd", "vendor", "nothing.js", "index"],
)
async def test_nothing_but_the_files_is_served(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(httpx.URL(f"http://emulator.lan:8000/__emulator/ui/{path}"))
    assert answer.status_code in (401, 404)


async def test_a_page_of_elsewhere_may_not_load_the_files(http: httpx.AsyncClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}
    assert (await http.get("/__emulator/ui/main.js", headers=headers)).status_code == 403


@table("name", sorted(VENDORED))
def test_what_is_not_ours_is_as_it_came(name: str) -> None:
    assert hashlib.sha256((FOLDER / "vendor" / name).read_bytes()).hexdigest() == VENDORED[name]


@table("path", sorted(FOLDER.glob("*.js")))
def test_our_files_name_only_files_that_there_are(path: Path) -> None:
    text = path.read_text()
    names = re.findall(r"(?:from|import\()\s*\"(\./[^\"]+)\"", text)
    assert all((FOLDER / name).is_file() for name in names)
    assert "innerHTML" not in text and "eval(" not in text and "document.write" not in text
    assert len(text.splitlines()) <= 300
