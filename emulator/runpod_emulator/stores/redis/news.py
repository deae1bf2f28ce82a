"""What happens to jobs, in the order of the writes, at every server over the store.

Each write has a number within its endpoint, and leaves a piece of news under that number in the endpoint's stream. A
server tells its listeners of each number once, in their order, whoever has written. So a position, the last number that
was told, says all:

    told ... 41 42 | 43 (own, written just now) 44 45 ...
                   ^ position

What this process has written itself is `written` with its number, and told at once where nothing of others comes
before it; else it waits for the reader. One task reads the streams of all endpoints, with one command that blocks until
there is something (in a cluster one for each endpoint). Behind a lost connection it goes on at its position.

Where news is gone (the stream was cut while this server slept, or the store has forgotten its last writes) `missed` is
told the endpoint: then everybody has to look for themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis import exceptions

from runpod_emulator.core.jobs.crews import Word
from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.jobs.store import Cleared
from runpod_emulator.core.store_errors import StoreAway
from runpod_emulator.core.time.clock import wait_really, work_time
from runpod_emulator.stores.redis.address import Address
from runpod_emulator.stores.redis.board import RedisBoard
from runpod_emulator.stores.redis.connection import TIMEOUT, Connection, made

log = logging.getLogger("runpod_emulator")

BLOCK = 2_000
"""Milliseconds after which a reader that has heard nothing asks again, and so sees that its server is gone."""
PAST = 2_000
"""Pieces of news of an endpoint that are told of the time before it was followed."""
MOST = 500
"""Pieces of news that are read at once, of each endpoint."""
LOOK = 2.0
"""Seconds between two looks whether the store has forgotten what was told."""
REST = 0.2
"""Seconds until a reader that has lost its server tries again."""
_LOST_CANCEL = 0.1
"""Seconds after which a reader that was to end is told so again."""
Piece = Transition | Cleared | Word
_UNKNOWN = 1 << 62


class _Line:
    """The news of one endpoint."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.position: int | None = None
        """The number that was told last; None until it is known where to begin."""
        self.begun: asyncio.Future[None] | None = None
        """What finds that out."""
        self.early: dict[int, Piece | None] = {}
        """What has come before its turn; None for what nobody is told."""
        self.waiters: list[tuple[int, asyncio.Future[None]]] = []

    def release(self) -> None:
        """Let nobody wait any longer: it is not known when news will come."""
        waiters, self.waiters = self.waiters, []
        for _, waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class NewsReader:
    """Tells `tell` every piece of news of the endpoints it follows, and `missed` where there was some that is lost.

    As it begins to follow one, `past` is told what happened last, the oldest first.

    `decoded` makes a piece of the fields of one that another server has written, None for what nobody is told.
    """

    def __init__(
        self,
        connection: Connection,
        base: Callable[[str], str],
        decoded: Callable[[str, Mapping[bytes, bytes]], Piece | None],
        past: Callable[[Piece], None],
        tell: Callable[[Piece], None],
        missed: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._base = base
        self._decoded = decoded
        self._past = past
        self._tell = tell
        self._missed = missed
        self._lines: dict[str, _Line] = {}
        self._boards: dict[str, _Side] = {}
        self._readers: dict[str, _Reader] = {}
        self._is_away = False
        connection.on_away.append(self._release)

    async def follow(self, endpoint: str) -> None:
        """Begin with the news that comes from now on; returns once every write that follows will be told."""
        line = self._lines.get(endpoint)
        if line is None:
            line = self._lines[endpoint] = _Line(endpoint)
            line.begun = asyncio.ensure_future(self._begin(line))
        assert line.begun is not None
        await asyncio.shield(line.begun)

    async def _begin(self, line: _Line) -> None:
        """Tell what has happened last, and go on behind it; raises StoreAway, and then the endpoint is not followed."""
        base = self._base(line.endpoint)
        try:
            written = int(await self._connection.do("HGET", f"{base}:counts", "writes") or 0)
            entries = await self._connection.do("XREVRANGE", f"{base}:news", f"{written}-0", "-", "COUNT", PAST)
            for _, fields in reversed(entries):
                piece = self._decoded(line.endpoint, fields)
                if piece is not None:
                    self._past(piece)
        except BaseException:
            self._lines.pop(line.endpoint, None)
            raise
        line.position = written
        await self._read(line.endpoint)

    def forget(self, endpoint: str) -> None:
        """Follow an endpoint no more."""
        line = self._lines.pop(endpoint, None)
        if line is not None:
            line.release()

    async def written(self, endpoint: str, last: int, pieces: Sequence[Piece | None]) -> None:
        """This process has written these, the last of them under that number; returns once they were told."""
        line = self._lines.get(endpoint)
        if line is None or line.position is None:
            return
        for number, piece in zip(range(last - len(pieces) + 1, last + 1), pieces, strict=True):
            if number > line.position:
                line.early[number] = piece
        self._go_on(line)
        await self.told(endpoint, last)

    async def told(self, endpoint: str, number: int) -> None:
        """Wait until the news of this number was told, but not while the server is away."""
        line = self._lines.get(endpoint)
        if line is None or line.position is None or self._is_away or self._connection.is_away:
            return
        if line.position < number:
            waiter = asyncio.get_running_loop().create_future()
            line.waiters.append((number, waiter))
            await waiter

    def position(self, endpoint: str) -> int:
        """The number of the news that was told last; far above any, if the endpoint is not followed."""
        line = self._lines.get(endpoint)
        return _UNKNOWN if line is None or line.position is None else line.position

    async def close(self) -> None:
        """Read no more."""
        begun = [line.begun for line in self._lines.values() if line.begun is not None]
        for beginning in begun:  # else one that is under way starts another reader behind this
            beginning.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        for reader in self._readers.values():
            assert reader.task is not None
            while not reader.task.done():  # the library may take a cancel for an answer that came just then
                reader.task.cancel()
                await asyncio.wait([reader.task], timeout=_LOST_CANCEL)
            await reader.end()
        for endpoint in list(self._lines):
            self.forget(endpoint)

    # Telling

    def _go_on(self, line: _Line) -> None:
        """Tell what is there and next in order."""
        while line.position is not None and line.position + 1 in line.early:
            piece = line.early.pop(line.position + 1)
            line.position += 1
            if piece is not None:
                self._tell(piece)
        self._wake(line)

    @staticmethod
    def _wake(line: _Line) -> None:
        if not line.waiters or line.position is None:
            return
        for number, waiter in line.waiters:
            if number <= line.position and not waiter.done():
                waiter.set_result(None)
        line.waiters = [(number, waiter) for number, waiter in line.waiters if not waiter.done()]

    def _jump(self, line: _Line, to: int) -> None:
        """News was lost: go on behind the number `to`."""
        line.early = {number: piece for number, piece in line.early.items() if number > to}
        line.position = to
        self._missed(line.endpoint)
        self._wake(line)

    # Reading

    async def _read(self, endpoint: str) -> None:
        """Let a reader follow the endpoint, or a board, too: each has its own in a cluster, else one reads for all."""
        group = endpoint if self._connection.address.cluster else ""
        reader = self._readers.get(group)
        if reader is None:
            reader = self._readers[group] = _Reader(self._connection.address)
            reader.task = asyncio.ensure_future(self._keep_reading(reader, group))
        elif reader.number:
            await self._connection.do("CLIENT", "UNBLOCK", reader.number)

    async def follow_board(self, board: RedisBoard) -> None:
        """Read the board of the world along with the news; in a cluster with a reader of its own."""
        if board.key not in self._boards:
            self._boards[board.key] = _Side(board, await board.begin())
            await self._read(board.key)

    async def _keep_reading(self, reader: _Reader, group: str) -> None:
        while True:
            try:
                await self._look_for_losses(group)
                self._is_away = False
                await reader.begin()
                await self._keep_on(reader, group)
            except (
                exceptions.RedisError,
                exceptions.RedisClusterException,
                OSError,
                StoreAway,
            ) as error:  # told already
                log.debug("no news of the store at %s: %s", self._connection.address.shown, error)
                self._is_away = True
                self._release()
                await wait_really(REST)
            except Exception:  # whoever hears of it must not raise
                log.exception("news was not understood")
                await wait_really(REST)

    async def _keep_on(self, reader: _Reader, group: str) -> None:
        """Read until the server was away for the others meanwhile: it may be another one since."""
        times_away, looked_at = self._connection.times_away, work_time()
        while times_away == self._connection.times_away:
            lines, boards = self._known(group), self._boards_of(group)
            positions = {key: f"{line.position}-0" for key, line in lines.items()}
            positions |= {key: side.position for key, side in boards.items()}
            for key, entries in await reader.client.xread(positions, MOST, BLOCK):
                if (side := boards.get(key.decode())) is not None:
                    side.heard(entries)
                else:
                    self._heard(lines[key.decode()], entries)
            if work_time() - looked_at > LOOK:
                await self._look_for_losses(group)
                looked_at = work_time()

    def _release(self) -> None:
        for line in self._lines.values():
            line.release()

    async def _look_for_losses(self, group: str) -> None:
        """A server that was restarted may not know its last writes any more, and one that was emptied none."""
        for line in self._known(group).values():
            position = line.position  # before it is asked: then more may be told
            written = int(await self._connection.do("HGET", self._base(line.endpoint) + ":counts", "writes") or 0)
            if position is not None and written < position:
                log.warning("the store has forgotten %d of its last writes to %s", position - written, line.endpoint)
                line.early.clear()
                self._jump(line, written)

    def _known(self, group: str) -> dict[str, _Line]:
        return {
            self._base(line.endpoint) + ":news": line
            for line in self._lines.values()
            if line.position is not None and group in ("", line.endpoint)
        }

    def _boards_of(self, group: str) -> dict[str, _Side]:
        return {key: side for key, side in self._boards.items() if group in ("", key)}

    def _heard(self, line: _Line, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for name, fields in entries:
            number = int(name.partition(b"-")[0])
            assert line.position is not None
            if number <= line.position or number in line.early:
                continue
            if number > line.position + 1:
                log.warning("%d pieces of news of %s were lost", number - line.position - 1, line.endpoint)
                self._jump(line, number - 1)
            line.early[number] = self._understood(line, fields)
            self._go_on(line)

    def _understood(self, line: _Line, fields: Mapping[bytes, bytes]) -> Piece | None:
        try:
            return self._decoded(line.endpoint, fields)
        except Exception:  # written by another version: nobody can be told, but all that follows is
            log.exception("a piece of news of %s is not understood", line.endpoint)
            return None


class _Side:
    """A board, and how far it was read."""

    def __init__(self, board: RedisBoard, position: str) -> None:
        self._board = board
        self.position = position

    def heard(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """There is more of it."""
        for name, fields in entries:
            self.position = name.decode()
            try:
                self._board.heard(fields)
            except Exception:  # written by another version
                log.exception("a piece that another server has told is not understood")


class _Reader:
    """What reads for one endpoint, or for all."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.client: Any = None
        self.number = 0
        """By which the server knows its connection; 0 where nobody needs to tell it to look again."""
        self.task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Have a new connection."""
        await self.end()
        self.client = made(self._address, BLOCK / 1000 + TIMEOUT, single=True)
        self.number = 0 if self._address.cluster else await self.client.client_id()

    async def end(self) -> None:
        """Let go of the connection."""
        client, self.client, self.number = self.client, None, 0
        if client is not None:
            await client.aclose()
