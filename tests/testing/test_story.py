"""The story that a failing test tells: what was asked, what became of it, and what the clock waits for."""

from __future__ import annotations

import re
import threading

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.compat.servers import until
from tests.plain import PLAIN
from tests.testing.conftest import HELLO, Client

pytest_plugins = ["pytester"]


def test_it_tells_all_that_happened(emu: Emulator, client: Client):
    emu.stub(id="slow", endpoint="llm", match={"input": {"prompt": "slow"}}, respond={"delay": "5s", "output": 1})
    emu.stub(id="unused", endpoint="llm", match={"input": {"prompt": "never"}}, respond={"output": 1})
    emu.fault("status", id="busy", status=429, operations=["run"], times=1)
    emu.webhooks.answer(500)
    assert client.ask("POST", "/llm/run", {"input": {"prompt": "slow"}}).status_code == 429
    slow = client.run("slow", webhook=emu.webhooks.url_for("a"))
    other = client.run("other")
    for _ in range(3):
        client.status(slow)
    emu.clock.advance(6)
    client.status(slow)
    (worker,) = {change.worker for change in emu.job(slow).transitions if change.event == "Taken"}
    (second,) = {change.worker for change in emu.job(other).transitions if change.event == "Taken"}
    assert emu.story().splitlines() == [
        "seed 0, virtual clock at +6 s, the next deadline in 4 s",
        "requests: 7",
        "  #1 +0 s POST /v2/llm/run: 429 by fault busy",
        f"  #2 +0 s POST /v2/llm/run: 200, job {slow}",
        f"  #3 +0 s POST /v2/llm/run: 200, job {other}",
        f"  4 x GET /v2/llm/status/{slow}: 200, #4 +0 s to #7 +6 s",
        "jobs: 2",
        f"  {slow} of llm: Submitted +0 s, Taken by {worker} +0 s, Completed +5 s; stub slow",
        f"  {other} of llm: Submitted +0 s, Taken by {second} +0 s, Failed +0 s; no stub matches this job; "
        'the nearest is unused: input.prompt: expected "never", got "other"',
        "stubs: 2",
        "  unused: asked 0, matched 0, played 0",
        "  slow: asked 1, matched 1, played 1",
        "faults: 1",
        "  busy (status): asked 3, struck 1",
        "webhooks: 1",
        f"  webhook of job {slow} to {emu.webhooks.url_for('a')}: 1 attempt so far (answered 500), the next in 4 s",
    ]
    assert httpx.get(emu.base_url.removesuffix("/v2") + "/__emulator/story", **PLAIN).text == emu.story()


def test_of_much_it_tells_the_last_in_40_lines(emu: Emulator, client: Client):
    for number in range(30):
        emu.stub(endpoint="llm", match={"input": {"prompt": str(number)}}, respond={"stream": ["a"] * 20, "output": 1})
        emu.fault("latency", delay="1ms", operations=["cancel"])
        job = client.run(str(number), webhook=emu.webhooks.url)
        client.ask("POST", f"/llm/purge-queue?{number}")
        client.status(job)
    emu.clock.run_until_idle()
    told = emu.story().splitlines()
    assert len(told) <= 40 and max(map(len, told)) <= 223
    assert "jobs: 8 of 30" in told and f"  {job} of llm" in "\n".join(told)
    assert re.search(r"  \d+ earlier ones", "\n".join(told))
    assert "20 x Emitted" in "\n".join(told)


def test_it_hides_secrets(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"error": "failed with https://user:pass-of-the-error@host/"})
    client.run(webhook="http://user:pass-of-the-hook@127.0.0.1:9/")
    emu.clock.advance(0)
    assert "pass-of-the" not in emu.story()


def test_it_says_what_a_request_that_was_held_was_answered():
    with Emulator("llm") as emu:
        client = Client(emu)
        emu.stub(endpoint="llm", respond={"delay": "1m", "output": 1})
        job = client.ask("POST", "/llm/runsync?wait=2000", HELLO).json()["id"]
        client.ask("GET", f"/llm/status-sync/{job}")
        held, asked = emu.story().splitlines()[2:4]
    assert re.fullmatch(rf".* POST /v2/llm/runsync: 200, job {job}, IN_PROGRESS after 2(\.0\d*)? s", held)
    assert re.fullmatch(rf".* GET /v2/llm/status-sync/{job}: 200, COMPLETED after 5[78][.\d]* s", asked)


