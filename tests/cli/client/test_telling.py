"""What an emulator is told: stubs, faults, time, and to forget."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from click.shell_completion import ShellComplete
from runpod_emulator import Emulator
from runpod_emulator.cli.main import cli

from tests.cli.client.commands import run
from tests.cli.client.conftest import Asked
from tests.plain import PLAIN
from tests.tables import table

STUBS = """
stubs:
  - {id: hello, endpoint: llm, respond: {output: hi}}
  - {endpoint: made-*, respond: {output: hi}}
  - {endpoint: fresh, respond: {output: hi}}
faults:
  - {fault: status, status: 429, times: 1, endpoint: llm}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stubs.yaml"
    path.write_text(STUBS)
    return path


def test_stubs_of_a_file(emu: Emulator, asked: Asked, file: Path) -> None:
    ran = asked("stub", file)
    assert ran.code == 0
    assert ran.err.splitlines() == [
        "added 3 stubs: hello, stub-1, stub-2",
        "added 1 fault: fault-1",
        "served from now on, by stubs alone: fresh",
        "No endpoint fits 'made-*': such a stub answers nobody. Served are fresh, llm, other.",
    ]
    assert asked("submit", "llm", "a=1").code == 1
    assert asked("submit", "llm", "a=1", "--sync").json == "hi"
    heading, *rows = asked("stub").out.splitlines()
    assert heading.split() == ["id", "asked", "matched", "played", "written", "in"]
    assert {tuple(row.split()) for row in rows} >= {("hello", "1", "1", "1"), ("stub-1", "0", "0", "0")}
    assert asked("fault").out.splitlines()[1].split() == ["fault-1", "status", "2", "1"]
    assert set(asked("stub", "--clear", file, "--json").json) == {"stubs", "faults"}
    assert len(asked("stub", "--json").json) == 3
    asked("stub", "--clear")
    assert asked("stub", "--json").json == []


def test_a_stub_without_an_endpoint_served_says_so(emu: Emulator, asked: Asked, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text("stubs: [{respond: {output: 1}}]")
    assert "answers nobody" not in asked("stub", file).err
    for name in ("llm", "other"):
        httpx.delete(f"{emu.base_url.removesuffix('/v2')}/__emulator/endpoints/{name}", **PLAIN)
    assert "No endpoint is served: a stub for '*' answers nobody. Name one in it" in asked("stub", file).err


@table(
    "text, words",
    [
        ("stubs:\n  - {endpoint: llm, respons: {output: 1}}", "wrong.yaml:2: stubs.0.respons: no such key"),
        ("stubs: [", "wrong.yaml:1: "),
        ("{}", "there is neither stubs nor faults in this file"),
        ("faults:\n  - {fault: statuss}", "wrong.yaml:2: "),
    ],
)
def test_a_wrong_file_is_told_with_its_line(asked: Asked, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    ran = asked("stub", tmp_path / "wrong.yaml")
    assert ran.code == 2
    assert words in ran.err


def test_a_fault_by_its_kind(emu: Emulator, asked: Asked) -> None:
    ran = asked("fault", "status", "status=429", 'operations=["run"]', "times=1", "delay=5ms", "id=7", "endpoint=llm")
    assert (ran.code, ran.err) == (0, "added 7\n")
    assert "answered 429" in asked("submit", "llm", "a=1").err
    (rule,) = asked("fault", "--json").json
    assert rule | {"rule": None} == {"id": "7", "asked": 1, "struck": 1, "fault": "status", "on": True, "rule": None}
    assert asked("fault", "--clear").code == 0
    assert asked("fault", "--json").json == []


def test_a_fault_profile(emu: Emulator, asked: Asked) -> None:
    assert asked("fault", "rate-limited").err == "added rate-limited.submits, rate-limited.polls\n"


@table("begun, names", [("stat", ["status"]), ("rate", ["rate-limited"]), ("conn", ["connection_reset"])])
def test_a_shell_completes_faults(begun: str, names: list[str]) -> None:
    found = ShellComplete(cli, {}, "runpod-emulator", "_X").get_completions(["fault"], begun)
    assert [one.value for one in found] == names


@table(
    "words, code, told",
    [
        (["nosuch"], 2, "there is no fault profile nosuch; there are flaky-network"),
        (["nosuch", "a=1"], 2, "there is no kind of fault 'nosuch': there are status, latency"),
        (["status", "429"], 2, "'429': write FIELD=VALUE"),
        (["status", "status=429", "timess=2"], 1, "timess"),
    ],
)
def test_a_wrong_fault(asked: Asked, words: list[str], code: int, told: str) -> None:
    ran = asked("fault", *words)
    assert ran.code == code
    assert told in ran.err


def test_time_is_moved() -> None:
    with Emulator("llm", clock="virtual") as emu:
        emu.stub(endpoint="llm", respond={"delay": "5m", "output": 1})
        url = ("--url", emu.base_url)
        name = run("submit", "llm", "a=1", *url).out.strip()
        assert "deadline" in run("advance", "10m", *url).err
        assert run("status", name, *url).out == "1\n"
        before = run("advance", "0", "--json", *url).json["now"]
        assert run("advance", "1500", "--json", *url).json["now"] == before + 1500
        assert run("advance", "--until-idle", *url).code == 0
        for wrong in ((), ("1s", "--until-idle"), ("soon",)):
            assert run("advance", *wrong, *url).code == 2


def test_real_time_is_not_moved(asked: Asked) -> None:
    ran = asked("advance", "10m")
    assert ran.code == 1
    assert "only a virtual clock can be moved" in ran.err


def test_all_is_forgotten(emu: Emulator, asked: Asked) -> None:
    emu.stub(endpoint="*", respond={"output": 1})
    for endpoint in ("llm", "other"):
        asked("submit", endpoint, "a=1", "--sync")
    assert asked("reset", "llm").code == 0
    assert [job.endpoint for job in emu.jobs()] == ["other"]
    assert asked("reset").code == 0
    assert emu.jobs() == []
    assert asked("stub", "--json").json == []
    assert asked("reset", "nowhere").code == 1
