"""The timeline and one job, as a person goes through them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runpod_emulator.doors.admin import backlog
from runpod_emulator.testing import Emulator

from tests.page.conftest import Send, root_of
from tests.page.screen import Screen
from tests.security.browser import Page
from tests.timing import expect_within, timed

pytestmark = [pytest.mark.compat, pytest.mark.asyncio(loop_scope="module")]

_SAVES = """window.saved = [];
    URL.createObjectURL = (blob) => { blob.text().then((text) => window.saved.push(text)); return "#x"; };"""


async def test_the_first_job_is_sent_from_the_page_and_appears(screen: Screen) -> None:
    await screen.open()
    await screen.see("Waiting for the first job", f"{screen.root}/v2", "llm")
    await screen.click("Send it from here")
    await screen.sees("a.job-row", 1)
    assert await screen.see("live")


async def test_a_job_is_seen_as_it_goes_on(screen: Screen, send: Send) -> None:
    await screen.open()
    await screen.see("Waiting for the first job")
    job = (await send("tokens/run", input={"text": "one two three four", "delay": 0.2}))["id"]
    await screen.sees("a.job-row", 1)
    await screen.press("j")
    await screen.see("in progress", within=".job")
    await screen.see("one two", within=".job")
    await screen.see("one two three four", "completed", "Submitted", "Taken", "Completed", within=".job")
    await screen.see("status.completed", "observed", within=".job")
    assert await screen.value("location.hash") == f"#/job/tokens/{job}"


async def test_who_looks_takes_no_chunk_from_the_client(screen: Screen, send: Send) -> None:
    job = (await send("tokens/run", input={"text": "one two", "delay": 0.05}))["id"]
    await screen.open(f"/job/tokens/{job}")
    await screen.see("2 chunks", "completed", within=".job")
    chunks = (await send(f"tokens/stream/{job}"))["stream"]
    assert [one["output"] for one in chunks] == ["one ", "two"]


async def test_a_failing_job_is_understood_run_again_and_retried(screen: Screen, send: Send) -> None:
    job = (await send("shouts/run", input={"fail": "flux"}))["id"]
    await screen.open(f"/job/shouts/{job}")
    await screen.see("Why it failed", "ValueError", "no such model: flux", "shouts.py", within=".job")
    await screen.see("it begins {'fail': 'flux'}", "#1", within=".job .log")
    await screen.see("POST /v2/shouts/run", "200", within=".job")
    await screen.click("Retry")
    await screen.see("Retried", "a client asked for another run", within=".job")
    await screen.click("Run again")
    await screen.until(f"location.hash.startsWith('#/job/shouts/') && !location.hash.endsWith('{job}')")
    await screen.see("no such model: flux", within=".job")
    assert await screen.sees("a.job-row", 2)


async def test_a_job_whose_workers_die_says_how_and_what_to_look_for(screen: Screen, send: Send) -> None:
    job = (await send("shouts/run", input={"dies": True}))["id"]
    await screen.open(f"/job/shouts/{job}")
    await screen.see("job timed out after 1 retries", "was killed by SIGKILL, then worker", within=".error-card")
    await screen.see("takes too much memory", within=".error-card")
    assert await screen.see("Requeued its worker was lost: it was killed by SIGKILL", within=".steps")


async def test_a_job_that_no_worker_can_take_says_why_until_the_handler_is_mended(
    screen: Screen, tab: Page, tmp_path: Path
) -> None:
    handler = tmp_path / "broken.py"
    handler.write_text("import nothing_here\n")
    async with Emulator(endpoint=[f"broken={handler}"], reload=True, clock="real") as emu:
        await screen.open(root=root_of(emu))
        await screen.click("Send it from here")
        await screen.sees("a.job-row", 1)
        await screen.press("j")
        await screen.see("No module named 'nothing_here'", "-m pip install nothing-here", within=".error-card")
        await screen.see("save it", within=".error-card .advice")
        await screen.sees("a.job-row.stuck", 1)
        await screen.see("Endpoint broken: its handler can't be imported", "ModuleNotFoundError", within=".banner")
        handler.write_text("import runpod\nrunpod.serverless.start({'handler': lambda job: 'mended'})\n")
        await screen.see("mended", "completed", within=".job")
        assert await screen.sees("a.job-row.stuck, .banner", 0) == 0
        await screen.open("about:blank")


async def test_a_job_that_expired_is_shown_with_its_last_record_and_run_again(screen: Screen, tab: Page) -> None:
    async with Emulator("llm", clock="virtual") as emu:
        await asyncio.to_thread(emu.stub, endpoint="llm", respond={"delay": "1s", "error": "no such model"})
        await screen.open("/try/llm", root=root_of(emu))
        await screen.click("run", within="[role=tablist]")
        await screen.click("Send")
        await screen.see("run.accepted")
        await asyncio.to_thread(emu.clock.advance, "2d")
        await screen.click("Look at the job")
        await screen.see("gone", "Clients are told 404", "no such model", "Input", "Repeat it", within=".job")
        await screen.click("Run again")
        await screen.sees("a.job-row", 2)
        await screen.go("/endpoints")
        assert await screen.see("1 job that clients can ask for, 1 gone")
        await screen.open("about:blank")


async def test_an_output_that_is_dropped_for_its_size_says_so(screen: Screen, send: Send) -> None:
    job = (await send("shouts/run", input={"large": 21 << 20}))["id"]
    await screen.open(f"/job/shouts/{job}")
    await screen.see("Why there is no output", "The result is above 20971520 bytes", within=".job")
    assert await screen.see("the result is above 20971520 bytes", within=".job")


async def test_what_the_stream_tells_late_is_not_added_again(screen: Screen) -> None:
    await screen.open()
    had = await screen.page.run(
        """const { Life } = await import("/__emulator/ui/life.js");
        const life = new Life("llm", "1");
        const all = [[5, "Submitted", "IN_QUEUE", null, 0], [5, "Taken", "IN_PROGRESS", "w", 0],
            [6, "Emitted", "IN_PROGRESS", "w", 0], [6, "Emitted", "IN_PROGRESS", "w", 0]];
        for (const moment of all) life.add(moment);
        return [all[1], all[2], [6, "Renewed", "IN_PROGRESS", "w", 0], all[3], all[3]].map((one) => life.has(one));"""
    )
    assert had == [True, True, True, True, False], "the fifth is a third chunk"


async def test_bars_are_no_ticks_after_a_pause(screen: Screen) -> None:
    await screen.open()
    spans = await screen.page.run(
        """const { range } = await import("/__emulator/ui/rows.js");
        const old = Array.from({ length: 3 }, (_, index) => ({ from: index * 50, to: index * 50 + 40 }));
        const fresh = { from: 60000, to: 60100 };
        return ["fit", "all"].map((axis) => [[...old, fresh], [fresh], old].map((lives) => {
            const [from, to] = range(axis, lives, 60200);
            return Math.round((to - from) / 100);
        }));"""
    )
    assert spans[0] == [1, 1, 1]
    assert spans[1][0] > 600


async def test_a_job_that_runs_is_cancelled(screen: Screen, send: Send, emu: Emulator) -> None:
    job = (await send("tokens/run", input={"text": "one two three", "delay": 30}))["id"]
    await screen.open(f"/job/tokens/{job}")
    await screen.see("in progress", within=".job")
    await screen.click("Cancel")
    await screen.see("cancelled", "its worker was told to stop", within=".job")
    assert (await send(f"tokens/status/{job}"))["status"] == "CANCELLED"


async def test_progress_images_and_webhooks_are_part_of_a_job(screen: Screen, send: Send) -> None:
    hook = f"{screen.root}/__emulator/hooks/-/mine"
    job = (await send("progress/run", input={"steps": 2, "delay": 0.05}, webhook=hook))["id"]
    await screen.open(f"/job/progress/{job}")
    await screen.see("2 updates", '{"step":1,"of":2}', "Webhook", "attempt 1", "acknowledged", within=".job")
    picture = (await send("picture/runsync", input={"prompt": "a house"}))["id"]
    await screen.go(f"/job/picture/{picture}")
    assert await screen.until("document.querySelector('.job img')?.naturalWidth === 64")


async def test_rows_are_chosen_by_text_status_endpoint_and_keys(screen: Screen, send: Send, emu: Emulator) -> None:
    await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})
    ids = [(await send("llm/runsync", input={"prompt": f"house {n}"}))["id"] for n in range(3)]
    await send("shouts/runsync", input={"fail": "x"})
    await screen.open()
    await screen.sees("a.job-row", 4)
    await screen.click("failed", within=".chips")
    await screen.sees("a.job-row", 1)
    await screen.click("failed", within=".chips")
    await screen.fill(".bar select", "llm")
    await screen.sees("a.job-row", 3)
    await screen.fill(".bar select", "")
    await screen.press("/", *"house 1")
    await screen.sees("a.job-row", 1)
    assert await screen.value("document.querySelector('a.job-row').hash") == f"#/job/llm/{ids[1]}"
    await screen.press("Escape", "j", "Escape")
    await screen.fill("#filter", ids[2][:13])
    await screen.sees("a.job-row", 1)
    await screen.fill("#filter", "")
    await screen.press("Escape", "j", "j", "k")
    await screen.until("document.querySelector('.job-row.chosen .name')?.textContent === 'shouts'")
    await screen.press("Escape")
    await screen.until("location.hash === '#/timeline'")


async def test_a_pause_holds_the_rows_and_counts_what_is_new(screen: Screen, send: Send, emu: Emulator) -> None:
    await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})
    await send("llm/runsync", input={"n": 1})
    await screen.open()
    await screen.sees("a.job-row", 1)
    await screen.press("p")
    await send("llm/runsync", input={"n": 2})
    await screen.see("Go on (1 new job)")
    await screen.sees("a.job-row", 1)
    await screen.press("p")
    assert await screen.sees("a.job-row", 2)


async def test_a_life_is_saved_as_json_and_as_a_trace(screen: Screen, send: Send) -> None:
    job = (await send("shouts/runsync", input={"n": 1}))["id"]
    await screen.open(f"/job/shouts/{job}")
    await screen.see("completed", within=".job")
    await screen.page.run(_SAVES)
    await screen.click("JSON", within=".job header")
    assert await screen.until("window.saved.length === 1 && JSON.parse(window.saved[0]).job.id") == job
    await screen.click("Trace", within=".job header")
    assert await screen.until("window.saved.length === 2 && JSON.parse(window.saved[1]).traceEvents.length > 2")


async def test_the_code_that_repeats_a_job_does_so(screen: Screen, send: Send) -> None:
    given = {"quote": "it's `all` \"\"\" \\ fine, ''' too \u2028 \U0001f600\n$HOME"}
    job = (await send("shouts/runsync", input=given))["id"]
    await screen.open(f"/job/shouts/{job}")
    await screen.see("curl -s", f"{screen.root}/v2/shouts/run", within=".job")
    code = {}
    for language, part in (
        ("curl", "curl -s"),
        ("Python", "runpod.Endpoint"),
        ("JavaScript", "statusSync(job.id)"),
        ("Go", "RunInput{JobInput: &job}"),
    ):
        await screen.click(language, within=".job [aria-label=Language]")
        await screen.see(part, within=".job .card:last-child pre")
        await screen.page.run(_COPIES)
        await screen.click("Copy", within=".job .card:last-child .code")
        code[language] = await screen.until("window.copied")
    await asyncio.gather(*(asyncio.to_thread(ran, [*command, code[language]]) for language, command in _RUN.items()))
    told = await screen.value("(await (await fetch('/__emulator/jobs')).json()).jobs.map((one) => one.input)")
    assert told == [given] * 3


_COPIES = """
window.copied = "";
const value = { writeText: async (text) => { window.copied = text; } };
Object.defineProperty(navigator, "clipboard", { configurable: true, value });
return 0;
"""
_RUN = {"curl": ("sh", "-c"), "Python": (sys.executable, "-c")}


def ran(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_PROXY": "*"})
    assert done.returncode == 0, done.stderr


async def test_nothing_is_missed_and_nothing_doubled_while_jobs_rush_in(
    screen: Screen, send: Send, emu: Emulator
) -> None:
    await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})
    rush = asyncio.ensure_future(asyncio.gather(*(send("llm/runsync", input={"n": n}) for n in range(150))))
    await screen.open()
    await rush
    await screen.until("document.querySelector('.chip:nth-child(3) b').textContent === '150'")
    told = await screen.value(_TOLD)
    await screen.page.run(_GET_WORLD)
    known = await screen.value(_KNOWN)
    assert known == told


async def test_a_rush_is_left_out_of_the_stream_and_seen_in_the_end(
    screen: Screen, send: Send, emu: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MOST", 60)
    monkeypatch.setattr(backlog, "FEW", 30)
    await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})
    await screen.open()
    await screen.see("live")
    for _ in range(3):
        await asyncio.gather(*(send("llm/runsync", input={"n": n}) for n in range(150)))
    await screen.until("document.querySelector('.chip:nth-child(3) b').textContent === '450'")
    await screen.until(f"{_ASKED}('/timeline?') > 1")
    assert len(emu.link.world.feeds) == 1, "the page stays on its stream"
    told = await screen.value(_TOLD)
    await screen.page.run(_GET_WORLD)
    await screen.until(f"JSON.stringify({_KNOWN}) === {json.dumps(json.dumps(told, separators=(',', ':')))}")
    assert len(told) == 450


@timed
async def test_a_change_is_seen_at_once(screen: Screen, emu: Emulator) -> None:
    await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})
    await screen.open()
    await screen.see("live")
    took = await screen.page.run(_SEEN_AFTER)
    expect_within(took / 1000, 0.1, "what a client sent, until it was seen")


_ASKED = "((part) => performance.getEntriesByType('resource').filter((one) => one.name.includes(part)).length)"
_TOLD = """(await (await fetch('/__emulator/timeline')).json()).jobs
    .map((one) => `${one.id} ${one.moments.map((moment) => moment[1])}`).sort()"""
_KNOWN = (
    """[...window.world.lives.values()].map((one) => `${one.id} ${one.moments.map((moment) => moment[1])}`).sort()"""
)
_GET_WORLD = "window.world = (await import('/__emulator/ui/world.js')).world; return 0"
_SEEN_AFTER = """
const took = [];
for (let count = 1; count < 6; count++) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const seen = new Promise((resolve) => new MutationObserver((_, watch) => {
        if (document.querySelectorAll("a.job-row").length === count) { watch.disconnect(); resolve(performance.now()); }
    }).observe(document.body, { childList: true, subtree: true }));
    const sent = { method: "POST", headers: { "Content-Type": "application/json", Authorization: "Bearer any" } };
    await fetch("/v2/llm/run", { ...sent, body: JSON.stringify({ input: { count } }) });
    const began = performance.now();
    took.push(await seen - began);
}
return took.sort((one, other) => one - other)[2];
"""


async def test_a_reset_forgets_all_jobs(screen: Screen, send: Send, emu: Emulator) -> None:
    await send("shouts/runsync", input={"n": 1})
    await screen.open()
    await screen.sees("a.job-row", 1)
    await asyncio.to_thread(emu.reset)
    assert await screen.see("Waiting for the first job")
