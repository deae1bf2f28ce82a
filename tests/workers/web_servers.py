"""Programs that load-balancing workers run: an ASGI application and a plain HTTP server, both without a framework."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.compat.servers import until
from tests.workers.programs import Hosted

APP = """
import asyncio, hashlib, json, os, signal, subprocess, sys

seen = {"left": 0, "next": asyncio.Event(), "state": "never began", "requests": 0, "checks": 0}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        seen["state"] = "began"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] == "websocket":
        return await talk(scope, receive, send)
    work = globals().get(scope["path"].strip("/").replace("-", "_"), about)
    await work(scope, receive, send)


async def reply(send, value, status=200, *headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def begin(send, kind=b"application/octet-stream"):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})


async def part(send, body, more=True):
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def parts(receive):
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def checks(scope, receive, send):
    await reply(send, seen["checks"])


async def ping(scope, receive, send):
    seen["checks"] += 1
    said = open("ping").read() if os.path.exists("ping") else "200"
    if said:
        await reply(send, b"", int(said))
    else:
        await asyncio.sleep(99)


async def about(scope, receive, send):
    digest, size = hashlib.sha256(), 0
    async for body in parts(receive):
        digest.update(body)
        size += len(body)
    seen["requests"] += 1
    await reply(send, {
        "environment": dict(os.environ), "pid": os.getpid(), "method": scope["method"], "size": size,
        "sha256": digest.hexdigest(), "state": seen["state"], "left": seen["left"], "requests": seen["requests"],
        "client": scope["client"], "scheme": scope["scheme"], "folder": os.getcwd(),
    })


async def echo(scope, receive, send):
    await begin(send)
    async for body in parts(receive):
        await part(send, body)
    await part(send, b"", False)


async def download(scope, receive, send):
    count = int(scope["query_string"])
    await begin(send)
    for number in range(count):
        await part(send, bytes([number % 256]) * 100_000)
    await part(send, b"", False)


async def events(scope, receive, send):
    await begin(send, b"text/event-stream")
    for number in range(3):
        await part(send, b"data: %d\\n\\n" % number)
        await seen["next"].wait()
        seen["next"].clear()
    await part(send, b"", False)


async def next(scope, receive, send):
    seen["next"].set()
    await reply(send, b"")


async def hold(scope, receive, send):
    if scope["query_string"] != b"silent":
        await begin(send)
        await part(send, b"begun")
    open("held", "w").close()
    async for body in parts(receive):
        pass
    while (await receive())["type"] != "http.disconnect":
        pass
    seen["left"] += 1


async def log(scope, receive, send):
    print("to out", flush=True)
    print("to err", file=sys.stderr, flush=True)
    await reply(send, b"")


async def breed(scope, receive, send):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"], start_new_session=False)
    await reply(send, [os.getpid(), child.pid])


async def meet(scope, receive, send):
    open("at-%d-%s" % (os.getpid(), scope["query_string"].decode()), "w").close()
    while not os.path.exists("gate"):
        await asyncio.sleep(0.01)
    await reply(send, os.getpid())


async def talk(scope, receive, send):
    await receive()
    path = scope["path"]
    if path == "/refuse":
        return await send({"type": "websocket.close"})
    if path == "/never":
        return await asyncio.sleep(99)
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    if path == "/headers":
        told = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        await send({"type": "websocket.send", "text": json.dumps([told, scope["query_string"].decode()])})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            with open("codes", "a") as codes:
                codes.write("%s %s\\n" % (message["code"], message.get("reason") or "-"))
            return
        text = message.get("text")
        if text is not None and text.startswith("close"):
            _, code, reason = text.split()
            return await send({"type": "websocket.close", "code": int(code), "reason": reason})
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        await send({**message, "type": "websocket.send"})
"""

RAW = """
import http.server, json, os, sys, time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = json.dumps({"environment": dict(os.environ), "method": self.command, "size": len(body)}).encode()
        unchanged = self.path == "/unchanged"
        self.send_response(304 if unchanged else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD" and not unchanged:
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = any

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def write(folder: Path, source: str, name: str) -> Path:
    """A file with this source."""
    file = folder / name
    file.write_text(textwrap.dedent(source), encoding="utf-8")
    return file


def app(folder: Path, extra: str = "", source: str = APP) -> str:
    """An application; `extra` is added to its module. Answers what serves it as endpoint `lb`."""
    return f"lb={write(folder, source + textwrap.dedent(extra), 'web_app.py')}:app"


def raw(folder: Path, endpoint: str = "raw", source: str = RAW) -> str:
    """A plain server as endpoint `raw`."""
    file = write(folder, source, f"{endpoint}_server.py")
    return f"{endpoint}={shlex.quote(sys.executable)} {shlex.quote(str(file))}"


class Web:
    """A client of a live server's load-balancing endpoints."""

    def __init__(self, server: Hosted) -> None:
        self.server = server
        self.root = f"{server.root_url}/lb"

    def call(self, path: str = "about", method: str = "GET", endpoint: str = "lb", **options: Any) -> httpx.Response:
        """One request."""
        return self.server.http.request(method, f"{self.root}/{endpoint}/{path}", **options)

    def about(self, **options: Any) -> Any:
        """What the worker tells of itself and the request."""
        answer = self.call(**options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stream(
        self, path: str, method: str = "GET", **options: Any
    ) -> contextlib.AbstractContextManager[httpx.Response]:
        """One request whose answer is read as it comes."""
        return self.server.http.stream(method, f"{self.root}/lb/{path}", **options)

    def workers(self, endpoint: str = "lb") -> dict[str, int]:
        """The counters of workers that are not zero."""
        counts = self.server.http.get(f"/{endpoint}/health").json()["workers"]
        return {name: count for name, count in counts.items() if count}

    def free(self) -> None:
        """Wait until no worker holds a request."""
        until(lambda: "running" not in self.workers())


@contextlib.contextmanager
def hosted(**settings: Any) -> Iterator[Hosted]:
    """A server in a thread, with its log."""
    lines: list[str] = []
    recorder = logging.Handler()
    recorder.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("runpod_emulator")
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(recorder)
    server = Hosted(lines, settings)
    try:
        yield server
    finally:
        server.close()
        log.removeHandler(recorder)
        log.setLevel(level)
