"""What strangers write stays text; the page is quick with 10,000 jobs, still when idle, and open to everybody."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.testing import Emulator

from tests.conftest import require
from tests.page.conftest import Send, root_of
from tests.page.pictures import Pictures
from tests.page.screen import Screen
from tests.page.test_views import VIEWS
from tests.security.browser import Page
from tests.workers.processes import needs_proc

pytestmark = [pytest.mark.compat, pytest.mark.asyncio(loop_scope="module")]

EVIL = '"><img src=x onerror=window.hit=1><script>window.hit=1</script>'
LINK = "javascript:window.hit=1"
UNSEEN = "a\u202eb\u0007c\u200bd"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="window.hit=1"/>'
HOSTILE: dict[str, Any] = {
    EVIL: EVIL,
    "link": LINK,
    "unseen": UNSEEN,
    "svg": "data:image/svg+xml;base64," + base64.b64encode(SVG).decode(),
    "html": "data:text/html,<script>window.hit=1</script>",
    "long": "x" * 200_000,
    "many": list(range(5_000)),
    "__proto__": {"polluted": 1},
    "url": "https://nobody.example/a.png?x=%22onerror=",
}
AXE = "axe-core@4.14.1"
_SERIOUS = """
const told = await axe.run(document, { resultTypes: ["violations"] });
return told.violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => [one.id, one.nodes.slice(0, 4).map((node) => node.html.slice(0, 160) + node.failureSummary)]);
"""
_FRAMES = """
const scroll = document.querySelector(".scroll");
const lengths = [];
let last = performance.now();
for (let frame = 0; frame < 120; frame++) {
    scroll.scrollTop += 2500;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    lengths.push(now - last);
    last = now;
}
return lengths.sort((one, other) => one - other);
"""


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = {"a": value}
    return value


async def test_what_strangers_write_stays_text_in_every_view(screen: Screen, send: Send, emu: Emulator) -> None:
    stub = {"id": "odd", "endpoint": "llm", "respond": {"output": HOSTILE, "progress": [EVIL]}}
    await asyncio.to_thread(lambda: emu.stub(**stub))
    hook = f"{screen.root}/__emulator/hooks/-/{'%22%3E%3Cimg%20src=x%20onerror=window.hit=1%3E'}"
    job = (await send("llm/runsync", input=HOSTILE | {"deep": deep(150)}, webhook=hook))["id"]
    failed = (await send("shouts/runsync", input={"fail": EVIL + UNSEEN, "x\r\n": LINK}))["id"]
    await send(f"llm/status/{EVIL.replace('/', '%2F')}")
    await asyncio.to_thread(emu.stub, endpoint=f"*{EVIL}*"[:80], respond={"output": EVIL})
    for place in (
        f"/job/llm/{job}",
        f"/job/shouts/{failed}",
        "/endpoints/shouts",
        *VIEWS,
        f"/job/{EVIL}/{EVIL}",
        f"/{EVIL}",
    ):
        await screen.open(place.replace("%", "%25"))
        await screen.sees(".inner, .jobs")
        await screen.page.run(_OPEN_ALL)
        assert await screen.value("[window.hit, ({}).polluted]") == [None, None], place
        assert await screen.value(_ODD_LINKS) == []
        assert await screen.value("document.querySelectorAll('main script, main img[src=x], main iframe').length") == 0
        assert "\u202e" not in await screen.text()
    screen.page.log[:] = [one for one in screen.page.log if "404" not in one]  # of jobs that there never were


_ODD_LINKS = """[...document.querySelectorAll("a")].map((one) => one.getAttribute("href"))
    .filter((one) => !/^(https?:|#|\\/)/.test(one))"""
_OPEN_ALL = """
for (let round = 0; round < 3; round++) {
    for (const one of document.querySelectorAll(".twist[aria-expanded=false]")) one.click();
    await new Promise((resolve) => setTimeout(resolve, 30));
}
"""


async def test_an_image_of_another_host_is_loaded_only_when_asked_for(
    screen: Screen, send: Send, emu: Emulator
) -> None:
    with Pictures() as pictures:
        await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": {"image": pictures.url}})
        job = (await send("llm/runsync", input={"n": 1}))["id"]
        await screen.open(f"/job/llm/{job}")
        await screen.see("show the image here", within=".job")
        assert pictures.asked == []
        await screen.click("show the image here")
        await screen.sees(".job iframe", 1)
        await screen.until(
            "document.querySelector('.job iframe').contentDocument?.querySelector('img')?.naturalWidth === 1"
        )
        [headers] = pictures.asked
        assert "referer" not in {name.lower() for name in headers}
        allowed = await screen.value("(await fetch('/__emulator/ui')).headers.get('content-security-policy')")
        assert "img-src 'self' data: blob:;" in allowed


async def test_ten_thousand_jobs_stay_smooth(tab: Page) -> None:
    async with Emulator("llm", no_rate_limits=True) as emu:
        await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})

        async def fill() -> None:
            served = emu.link.world.endpoints.queue("llm")
            for number in range(10_000):
                await served.submit(Submission(b'{"n":%d}' % number))
                if number % 200 == 0:
                    await asyncio.sleep(0)

        await asyncio.to_thread(lambda: emu.link.do(fill()))
        await asyncio.to_thread(lambda: emu.wait_for(idle=True))
        screen = Screen(tab, root_of(emu))
        await screen.open()
        await screen.until("document.querySelector('.rows')?.clientHeight === 300000")
        assert await screen.value("document.querySelectorAll('.job-row').length") < 60
        lengths = await screen.page.run(_FRAMES)
        assert lengths[60] < 34, f"half of the frames take more than {lengths[60]:.0f} ms"
        assert lengths[114] < 100, f"5 % of the frames take more than {lengths[114]:.0f} ms"
        await screen.open("about:blank")


