"""A wait in vain says which job, which webhook, and what they wait for."""

from __future__ import annotations

from typing import Any

import pytest
from runpod_emulator.doors.admin import unasked
from runpod_emulator.doors.admin.whereabouts import hook_line
from runpod_emulator.testing import Emulator

from tests.testing.conftest import Client


def in_vain(emu: Emulator, **wish: Any) -> list[str]:
    """What a wait in vain tells."""
    with pytest.raises(TimeoutError) as told:
        emu.wait_for(**wish, timeout=0)
    return str(told.value).splitlines()


def test_it_names_the_job_and_its_stub(emu: Emulator, client: Client):
    emu.stub(id="slow", endpoint="llm", match={"input": {"prompt": "slow"}}, respond={"delay": "1m", "output": 1})
    emu.stub(id="held", endpoint="llm", match={"input": {"prompt": "held"}}, respond={"queue_delay": "1m", "output": 1})
    slow, held = client.run("slow"), client.run("held")
    emu.clock.advance(5)
    (worker,) = [job.worker for job in emu.jobs() if job.worker]
    playing = f"  job {slow} of llm: IN_PROGRESS for 5 s on worker {worker}, plays stub slow"
    waiting = f"  job {held} of llm: IN_QUEUE for 5 s, held by stub held"
    told = in_vain(emu, job=slow)
    assert told[0].startswith(f"job {slow} is IN_PROGRESS") and told[1:] == [playing]
    assert in_vain(emu, job=held)[1:] == [waiting]
    assert in_vain(emu, idle=True)[1:] == [waiting, playing]
    assert in_vain(emu, status="COMPLETED", count=2, endpoint="ll?")[1:] == [waiting, playing]
    assert in_vain(emu, status="COMPLETED", endpoint="oth*")[1:] == []


def test_it_names_what_has_become_of_the_jobs(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"error": "out of memory"})
    failed = client.run()
    emu.clock.advance(1)
    told = in_vain(emu, status="COMPLETED")
    assert told[1:] == [f"  job {failed} of llm: FAILED after 0 s: out of memory"]


def test_it_names_the_webhook(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"output": 1})
    emu.webhooks.answer(500, times=2)
    url = emu.webhooks.url_for("orders")
    job = client.run(webhook=url)
    emu.clock.advance(0)
    told = in_vain(emu, webhooks=1)
    assert told[1:] == [f"  webhook of job {job} to {url}: 1 attempt so far (answered 500), the next in 5 s"]
    assert in_vain(emu, idle=True)[1:] == told[1:]
    emu.clock.advance(5)
    assert "2 attempts so far (answered 500), the next in 15 s" in in_vain(emu, webhooks=1)[1]


def test_it_names_the_job_that_has_a_webhook_but_no_end(emu: Emulator, client: Client):
    emu.stub(id="slow", endpoint="llm", respond={"delay": "1m", "output": 1})
    job = client.run(webhook=emu.webhooks.url)
    emu.clock.advance(2)
    assert in_vain(emu, webhooks=1)[1].startswith(f"  job {job} of llm: IN_PROGRESS for 2 s on worker")


def test_a_webhook_that_was_given_up_is_told(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"output": 1})
    emu.webhooks.answer(500, times=99)
    job = client.run(webhook=emu.webhooks.url)
    emu.clock.run_until_idle()
    told = in_vain(emu, webhooks=1)[1]
    assert told.startswith(f"  webhook of job {job} to ") and told.endswith("(answered 500), given up")


@pytest.mark.parametrize("clock", ["auto", "real"])
def test_nobody_waits_for_a_job_that_was_never_there(clock: Any):
    with (
        Emulator("llm", clock=clock, patience=2) as emu,
        pytest.raises(TimeoutError, match="j1 was never there: who"),
    ):
        emu.wait_for(job="j1", timeout="1h")


@pytest.mark.parametrize("clock", ["auto", "real", "virtual"])
def test_nobody_waits_for_webhooks_that_no_job_has_asked_for(clock: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unasked, "_GRACE", 0.02)
    with Emulator("llm", clock=clock, patience=2) as emu:
        emu.stub(endpoint="llm", respond={"output": 1})
        client = Client(emu)
        client.run()
        with pytest.raises(TimeoutError, match=r"^0 of 1 webhook calls .*: jobs came, .* has asked for a webhook"):
            emu.wait_for(webhooks=1, timeout="1h")
        client.run(webhook=emu.webhooks.url)
        emu.wait_for(webhooks=1)


def test_it_waits_for_the_first_job(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unasked, "_GRACE", 0.02)
    with Emulator("llm", patience=0.2) as emu, pytest.raises(TimeoutError, match="not over after"):
        emu.wait_for(webhooks=1)


def test_the_next_attempt_is_never_in_the_past(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"output": 1})
    emu.webhooks.answer(500)
    job = client.run(webhook=emu.webhooks.url)
    emu.clock.advance(0)
    (last,) = emu.link.ask(lambda world: list(world.attempts))
    late = last._replace(delivery=last.delivery._replace(due=last.at - 8_167))
    told = emu.link.ask(lambda world: hook_line(world, late))
    assert told.startswith(f"webhook of job {job} to") and told.endswith("(answered 500), the next is on its way")


def test_it_says_that_no_job_has_asked_yet(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"delay": "1m", "output": 1})
    assert in_vain(emu, webhooks=1)[1:] == ["  no job has asked for a webhook yet"]
    client.run()
    assert in_vain(emu, webhooks=1)[1:] == ["  no job has asked for a webhook yet"]


async def test_who_blocks_the_own_loop_is_told():
    with Emulator("llm", patience=0.1) as emu:
        with pytest.raises(TimeoutError, match=r"This call blocks the event loop .*await emu\.aio"):
            emu.wait_for(webhooks=1)
        with pytest.raises(TimeoutError) as told:
            await emu.aio.wait_for(webhooks=1)
        assert "blocks" not in str(told.value)


def test_many_are_counted(emu: Emulator, client: Client):
    emu.stub(endpoint="llm", respond={"never": True})
    for _ in range(9):
        client.run()
    told = in_vain(emu, idle=True)
    assert len(told) == 7 and told[-1] == "  and 4 more"
