"""Freeing after a reset happens bit by bit, and completely."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque

from runpod_emulator.core.freeing import _AT_ONCE, free_later


async def test_every_container_is_emptied_between_other_steps():
    many = 4 * _AT_ONCE + 1
    containers = [dict.fromkeys(range(many)), list(range(many)), deque(range(many))]
    free_later(containers)  # type: ignore[arg-type]
    sizes = [sum(map(len, containers))]
    assert sizes == [3 * many]
    patience = time.monotonic() + 10
    while sizes[-1]:
        assert time.monotonic() < patience, sizes[-1]
        await asyncio.sleep(0)
        if sum(map(len, containers)) != sizes[-1]:
            sizes.append(sum(map(len, containers)))
    assert max(before - after for before, after in itertools.pairwise(sizes)) == _AT_ONCE


async def test_little_is_left_to_python():
    few = [1, 2, 3]
    free_later([few])
    await asyncio.sleep(0)
    assert few == [1, 2, 3]
