"""A debugger's port goes from worker to worker."""

from __future__ import annotations

import asyncio

from runpod_emulator.workers.debug_port import DebugPort


async def test_a_worker_has_the_port_once_the_one_before_has_left() -> None:
    port, said = DebugPort(5678), list[str]()
    leaves = {name: asyncio.Event() for name in "abc"}

    async def live(name: str) -> None:
        async with port.turn(lambda: (said.append(f"{name} is asked"), leaves[name].set())[0]):
            said.append(f"{name} listens")
            await leaves[name].wait()
        said.append(f"{name} has left")

    lives = [asyncio.ensure_future(live(name)) for name in "abc"]
    leaves["c"].set()
    await asyncio.wait_for(asyncio.gather(*lives), 5)
    assert [word for word in said if "listens" in word] == ["a listens", "b listens", "c listens"]
    assert said.index("a is asked") < said.index("b listens")
