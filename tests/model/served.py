"""The real server that the model is compared with: every door, but no sockets, no processes and no passing of time."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from runpod_emulator.config.settings import read_settings
from runpod_emulator.server.app import LateApp
from runpod_emulator.server.server import Server
from starlette.routing import Mount

_LOG = logging.getLogger("runpod_emulator")
_TURNS = 20_000
"""Turns of the loop after which a call that is still at work has gone astray."""


class StandingLoop(asyncio.SelectorEventLoop):
    """An event loop whose own clock stands: what waits for real time never comes, so nothing depends on it."""

    def time(self) -> float:
        """Always the same moment."""
        return 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is ready to run."""
        return not self._ready  # type: ignore[attr-defined]


@dataclass
class Held:
    """One request, and its answer as soon as there is one."""

    told: str
    task: asyncio.Task[None] | None = None
    status: int = 0
    content: bytearray = field(default_factory=bytearray)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> bool:
        """Whether it was answered."""
        return self.task is not None and self.task.done()

    @property
    def body(self) -> Any:
        """The answer's JSON, None for an empty one, text for what is no JSON."""
        try:
            return json.loads(self.content) if self.content else None
        except ValueError:
            return self.content.decode("utf-8", "replace")


class Served:
    """A server and its loop; `setup` may put fakes in place first and undoes them at the end."""

    def __init__(self, setup: Callable[[ExitStack], None] = lambda stack: None, **options: Any) -> None:
        self._stack = ExitStack()
        setup(self._stack)
        self._stack.callback(_LOG.setLevel, _LOG.level)
        _LOG.setLevel(logging.CRITICAL)
        self.loop = StandingLoop()
        self._server = self.run(self._start({"config": os.devnull, "port": 0, "clock": "virtual", **options}))
        self.base = self._server.base_url.removesuffix("/v2")
        self.key = self._server.key

    @staticmethod
    async def _start(options: dict[str, Any]) -> Server:
        server = Server(read_settings(**options))
        server.emulator.endpoints.open()
        server.app.state.ready = True
        for route in server.app.routes:
            if isinstance(route, Mount) and isinstance(route.app, LateApp):
                route.app.get()  # a thread would make it, and none gets its turn here
        return server

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        """End everything."""
        self.run(self._close())
        self.loop.close()
        self._stack.close()

    async def _close(self) -> None:
        await self._server.worlds.stop()
        for port in self._server._listeners:
            port.release()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Held:
        """Make a request and let everything run until nothing moves; the answer may still be held then."""
        held: Held = self.run(self._call(method, path, body, headers or {}))
        return held

    def settle(self) -> None:
        """Let everything run until nothing moves."""
        self.run(self._settle())

    def leave(self, held: Held) -> None:
        """The client of a held request hangs up."""
        held.left.set()
        self.settle()

    async def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Held:
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        held = Held(f"{method} {path} {text[:200].decode('utf-8', 'replace')}")
        received = False

        async def receive() -> dict[str, Any]:
            nonlocal received
            if not received:
                received = True
                return {"type": "http.request", "body": text, "more_body": False}
            await held.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                held.status = message["status"]
            else:
                held.content += message.get("body", b"")

        scope = self._scope(method, path, {"content-length": str(len(text)), **headers})
        held.task = asyncio.ensure_future(self._server.app(scope, receive, send))
        await self._settle()
        return held

    def _scope(self, method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
        parts = urlsplit(path)
        told = {
            "host": "127.0.0.1",
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            **headers,
        }
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http",
            "method": method, "path": parts.path, "raw_path": parts.path.encode(), "root_path": "",
            "query_string": parts.query.encode(), "headers": [(k.encode(), v.encode()) for k, v in told.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            if self.loop.is_quiet:
                return
        raise AssertionError("the server never comes to rest")
