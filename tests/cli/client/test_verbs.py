"""The verbs of jobs, over an emulator: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import re

import pytest
from runpod_emulator import Emulator
from runpod_emulator.cli.client import advice, following, submitting
from runpod_emulator.cli.client.advice import telling_why_it_waits, why_it_failed
from runpod_emulator.cli.client.calls import Calls
from runpod_emulator.cli.client.named import Name
from runpod_emulator.cli.client.target import Target

from tests.cli.client.commands import run
from tests.cli.client.conftest import Asked
from tests.compat.servers import until
from tests.tables import table

_ID = r"[0-9a-f-]{36}-\w\w"


def test_a_job_is_handed_in_and_its_name_is_all_that_is_printed(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"delay": "1m", "output": 1})
    ran = asked("submit", "llm", "a=1")
    assert ran.code == 0
    assert re.fullmatch(rf"llm/{_ID}\n", ran.out)
    name = ran.out.strip()
    assert ran.err == f"IN_QUEUE. To wait for it:  runpod-emulator status {name} --follow --url {emu.base_url}\n"
    assert emu.jobs()[0].input == {"a": 1}


@table("how", ["--sync", "--follow", "--stream"])
def test_the_output_is_all_that_is_on_standard_output(emu: Emulator, asked: Asked, how: str) -> None:
    emu.reset()
    emu.stub(endpoint="llm", respond={"delay": "3s", "progress": [1, 2], "output": {"text": "hi"}})
    ran = asked("submit", "llm", '{"a": 1}', how)
    assert (ran.code, ran.json) == (0, {"text": "hi"})
    assert re.search(r"^llm \w{8} COMPLETED  waited .*, ran 3.0 s, worker \w+$", ran.err, re.MULTILINE)


def test_progress_is_told_beside_the_output(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"delay": "3s", "progress": ["1/2", {"value": "2/2", "after": "2s"}], "output": 1})
    ran = asked("submit", "llm", "a=1", "-f")
    assert re.findall(r"IN_PROGRESS: (\d/2)", ran.err) == ["1/2", "2/2"]


def test_a_stream_is_printed_chunk_by_chunk(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"stream": ["a ", {"b": 1}, {"chunk": "c", "after": "9s"}]})
    assert asked("submit", "llm", "a=1", "--stream").out == '"a "\n{"b":1}\n"c"\n'
    assert asked("submit", "llm", "a=1", "--stream", "--raw").out == 'a {"b":1}\nc'
    *chunks, envelope = map(json.loads, asked("submit", "llm", "a=1", "--stream", "--json").out.splitlines())
    assert chunks == [{"output": "a "}, {"output": {"b": 1}}, {"output": "c"}]
    assert envelope["status"] == "COMPLETED"


@table(
    "respond, code, words",
    [
        ({"output": 1}, 0, "COMPLETED"),
        ({"error": "no memory"}, 1, "no memory"),
        ({"timeout": True}, 1, "executionTimeout exceeded"),
    ],
)
@table("how", ["--sync", "--follow", "--stream"])
def test_the_exit_code_says_how_it_ended(
    emu: Emulator, asked: Asked, respond: dict[str, object], code: int, words: str, how: str
) -> None:
    emu.reset()
    emu.stub(endpoint="llm", respond=respond)
    ran = asked("submit", "llm", "a=1", how)
    assert ran.code == code
    assert words in ran.err
    assert asked("status", f"llm/{emu.jobs()[0].id}").code == code


def test_a_cancelled_job(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"never": True})
    name = asked("submit", "llm", "a=1").out.strip()
    ran = asked("cancel", name)
    assert (ran.code, ran.out) == (0, "")
    assert re.match(r"llm \w{8} CANCELLED", ran.err)
    assert asked("status", name, "--follow").code == 4


def test_what_has_ended_is_not_cancelled(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"output": 1})
    asked("submit", "llm", "a=1", "--sync")
    ran = asked("cancel", f"llm/{emu.jobs()[0].id}", "--json")
    assert ran.code == 1


def test_a_job_is_retried(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond=[{"error": "no"}, {"output": "yes"}])
    asked("submit", "llm", "a=1", "--sync")
    ran = asked("retry", emu.jobs()[0].id[:13], "--follow")
    assert (ran.code, ran.json) == (0, "yes")


def test_a_queue_is_emptied(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"queue_delay": "1h"})
    asked("submit", "llm", "a=1")
    ran = asked("purge", "llm")
    assert (ran.code, ran.out, ran.err) == (0, "", "1 waiting job removed from llm\n")
    assert asked("purge", "llm", "--json").json == {"removed": 0, "status": "completed"}


def test_counters(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"output": 1})
    asked("submit", "llm", "a=1", "--sync")
    heading, *rows = asked("health").out.splitlines()
    assert heading.split()[:3] == ["endpoint", "queued", "running"]
    assert [row.split()[:4] for row in rows] == [["llm", "0", "0", "1"], ["other", "0", "0", "0"]]
    assert asked("health", "llm", "--json").json["jobs"]["completed"] == 1
    assert set(asked("health", "--json").json) == {"llm", "other"}


# Which job is meant


@pytest.fixture
def job(emu: Emulator, asked: Asked) -> str:
    """The id of one that has ended."""
    emu.stub(endpoint="llm", respond={"output": "found"})
    asked("submit", "llm", "a=1", "--sync")
    return emu.jobs()[0].id


def test_a_job_is_found_by_whatever_names_it(asked: Asked, job: str) -> None:
    assert job.startswith("sync-")
    for name in (f"llm/{job}", job, job[:14], job[5:13], f"llm/{job[5:9]}"):
        ran = asked("status", name)
        assert (ran.code, ran.out) == (0, '"found"\n'), name
    assert asked("status", job, "--raw").out == "found\n"
    assert asked("status", job, "--json").json["id"] == job


@table(
    "name, code, words",
    [
        ("nosuch", 1, "there is no job nosuch"),
        ("llm/nosuch", 1, "there is no job nosuch"),
        ("llm/00000000-0000-0000-0000-000000000000-u1", 1, "answered 404: job not found"),
        ("nowhere/0123456789", 1, "answered 404: endpoint not found"),
        ("", 2, "'' is no job: write ENDPOINT/ID"),
        ("/x", 2, "'/x' is no job"),
        ("llm/", 2, "'llm/' is no job"),
        ("../__emulator/reset/x", 1, "404"),
    ],
)
def test_no_such_job(asked: Asked, name: str, code: int, words: str) -> None:
    ran = asked("status", name)
    assert ran.code == code
    assert words in ran.err


def test_the_beginning_of_several_jobs_is_not_enough(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"output": 1})
    for _ in range(2):
        asked("submit", "llm", "a=1", "--sync")
    ran = asked("status", "sync-")
    assert ran.code == 2
    assert ran.err.startswith("runpod-emulator: 2 jobs begin with sync-: llm/sync-")


def test_a_job_that_is_gone_says_so(emu: Emulator, asked: Asked) -> None:
    with Emulator("llm", clock="virtual") as other:
        other.stub(endpoint="llm", respond={"output": 1})
        name = run("submit", "llm", "a=1", "--url", other.base_url).out.strip()
        other.clock.advance("48h")
        ran = run("status", name.partition("/")[2], "--url", other.base_url)
    assert (ran.code, "404: job not found" in ran.err) == (1, True)


# What goes wrong


def test_nobody_there() -> None:
    ran = run("submit", "llm", "a=1", "--port", "1")
    assert ran.code == 3
    assert "no server at http://127.0.0.1:1 (Connection refused). Start one with" in ran.err


@table(
    "words, code",
    [
        (["submit"], 2),
        (["submit", "llm", "hello"], 2),
        (["submit", "llm", "a=1", "--ttl", "soon"], 2),
        (["submit", "llm", "[1]"], 1),
        (["submit", "nowhere", "a=1"], 1),
        (["status", "a", "b"], 2),
        (["status", "x", "--timeout", "-1"], 2),
        (["health", "nowhere"], 1),
    ],
)
def test_wrong_use_and_refusals(asked: Asked, words: list[str], code: int) -> None:
    command, *rest = words
    assert asked(command, *rest).code == code


def test_the_service_says_why(asked: Asked) -> None:
    ran = asked("submit", "quite", "a=1")
    assert ran.err.endswith("/v2/quite/run answered 404: endpoint not found: there are llm, other\n")
    assert asked("submit", "lllm", "a=1").err.endswith("endpoint not found: did you mean llm?\n")


def test_a_refusal_names_the_fault_that_it_comes_from(emu: Emulator, asked: Asked) -> None:
    fault = emu.fault("status", status=429, operations=["run"])
    assert f" answered 429: rate limit exceeded (by the fault {fault.id})\n" in asked("submit", "llm", "a=1").err


def test_a_refused_time_is_told_as_it_was_written(asked: Asked) -> None:
    ran = asked("submit", "llm", "a=1", "--execution-timeout", "2s")
    assert (ran.code, ran.err.endswith(" (--execution-timeout 2s is 2000 ms)\n")) == (1, True)


def test_how_the_workers_of_a_lost_job_ended_is_told(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"crash": True})
    ran = asked("submit", "llm", "a=1", "--follow")
    end = "worker #{} had it and a stub or fault crashed it"
    assert re.search(rf"job timed out after 1 retries\nW{end.format(1)[1:]}, then {end.format(2)}\.\n$", ran.err)


def test_what_to_install_for_a_failed_job_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(Target("http://127.0.0.1:1/v2", is_known=True))
    monkeypatch.setattr(Calls, "admin", lambda *_: {"error": "x", "missing": "no module cv2: pip install it"})
    assert why_it_failed(calls, Name("llm", "1")) == ["No module cv2: pip install it."]


def test_who_waits_for_a_handler_that_cannot_be_imported_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(advice, "say", said.append)
    flaw = "Traceback …\nModuleNotFoundError: No module named 'cv2'"
    overview = {"endpoints": [{"id": "llm", "flaw": flaw, "workers": [{"state": "unhealthy"}]}]}
    monkeypatch.setattr(advice, "_SOON", 0.01)
    monkeypatch.setattr(Calls, "admin", lambda *_: overview)
    with telling_why_it_waits(Calls(Target("http://127.0.0.1:1/v2", is_known=True)), "llm", "1"):
        until(lambda: said)
    (told,) = said
    assert told.startswith("No worker of llm can start: ModuleNotFoundError: No module named 'cv2'\n")
    assert "pip install opencv-python" in told


def test_what_a_job_waits_for_is_told_after_a_while(
    emu: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "_SOON", 0.01)
    monkeypatch.setattr(advice, "_LONG", 0.02)
    with Emulator("llm", clock="virtual") as other:
        other.stub(endpoint="llm", respond={"queue_delay": "1h"})
        ran = run("submit", "llm", "a=1", "--follow", "--timeout", "1", "--url", other.base_url)
    assert "\nIt waits: a stub or a fault holds it back; worker #1 is idle: " in ran.err
    assert "; autoscaler: " in ran.err


def test_a_key_goes_with_every_request(emu: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator("llm", api_key=["rpa_right_one"], admin_key=["admin_right"]) as other:
        other.stub(endpoint="llm", respond={"output": 1})
        assert run("submit", "llm", "a=1", "--sync", "--url", other.base_url).code == 1
        monkeypatch.setenv("RUNPOD_API_KEY", "rpa_right_one")
        assert run("submit", "llm", "a=1", "--sync", "--url", other.base_url).code == 0
        assert run("jobs", "--url", other.base_url).code == 1
        monkeypatch.setenv("RUNPOD_EMULATOR_ADMIN_KEY", "admin_right")
        assert run("jobs", "--url", other.base_url).code == 0


def test_a_namespace_is_a_world_of_its_own(emu: Emulator, asked: Asked) -> None:
    emu.namespace("w2").stub(endpoint="llm", respond={"output": 2})
    assert asked("submit", "llm", "a=1", "--sync", "--namespace", "w2").out == "2\n"
    assert len(asked("jobs", "--json", "--namespace", "w2").json["jobs"]) == 1
    assert asked("jobs", "--json").json["jobs"] == []


def test_a_job_outlives_what_goes_wrong_with_its_polls(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"delay": "10s", "output": 1})
    emu.fault("status", status=502, operations=["status"], times=2)
    emu.fault("connection_reset", operations=["status"], times=2)
    assert asked("submit", "llm", "a=1", "--follow").code == 0


def test_the_wait_has_an_end_and_the_job_has_not(emu: Emulator) -> None:
    with Emulator("llm", clock="virtual") as other:
        other.stub(endpoint="llm", respond={"never": True})
        ran = run("submit", "llm", "a=1", "--follow", "--timeout", "0", "--url", other.base_url)
        assert ran.code == 5
        assert "has not ended after 0 s: it goes on" in ran.err
        assert other.jobs()[0].status == "IN_PROGRESS"


@pytest.mark.compat
@table("how", ["--sync", "--stream"])
def test_where_the_clock_stands_the_wait_has_an_end_and_says_why_nothing_happens(emu: Emulator, how: str) -> None:
    with Emulator("llm", clock="virtual") as other:
        other.stub(endpoint="llm", respond={"delay": "10m", "output": 1})
        ran = run("submit", "llm", "a=1", how, "--timeout", "1.1", "--url", other.base_url)
        assert (ran.code, ran.out) == (5, "")
        assert f"The clock stands there. To move it on:  runpod-emulator advance 10m --url {other.base_url}" in ran.err
        assert "goes on" in ran.err


def test_ctrl_c_ends_the_command_and_says_that_the_job_goes_on(
    emu: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    emu.stub(endpoint="llm", respond={"never": True})
    monkeypatch.setattr(following, "pause", interrupted)
    ran = asked("submit", "llm", "a=1", "--follow")
    name = f"llm/{emu.jobs()[0].id}"
    assert ran.code == 130
    assert f"The job goes on. To look at it:  runpod-emulator status {name} --url {emu.base_url}\n" in ran.err
    assert f"runpod-emulator cancel {name} --url {emu.base_url}\n" in ran.err
    assert emu.jobs()[0].status == "IN_PROGRESS"


def test_the_wait_of_sync_has_one_end(emu: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 105.5])
    monkeypatch.setattr(submitting, "ticks", lambda: next(moments))
    monkeypatch.setattr(following, "ticks", lambda: next(moments))
    monkeypatch.setattr(Calls, "client", lambda *_, **__: b'{"id": "sync-1", "status": "IN_PROGRESS"}')
    ran = asked("submit", "llm", "a=1", "--sync", "--timeout", "5")
    assert (ran.code, "sync-1 has not ended after 5 s" in ran.err) == (5, True)


def test_ctrl_c_names_the_job_that_sync_waits_for(emu: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(calls: Calls, method: str, path: str, body: object, held: float) -> bytes:
        ask(calls, method, "llm/runsync?wait=1000", body)
        raise KeyboardInterrupt

    ask = Calls.client
    emu.stub(endpoint="llm", respond={"never": True})
    monkeypatch.setattr(Calls, "client", interrupted)
    ran = asked("submit", "llm", "a=1", "--sync")
    assert ran.code == 130
    assert f"To cancel it:                    runpod-emulator cancel llm/{emu.jobs()[0].id} --url" in ran.err


def test_what_is_said_of_a_job_to_come(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"output": 1})
    options = ("--execution-timeout", "10m", "--ttl", "1h", "--low-priority", "--webhook", "http://127.0.0.1:1/x")
    asked("submit", "llm", '{"input": {"a": 1}, "policy": {"ttl": 20000}}', "--sync", *options)
    (request,) = emu.requests(operation="runsync")
    policy = {"ttl": 3_600_000, "executionTimeout": 600_000, "lowPriority": True}
    assert request.body == {"input": {"a": 1}, "policy": policy, "webhook": "http://127.0.0.1:1/x"}


def test_the_input_is_read_from_standard_input(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"output": "{{ input.a }}"})
    assert asked("submit", "llm", "-", "--sync", stdin='{"a": "piped"}').json == "piped"


def test_an_empty_input_is_warned_of(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="llm", respond={"output": 1})
    assert "RunPod takes such an input away" in asked("submit", "llm", "{}").err


def test_without_an_input_a_handler_gets_its_own_example(
    emu: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = asked("submit", "llm")
    assert (ran.code, "say what the input is" in ran.err) == (2, True)
    told = {"endpoints": [{"id": "other"}, {"id": "llm", "example": {"prompt": "hi"}}]}
    monkeypatch.setattr(Calls, "admin", lambda *_: told)
    assert 'The handler\'s own example is the input: {"prompt": "hi"}\n' in asked("submit", "llm").err
    assert emu.jobs()[0].input == {"prompt": "hi"}
    assert run("submit", "llm", "--url", "https://api.runpod.ai/v2").code == 2