def test_it_says_why_requests_were_refused(emu: Emulator, client: Client):
    client.ask("POST", "/lln/run", HELLO)
    for _ in range(2):
        client.ask("POST", "/llm/run", {"in": 1})
    client.ask("POST", "/llm/run", {"input": 1})
    assert emu.story().splitlines()[2:5] == [
        "  #1 +0 s POST /v2/lln/run: 404 (no endpoint lln: did you mean llm?)",
        "  2 x POST /v2/llm/run: 400 (body: input is required), #2 +0 s to #3 +0 s",
        "  #4 +0 s POST /v2/llm/run: 400 (body: input must be an object)",
    ]


def test_what_clients_wrote_makes_no_lines_and_no_colours(emu: Emulator, client: Client):
    for path in ("/llm/ru%0A%1b[31mn", "/ll%0A%1b[31mm/run"):
        client.ask("POST", path)
    with pytest.raises(AssertionError) as nearest:
        emu.assert_requested(status=200)
    told = [emu.story(), *emu.unmet(), str(nearest.value)]
    assert [text for text in told if not all(line.isprintable() for line in text.split("\n"))] == []
    assert [len(text.split("\n")) for text in told] == [4, 1, 1, 3]


def test_of_nothing_it_is_short(emu: Emulator):
    (line,) = emu.story().splitlines()
    assert line.startswith("seed 0, virtual clock at +0 s, ")


def test_it_names_the_job_that_a_request_is_held_for(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"delay": "1m", "output": 1})
    asked = threading.Thread(target=client.ask, args=("POST", "/llm/runsync", HELLO))
    asked.start()
    until(lambda: bool(emu.jobs()))
    (job,) = emu.jobs()
    until(lambda: f"a client's request waits for job {job.id}" in emu.story().splitlines()[0])
    emu.clock.advance("1m")
    asked.join()


FILE = """
import threading
import httpx
import pytest
from runpod_emulator import Emulator

def post(emu):
    httpx.post(emu.base_url + "/mock/run", json={"input": {"a": 1}}, headers=emu.headers)

def test_passes(runpod_emulator):
    post(runpod_emulator)

def test_fails(runpod_emulator):
    post(runpod_emulator)
    assert False, "test_fails"

@pytest.fixture
def backend(runpod_emulator):
    post(runpod_emulator)
    raise KeyError("setup")

def test_whose_setup_fails(backend):
    pass

@pytest.fixture
def leaving(runpod_emulator):
    yield
    post(runpod_emulator)
    raise KeyError("teardown")

def test_whose_teardown_fails(leaving):
    pass

@pytest.fixture(scope="module")
def own():
    with Emulator("mock", clock="virtual") as emu:
        yield emu

def test_with_its_own(own):
    post(own)
    assert False, "test_with_its_own"

def test_without():
    assert False, "test_without"

def test_skipped(runpod_emulator):
    pytest.skip("not now")

@pytest.mark.runpod_emulator(patience=0.5)
def test_whose_emulator_hangs(runpod_emulator):
    runpod_emulator.link.server.app  # it has one
    runpod_emulator._thread._loop.call_soon_threadsafe(threading.Event().wait, 1.5)
    assert False, "test_whose_emulator_hangs"
"""


def test_the_report_of_a_failing_test_tells_it(pytester: pytest.Pytester):
    pytester.makepyfile(FILE)
    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis")
    outcome.assert_outcomes(passed=2, failed=4, errors=2, skipped=1)
    text = outcome.stdout.str()
    assert text.count("- what the emulator knows -") == 4
    assert len(re.findall(r"  #1 \+0(\.\d+)? s POST /v2/mock/run: 200", text)) == 4
    for told in re.split(r"_{5,} .*test_", text)[1:]:
        has_none = told.startswith(("without", "whose_emulator_hangs"))
        assert ("what the emulator knows" in told) is not has_none
