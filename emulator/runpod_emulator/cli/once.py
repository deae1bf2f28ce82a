"""A server that is there for as long as one command calls it: its start, and its jobs as a client sees them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from runpod_emulator.cli.running import loans_of_terminal, seated, settings_of, start
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.jobs.job import JobStatus

if TYPE_CHECKING:
    from runpod_emulator.server.server import Server

EXITS = {"COMPLETED": 0, "FAILED": 1, "CANCELLED": 4, "TIMED_OUT": 5}
"""Exit codes by the status in which a job has ended."""
AT_ONCE = ("unsendable_result=fail", "strip_empty_input=fail")
"""Somebody waits for the job: what RunPod would lose fails at once, unless --set says otherwise."""
_ANSWER = 600.0
"""Seconds that one call may take."""


class Refused(Exception):
    """The server did not take a request; the text is its answer."""


def own_server(options: Mapping[str, Any]) -> Server:
    """A server on a free port with these options; raises ConfigurationError."""
    from runpod_emulator.server.server import Server

    own = {"port": 0, "port_file": None, "tls": None, "reload": None, "no_rate_limits": True}
    changes = [*AT_ONCE, *(options.get("set") or ())]
    settings = settings_of({**options, **own, "set": changes})
    settings.state = None  # of a file, where it is that of a server which lasts
    return Server(settings, loans_of_terminal())


@contextlib.asynccontextmanager
async def started(server: Server, stopped: asyncio.Future[None]) -> AsyncIterator[Calls]:
    """The calls of a server that is up, which is stopped afterwards; raises ConfigurationError, asyncio.CancelledError.

    `stopped` is done when the user has enough.
    """
    with seated(server.terminal, server, with_keys=False):
        try:
            if not await start(server, stopped, None):
                raise asyncio.CancelledError
            yield Calls(server, stopped)
        finally:
            await server.stop()


class Calls:
    """What a client does with the jobs of one endpoint, through the server's own port."""

    def __init__(self, server: Server, stopped: asyncio.Future[None]) -> None:
        self._server = server
        self._stopped = stopped

    async def run(
        self, endpoint: str, request: Mapping[str, Any], chunk: Callable[[Any], None], timeout: float | None = None
    ) -> dict[str, Any]:
        """Hand in a job, tell its chunks as they come, and answer its status at its end; raises Refused.

        One that takes longer than `timeout` seconds is cancelled, as all are when the user has enough.
        """
        job = (await self.post(endpoint, "run", request))["id"]
        follow = asyncio.ensure_future(self._follow(endpoint, job, chunk))
        waited: set[asyncio.Future[Any]] = {follow, self._stopped}
        await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not follow.done():
            await self.post(endpoint, f"cancel/{job}", {})
        return await follow

    async def post(self, endpoint: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request; raises Refused for any but 200."""
        return await self._call("POST", f"/v2/{endpoint}/{verb}", json.dumps(body))

    async def _follow(self, endpoint: str, job: str, chunk: Callable[[Any], None]) -> dict[str, Any]:
        while True:
            answer = await self._call("GET", f"/v2/{endpoint}/stream/{job}")
            for one in answer.get("stream") or ():
                chunk(one.get("output"))
            if JobStatus(answer["status"]).terminal:
                return await self._call("GET", f"/v2/{endpoint}/status/{job}")

    async def _call(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        return await asyncio.get_running_loop().run_in_executor(None, self._ask, method, path, body)

    def _ask(self, method: str, path: str, body: str | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._server.key}", "Content-Type": "application/json"}
        host = self._server.base_url.removesuffix("/v2").partition("://")[2].rpartition(":")[0].strip("[]")
        connection = http.client.HTTPConnection(host, self._server.port, timeout=_ANSWER)
        with contextlib.closing(connection):
            connection.request(method, path, body if body is None else body.encode(), headers)
            answer = connection.getresponse()
            said = answer.read()
        try:
            found = json.loads(said)
        except ValueError:
            found = None
        if answer.status != 200 or not isinstance(found, dict):
            raise Refused(f"{answer.status}: {said.decode('utf-8', 'replace')[:1000]}")
        return found


def only_endpoint(server: Server) -> str:
    """The id of the one queue-based endpoint that is served; raises ConfigurationError."""
    ids = list(server.emulator.endpoints.queues)
    if len(ids) != 1:
        raise ConfigurationError(f"name one handler, not {len(ids)}: {', '.join(ids) or 'a load balancer has no jobs'}")
    return ids[0]


def written(value: Any, indent: int | None = None) -> str:
    """JSON of which every character can be seen."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text if all(line.isprintable() for line in text.split("\n")) else json.dumps(value, indent=indent)
