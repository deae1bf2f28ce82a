"""An input on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.cli.inputs import request_of
from runpod_emulator.core.errors import ConfigurationError

from tests.tables import table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text('{\n  // said so\n  "a": 1\n}')
    (tmp_path / "test_input.json").write_text('{"id": "local", "input": {"a": 1}, "policy": {"ttl": 20000}}')
    (tmp_path / "bad.json").write_text('{\n  "a": 1,\n}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    return tmp_path


@table(
    "words, expected",
    [
        (['{"a": [1, null]}'], {"input": {"a": [1, None]}}),
        (['{"input": {"a": 1}, "webhook": "http://x"}'], {"input": {"a": 1}, "webhook": "http://x"}),
        (['{"input": "to be embedded"}'], {"input": {"input": "to be embedded"}}),
        (['{"input": {"a": 1}, "model": "m"}'], {"input": {"input": {"a": 1}, "model": "m"}}),
        (['{"a": "b=c"}'], {"input": {"a": "b=c"}}),
        (["@in.json"], {"input": {"a": 1}}),
        (["@test_input.json"], {"input": {"a": 1}, "policy": {"ttl": 20000}}),
        (["-"], {"input": {"from": "stdin"}}),
        (["prompt=a cat = good", "steps=3", "fast=true", "none=", "tags=[1]", "n=NaN"],
         {"input": {"prompt": "a cat = good", "steps": 3, "fast": True, "none": "", "tags": [1], "n": "NaN"}}),
    ],
)  # fmt: skip
def test_every_form(folder: Path, words: list[str], expected: Any) -> None:
    assert request_of(words, lambda: '{"from": "stdin"}') == expected


@table(
    "words, says",
    [
        (["hello"], "input column 1: Expecting value; write JSON, @FILE"),
        (["a=1", "hello"], "input hello: write JSON, @FILE"),
        (["=1", "b=2"], "input =1: write JSON"),
        (["a=1", "a=2"], "input a: it is given twice"),
        (["@gone.json"], "input gone.json: No such file or directory"),
        (["@bad.json"], "input bad.json:3:1: "),
        (["@deep.json"], "nested too deep"),
        (["@latin.json"], "input latin.json: it is no text in UTF-8"),
        (['{"a": NaN}'], "NaN is no JSON"),
    ],
)
def test_what_is_no_input_says_where_and_how(folder: Path, words: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        request_of(words)
    assert says in str(refused.value)