@needs_proc
async def test_an_idle_page_does_nothing_and_lets_the_server_sleep(screen: Screen, send: Send) -> None:
    await send("shouts/runsync", input={"n": 1})
    await screen.open()
    await screen.sees("a.job-row", 1)
    await screen.until("performance.now() - performance.getEntriesByType('resource').at(-1).responseEnd > 3000")
    await screen.page.run(_WATCHES)
    before = wakes_of_the_server()
    await asyncio.sleep(2)
    wakes = wakes_of_the_server() - before
    assert wakes <= 2, f"the server woke {wakes} times in 2 s: at most one a second"
    assert await screen.value("window.wakes") <= 2, "at most one a second"
    assert (
        await screen.value("performance.getEntriesByType('resource').slice(window.asked).map((one) => one.name)") == []
    )


def wakes_of_the_server() -> int:
    """How often its thread, and that of any other emulator of these tests, has waited for something so far."""
    threads = [one for one in threading.enumerate() if one.name == "runpod-emulator"]
    statuses = [Path(f"/proc/self/task/{one.native_id}/status").read_text() for one in threads]
    return sum(int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for status in statuses)


_WATCHES = """
window.wakes = 0;
window.asked = performance.getEntriesByType("resource").length;
const count = (call) => (...given) => { window.wakes += 1; return call(...given); };
for (const name of ["setTimeout", "setInterval", "requestAnimationFrame"]) {
    const real = window[name];
    window[name] = (call, ...rest) => real(count(call), ...rest);
}
"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe, from its npm package."""
    require("npm")
    folder: Path = tmp_path_factory.mktemp("axe")
    command = [shutil.which("npm") or "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", AXE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_view_is_open_to_everybody(screen: Screen, send: Send, emu: Emulator, axe: str, theme: str) -> None:
    await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})
    hook = f"{screen.root}/__emulator/hooks/-/mine"
    job = (await send("progress/runsync", input={"steps": 1, "delay": 0}, webhook=hook))["id"]
    failed = (await send("shouts/runsync", input={"fail": "x"}))["id"]
    await asyncio.to_thread(emu.fault, "status", status=429, endpoint="nobody*")
    await screen.page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    found: dict[str, Any] = {}
    for place in ("/timeline", f"/job/progress/{job}", f"/job/shouts/{failed}", "/endpoints/shouts", *VIEWS[2:], "?"):
        await screen.open("/timeline" if place == "?" else place)
        await screen.sees(".inner, .jobs")
        if place == "?":
            await screen.press("?")
            await screen.sees("dialog[open]")
        elif place.startswith("/job"):
            await screen.see("Repeat it", within=".job")
        await screen.page.run(f"{axe}; return 0")
        if told := await screen.page.run(_SERIOUS):
            found[place] = told
    await screen.page.call("Emulation.setEmulatedMedia", features=[])
    assert not found, json.dumps(found, indent=1)
