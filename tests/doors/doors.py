"""A client before the doors of a small world: no port, no worker processes, no passing time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, Progressed
from runpod_emulator.core.platform import Profile
from runpod_emulator.http.access import Access
from runpod_emulator.http.call import FIDELITY
from runpod_emulator.server.app import Application
from runpod_emulator.world.worlds import Worlds

from tests.stores.counted import MADE, close_made, rest
from tests.worlds import TestWorld, make_world

KEY = "rpa_KEY"
PROFILES: tuple[Profile, ...] = ("observed", "documented")
JOB = b'{"input":{"a":1}}'


class Doors:
    """One application over one world, and a client that sends a key."""

    def __init__(self, world: TestWorld, access: Access, key: str | None = KEY) -> None:
        self.world = world
        self.endpoint = world.endpoint
        self.app = Application(Worlds(world.emulator), access)
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1", headers=headers, trust_env=False
        )

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET a route of endpoint `ep`."""
        return await self.http.get(f"/v2/ep{path}", **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        """POST to a route of endpoint `ep`."""
        return await self.http.post(f"/v2/ep{path}", **options)

    async def hold(self, call: Coroutine[Any, Any, httpx.Response], waiters: int = 1) -> asyncio.Task[httpx.Response]:
        """Start a request and come back when `waiters` answers are held."""
        task = asyncio.ensure_future(call)
        await until(lambda: self.waiting == waiters)
        assert not task.done()
        return task

    @property
    def waiting(self) -> int:
        """How many answers are being held."""
        return len(self.world.emulator.room.held())

    async def submit(self, body: bytes = JOB) -> str:
        """Hand a job in through /run; returns its id."""
        answer = await self.post("/run", content=body)
        assert answer.status_code == 200, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    async def take(self) -> Job:
        """The first waiting job, in the hands of a worker that is ready."""
        (job,) = await self.world.take(await self.world.worker())
        return job

    async def complete(self, job: Job, output: bytes | None = b'"done"') -> None:
        """End a running job well."""
        assert await self.endpoint.work.report(job.id, Completed(job.lease, output))

    async def fail(self, job: Job, error: str = "no luck", output: bytes | None = None) -> None:
        """End a running job badly."""
        assert await self.endpoint.work.report(job.id, Failed(error, output, job.lease))

    async def emit(self, job: Job, *chunks: bytes) -> None:
        """Stream chunks of a running job."""
        assert await self.endpoint.work.report(job.id, Emitted(job.lease, chunks))

    async def progress(self, job: Job, output: bytes) -> None:
        """Report progress of a running job."""
        assert await self.endpoint.work.report(job.id, Progressed(job.lease, output))

    async def completed(self, output: bytes | None = b'"done"') -> Job:
        """A job that has ended well."""
        await self.submit()
        job = await self.take()
        await self.complete(job, output)
        return job

    async def failed(self) -> Job:
        """A job that has ended badly."""
        await self.submit()
        job = await self.take()
        await self.fail(job)
        return job


def open_doors(
    profile: Profile = "observed", *, access: Access | None = None, key: str | None = KEY, **options: Any
) -> Doors:
    """A fresh world behind fresh doors; `options` are those of `make_world`."""
    return Doors(make_world(profile, **options), access or Access(), key)


def live(life: Coroutine[Any, Any, None]) -> None:
    """Run this in a loop of its own, and let go of the stores that it has made."""

    async def whole() -> None:
        try:
            await life
        finally:
            await close_made()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until `condition` holds."""
    for _ in range(2_000):
        if condition():
            return
        await (rest() if MADE else asyncio.sleep(0))
    raise AssertionError("what the test waits for never came")


def body(status: int, title: str, detail: str) -> bytes:
    """The bytes of an error."""
    return json.dumps({"status": status, "title": title, "detail": detail}, separators=(",", ":")).encode()


def expect_problem(answer: httpx.Response, status: int, title: str, detail: str) -> bool:
    """Assert that an answer is exactly this problem, in JSON and with its evidence."""
    assert (answer.status_code, answer.content) == (status, body(status, title, detail))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers[FIDELITY].partition("; row=")[2].startswith("error.")
    return True


def expect_bad_request(answer: httpx.Response, detail: str) -> bool:
    """Assert a 400 of this detail."""
    return expect_problem(answer, 400, "Bad Request", f"bad request: {detail}")


class Visit:
    """One request driven by hand: its body comes in parts, and its client may leave."""

    def __init__(
        self,
        doors: Doors,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: dict[str, str] | None = None,
        parts: tuple[bytes, ...] | None = (),
    ) -> None:
        headers = {"host": "emulator", "authorization": KEY, **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        if parts is not None:
            for part in parts:
                self.feed(part)
            self.feed(b"", more=False)
        self.task = asyncio.ensure_future(doors.app(scope, self._receive, self._send))

    def feed(self, part: bytes, more: bool = True) -> None:
        """Send one part of the body."""
        self._inbox.put_nowait({"type": "http.request", "body": part, "more_body": more})

    def leave(self) -> None:
        """Hang up."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        """The status of the answer."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        """What of the answer's body has come."""
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def unread(self) -> int:
        """How many parts of the body nobody has read."""
        return self._inbox.qsize()

    async def _receive(self) -> dict[str, Any]:
        message = await self._inbox.get()
        if message["type"] == "http.disconnect":
            self._inbox.put_nowait(message)
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
