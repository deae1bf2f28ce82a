"""What a page in the developer's browser can do to a server on the same machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.compat.servers import Command, Starter
from tests.conftest import require
from tests.security.browser import STRANGER, Page, browsing, elsewhere

pytestmark = pytest.mark.compat

UNREADABLE = ("refused", "opaque")
"""What a page knows of an answer that it may not read: nothing, or that there was one."""
WEB = """
import pathlib
async def app(scope, receive, send):
    if not scope["path"].startswith("/ping"):
        pathlib.Path("called").touch()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""
ASK = """
const ask = async (path, options = {}) => {
    try {
        const answer = await fetch("%s" + path, options);
        return [answer.type, answer.status, await answer.text()];
    } catch (error) { return ["refused", 0, String(error)]; }
};
"""


class Asking:
    """A page that calls a server."""

    def __init__(self, page: Page, root: str) -> None:
        self._page = page
        self._ask = ASK % root

    async def ask(self, path: str, options: str = "{}") -> Any:
        return await self._page.run(f"{self._ask} return await ask({path!r}, {options})")

    async def run(self, script: str) -> Any:
        return await self._page.run(self._ask + script)


def served(start: Starter, *options: str) -> Command:
    return start("serve", "--mock", "llm", "--port", "0", "--set", "paused_endpoint=queue", *options).ready()


def admin(command: Command, path: str) -> Any:
    return command.http.get(f"{command.root_url}/__emulator{path}").json()


def told(owned: Path) -> str:
    return f"""JSON.stringify({{id: "x", command: "touch {owned}"}})"""


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
@pytest.mark.parametrize("mode", ["cors", "no-cors"])
async def test_a_page_of_elsewhere_starts_no_command(
    start: Starter, tmp_path: Path, content_type: str, mode: str
) -> None:
    require("chromium")
    command, owned = served(start), tmp_path / "owned"
    with elsewhere() as port:
        async with browsing(tmp_path / "profile") as page:
            await page.open(f"http://{STRANGER}:{port}/")
            options = f"""{{method: "POST", mode: "{mode}", headers: {{"Content-Type": "{content_type}"}},
                body: {told(owned)}}}"""
            kind, status, text = await Asking(page, command.root_url).ask("/__emulator/endpoints", options)
    assert kind in UNREADABLE and status == 0, text
    assert [one["id"] for one in admin(command, "/endpoints")] == ["llm"]
    assert not owned.exists()


async def test_a_page_of_elsewhere_neither_reads_nor_changes_anything(start: Starter, tmp_path: Path) -> None:
    require("chromium")
    command = served(start)
    job = command.http.post("/llm/run", json={"input": {"secret": "s3cret"}}).json()["id"]
    root, port_of_server = command.root_url, command.root_url.rpartition(":")[2]
    with elsewhere() as port:
        async with browsing(tmp_path / "profile") as page:
            await page.open(f"http://{STRANGER}:{port}/")
            for base in (root, root.replace("127.0.0.1", "localhost"), f"http://{STRANGER}:{port_of_server}"):
                asking = Asking(page, base)
                for path in ("/requests", "/jobs", "/endpoints", "/docs", "/health"):
                    assert (await asking.ask(f"/__emulator{path}"))[0] == "refused"
                    assert (await asking.ask(f"//__emulator//{path}"))[0] == "refused"
                for headers in ('"text/plain"', '"application/x-www-form-urlencoded"'):
                    options = f"""{{method: "POST", mode: "no-cors", headers: {{"Content-Type": {headers}}}}}"""
                    for path in ("/__emulator/reset", "/%5f_emulator//reset/"):
                        assert (await asking.ask(path, options))[0] in UNREADABLE
                assert (await asking.ask(f"/v2/llm/status/{job}", '{headers: {Authorization: "any"}}'))[0] == "refused"
                assert await _socket(page, base.replace("http", "ws") + "/__emulator/events") == "closed"
            await _post_a_form(page, f"{root}/__emulator/reset")
            assert (await page.run("return document.body.innerText")).count("--allowed-host") == 1
    assert [one["id"] for one in admin(command, "/jobs")["jobs"]] == [job]
    assert [one["status"] for one in admin(command, "/requests")["requests"]] == [200], "nothing else came as far"


async def test_without_keys_too_a_page_of_elsewhere_hands_in_no_job_and_takes_none(
    start: Starter, tmp_path: Path
) -> None:
    require("chromium")
    (tmp_path / "web.py").write_text(WEB)
    command = served(start, "--no-auth", "--endpoint", "out", "--load-balancer", "web=web.py:app")
    job = command.http.post("/out/run", json={"input": {"a": 1}}).json()["id"]
    with elsewhere() as port:
        async with browsing(tmp_path / "profile") as page:
            await page.open(f"http://{STRANGER}:{port}/")
            asking = Asking(page, command.root_url)
            blind = """{method: "POST", mode: "no-cors", body: '{"input": {"a": 1}}'}"""
            for path in ("/v2/out/run", "/v2/llm/runsync", "/v2/out/purge-queue", f"/v2/out/cancel/{job}", "/lb/web/x"):
                assert (await asking.ask(path, blind))[0] in UNREADABLE
            assert (await asking.ask("/v2/out/job-take/thief", '{mode: "no-cors"}'))[0] in UNREADABLE
            assert (await asking.ask(f"/v2/out/job-done/thief/{job}", blind))[0] in UNREADABLE
            assert await _socket(page, command.root_url.replace("http", "ws") + "/lb/web/x") == "closed"
    (left,) = admin(command, "/jobs")["jobs"]
    assert (left["id"], left["status"]) == (job, "IN_QUEUE")
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", STRANGER])
@pytest.mark.parametrize("options", [(), ("--no-auth",)])
async def test_no_page_of_elsewhere_makes_an_address_of_ours_change_anything(
    start: Starter, tmp_path: Path, host: str, options: tuple[str, ...]
) -> None:
    """Under the stranger's own name the browser does not say where a request comes from, as at any plain address."""
    require("chromium")
    command = served(start, "--endpoint", "out", *options)
    job = command.http.post("/out/run", headers={"Authorization": "any"}, json={"input": {"a": 1}}).json()["id"]
    root = f"{command.root_url}/v2/out".replace("127.0.0.1", host)
    with elsewhere() as port:
        async with browsing(tmp_path / "profile") as page:
            for path in ("/job-take/thief", "/job-take-batch/thief?batch_size=9999",
                         "/ping/thief?status=unhealthy&check=x&reason=y", "/openai/v1/models"):  # fmt: skip
                await page.open(f"http://{STRANGER}:{port}/")
                await _load(page, "img", root + path)
                await _load(page, "iframe", root + path)
                page.loads()
                await page.run(f"location.href = {root + path!r}")
                await page.loaded()
                assert (await page.run("return document.body.innerText")).count("--allowed-host") == 1
            await page.open(f"{root}/health")
            assert "inQueue" in await page.run("return document.body.innerText") or not options
    (left,) = admin(command, "/jobs")["jobs"]
    assert (left["id"], left["status"], left["worker"]) == (job, "IN_QUEUE", None)


