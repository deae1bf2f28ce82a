"""The other views of the page: what a person sees and changes there."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.testing import Emulator

from tests.page.conftest import Send, root_of
from tests.page.screen import Screen
from tests.security.browser import Page

pytestmark = [pytest.mark.compat, pytest.mark.asyncio(loop_scope="module")]

_TOO_WIDE = """[...document.querySelectorAll(".page, .job .sections, .card")]
    .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML.slice(0, 200))"""
VIEWS = ("/timeline", "/endpoints", "/try", "/requests", "/webhooks", "/mocks", "/clock")


async def test_endpoints_show_workers_queue_scaling_and_the_log(screen: Screen, send: Send) -> None:
    await send("shouts/runsync", input={"n": 1})
    await screen.open("/endpoints/shouts")
    await screen.see("shouts", "handler", "shouts.py", "#1", "idle", "Autoscaler", "Completed 1", "it begins {'n': 1}")
    await screen.sees(".uplot canvas", 2)
    await screen.click("All endpoints")
    assert await screen.sees("section.card[aria-label^=Endpoint]", 6)


async def test_a_job_is_handed_in_in_every_way(screen: Screen) -> None:
    await screen.open("/try/shouts")
    await screen.fill("textarea", '{"input": {"word": "hello"}}')
    await screen.click("Send")
    await screen.see("200", "COMPLETED", "said:", "runsync.completed", within=".answer")
    await screen.click("run", within="[role=tablist]")
    await screen.click("Send")
    await screen.see("run.accepted", within=".answer")
    await screen.click("Look at the job")
    await screen.see("completed", within=".job")
    await screen.go("/try/tokens")
    await screen.click("stream", within="[role=tablist]")
    await screen.fill("textarea", '{"input": {"text": "one two three", "delay": 0.05}}')
    await screen.click("Send")
    await screen.see("one two three", "COMPLETED", within=".answer")
    await screen.go("/try/openai_chat")
    await screen.click("OpenAI chat")
    await screen.click("Send")
    await screen.see("hello", "done", within=".answer")
    await screen.go("/try/shouts")  # which does not speak it: what it says is shown as it came
    await screen.click("OpenAI chat")
    await screen.click("Send")
    assert await screen.see("openai_route", "done", within=".answer")


async def test_a_wrong_input_is_named_before_it_is_sent(screen: Screen) -> None:
    await screen.open("/try/shouts")
    await screen.fill("textarea", '{"input": ')
    await screen.see("Unexpected end", within="main")
    assert await screen.value("document.querySelector('.button.main').disabled")


async def test_a_request_says_why_it_was_refused_and_becomes_a_stub(screen: Screen, send: Send) -> None:
    await send("shouts/status/nope")
    await send("shouts/runsync", input={"n": 7})
    await screen.open("/requests")
    await screen.see("POST /v2/shouts/status/nope", "404", "job shouts/nope", "POST /v2/shouts/runsync", "200")
    await screen.press("/", *"runsync")
    await screen.sees("tbody tr", 1)
    await screen.click("Details of request")
    await screen.click("Make a stub of it")
    await screen.see("stub-1", "took 0", within="[aria-label=Stubs]")
    assert (await send("shouts/runsync", input={"n": 7}))["output"] == {"said": {"n": 7}}
    await screen.see("took 1", within="[aria-label=Stubs]")


async def test_jobs_that_met_no_stub_say_what_the_nearest_wanted(screen: Screen, send: Send, emu: Emulator) -> None:
    await asyncio.to_thread(emu.stub, endpoint="llm", match={"input": {"prompt": "hello"}}, respond={"output": "hi"})
    await send("llm/runsync", input={"prompt": "bye"})
    await screen.open("/requests")
    assert await screen.see("Near misses", "the nearest is stub-1", 'expected "hello"')


async def test_stubs_and_faults_are_made_switched_and_removed(screen: Screen, send: Send, emu: Emulator) -> None:
    await screen.open("/mocks")
    await screen.see("No stubs", "No faults")
    await screen.click("New stub")
    await screen.fill("textarea", '{"id": "mine", "endpoint": "llm", "respond": {"output": "stubbed"}}')
    await screen.click("Add")
    await screen.see("mine", within="[aria-label=Stubs]")
    assert (await send("llm/runsync", input={"n": 1}))["output"] == "stubbed"
    await screen.click("Use mine")
    await screen.sees("li.off", 1)
    await asyncio.to_thread(emu.stub, id="other", endpoint="llm", priority=-1, respond={"output": "other"})
    assert (await send("llm/runsync", input={"n": 1}))["output"] == "other"
    await screen.click("Use mine")
    await screen.sees("li.off", 0)
    await screen.see("asked 1, took 1, played 1", within="[aria-label=Stubs]")
    await screen.click("Edit mine")
    assert '"stubbed"' in await screen.value("document.querySelector('.mocks textarea').value")
    await screen.fill(".mocks textarea", '{"respond": {"outputs": 1}}')
    await screen.click("Save")
    await screen.see("respond: outputs: no such key", within=".mocks .problem")
    screen.page.log.clear()  # a refused request is an entry of the console
    await screen.fill(".mocks textarea", '{"endpoint": "llm", "respond": {"output": "edited"}}')
    await screen.click("Save")
    await screen.sees(".mocks textarea", 0)
    await screen.see("asked 0, took 0, played 0", "edited", within=".mocks li:has([aria-label='Remove mine'])")
    assert (await send("llm/runsync", input={"n": 1}))["output"] == "edited"
    await screen.click("Remove mine")
    await screen.until("!document.body.innerText.includes('mine')")
    await screen.click("New fault")
    await screen.fill("[aria-label=Faults] textarea", '{"fault": "nonsense"}')
    await screen.click("Add")
    await screen.see("nonsense", within="[aria-label=Faults] .problem")
    screen.page.log.clear()  # a refused request is an entry of the console
    await screen.fill("[aria-label=Faults] textarea", '{"id": "busy", "fault": "status", "status": 429}')
    await screen.click("Add")
    await screen.click("Use busy")
    await screen.sees("li.off", 1)
    assert (await send("llm/runsync", input={"n": 1}))["output"] == "other"
    await screen.click("Use busy")
    await screen.sees("li.off", 0)
    assert (await send("llm/runsync", input={"n": 1}))["status"] == 429
    await screen.see("struck 1", within="[aria-label=Faults]")


async def test_webhooks_are_listed_received_and_sent_again(screen: Screen, send: Send, emu: Emulator) -> None:
    await asyncio.to_thread(emu.stub, endpoint="llm", respond={"output": "ok"})
    await screen.open("/webhooks")
    await screen.see("No webhook was called yet", "takes calls at http", "Nothing came yet")
    await screen.click("Set")
    await screen.see("The next call is answered 500.")
    await send("llm/runsync", input={"n": 1}, webhook=f"{screen.root}/__emulator/hooks/-/mine")
    await screen.see("mine", "500", "tried again later")
    await screen.click("Send again")
    assert await screen.see("acknowledged", "2 calls", "200")


async def test_time_is_moved_and_says_what_is_due(screen: Screen, tab: Page) -> None:
    async with Emulator("llm", clock="virtual") as emu:
        await asyncio.to_thread(emu.stub, endpoint="llm", respond={"delay": "5m", "output": "late"})
        await screen.open("/try/llm", root=root_of(emu))
        await screen.click("run", within="[role=tablist]")
        await screen.click("Send")
        await screen.see("run.accepted")
        await screen.go("/clock")
        await screen.see("virtual", "Due next", "5 min 0 s")
        await screen.click("+10m")
        await screen.go("/timeline")
        assert await screen.see("5 min 0 s", within=".job-row")
        await screen.open("about:blank")


async def test_a_namespace_is_a_world_of_its_own(screen: Screen, emu: Emulator) -> None:
    other = await asyncio.to_thread(emu.namespace, "w2")
    await asyncio.to_thread(other.stub, endpoint="llm", respond={"output": "ok"})
    await screen.open("/clock")
    await screen.see("w2", "Drop")
    await screen.click("Show", within=".card:last-of-type .row")
    await screen.see("The page shows w2")
    await screen.go("/timeline")
    await screen.click("Send it from here")
    await screen.sees("a.job-row", 1)
    await screen.fill("select[aria-label=Namespace]", "")
    assert await screen.see("Waiting for the first job")
    await asyncio.to_thread(emu.drop_namespaces)


async def test_the_admin_key_is_asked_for_once_and_kept_for_the_tab(screen: Screen, tab: Page) -> None:
    async with Emulator("llm", admin_key=["open-sesame"]) as emu:
        await screen.open(root=root_of(emu))
        await screen.see("This server asks for its admin key", within="dialog")
        await screen.fill("dialog input", "wrong")
        await screen.click("Use it")
        await screen.see("This server asks for its admin key", within="dialog")
        await screen.fill("dialog input", "open-sesame")
        await screen.click("Use it")
        await screen.see("Waiting for the first job")
        await screen.open(root=root_of(emu))
        await screen.see("Waiting for the first job")
        assert await screen.value("Object.keys(localStorage).length") == 0
        await screen.open("about:blank")
    tab.log.clear()  # each refusal is an entry of the console


async def test_a_server_that_goes_is_missed_and_found_again(screen: Screen, tab: Page) -> None:
    first = Emulator("llm")
    with first:
        port = first.link.server.port
        await screen.open(root=root_of(first))
        await screen.see("live", "Waiting for the first job")
    await screen.see("no connection", "the page goes on trying")
    with Emulator("llm", "more", port=port):
        assert await screen.see("live", "more")
        await screen.open("about:blank")
    tab.log.clear()  # each vain try is an entry of the console


async def test_every_view_fits_a_phone(screen: Screen, send: Send) -> None:
    job = (await send("shouts/runsync", input={"fail": "x" * 300}))["id"]
    await screen.resize(360, 740)
    try:
        for place in (
            f"/job/shouts/{job}",
            "/timeline",
            "/endpoints",
            "/try",
            "/requests",
            "/webhooks",
            "/mocks",
            "/clock",
        ):
            await screen.open(place)
            await screen.sees("main > *")
            await screen.sees(".inner, .jobs, .job")
            assert await screen.value("document.documentElement.scrollWidth") == 360, place
            assert await screen.value(_TOO_WIDE) == [], place
    finally:
        await screen.resize(1360, 860)


async def test_light_and_dark_are_chosen_and_kept(screen: Screen) -> None:
    await screen.open()
    await screen.see("Waiting for the first job")
    before = await screen.value("getComputedStyle(document.body).backgroundColor")
    await screen.press("t")
    assert await screen.value("getComputedStyle(document.body).backgroundColor") != before
    await screen.open()
    assert await screen.value("getComputedStyle(document.body).backgroundColor") != before
    await screen.press("t")
    assert await screen.value("getComputedStyle(document.body).backgroundColor") == before


async def test_the_keys_go_through_the_views(screen: Screen) -> None:
    await screen.open()
    await screen.see("live")  # by then it listens to keys
    await screen.press("?")
    await screen.see("light or dark", within="dialog")
    await screen.press("Escape")
    await screen.sees("dialog[open]", 0)
    await screen.press("7")
    assert await screen.see("Due next")


async def test_requests_fit_on_a_phone(screen: Screen, send: Send) -> None:
    await send("shouts/runsync", input={"n": 1})
    await screen.page.call(
        "Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True
    )
    try:
        await screen.open("/requests")
        await screen.sees(".stacks tbody tr", 1)
        table = "document.querySelector('.stacks').parentElement"
        assert await screen.value(f"{table}.scrollWidth <= {table}.clientWidth")
    finally:
        wide = {"width": 1360, "height": 860, "deviceScaleFactor": 1, "mobile": False}
        await screen.page.call("Emulation.setDeviceMetricsOverride", **wide)
