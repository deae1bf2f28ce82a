"""A memory store, and stores over one world of a real server, that are asked the same and must answer the same."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

from runpod_emulator.core.errors import IllegalTransition, RequestError
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.jobs.store import Claimed, Cleared, Counts, Unread, Written
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.stores.redis.store import RedisStore
from runpod_emulator.stores.redis.transitions import NOT_TOLD, TOLD

from tests.stores.servers import shared_server
from tests.waits import until

ENDPOINTS = ("ep", "Other_2", "z-3")
BOUND = 20.0
"""Seconds in which news must have come."""
Store = MemoryStore | RedisStore
Piece = Transition | tuple[str, list[str]]
"""What was heard of an endpoint: a transition, or that it was cleared with these jobs running."""


class Refused(RequestError):
    """An `Admit` of a test lets nobody in."""


class Heard:
    """What a store has told, by endpoint."""

    def __init__(self, store: Store) -> None:
        self.pieces: dict[str, list[Piece]] = {endpoint: [] for endpoint in ENDPOINTS}
        self.lost: list[str] = []
        store.news.transitions.append(self._transition)
        store.news.clears.append(self._cleared)
        store.news.losses.append(self.lost.append)

    def _transition(self, transition: Transition) -> None:
        self.pieces[transition.job.endpoint].append(transition)

    def _cleared(self, cleared: Cleared) -> None:
        for endpoint in ENDPOINTS if cleared.endpoint is None else (cleared.endpoint,):
            running = sorted(job.id for job in cleared.running if job.endpoint == endpoint)
            self.pieces[endpoint].append(("cleared", running))


class Twins:
    """The stores, what was heard from each, and the time. `count` servers have a store over the world of the server."""

    def __init__(self, count: int = 1) -> None:
        self.address = shared_server().address()
        self.memory = MemoryStore()
        self.stores = [RedisStore(self.address, owner=f"server-{number}") for number in range(count)]
        self.heard = {store: Heard(store) for store in (self.memory, *self.stores)}
        self.now = 1_000_000
        self.jobs: list[tuple[str, str]] = []
        """Every job that there ever was."""
        self.reads: list[tuple[Unread, Unread]] = []
        """What readers were shown, by the memory store and by the other."""
        self.given: list[Delivery] = []
        """Deliveries that senders were given."""
        self.compared = 0
        """How many pieces of news of each endpoint were found equal."""
        self._equal = dict.fromkeys(ENDPOINTS, 0)

    async def open(self) -> None:
        for store in self.stores:
            for endpoint in ENDPOINTS:
                store.news.follow(endpoint)
            await store.open()

    async def close(self) -> None:
        for store in self.stores:
            await store.close()

    async def ask(
        self, dice: random.Random, call: Callable[[Any], Awaitable[Any]], fresh: bool = False
    ) -> tuple[Any, Any]:
        """What the memory store answers, and what one of the others does, which must be the same.

        A `fresh` one has heard of everything before it is asked.
        """
        store = dice.choice(self.stores)
        if fresh:
            await self.settle(store)
        expected = await _answer(call(self.memory))
        found = await _answer(call(store))
        assert _plain(found) == _plain(expected), f"expected {_short(expected)}\nfound {_short(found)}"
        return expected, found

    async def settle(self, *stores: RedisStore) -> None:
        """Wait until these, or all, have heard of everything; all must be the same, in the same order."""
        wanted = self.heard[self.memory].pieces
        named = [(self.heard[store].pieces, name) for store in stores or self.stores for name in ENDPOINTS]
        await until(lambda: all(len(pieces[name]) >= len(wanted[name]) for pieces, name in named), BOUND)

    async def compare_news(self) -> None:
        """What was heard since the last look: by who has written it all of it, by others all but large texts."""
        await self.settle()
        for name, start in self._equal.items():
            expected = self.heard[self.memory].pieces[name]
            own = 0
            for store in self.stores:
                found = self.heard[store].pieces[name]
                assert len(found) == len(expected), f"{len(found)} pieces of news for {len(expected)}"
                for was, one in zip(expected[start:], found[start:], strict=True):
                    own += one == was
                    assert one in (was, as_told(was)), f"expected {_short(was)}\nfound {_short(one)}"
                assert self.heard[store].lost == []
            assert own >= len(expected) - start, "nobody heard all of what it has written itself"
            self.compared += len(expected) - start
            self._equal[name] = len(expected)

    async def compare_all(self, dice: random.Random) -> None:
        """All that can be read."""
        await self.compare_news()
        for endpoint in ENDPOINTS:
            await self.ask(dice, lambda store, endpoint=endpoint: store.counts(endpoint))
            await self.ask(dice, lambda store, endpoint=endpoint: store.queued(endpoint))
            for offset, limit in ((0, 1_000), (1, 2), (3, 1)):
                await self.ask(dice, lambda store, args=(endpoint, offset, limit): store.recent(*args))
        for endpoint, job in dict.fromkeys(self.jobs):
            await self.ask(dice, lambda store, key=(endpoint, job): store.get(*key))
            await self.ask(dice, lambda store, key=(endpoint, job): store.unread(*key))
        await self.ask(dice, lambda store: store.first_due())
        await self.ask(dice, lambda store: store.deliveries.next_due())
        await self.ask(dice, lambda store: store.deliveries.owes())


def as_told(piece: Piece) -> Piece:
    """A transition as another server hears of it: without large texts, and what its job had before them."""
    if not isinstance(piece, Transition):
        return piece
    event: Any = piece.event
    chunks, output = getattr(event, "chunks", ()), getattr(event, "output", None)
    if sum(map(len, (*chunks, output or b""))) > TOLD:
        left = {name: value for name, value in (("chunks", ()), ("output", None)) if hasattr(event, name)}
        event, output = dataclasses.replace(event, **left), None
    text = piece.job.input if len(piece.job.input) <= TOLD else NOT_TOLD
    job = piece.job._replace(input=text, output=output, s3_config=None)
    before = piece.before and piece.before._replace(input=text, output=None, s3_config=None)
    owed = piece.delivery and Delivery(job.endpoint, job.id, job.place, piece.delivery.url, b"", due=piece.delivery.due)
    return piece._replace(before=before, event=event, after=piece.after and job, job=job, delivery=owed)


async def _answer(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except (RequestError, IllegalTransition) as error:
        return type(error).__name__, str(error)


def _plain(answer: Any) -> Any:
    """What must be the same: numbers of writes begin anew on the memory store with each clear."""
    if isinstance(answer, Counts):
        return dataclasses.asdict(answer) | {"writes": None}
    if isinstance(answer, Written | Claimed):
        return answer[0], _plain(answer.counts)
    return answer


def _short(value: Any) -> str:
    return re.sub(r"((?:.|\\\\x..){1,4}?)\1{9,}", r"\1...", repr(value))[:3_000]
