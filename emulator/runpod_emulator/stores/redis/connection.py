"""Commands to a Valkey or Redis server, or a cluster of them.

Commands of one turn of the loop go out together, in their order, and while they are under way the next ones gather: so
a busy emulator needs few round trips, and what is asked first is done first. Scripts are called by their hash, and sent
whole to a server that does not know them yet.

A server that is away is tried again for a moment. Then `StoreAway` is raised, and whether the command was done is not
known: whoever repeats it must be able to tell (`write.lua` leaves a token in each record that it writes).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis.asyncio as client
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from runpod_emulator.core.store_errors import StoreAway, StoreFull
from runpod_emulator.stores.redis.address import Address
from runpod_emulator.stores.redis.wire import Packed, ask

AT_ONCE = 200
"""Commands that go out together at most."""
TIMEOUT = 5.0
"""Seconds that a command may take: far more than any needs of a server that works."""
TRIES = 2
"""Times that a command is repeated whose connection broke: once for one that the server has closed, once to be sure."""

_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.RedisClusterException,
    OSError,
)


class Script:
    """A script of this folder, by the name of its file."""

    def __init__(self, name: str) -> None:
        self.text = Path(__file__).with_name(f"{name}.lua").read_text()
        self.hash = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Connection:
    """Sends commands to the server at `address`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: Any = None
        self._waiting: list[tuple[Sequence[Any], asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None

    @property
    def client(self) -> Any:
        """The client of the library, made when it is first needed."""
        if self._client is None:
            self._client = made(self.address, TIMEOUT)
        return self._client

    async def do(self, *command: Any) -> Any:
        """The answer to a command; raises StoreAway, StoreFull, and ResponseError for one that is wrong."""
        answer = await self._add(command)
        if isinstance(answer, Exception):
            raise _told(answer)
        return answer

    async def run(self, script: Script, key: str, *arguments: Any) -> Any:
        """The answer of a script about the keys that begin with `key`; raises as `do`."""
        answer = await self._add(("EVALSHA", script.hash, 1, key, *arguments))
        if isinstance(answer, exceptions.NoScriptError):
            answer = await self._add(("EVAL", script.text, 1, key, *arguments))
        if isinstance(answer, Exception):
            raise _told(answer)
        return answer

    async def all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to several commands that go out together; raises as `do`."""
        answers = await asyncio.gather(*map(self._add, commands))
        for answer in answers:
            if isinstance(answer, Exception):
                raise _told(answer)
        return answers

    async def close(self) -> None:
        """End the connection, after what is under way."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _add(self, command: Sequence[Any]) -> asyncio.Future[Any]:
        """Send a command with the others of this turn; its answer may be an error."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send())
        return answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                answers = await self._answers([command for command, _ in batch])
                for (_, waiter), answer in zip(batch, answers, strict=True):
                    if not waiter.done():
                        waiter.set_result(answer)
        finally:
            self._sending = None

    async def _answers(self, commands: Sequence[Sequence[Any]]) -> Sequence[Any]:
        try:
            if not self.address.cluster:
                return await ask(self.client, commands, TIMEOUT)
            pipeline = self.client.pipeline()
            for command in commands:
                pipeline.execute_command(*command)
            answers: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # a cluster's are of no common kind, and whoever waits has to be told
            return [error] * len(commands)
        return answers


def made(address: Address, timeout: float, single: bool = False) -> Any:
    """A client of the library; a command may take so many seconds. A `single` one has one connection, kept as it is."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 0 if single else TRIES)
    options: dict[str, Any] = {"socket_connect_timeout": TIMEOUT, "retry": retry, "protocol": 2}
    if address.cluster:
        return client.RedisCluster.from_url(address.url, socket_timeout=timeout, **options)
    if single:
        return client.Redis.from_url(address.url, single_connection_client=True, socket_timeout=timeout, **options)
    return client.Redis.from_url(address.url, single_connection_client=True, connection_class=Packed, **options)


def _told(error: Exception) -> Exception:
    if isinstance(error, exceptions.OutOfMemoryError) or str(error).startswith("OOM"):
        return StoreFull()
    if isinstance(error, _AWAY) or str(error).startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY")):
        return StoreAway()
    return error
