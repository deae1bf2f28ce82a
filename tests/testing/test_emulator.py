"""The emulator inside a Python program, and the pytest plugin."""

from __future__ import annotations

import asyncio
import dataclasses
import doctest
import json
import threading
from collections.abc import Iterator
from typing import Any

import freezegun
import httpx
import pytest
import runpod_emulator.testing
from runpod_emulator.core.errors import ConfigurationError, JobNotFound
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN
from tests.testing.conftest import Client

pytest_plugins = ["pytester"]

HELLO = {"input": {"prompt": "hello"}}


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator("llm", clock="virtual") as emu:
        yield emu


@pytest.fixture
def emu(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


def post(emu: Emulator, path: str = "/llm/run", body: Any = HELLO) -> httpx.Response:
    return httpx.post(emu.base_url + path, json=body, headers={"authorization": emu.key}, **PLAIN)


def status(emu: Emulator, job: str) -> httpx.Response:
    return httpx.get(f"{emu.base_url}/llm/status/{job}", headers={"authorization": emu.key}, **PLAIN)


def test_a_stub_answers(emu: Emulator):
    emu.stub(endpoint="llm", respond={"output": "{{ input.prompt }}"})
    assert post(emu, "/llm/runsync").json()["output"] == "hello"
    emu.assert_requested(endpoint="llm", operation="runsync", body=HELLO, count=1)
    assert [job.status for job in emu.jobs("llm")] == ["COMPLETED"]


def test_secrets_fit_as_they_came_and_are_shown_masked(emu: Emulator):
    body = {"input": {"api_key": "key-of-the-input"}, "s3Config": {"accessSecret": "secret-of-the-bucket"}}
    headers = {"authorization": "Bearer key-of-the-client", "x-tenant": "acme"}
    webhook = "http://user:pass-of-the-hook@127.0.0.1:9/"
    httpx.post(f"{emu.base_url}/llm/run", json={**body, "webhook": webhook}, headers=headers, **PLAIN)
    emu.assert_requested(headers=headers, body=body)
    (request,) = emu.requests(headers=headers)
    assert request.headers["authorization"] == "Bearer ****ient" and request.headers["x-tenant"] == "acme"
    assert request.body == {
        "input": {"api_key": "****nput"},
        "s3Config": {"accessSecret": "****cket"},
        "webhook": "http://user:****hook@127.0.0.1:9/",
    }
    (job,) = emu.jobs("llm")
    assert (job.input, job.webhook) == ({"api_key": "****nput"}, "http://user:****hook@127.0.0.1:9/")
    for wrong in (
        {"headers": {"authorization": "Bearer key-of-another"}},
        {"body": {"input": {"api_key": "other-key-of-it"}}},
    ):
        with pytest.raises(AssertionError) as told:
            emu.assert_requested(**wrong)
        assert "key-of" not in str(told.value) and "****" in str(told.value)


def test_what_did_not_come_is_told_with_what_came(emu: Emulator):
    post(emu, body={"input": {"prompt": "bye"}})
    with pytest.raises(
        AssertionError, match=r'(?s)expected at least 1 .* body.input.prompt: expected "hello", got "bye"'
    ):
        emu.assert_requested(operation="run", body=HELLO)
    assert emu.requests(operation="cancel") == []


def test_a_fault_strikes_as_often_as_it_may(emu: Emulator):
    emu.fault("status", status=429, headers={"Retry-After": 2}, times=1)
    first, second = post(emu), post(emu)
    assert (first.status_code, first.headers["retry-after"], second.status_code) == (429, "2", 200)


def test_a_virtual_hour_passes_at_once(emu: Emulator):
    emu.stub(endpoint="llm", respond={"queue_delay": "30m", "delay": "20m", "output": 1})
    emu.webhooks.answer(500, times=2)
    job = post(emu, body={**HELLO, "webhook": emu.webhooks.url, "policy": {"executionTimeout": 3_600_000}}).json()["id"]
    emu.clock.advance(29 * 60)
    assert status(emu, job).json()["status"] == "IN_QUEUE"
    emu.clock.run_until_idle()
    emu.wait_for(webhooks=1, status="COMPLETED")
    assert [(call.status, call.json["output"]) for call in emu.webhooks.received] == [(500, 1), (500, 1), (200, 1)]
    assert status(emu, job).json()["executionTime"] == 20 * 60_000
    emu.clock.advance(30 * 60)
    assert status(emu, job).status_code == 404


def test_a_wait_in_vain_says_what_is_missing(emu: Emulator):
    with pytest.raises(TimeoutError, match="0 of 1 jobs were COMPLETED"):
        emu.wait_for(status="COMPLETED", timeout=0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda emu: emu.stub(respond={"outputt": 1}), "outputt: no such key"),
        (lambda emu: emu.fault("latency", status=1), "status"),
        (lambda emu: emu.profile("nope"), "no fault profile nope"),
        (lambda emu: emu.requests(endpointt="x"), "endpointt"),
        (lambda emu: emu.wait_for(status="ENDED"), "status: "),
    ],
)
def test_a_wrong_wish_is_refused(emu: Emulator, wrong: Any, said: str):
    with pytest.raises(ConfigurationError, match=said):
        wrong(emu)


def test_it_works_inside_a_running_loop_and_leaves_no_thread():
    async def main() -> str:
        async with Emulator("llm") as emu:
            emu.stub(endpoint="llm", respond={"output": 1})
            return str(post(emu, "/llm/runsync").json()["status"])

    before = threading.active_count()
    assert asyncio.run(main()) == "COMPLETED"
    assert threading.active_count() <= before


