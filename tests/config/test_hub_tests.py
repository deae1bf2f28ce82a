"""Files of tests for a handler: the three kinds, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.hub_tests import NOTHING, HubTest, find_tests, read_tests
from runpod_emulator.core.errors import ConfigurationError

from tests.tables import table

HUB = """{
  // as in RunPod's own template
  "tests": [
    {"name": "first", "input": {"url": "https://x//y"}, "timeout": 10000},
    {"input": {}, "expected": null},
    {"input": {"a": 1}, "expected_output": {"status": "FAILED"}}
  ],
  "config": {"gpuTypeId": "NVIDIA GeForce RTX 4090", "gpuCount": 1, "runsOn": "GPU",
             "env": [{"key": "MODEL", "value": "tiny"}], "allowedCudaVersions": ["12.7"]}
}"""
RUNNER = [
    {"input": {"a": 1}, "output": [1], "hardwareConfig": {
        "endpointConfig": {"name": "x", "gpuIds": "ADA_24"},
        "templateConfig": {"dockerArgs": "python3 -u /handler.py --generator --n '1 2'", "env": []}}},
    {"id": "basic", "input": {}, "expected_output": {"a": 1}},
]  # fmt: skip
JOB = {"id": "local", "input": {"a": 1}, "webhook": "http://x"}


def read(folder: Path, said: Any, name: str = "tests.json") -> list[HubTest]:
    (folder / name).write_text(said if isinstance(said, str) else json.dumps(said))
    return read_tests(folder / name).tests


def test_a_file_of_the_hub(tmp_path: Path) -> None:
    assert read(tmp_path, HUB) == [
        HubTest("first", {"input": {"url": "https://x//y"}}, 10_000),
        HubTest("Test 2", {"input": {}}, 30_000, None),
        HubTest("Test 3", {"input": {"a": 1}}, 30_000, NOTHING, "FAILED"),
    ]
    assert read_tests(tmp_path / "tests.json").environment == {"MODEL": "tiny"}


def test_a_file_of_the_test_runner(tmp_path: Path) -> None:
    assert read(tmp_path, RUNNER) == [
        HubTest("Test 1", {"input": {"a": 1}}, expected=[1], arguments=("--generator", "--n", "1 2")),
        HubTest("basic", {"input": {}}, expected={"a": 1}),
    ]


def test_a_test_input(tmp_path: Path) -> None:
    assert read(tmp_path, JOB, "test_input.json") == [HubTest("test_input", {"input": {"a": 1}, "webhook": "http://x"})]


def hub(**test: Any) -> Any:
    return {"tests": [{"input": {}}, {"input": {}, **test}]}


@table(
    "said, problem",
    [
        ('{\n  "tests": [,]}', ":2:13: Expecting value"),
        ("{}", ": tests: it is missing"),
        ({"tests": []}, ": tests: there is no test"),
        ("[]", ": there is no test"),
        (7, ": Input should be"),
        ({"tests": [{"name": "a"}]}, ": tests[0].input: it is missing"),
        ({"tests": [{"inptu": {}}]}, ": tests[0].inptu: there is no such key here; the nearest is input"),
        (hub(input=[]), ": tests[1].input: Input should be a valid dictionary"),
        (hub(inptu={}), ": tests[1].inptu: there is no such key here; the nearest is input"),
        (hub(timeout="10s"), ": tests[1].timeout: Input should be a valid integer"),
        (hub(timeout=0), ": tests[1].timeout: Input should be greater than or equal to 1"),
        (hub(name=1), ": tests[1].name: Input should be a valid string"),
        ({**hub(), "config": {"gpuTypeID": "x"}}, ": config.gpuTypeID: there is no such key here; the nearest is gpuT"),
        ({**hub(), "config": {"env": [{"key": "A", "value": 1}]}}, ": config.env[0].value: Input should be a valid st"),
        ({**hub(), "config": {"runsOn": "TPU"}}, ": config.runsOn: Input should be 'GPU' or 'CPU'"),
        ({**hub(), "test": 1}, ": test: there is no such key here; the nearest is tests"),
        ([{"input": {}, "outputs": 1}], ": [0].outputs: there is no such key here; the nearest is output"),
        ([{"input": {}, "hardwareConfig": {"templateConfig": {"dockerArgs": "python 'x.py"}}}], "dockerArgs python 'x"),
        ({"input": []}, ": input: Input should be a valid dictionary"),
        ({"input": {}, "webhok": "x"}, ": webhok: there is no such key here; the nearest is webhook"),
        ("[" * 100_000, ": it is no JSON"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, said: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, said)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_where_a_file_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no \.runpod/tests\.json, test_input\.json in"):
        find_tests(tmp_path)
    with pytest.raises(ConfigurationError, match="gone: No such file"):
        read_tests(tmp_path / "gone")
    for place in ("src/test_input.json", "test_input.json", ".runpod/tests.json"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("{}")
        assert find_tests(tmp_path) == tmp_path / place
