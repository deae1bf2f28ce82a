"""Requests are counted over all emulators; what has ended is told when it matters."""

from __future__ import annotations

import contextlib

import pytest
from runpod_emulator.core.rates import Full, Limit
from runpod_emulator.stores.redis.connection import Connection
from runpod_emulator.stores.redis.counter import MANY, RedisCounter

from tests.stores.servers import shared_server
from tests.waits import answered

LIMIT = 20.0
"""Seconds until what a test waits for must be so."""


@pytest.mark.parametrize("most", [1, 5, 3 * MANY])
async def test_who_was_refused_for_requests_at_another_emulator_is_let_in_soon_after_they_end(most: int):
    connection = Connection(shared_server().address())
    here, there = (RedisCounter(connection, connection.address.prefix.__add__, name) for name in ("a", "b"))
    limit = Limit(1_000, most, 60_000, False)
    inside = [await here.enter("ep", "run", 1_000, limit) for _ in range(most)]
    with pytest.raises(Full):
        await there.enter("ep", "run", 1_000, limit)
    for entered in inside:
        entered.leave()

    async def enters() -> bool:
        with contextlib.suppress(Full):
            await there.enter("ep", "run", 1_000, limit)
            return True
        return False

    assert await answered(enters)
    await here.close()
    await there.close()
    await connection.close()


async def test_a_few_that_have_ended_are_told_with_the_next_one_or_at_the_end():
    connection = Connection(shared_server().address())
    counter = RedisCounter(connection, connection.address.prefix.__add__, "a")
    limit = Limit(1_000, 100 * MANY, 60_000, False)
    first, second = [await counter.enter("ep", "run", 1_000, limit) for _ in range(2)]
    key = f"{connection.address.prefix}ep:rate:run"
    first.leave()
    assert await connection.do("HGET", key, "in:a") == b"2"
    third = await counter.enter("ep", "run", 1_000, limit)
    assert await connection.do("HGET", key, "in:a") == b"2"
    second.leave()
    third.leave()
    await counter.close()
    assert await connection.do("HGET", key, "in:a") == b"0"
    await connection.close()