def test_two_at_once_do_not_see_each_other():
    with Emulator("llm") as one, Emulator("llm") as two:
        post(one)
        assert (len(one.requests()), len(two.requests())) == (1, 0)


def test_it_works_under_a_frozen_clock():
    with freezegun.freeze_time("2030-01-01"), Emulator("llm") as emu:
        emu.stub(endpoint="llm", respond={"output": 1})
        assert post(emu, "/llm/runsync").json()["status"] == "COMPLETED"
        assert 0 <= emu.clock.now() - 1_893_456_000 < 60


def test_what_does_not_run_says_how_to_run_it():
    emu = Emulator()
    with pytest.raises(RuntimeError, match="with Emulator"):
        _ = emu.base_url
    emu.stop()


def test_a_wrong_option_stops_the_start():
    with pytest.raises(ConfigurationError, match="clock: "):
        Emulator(clock="slow").start()


def test_the_same_seed_gives_the_same_journal_three_times():
    def run() -> list[Any]:
        with Emulator("llm", clock="virtual", seed=7) as emu:
            emu.stub(endpoint="llm", respond={"delay": "1s-9s", "output": "{{ uuid() }}"})
            emu.fault("status", status=500, probability=0.5, operations=["status"])
            jobs = [post(emu).json()["id"] for _ in range(5)]
            for job in jobs:
                emu.clock.advance(3)
                status(emu, job)
            return [dataclasses.replace(one, headers={}) for one in emu.requests()] + emu.jobs()

    first = run()
    assert run() == first
    assert run() == first


def test_the_examples_of_the_docstrings_are_true():
    assert doctest.testmod(runpod_emulator.testing).failed == 0


# The plugin


def test_the_fixture_is_cleared_for_each_test_and_a_mark_gives_one_of_its_own_over_https_too(
    pytester: pytest.Pytester,
):
    pytester.makepyfile(
        test_shared_and_own="""
        import os
        import httpx
        import pytest

        emulators = []

        def run(emu):
            return httpx.post(emu.base_url + "/llm/run", json={"input": {"a": 1}}, headers={"authorization": "k"})

        @pytest.mark.parametrize("number", [1, 2])
        def test_shared(runpod_emulator, number):
            assert os.environ["RUNPOD_ENDPOINT_BASE_URL"] == runpod_emulator.base_url
            assert runpod_emulator.jobs() == []
            runpod_emulator.stub(endpoint="llm", respond={"output": 1})
            assert run(runpod_emulator).status_code == 200
            emulators.append(runpod_emulator)

        @pytest.mark.runpod_emulator("llm", clock="virtual", fault_profile=["rate-limited"])
        def test_own(runpod_emulator):
            before = runpod_emulator.clock.now()
            runpod_emulator.clock.advance(5)
            assert runpod_emulator.clock.now() - before == 5
            assert len(set(emulators)) == 1 and runpod_emulator not in emulators
        """
    )
    pytester.makepyfile(
        test_over_https=f"""
        import json
        import os
        import urllib.request

        import pytest

        @pytest.mark.runpod_emulator("llm", tls=True, tls_folder={str(pytester.path / "tls")!r})
        def test_own(runpod_emulator):
            assert os.environ["SSL_CERT_FILE"] == os.environ["REQUESTS_CA_BUNDLE"] == str(runpod_emulator.ca_file)
            base = os.environ["RUNPOD_ENDPOINT_BASE_URL"]
            assert base == runpod_emulator.base_url and base.startswith("https:")
            request = urllib.request.Request(base + "/llm/health", headers={{"authorization": "key"}})
            assert json.load(urllib.request.urlopen(request))["jobs"]["inQueue"] == 0
        """
    )
    outcome = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:randomly", "--strict-markers"
    )
    outcome.assert_outcomes(passed=4)


def test_a_job_that_is_gone_still_tells_its_times_and_its_last_record(emu: Emulator):
    emu.stub(endpoint="llm", respond={"delay": "2s", "output": 1})
    job = Client(emu).run()
    emu.clock.advance(3)
    before = emu.job(job)
    emu.clock.advance("1h")
    gone = emu.job(job)
    assert (gone.status, gone.input, gone.output) == ("GONE", before.input, 1)
    for name in ("submitted_at", "taken_at", "ended_at", "worker", "retries"):
        assert getattr(gone, name) == getattr(before, name) is not None
    with pytest.raises(JobNotFound, match="job 'nope' not found: it was never here"):
        emu.job("nope")


def test_the_event_feed_tells_every_transition(emu: Emulator):
    emu.stub(endpoint="llm", respond={"output": 1})
    seen: list[str] = []
    feed = emu.base_url.removesuffix("/v2") + "/__emulator/events"
    with httpx.stream("GET", feed, params={"endpoint": "llm"}, **PLAIN, timeout=30) as answer:
        job = post(emu).json()["id"]
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told = json.loads(line.removeprefix("data: "))
                assert told["id"] == job
                seen.append(told["event"])
            if seen[-1:] == ["Completed"]:
                break
    assert seen == ["Submitted", "Taken", "Completed"]


def test_a_request_whose_connection_was_reset_has_no_status(emu: Emulator):
    emu.fault("connection_reset", times=1)
    with pytest.raises(httpx.TransportError):
        post(emu)
    assert [entry.status for entry in emu.requests()] == [0]
