"""Commands to a Valkey or Redis server, or a cluster of them.

Commands of one turn of the loop go out together, in their order, and while they are under way the next ones gather: so
a busy emulator needs few round trips, and what is asked first is done first. Scripts are called by their hash, and sent
whole to a server that does not know them yet.

A command whose connection broke is repeated. Then `StoreAway` is raised, and whether the command was done is not
known: whoever repeats it must be able to tell (`write.lua` leaves a token in each record that it writes).

    there ── a command fails for good ──> away: one task asks again and again ── an answer ──> there

While the server is away every command fails at once, so nobody waits for long, and the log says it once.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis.asyncio as client
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from runpod_emulator.core.store_errors import StoreAway, StoreFull, Unavailable
from runpod_emulator.core.time.clock import wait_really
from runpod_emulator.stores.records import FORMAT
from runpod_emulator.stores.redis.address import Address
from runpod_emulator.stores.redis.wire import Packed, ask

log = logging.getLogger("runpod_emulator")

AT_ONCE = 200
"""Commands that go out together at most."""
TIMEOUT = 5.0
"""Seconds that a command may take: far more than any needs of a server that works."""
TRIES = 2
"""Times that a command is repeated whose connection broke: once for one that the server has closed, once to be sure."""
ASK_AGAIN = 0.2
"""Seconds between two looks whether a server that is away is back."""
FULL = 0.5
"""Seconds until somebody who waits for room at a full server tries again."""
_ANYHOW = "#!lua flags=allow-oom\nreturn redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"

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

    def __init__(self, name: str, needs_room: bool = False) -> None:
        """One that `needs_room` is refused by a server that is full; all others free some, or need next to none."""
        text = Path(__file__).with_name(f"{name}.lua").read_text()
        self.text = text if needs_room else f"#!lua flags=allow-oom\n{text}"
        self.hash = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def anyhow(command: str, key: str, *arguments: Any) -> tuple[Any, ...]:
    """A command about one key as a server does it that is full, too."""
    return ("EVAL", _ANYHOW, 1, key, command, *arguments)


class Connection:
    """Sends commands to the server at `address`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: Any = None
        self._waiting: list[tuple[Sequence[Any], asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        """Asks whether the server is back; None while it is not away."""
        self._leaving: asyncio.Future[None] | None = None
        """Lets go of a connection that is of no use any more."""
        self._is_over = False
        self.times_away = 0
        """How often the server was found to be away."""
        self.why_away = ""
        """What was wrong when it was found to be away last."""
        self.on_away: list[Callable[[], None]] = []
        """Called each time it is found to be away."""
        self.on_back: list[Callable[[], None]] = []
        """Called each time it answers again."""

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer when it was asked last."""
        return self._asking is not None

    async def back(self) -> None:
        """Wait until the server answers again, or may have room again; raises StoreAway once nobody shall wait."""
        if not self._is_over:
            await (wait_really(FULL) if self._asking is None else asyncio.wait([self._asking]))
        if self._is_over:
            raise StoreAway

    def hang_up(self) -> None:
        """Let nobody wait for the server any more."""
        self._is_over = True
        if self._asking is not None:
            self._asking.cancel()

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
        self.hang_up()
        under_way = [one for one in (self._asking, self._sending, self._leaving) if one is not None]
        if under_way:
            await asyncio.wait(under_way)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _add(self, command: Sequence[Any]) -> asyncio.Future[Any]:
        """Send a command with the others of this turn; its answer may be an error."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._asking is not None:
            answer.set_result(StoreAway())
            return answer
        self._waiting.append((command, answer))
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send())
        return answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                answers = await self._answers([command for command, _ in batch])
                if self._asking is None:
                    away = next((answer for answer in answers if _is_away(answer)), None)
                    if away is not None:
                        self._lost(away)
                if self._asking is not None:
                    batch += self._waiting
                    answers, self._waiting = [*answers, *[StoreAway()] * len(self._waiting)], []
                for (_, waiter), answer in zip(batch, answers, strict=True):
                    if not waiter.done():
                        waiter.set_result(answer)
        finally:
            self._sending = None

    def _lost(self, error: Exception) -> None:
        """The server is away: look from now on whether it is back."""
        log.warning("the store at %s is away: %s", self.address.shown, error)
        self.times_away += 1
        self.why_away = str(error)
        self._asking = asyncio.ensure_future(self._ask())
        for told in self.on_away:
            told()

    async def _ask(self) -> None:
        """Ask until there is an answer to a write: a server that only reads is as good as none."""
        error: Exception | None = StoreAway()
        try:
            while error is not None:
                await wait_really(ASK_AGAIN)
                try:
                    await self._connect_anew()
                    await self.client.execute_command("SET", f"{self.address.prefix}:format", FORMAT, "NX")
                    error = None
                except Exception as again:
                    error = again if _is_away(again) else None
        finally:
            self._asking = None
        log.warning("the store at %s is back", self.address.shown)
        for told in self.on_back:
            told()

    async def _connect_anew(self) -> None:
        """Find the server by its name once more: another one may have taken its place."""
        client, self._client = self._client, None
        if client is not None:
            leaving: asyncio.Future[None] = asyncio.ensure_future(client.aclose())
            self._leaving = leaving
            await asyncio.shield(leaving)

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
    # A server that hangs is not tried again: then a command would take as long once more.
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), 0 if single else TRIES, (exceptions.ConnectionError,))
    options: dict[str, Any] = {
        "socket_connect_timeout": TIMEOUT, "retry": retry, "protocol": 2, "encoding_errors": "surrogatepass"
    }  # fmt: skip
    if address.cluster:
        return client.RedisCluster.from_url(address.redis_url, socket_timeout=timeout, **options)
    if single:
        return client.Redis.from_url(
            address.redis_url, single_connection_client=True, socket_timeout=timeout, **options
        )
    return client.Redis.from_url(address.redis_url, single_connection_client=True, connection_class=Packed, **options)


def _told(error: Exception) -> Exception:
    if isinstance(error, Unavailable):
        return error
    if isinstance(error, exceptions.OutOfMemoryError) or str(error).startswith("OOM"):
        return StoreFull()
    return StoreAway() if _is_away(error) else error


def _is_away(answer: Any) -> bool:
    """Whether an answer says that the server is not there, or not ready."""
    if not isinstance(answer, Exception):
        return False
    is_not_ready = str(answer).startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY"))
    return is_not_ready or isinstance(answer, _AWAY)
