"""What is typed becomes the body of a request, or is refused with the place of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.cli.client.ends import WrongUse
from runpod_emulator.cli.client.inputs import read_body

from tests.tables import table

_FILES = {
    "plain.json": '{"prompt": "hi"}',
    "test_input.json": '{"id": "local", "input": {"prompt": "hi"}, "policy": {"ttl": 10000}}',
    "own_input.json": '{"input": "a member of its own", "seed": 1}',
    "bom.json": '\ufeff{"prompt": "hi"}',
    "broken.json": '{"a": 1,\n "b": }',
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@table(
    "words, body",
    [
        (['{"a": [1, null]}'], {"input": {"a": [1, None]}}),
        (["a=1", "b=true", "c=two words", "d=[1]", 'e="1"', "f=", "g=x=y"],
         {"input": {"a": 1, "b": True, "c": "two words", "d": [1], "e": "1", "f": "", "g": "x=y"}}),
        (["a=NaN"], {"input": {"a": "NaN"}}),
        (["5"], {"input": 5}),
        (["@plain.json"], {"input": {"prompt": "hi"}}),
        (["@bom.json"], {"input": {"prompt": "hi"}}),
        (["@test_input.json"], {"input": {"prompt": "hi"}, "policy": {"ttl": 10000}}),
        (["@own_input.json"], {"input": {"input": "a member of its own", "seed": 1}}),
        (['{"input": {"a": 1}}'], {"input": {"a": 1}}),
    ],
)  # fmt: skip
def test_a_body(words: list[str], body: dict[str, Any]) -> None:
    assert read_body(words) == body


@table(
    "words, reason",
    [
        (["hello"], "'hello' is no input: write name=value, JSON, @file or -"),
        (['{"a": }'], "the input, line 1, column 7: Expecting value"),
        (["@broken.json"], "broken.json, line 2, column 7: Expecting value"),
        (["@latin.json"], "latin.json: is no UTF-8"),
        (["@missing.json"], "@missing.json: No such file or directory"),
        (["@."], "Is a directory"),
        (["{}", "a=1"], "{} is the whole input"),
        (["a=1", "b"], "'b': write name=value"),
        (["=1", "b=2"], "'=1': write name=value"),
        (['{"a": NaN}'], "JSON has no NaN"),
        (["[" * 100_000], "nests too deep"),
    ],
)
def test_what_is_no_input(words: list[str], reason: str) -> None:
    with pytest.raises(WrongUse) as refused:
        read_body(words)
    assert reason in str(refused.value)