async def test_a_page_of_this_machine_is_a_client(start: Starter, tmp_path: Path) -> None:
    require("chromium")
    command = served(start)
    with elsewhere() as port:
        async with browsing(tmp_path / "profile") as page:
            for host in ("localhost", "127.0.0.1", "app.localhost"):
                await page.open(f"http://{host}:{port}/")
                asking = Asking(page, command.root_url)
                answer = await asking.run(
                    """
                    const answer = await fetch("%s/v2/llm/runsync", {method: "POST", body: '{"input": {"a": 1}}',
                        headers: {Authorization: "Bearer any", "Content-Type": "application/json"}});
                    const row = answer.headers.get("X-Emulator-Fidelity").split("=")[1].split(".")[0];
                    return [answer.status, row, await answer.json()];
                """.replace("%s", command.root_url)
                )
                assert answer[:2] == [200, "runsync"]
                for path in ("/requests", "/reset", "/health"):
                    assert (await asking.ask(f"/__emulator{path}"))[0] == "refused"


async def test_no_page_holds_ours_in_a_frame(start: Starter, tmp_path: Path) -> None:
    require("chromium")
    command = served(start)
    with elsewhere() as port:
        async with browsing(tmp_path / "profile") as page:
            await page.open(f"http://localhost:{port}/")
            for path in ("/docs", "/__emulator/docs", "/openapi.json"):
                await page.run(f"""
                    const frame = document.createElement("iframe");
                    frame.src = "{command.root_url}{path}";
                    await new Promise(done => {{ frame.onload = done; document.body.append(frame); }});
                """)
    assert len([line for line in page.log if "frame" in line.lower()]) == 3, page.log


@pytest.mark.parametrize(
    ("path", "operation", "status"),
    [
        ("/docs", "operations-emulator-health___emulator_health_get", "200"),
        ("/docs", "operations-queue-health", "401"),
        ("/__emulator/docs", "operations-what_happened-clock_clock_get", "200"),
        ("/__emulator/docs", "operations-what_shall_happen-clear_stubs_stubs_delete", "204"),
    ],
)
async def test_our_own_pages_work(start: Starter, tmp_path: Path, path: str, operation: str, status: str) -> None:
    require("chromium")
    command = served(start, "--tls", "--tls-port", "0", "--tls-folder", tmp_path / "tls")
    async with browsing(tmp_path / "profile") as page:
        await page.open(command.root_url + path)
        await page.until("document.querySelectorAll('.opblock').length > 5")
        ids = await page.run("return [...document.querySelectorAll('.opblock')].map(one => one.id)")
        assert operation in ids, ids
        await _try(page, operation)
        assert (
            await page.until(
                f"document.querySelector('#{operation} .live-responses-table tbody .response-col_status')"
                "?.innerText.trim()"
            )
            == status
        )
    assert [line for line in page.log if f"status of {status}" not in line] == []


async def _try(page: Page, operation: str) -> None:
    """Press "Try it out" and "Execute" at an operation of Swagger UI."""
    for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
        await page.until(f"document.querySelector('#{operation} {button}') !== null")
        await page.run(f"""
            const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
            const fill = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
            for (const input of document.querySelectorAll("#{operation} .parameters input"))
                if (!input.disabled && !input.value) {{
                    fill.call(input, "llm");
                    input.dispatchEvent(new Event("input", {{bubbles: true}}));
                    input.dispatchEvent(new Event("focusout", {{bubbles: true}}));
                    await painted();
                }}
            document.querySelector('#{operation} {button}').click();
        """)


async def _socket(page: Page, url: str) -> Any:
    return await page.run(f"""return await new Promise(done => {{
        const socket = new WebSocket("{url}");
        socket.onopen = () => done("open");
        socket.onclose = () => done("closed");
    }})""")


async def _load(page: Page, element: str, url: str) -> None:
    """Let the page show what an address answers, and wait until that has come or failed."""
    await page.run(f"""await new Promise(done => {{
        const one = document.createElement("{element}");
        one.onload = one.onerror = done; one.src = {url!r}; one.referrerPolicy = "no-referrer";
        document.body.append(one);
    }})""")


async def _post_a_form(page: Page, url: str) -> None:
    page.loads()
    await page.run(f"""
        const form = document.createElement("form");
        form.method = "POST"; form.action = "{url}"; form.enctype = "text/plain";
        document.body.append(form); form.submit();
    """)
    await page.loaded()
