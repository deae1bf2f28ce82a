"""A real Chromium without a window, and pages of other origins for it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp

from tests.compat.servers import LIMIT

STRANGER = "evil.example"
"""A name that leads to this machine for the browser, as any name of a stranger may."""
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
    f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1",
)  # fmt: skip


class Page:
    """One tab, driven over the protocol of the developer tools; `log` is what its console shows."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.log: list[str] = []
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif told["method"] == "Log.entryAdded":
                self.log.append(told["params"]["entry"]["text"])
            elif told["method"] == "Runtime.consoleAPICalled" and told["params"]["type"] in ("error", "warning"):
                self.log.append(str(told["params"]["args"]))
            elif told["method"] == "Runtime.exceptionThrown":
                self.log.append(str(told["params"]["exceptionDetails"]))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call one method; returns its result."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        told = await asyncio.wait_for(answer, LIMIT)
        assert "error" not in told, told
        return dict(told["result"])

    async def open(self, url: str) -> None:
        """Go there, and wait until it has loaded."""
        self.loads()
        await self.call("Page.navigate", url=url)
        await self.loaded()

    def loads(self) -> None:
        """From now on the page is not loaded."""
        self._loaded.clear()

    async def loaded(self) -> None:
        """Wait until it is."""
        await asyncio.wait_for(self._loaded.wait(), LIMIT)

    async def run(self, script: str) -> Any:
        """What a script of the page comes to; it may await. The page holds its promise, else it might be collected."""
        told = await self.call(
            "Runtime.evaluate",
            expression=f"globalThis.underWay = (async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true in the page; returns its value."""
        return await self.run(f"""
            const end = performance.now() + {LIMIT * 500};
            while (!({expression}) && performance.now() < end) await new Promise(requestAnimationFrame);
            return {expression};
        """)


@contextlib.asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Page]:
    """Chromium with one tab; its profile is in the folder."""
    browser = await asyncio.create_subprocess_exec(
        "chromium", *SWITCHES, f"--user-data-dir={folder}", "about:blank", stderr=asyncio.subprocess.PIPE
    )
    assert browser.stderr is not None
    try:
        port = await asyncio.wait_for(_port(browser.stderr), LIMIT)
        draining = asyncio.ensure_future(browser.stderr.read())
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
                tab = await answer.json(content_type=None)
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
        draining.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            browser.kill()
        await browser.wait()


async def _port(errors: asyncio.StreamReader) -> str:
    while line := await errors.readline():
        if match := re.search(rb"DevTools listening on ws://[^:]+:(\d+)/", line):
            return match[1].decode()
    raise AssertionError("chromium ended before it listened")


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>page</title><body></body>")

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def elsewhere() -> Iterator[int]:
    """The port of a web server that answers everything with an empty page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(LIMIT)
