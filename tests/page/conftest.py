"""One browser and one server for all tests of the page in a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from runpod_emulator.testing import Emulator

from tests.compat.servers import HANDLERS
from tests.conftest import require
from tests.page.screen import Screen
from tests.plain import PLAIN
from tests.security.browser import Page, browsing

SHOUTS = """
import os, signal
import runpod

def handler(job):
    print("it begins", job["input"])
    if job["input"].get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if job["input"].get("large"):
        return "x" * job["input"]["large"]
    if job["input"].get("fail"):
        raise ValueError("no such model: " + str(job["input"]["fail"]))
    return {"said": job["input"]}

runpod.serverless.start({"handler": handler})
"""


@pytest.fixture(scope="module")
def emu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A server with a handler that prints and fails, examples of the project, and an endpoint of stubs."""
    folder = tmp_path_factory.mktemp("handlers")
    (folder / "shouts.py").write_text(SHOUTS)
    examples = [f"{name}={HANDLERS / name}.py" for name in ("tokens", "progress", "picture", "openai_chat")]
    served = [f"shouts={folder / 'shouts.py'}", *examples]
    with Emulator("llm", endpoint=served, clock="real", workers_min=0, idle_timeout="60s") as emu:
        yield emu


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A browser with one tab."""
    require("chromium")
    async with browsing(tmp_path_factory.mktemp("profile")) as page:
        await page.call("Emulation.setDeviceMetricsOverride", width=1360, height=860, deviceScaleFactor=1, mobile=False)
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def screen(emu: Emulator, tab: Page) -> AsyncIterator[Screen]:
    """The page of the server, which has forgotten what was before; nothing may go wrong in it."""
    await tab.open("about:blank")
    await asyncio.to_thread(emu.reset)
    tab.log.clear()
    yield Screen(tab, root_of(emu))
    assert not tab.log


def root_of(emu: Emulator) -> str:
    """The server without the API's prefix."""
    return emu.base_url.removesuffix("/v2")


Send = Callable[..., Awaitable[dict[str, Any]]]


@pytest_asyncio.fixture(loop_scope="module")
async def send(emu: Emulator) -> AsyncIterator[Send]:
    """Calls the queue API as a client: `await send("llm/run", input={...})`."""
    async with httpx.AsyncClient(base_url=emu.base_url, headers={"authorization": "any"}, **PLAIN) as client:

        async def post(path: str, **body: Any) -> dict[str, Any]:
            answer = await client.post(f"/{path}", json=body or None)
            return dict(answer.json())

        yield post
