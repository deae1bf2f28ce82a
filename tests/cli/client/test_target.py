"""Which server is meant, and what is never sent to whom."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from runpod_emulator.cli.client.calls import Calls
from runpod_emulator.cli.client.ends import WrongUse
from runpod_emulator.cli.client.target import Options, Target, find
from runpod_emulator.server.running_file import RunningFile

from tests.cli.client.commands import run
from tests.tables import table

PRODUCTION = "https://api.runpod.ai/v2"


@table(
    "options, variable, url",
    [
        (Options(), None, "http://127.0.0.1:8000/v2"),
        (Options(port=9000), PRODUCTION, "http://127.0.0.1:9000/v2"),
        (Options(url="http://emulator:8000"), PRODUCTION, "http://emulator:8000/v2"),
        (Options(url="http://emulator:8000/v2/"), None, "http://emulator:8000/v2"),
        (Options(url="https://proxy/runpod/"), None, "https://proxy/runpod/v2"),
        (Options(), PRODUCTION, PRODUCTION),
        (Options(), "http://[::1]:8000/v2", "http://[::1]:8000/v2"),
    ],
)
def test_the_url(monkeypatch: pytest.MonkeyPatch, options: Options, variable: str | None, url: str) -> None:
    if variable is not None:
        monkeypatch.setenv("RUNPOD_ENDPOINT_BASE_URL", variable)
    assert find(options).base_url == url


@table("url", ["", "127.0.0.1:8000", "file:///etc/passwd", "http://", "http://a b", "http://h:0", "http://h:x",
               "http://u:SECRET@h", "http://h/v2?key=SECRET", "http://h/\nv2", "ftp://h"])  # fmt: skip
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(WrongUse) as refused:
        find(Options(url=url))
    assert "SECRET" not in str(refused.value)


@table(
    "variable, key",
    [(None, "runpod-emulator"), ("rpa_1", "rpa_1"), (" rpa_1 ", "rpa_1")],
)
def test_the_key(monkeypatch: pytest.MonkeyPatch, variable: str | None, key: str) -> None:
    if variable is not None:
        monkeypatch.setenv("RUNPOD_API_KEY", variable)
    assert find(Options()).api_key == key
    assert find(Options(api_key="own")).api_key == "own"


@table("variable, key", [("k1", "k1"), ('["k1", "k2"]', "k1"), ("[k1", "[k1"), ("[]", "")])
def test_the_admin_key_is_written_as_for_a_server(monkeypatch: pytest.MonkeyPatch, variable: str, key: str) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_ADMIN_KEY", variable)
    assert find(Options()).admin_key == key


def test_a_key_that_cannot_be_sent_is_not_repeated() -> None:
    with pytest.raises(WrongUse) as refused:
        find(Options(api_key="SECRET\r\nX-Evil: 1"))
    assert "SECRET" not in str(refused.value)


@pytest.fixture
def served() -> Callable[[int], RunningFile]:
    def served(port: int) -> RunningFile:
        file = RunningFile(port, f"http://127.0.0.1:{port}/v2")
        file.write()
        return file

    return served


def test_the_one_that_runs_is_found_and_trusted_to_be_an_emulator(served: Callable[[int], RunningFile]) -> None:
    file = served(8123)
    found = find(Options())
    assert (found.base_url, found.is_known) == ("http://127.0.0.1:8123/v2", True)
    file.remove()
    assert not find(Options()).is_known


def test_of_several_one_must_be_named(served: Callable[[int], RunningFile]) -> None:
    files = [served(8123), served(8124)]
    with pytest.raises(WrongUse, match=r"2 emulators run here, .*: say which, --port 812[34] \(of /"):
        find(Options())
    files[0].remove()
    assert find(Options()).base_url == "http://127.0.0.1:8124/v2"
    files[1].remove()


def test_of_several_the_one_of_this_directory_is_meant(
    served: Callable[[int], RunningFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [served(8123)]
    monkeypatch.chdir(tmp_path)
    files.append(served(8124))
    assert find(Options()).base_url == "http://127.0.0.1:8124/v2"
    for file in files:
        file.remove()


def test_what_a_killed_one_left_is_passed_over(runtime: Path) -> None:
    runtime.mkdir(mode=0o700)
    told = {"pid": os.getpid(), "port": 1, "base_url": "http://127.0.0.1:1/v2", "admin_url": "", "started": 1}
    (runtime / "1-1.json").write_text(json.dumps(told))
    assert not find(Options()).is_known


@table("url", [PRODUCTION, "https://API.RUNPOD.AI./v2", "http://ep.api.runpod.ai/v2", "https://rest.runpod.io/v2"])
@table("words", [["jobs"], ["logs"], ["requests"], ["reset"], ["advance", "1s"], ["stub"], ["fault"], ["health"],
                 ["status", "8881c1a2"], ["jobs", "--follow"]])  # fmt: skip
def test_runpod_itself_is_never_asked_as_an_emulator(
    monkeypatch: pytest.MonkeyPatch, url: str, words: list[str]
) -> None:
    def nothing(*_: object) -> None:
        raise AssertionError("a request was sent")

    monkeypatch.setattr(Calls, "_open", nothing)
    command, *rest = words
    assert run(command, "--url", url, *rest).code == 2


def test_a_namespace_is_for_emulators() -> None:
    with pytest.raises(WrongUse, match="only an emulator has namespaces"):
        find(Options(url=PRODUCTION, namespace="w2"))


@table(
    "url, is_runpod", [(PRODUCTION, True), ("http://runpod.ai.evil.example/v2", False), ("http://notrunpod.ai", False)]
)
def test_the_hosts_of_runpod(url: str, is_runpod: bool) -> None:
    assert Target(url).is_runpod is is_runpod
