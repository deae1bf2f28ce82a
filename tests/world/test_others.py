"""What servers of one world tell each other beside jobs: requests, webhook calls, lines of workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from runpod_emulator.core.fleet.worker import Line
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.records.attempts import Attempts
from runpod_emulator.core.records.journal import Journal
from runpod_emulator.core.records.lines import Lines
from runpod_emulator.core.records.news import Attempt, Entry
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.stores.redis.store import RedisStore
from runpod_emulator.world.others import Others

from tests.stores.servers import shared_server
from tests.waits import until

ENTRY = Entry(
    7, 1_000, "ep", "run", "POST", "/v2/ep/run", "api_key=secretsecretsecret",
    ((b"Authorization", b"Bearer abcdefgh12345"),),
    b'{"input":{}}', 200, "job-1", 12, took=3,
)  # fmt: skip
ATTEMPT = Attempt(2_000, Delivery("ep", "job-1", 1, "http://127.0.0.1/hook", b"{}", due=1_500), "refused")
LINE = Line(3_000, "ep", "worker-1", "job-1", "héllo", "error", 2)


class Wire:
    """Boards that hand on at once."""

    def __init__(self) -> None:
        self.listeners: list[tuple[Plug, Callable[[bytes], None]]] = []


class Plug:
    """One server's board."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def put(self, piece: bytes) -> None:
        for plug, listener in self._wire.listeners:
            if plug is not self:
                listener(piece)

    def listen(self, listener: Callable[[bytes], None]) -> None:
        self._wire.listeners.append((self, listener))


class Server:
    """One server's records."""

    def __init__(self, board: object) -> None:
        self.journal, self.attempts, self.lines = Journal(), Attempts(), Lines()
        records = {"answered": self.journal, "tried": self.attempts, "printed": self.lines}
        self.effect = Others(board, Masks(["the-server's-own"]), itertools.count(100).__next__, records)


@pytest.fixture
def servers() -> tuple[Server, Server]:
    wire = Wire()
    return Server(Plug(wire)), Server(Plug(wire))


def test_requests_are_told_with_their_keys_masked_and_counted_anew(servers: tuple[Server, Server]):
    one, other = servers
    one.effect.answered(ENTRY)
    (told,) = other.journal
    shown = told._replace(headers=ENTRY.headers, query=ENTRY.query, number=ENTRY.number)
    assert shown == ENTRY and told.number == 100
    assert b"abcdefgh" not in told.headers[0][1] and "secretsecret" not in told.query
    assert len(one.journal) == 0


def test_webhook_calls_and_lines_are_told_as_they_are(servers: tuple[Server, Server]):
    one, other = servers
    one.effect.tried(ATTEMPT)
    one.effect.printed(LINE)
    assert (list(other.attempts), list(other.lines)) == ([ATTEMPT], [LINE])


def test_what_a_newer_version_tells_is_passed_over(servers: tuple[Server, Server]):
    one, other = servers
    one.effect._put("sung", LINE)
    one.effect.printed(LINE)
    assert list(other.lines) == [LINE]


async def test_over_a_server_all_but_the_teller_are_told_and_who_comes_later_too():
    address = shared_server().address()
    stores = [RedisStore(address) for _ in range(3)]
    one, other, later = (Server(store.board) for store in stores)
    for store in stores[:2]:
        await store.open()
    one.effect.printed(LINE)
    other.effect.tried(ATTEMPT)
    await until(lambda: len(other.lines) == 1 and len(one.attempts) == 1)
    assert (len(one.lines), len(other.attempts)) == (0, 0)
    await stores[2].open()
    assert (list(later.lines), list(later.attempts)) == ([LINE], [ATTEMPT])
    for store in stores:
        await store.close()
