"""Stub files are watched: what is saved is in use at once, and what is wrong changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from runpod_emulator.mocking import watch
from runpod_emulator.testing import Emulator

from tests.compat.servers import until
from tests.plain import PLAIN

STUB = "stubs:\n  - {{id: {id}, endpoint: {endpoint}, respond: {{output: {output}}}}}\n"


def stub(output: str, id: str = "one", endpoint: str = "llm") -> str:
    return STUB.format(id=id, endpoint=endpoint, output=output)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "llm.yaml").write_text(stub("first"))
    return tmp_path


@pytest.fixture
def emu(folder: Path) -> Iterator[Emulator]:
    with Emulator(stubs=[str(folder)]) as emulator:
        yield emulator


def output(emu: Emulator, endpoint: str = "llm") -> object:
    url = f"{emu.base_url}/{endpoint}/runsync"
    return httpx.post(url, json={"input": {"a": 1}}, headers={"authorization": emu.key}, **PLAIN).json().get("output")


def test_a_changed_file_is_in_use(emu: Emulator, folder: Path):
    assert output(emu) == "first"
    (folder / "llm.yaml").write_text(stub("second"))
    until(lambda: output(emu) == "second")
    emu.reset()
    assert output(emu) == "second"


def test_a_new_file_and_a_new_endpoint(emu: Emulator, folder: Path):
    (folder / "more.yaml").write_text(stub("more", "two", "fresh"))
    until(lambda: output(emu, "fresh") == "more")
    assert output(emu) == "first"


def test_a_file_that_is_taken_away(emu: Emulator, folder: Path):
    (folder / "more.yaml").write_text(stub("more", "two"))
    until(lambda: output(emu) == "more")
    (folder / "more.yaml").unlink()
    until(lambda: output(emu) == "first")
    assert output(emu, "two") != "more"


def test_what_tests_added_stays_and_goes_first(emu: Emulator, folder: Path):
    emu.stub(endpoint="other", respond={"output": "mine"})
    (folder / "llm.yaml").write_text(stub("file", endpoint="'*'"))
    until(lambda: output(emu) == "file")
    assert output(emu, "other") == "mine"


def test_what_cannot_be_read_at_all_does_not_end_the_watch(
    emu: Emulator, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(watch, "read_mocking", lambda *_: 1 / 0)
        (folder / "llm.yaml").write_text(stub("second"))
        until(lambda: "cannot be read; the stubs and faults of before stay in use" in caplog.text)
    (folder / "llm.yaml").write_text(stub("third"))
    until(lambda: output(emu) == "third")


def test_a_mistake_is_told_and_changes_nothing(emu: Emulator, folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR, "runpod_emulator.reload"):
        (folder / "llm.yaml").write_text("stubs:\n  - endpoint: llm\n    responds: {output: 1}\n")
        until(lambda: caplog.text)
    assert "llm.yaml:3: stubs.0.responds: no such key; the nearest is respond" in caplog.text
    assert "the stubs and faults of before stay in use" in caplog.text
    assert output(emu) == "first"
    (folder / "llm.yaml").write_text(stub("right"))
    until(lambda: output(emu) == "right")


def test_faults_of_files_change_too(emu: Emulator, folder: Path):
    emu.fault("latency", delay="1ms", id="mine")
    (folder / "faults.yaml").write_text("faults:\n  - {fault: empty_output, id: none}\n")
    until(lambda: output(emu) is None)
    (folder / "faults.yaml").unlink()
    until(lambda: output(emu) == "first")
    listed = httpx.get(emu.base_url.replace("/v2", "/__emulator/faults"), **PLAIN).json()
    assert [one["id"] for one in listed] == ["mine"]
