"""Freeing after a reset happens bit by bit, and completely."""

from __future__ import annotations

import asyncio
from collections import deque

from emulator.core.remains import _AT_ONCE, free_later


async def test_every_container_is_emptied_between_other_steps():
    many = 4 * _AT_ONCE + 1
    containers = [dict.fromkeys(range(many)), list(range(many)), deque(range(many))]
    free_later(containers)  # type: ignore[arg-type]
    assert [len(one) for one in containers] == [many] * 3
    await asyncio.sleep(0)
    assert sum(len(one) for one in containers) == 3 * many - _AT_ONCE
    for _ in range(14):
        await asyncio.sleep(0)
    assert not any(containers)


async def test_little_is_left_to_python():
    few = [1, 2, 3]
    free_later([few])
    await asyncio.sleep(0)
    assert few == [1, 2, 3]
