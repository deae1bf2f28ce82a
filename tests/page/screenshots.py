"""Makes the three screenshots of the README: `make screenshots`."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import httpx
from runpod_emulator.testing import Emulator

from tests.page.screen import Screen
from tests.plain import PLAIN
from tests.security.browser import Page, browsing

FOLDER = Path(__file__).parents[2] / "docs" / "images"
DARK = [{"name": "prefers-color-scheme", "value": "dark"}]
HANDLER = '''
"""Transcribes a file."""
import time
import runpod

def load(name):
    if name == "large-v4":
        raise ValueError(f"no such model: {name!r}; there are 'base', 'small' and 'large-v3'")
    return name

def handler(job):
    given = job["input"]
    print(f"whisper: loading {given['model']} on cuda:0")
    model = load(given["model"])
    print(f"whisper: {given['audio']}: 14.2 s of audio")
    time.sleep(given.get("seconds", 0.7))
    return {"text": "So it begins.", "language": "en", "model": model}

runpod.serverless.start({"handler": handler})
'''
_WORDS = "A worker wakes, a queue grows short, and every answer finds the one who asked for it."
_TO_OUTPUT = """
const box = document.querySelector(".job .sections");
const { top } = box.querySelector(".tree[aria-label=Output]").closest(".card").getBoundingClientRect();
box.scrollTop += top - box.getBoundingClientRect().top - 14;
return 0;
"""


def picture(size: int = 320) -> str:
    """A PNG of a sunset over water, as base64."""
    rows = b"".join(
        b"\0" + bytes(part for x in range(size) for part in _colour(x / size, y / size)) for y in range(size)
    )
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def _colour(x: float, y: float) -> tuple[int, int, int]:
    height = y if y < 0.62 else 1.24 - y + 0.02 * math.sin(60 * y + 9 * x)
    glow = max(0.0, 1 - 3.4 * math.hypot(x - 0.62, height - 0.44))
    red, green, blue = 60 + 190 * height, 40 + 90 * height * height, 110 - 20 * height
    shade = 1.0 if y < 0.62 else 0.72
    return tuple(int(min(255, shade * part)) for part in (red + 120 * glow, green + 130 * glow, blue + 40 * glow))


def stubs() -> list[dict[str, Any]]:
    """What the endpoints without a handler answer."""
    words = [f"{word} " for word in _WORDS.split()]
    return [
        {"endpoint": "flux", "respond": {
            "delay": "1.5s", "progress": [{"value": f"{n}%", "after": "300ms"} for n in (20, 40, 60, 80)],
            "output": {"image": picture(), "seed": 421337, "size": [320, 320]}}},
        {"endpoint": "llm", "respond": {"stream": [{"chunk": word, "after": "70ms"} for word in words]}},
        {"endpoint": "llm", "match": {"input": {"model": "huge"}}, "priority": 1,
            "respond": [{"delay": "400ms", "crash": True}, {"delay": "900ms", "output": "better late than never"}]},
        {"endpoint": "embed", "respond": {"delay": "120ms", "output": {"size": 768}}},
    ]  # fmt: skip


async def demo(emu: Emulator, root: str) -> dict[str, str]:
    """A few seconds in the life of a server; answers ids of jobs to look at."""
    hook = f"{root}/__emulator/hooks/-/done"
    found: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=emu.base_url, headers={"authorization": "any"}, **PLAIN) as client:

        async def run(endpoint: str, webhook: bool = False, **given: Any) -> str:
            body = {"input": given, **({"webhook": hook} if webhook else {})}
            return str((await client.post(f"/{endpoint}/run", json=body)).json()["id"])

        for turn in range(4):
            prompt = ("a lighthouse at dusk", "a harbour in fog", "sunset over the sea", "rain on a tin roof")[turn]
            found["flux"] = await run("flux", prompt=prompt, webhook=turn % 2 == 0)
            await run("llm", prompt="Say something kind", model="small")
            await run("whisper", audio=f"call-{turn}.wav", model="base", webhook=True)
            await run("embed", text=f"row {turn}")
            await asyncio.sleep(0.35)
            if turn == 1:
                found["failed"] = await run("whisper", audio="standup.mp3", model="large-v4")
                await run("llm", prompt="Think hard", model="huge")
            if turn == 2:
                cancelled = await run("llm", prompt="Write a novel", model="small")
            await asyncio.sleep(0.35)
        await client.post(f"/llm/cancel/{cancelled}")
        await asyncio.sleep(0.5)
        await run("flux", prompt="one more", webhook=True)
        await run("llm", prompt="And another", model="small")
    return found


async def shoot(page: Page, name: str) -> None:
    """Save what is to be seen."""
    told = await page.call("Page.captureScreenshot", format="png")
    (FOLDER / f"{name}.png").write_bytes(base64.b64decode(told["data"]))


async def sized(page: Page, width: int, height: int, scale: float = 1.25) -> None:
    """Make the window so large."""
    await page.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
    )


async def main() -> None:
    """Start a server and a browser, let something happen, and look at it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        handler = Path(folder) / "whisper.py"
        handler.write_text(HANDLER)
        options: Any = {"endpoint": [f"whisper={handler}"], "clock": "real", "cold_start": "600ms", "workers_max": 2}
        async with Emulator("flux", "llm", "embed", **options) as emu, browsing(Path(folder) / "profile") as page:
            for stub in stubs():
                await asyncio.to_thread(lambda stub=stub: emu.stub(**stub))
            screen = Screen(page, emu.base_url.removesuffix("/v2"))
            await sized(page, 1200, 680)
            await screen.open()
            await screen.see("Waiting for the first job")
            found = await demo(emu, screen.root)
            await asyncio.sleep(1.2)
            await shoot(page, "timeline")
            await asyncio.to_thread(lambda: emu.wait_for(idle=True))
            await screen.go(f"/job/whisper/{found['failed']}")
            await screen.see("Repeat it", "no such model", "whisper: loading", within=".job")
            await asyncio.sleep(0.5)
            await shoot(page, "job")
            await page.call("Emulation.setEmulatedMedia", features=DARK)
            await sized(page, 390, 780, 2)
            await screen.go(f"/job/flux/{found['flux']}")
            await screen.until("document.querySelector('.job img')?.naturalWidth > 0")
            await page.run(_TO_OUTPUT)
            await asyncio.sleep(0.5)
            await shoot(page, "phone")


if __name__ == "__main__":
    asyncio.run(main())
