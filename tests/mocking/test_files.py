"""Stub files, and how they are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.mocking.files import StubFile, read_stub_files, refuse
from runpod_emulator.values import span

from tests.mocking.mocks import MockWorld, scene
from tests.tables import table


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the folder `stubs`, which is answered."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stubs").mkdir()
    return tmp_path / "stubs"


def read(text: str, name: str = "llm.yaml") -> StubFile:
    path = Path("stubs") / name
    path.write_text(text, encoding="utf-8")
    return read_stub_files([path])


def refused(text: str, name: str = "llm.yaml") -> str:
    with pytest.raises(ConfigurationError) as error:
        read(text, name)
    return str(error.value)


def outputs(found: StubFile) -> list[Any]:
    made = [stub.scripts[0].output for stub in found.stubs]
    return [None if value is None else json.loads(value(scene())) for value in made]


WHOLE = """
stubs:
  - id: slow-llm
    endpoint: "e*"
    match:
      input: {prompt: hello, options: {n: 1}}
      input_regex: {prompt: "^hel+o", "options.name": "x"}
      headers: {x-tenant: acme, X-Other: {regex: "^a"}}
      call: [1, 3]
    priority: 10
    times: 1
    respond:
      - queue_delay: 1s-3s
        polls_before_in_progress: 1
        progress: [10, {value: 50, after: 1s}]
        stream: [a, {chunk: b, polls: 2}]
        delay: 2s
        polls_before_completed: 1
        output: {text: "{{ input.prompt }}"}
      - crash: true
faults:
  - endpoint: ep
    status: 503
"""


async def test_a_whole_file_becomes_stubs_that_work(world: MockWorld):
    (stub,) = read(WHOLE).stubs
    assert (stub.id, stub.place, stub.priority, stub.times, stub.calls) == (
        "slow-llm",
        "stubs/llm.yaml:3",
        10,
        1,
        {1, 3},
    )
    assert [len(script.steps) for script in stub.scripts] == [4, 0]
    world.emulator.stubs.add(stub)
    given = {"prompt": "hello", "options": {"n": 1, "name": "x"}}
    job_id = await world.submit(given, {"x-tenant": "acme", "x-other": "abc"})
    await world.polled(job_id)
    await world.pass_by(4_000)
    await world.polled(job_id, 2)
    await world.pass_by(2_000)
    assert (await world.polled(job_id)).output == b'{"text":"hello"}'


def test_a_stub_keeps_how_it_was_written():
    (stub,) = read("stubs: [{respond: {delay: 1s, output: 1}}]").stubs
    assert stub.source == {"respond": {"delay": "1s", "output": 1}}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "stubs:\n", "stubs: []", "faults: []"])
def test_a_file_may_be_empty(text: str):
    found = read(text)
    assert (found.stubs, found.faults) == ([], [])


@pytest.mark.parametrize("text", ["", " \n", '{"stubs": []}'])
def test_a_json_file_may_be_empty(text: str):
    assert read(text, "a.json").stubs == []


def test_json_is_read_as_json():
    text = '\ufeff{\n\t"stubs": [\n\t\t{"respond": {"output": [1e5, "\\ud83d\\ude00", "\\/", 2024, "\x7f"]}}\n\t]\n}'
    found = read(text, "a.json")
    assert outputs(found) == [[1e5, "😀", "/", 2024, "\x7f"]]
    assert found.stubs[0].place == "stubs/a.json:3"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("{1: a, true: b, ~: c}", {"1": "a", "true": "b", "~": "c"}),
        ("no", False),
        ("0x10", 16),
        ("[1, 1.5, ~, text]", [1, 1.5, None, "text"]),
        ("|\n        a\n        b", "a\nb\n"),
        ('"{{ input.n }}"', 5),
    ],
)
def test_yaml_is_read_as_json_would_have_it(written: str, value: Any):
    (stub,) = read(f"stubs:\n  - respond:\n      output: {written}\n").stubs
    output = stub.scripts[0].output
    assert output is not None
    assert json.loads(output(scene({"n": 5}))) == value


def test_anchors_and_merges_work_and_what_is_written_beside_wins():
    text = """
stubs:
  - respond: &base
      output: 1
      delay: 1s
  - respond:
      <<: *base
      output: 2
"""
    found = read(text)
    assert outputs(found) == [1, 2]
    assert [stub.scripts[0].before_end.time.low for stub in found.stubs] == [1_000, 1_000]


NOT_A_RESPONSE = 'write a response as a mapping, such as {output: "hello"}; this is'


def why_no_time() -> str:
    """What `values` says of a text that is no span."""
    try:
        return str(span("soon"))
    except ValueError as error:
        return str(error)


NO_TIME = why_no_time()
HEAD = "stubs:\n  - id: a\n    respond:\n"
"""Three lines of a stub; what follows is of its response."""


@table(
    ("text", "message"),
    [
        (
            "stubs:\n  - match:\n      inputt: {}\n    respond: {}\n",
            ":3: stubs.0.match.inputt: no such key; the nearest is input",
        ),
        ("stub: []\n", ":1: stub: no such key; the nearest is stubs"),
        ("{}\n", ":1: there is neither stubs nor faults in this file"),
        ("- respond: {}\n", ":1: write the file as a mapping with stubs, such as {stubs: [...]}; this is a list"),
        ("stubs: {}\n", ":1: stubs: write a list; this is a mapping"),
        (
            "stubs:\n  - respond: {}\n  - 5\n",
            ":3: stubs.1: write a stub as a mapping, such as {respond: {output: hello}}; this is a number",
        ),
        ("stubs:\n  - id: a\n", ":2: stubs.0: respond is missing"),
        ("stubs:\n  - respond: hello\n", f":2: stubs.0.respond: {NOT_A_RESPONSE} a text"),
        ("stubs:\n  - respond:\n      - output: 1\n      - 5\n", f":4: stubs.0.respond.1: {NOT_A_RESPONSE} a number"),
        ("stubs:\n  - respond: {}\n    times: many\n", ":3: stubs.0.times: write a whole number; this is a text"),
        (
            "stubs:\n  - respond: {}\n    match:\n      call: [1,\n        0]\n",
            ":5: stubs.0.match.call.1: Input should be greater than or equal to 1",
        ),
        (
            "stubs:\n  - respond: {}\n    match:\n      input_regex:\n        a.b: '('\n",
            ":5: stubs.0.match.input_regex.a.b: no regular expression: missing ) at position 1",
        ),
        (
            "stubs:\n  - respond: {}\n    match:\n      headers:\n        a: {regex: '['}\n",
            ":5: stubs.0.match.headers.a.regex: no regular expression: unterminated character set at position 1",
        ),
        (f"{HEAD}      delay: soon\n", f":4: stubs.0.respond.delay: {NO_TIME}"),
        (f"{HEAD}      delay: 3s-1s\n", ":4: stubs.0.respond.delay: the range 3s-1s ends before it begins"),
        (
            f"{HEAD}      progress:\n        - 1\n        - value: 1\n          after: x\n",
            f":7: stubs.0.respond.progress.1.after: {NO_TIME}",
        ),
        (
            f"{HEAD}      crash: true\n      output: 1\n",
            ":3: stubs.0.respond: output and crash exclude each other: a job has one end",
        ),
        (
            f"{HEAD}      output:\n        a:\n          - 1\n          - '{{% if %}}'\n",
            ":7: stubs.0.respond.output.a.1: a faulty template: Expected an expression, got 'end of statement block'",
        ),
        (
            f"{HEAD}      stream:\n        - 'ok'\n        - '{{{{ x | nope }}}}'\n",
            ":6: stubs.0.respond.stream.1: a faulty template: No filter named 'nope'.",
        ),
        (f"{HEAD}      error: [1]\n", ":4: stubs.0.respond.error: write a text; this is a list"),
        (f"{HEAD}      output: [.nan]\n", ":4: stubs.0.respond.output.0: JSON has no float such as nan"),
        (f"{HEAD}      output: !!binary aGVsbG8=\n", ":4: stubs.0.respond.output: JSON has no bytes such as b'hello'"),
        (
            f"{HEAD}      steps: [{{progress: 1, chunk: 2}}]\n",
            ":4: stubs.0.respond.steps.0: a step has either progress or chunk",
        ),
        ("faults: [1]\nstubs: []\n", ":1: faults.0: write a mapping; this is a number"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(text: str, message: str):
    assert refused(text) == f"stubs/llm.yaml{message}"


@table(
    ("text", "message"),
    [
        ("stubs:\n  - id: a\n   b: c\n", ":3: while parsing a block collection, expected <block end>, but found"),
        ("stubs: [\n", ":2: while parsing a flow node"),
        ("stubs: []\n---\nstubs: []\n", ":2: expected a single document in the stream"),
        ("stubs:\n  - id: a\n    id: b\n", ":3: id is written twice"),
        ("stubs:\n  - respond: {output: {x: 1, x: 2}}\n", ":2: x is written twice"),
        ("stubs:\n  - ? [a]\n    : 1\n", ":2: the name of a member must be a text"),
        ("stubs: *nope\n", ":1: found undefined alias 'nope'"),
        ("stubs: !!python/object:os.system {}\n", ":1: could not determine a constructor for the tag"),
        ("stubs: !!int abc\n", ":1: is no int"),
        ("stubs: &a [*a]\n", ":1: an alias refers to what it is a part of"),
        ("stubs: '\x01'\n", ":1: the character 0x0001 is not allowed"),
        ("x: " + "[" * 600, ":1: nests too deep"),
    ],
)
def test_broken_yaml_is_told_with_its_line(text: str, message: str):
    assert refused(text).startswith(f"stubs/llm.yaml{message}")


def test_a_few_aliases_cannot_make_a_million_values():
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefg", "bcdefgh", strict=True)]
    assert refused("\n".join(lines)) == "stubs/llm.yaml:6: aliases make more than 1000000 values of this"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"stubs": [\n\t{"respond":\n\t\t{"outpu": 1}}]}',
            ":3: stubs.0.respond.outpu: no such key; the nearest is output",
        ),
        ('{"stubs": [1,\n,]}', ":2: Expecting value"),
        ('{"stubs": [],\n "stubs": []}', ":2: stubs is written twice"),
        ('{"stubs": NaN}', ":1: JSON has no NaN"),
        ("[" * 5_000 + "]" * 5_000, ":1: nests too deep"),
        ('{"stubs": [\n{"id": "\x7f\x85\u2028", "respond": 5}]}', ":2: stubs.0.respond: write a response as"),
        (f'{{"stubs": [\n{{"respond": {{"{"x" * 2_000}": 5}}}}]}}', f":1: stubs.0.respond.{'x' * 2_000}: no such key"),
    ],
)
def test_broken_json_is_told_with_its_line(text: str, message: str):
    assert refused(text, "a.json").startswith(f"stubs/a.json{message}")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("!!int ''", "3: is no int"),
        ("!!bool x", "3: is no bool"),
        ("!!float ''", "3: is no float"),
        ("!!timestamp x", "3: is no timestamp"),
        ("!!map [1]", "3: is no mapping"),
        ("!!set [1]", "3: is no mapping"),
        ("!!omap 1", "3: while constructing an ordered map"),
        ("!!binary x", "3: failed to decode base64 data"),
        (r'"\UFFFFFFFF"', "1: Python int too large"),
    ],
)
def test_a_value_that_is_none_of_its_kind_is_told_with_its_line(value: str, reason: str):
    assert refused(f"stubs:\n- respond:\n    output: {value}\n").startswith(f"stubs/llm.yaml:{reason}")


def test_a_file_that_is_no_text_is_refused(folder: Path):
    (folder / "a.yaml").write_bytes(b"stubs: []\n# \xff\n")
    with pytest.raises(ConfigurationError, match=r"^stubs/a.yaml:2: is no UTF-8$"):
        read_stub_files([folder / "a.yaml"])


def test_a_file_that_is_not_there_is_refused(folder: Path):
    with pytest.raises(ConfigurationError, match=r"^stubs/a.yaml: No such file or directory$"):
        read_stub_files([folder / "a.yaml"])


def test_a_file_of_another_kind_is_refused(folder: Path):
    with pytest.raises(ConfigurationError, match=r"a.toml: the name of a stub file ends in .yaml, .yml or .json"):
        read_stub_files([folder / "a.toml"])


def test_a_folder_is_read_in_the_order_of_its_names(folder: Path):
    for name in ("b.yml", "a.yaml", "c.json"):
        (folder / name).write_text(f'{{"stubs": [{{"id": "{name[0]}", "respond": {{}}}}]}}')
    for name in ("readme.md", ".hidden.yaml"):
        (folder / name).write_text("what: ever")
    (folder / "inner").mkdir()
    assert [stub.id for stub in read_stub_files([folder]).stubs] == ["a", "b", "c"]


def test_a_folder_without_stub_files_is_refused(folder: Path):
    with pytest.raises(ConfigurationError, match=r"there is no \*.yaml, \*.yml or \*.json in this folder"):
        read_stub_files([folder])


def test_a_file_that_is_named_twice_is_read_once(folder: Path):
    (folder / "a.yaml").write_text("stubs: [{id: a, respond: {}}]")
    assert len(read_stub_files([folder, folder / "a.yaml", Path("stubs/a.yaml")]).stubs) == 1


def test_a_file_outside_the_working_directory_has_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.yaml"
    path.write_text("stubs: [{respond: {}}]")
    monkeypatch.chdir(tmp_path / "stubs")
    assert read_stub_files([path]).stubs[0].place == f"{path}:1"


def test_ids_are_made_up_over_all_files_and_avoid_those_that_are_given(folder: Path):
    (folder / "a.yaml").write_text("stubs: [{respond: {}}, {respond: {}}]")
    (folder / "b.yaml").write_text("stubs: [{respond: {}}, {id: stub-2, respond: {}}]")
    assert [stub.id for stub in read_stub_files([folder]).stubs] == ["stub-1", "stub-3", "stub-4", "stub-2"]


def test_an_id_that_two_stubs_have_is_refused(folder: Path):
    (folder / "a.yaml").write_text("stubs:\n  - id: llm\n    respond: {}\n")
    (folder / "b.yaml").write_text("stubs:\n  - respond: {}\n  - respond: {}\n    id: llm\n")
    with pytest.raises(ConfigurationError, match=r"^stubs/b.yaml:4: stubs.1.id: llm is the id of stubs/a.yaml:2 too$"):
        read_stub_files([folder])


def test_faults_are_kept_as_they_are_with_their_lines():
    faults = read("faults:\n  - status: 503\n    times:\n      - 2\n  - {anything: [1]}\n").faults
    assert [fault.content for fault in faults] == [{"status": 503, "times": [2]}, {"anything": [1]}]
    assert [fault.place() for fault in faults] == ["stubs/llm.yaml:2", "stubs/llm.yaml:5"]
    assert faults[0].place("times", 0) == "stubs/llm.yaml:4"


class Strict(BaseModel):
    status: int


def test_what_is_wrong_with_a_fault_can_be_told_by_those_who_know_faults():
    (fault,) = read("faults:\n  - times: 1\n    status: x\n").faults
    with pytest.raises(ValidationError) as error:
        Strict.model_validate(fault.content)
    with pytest.raises(
        ConfigurationError, match=r"^stubs/llm.yaml:3: faults.0.status: write a whole number; this is a text"
    ):
        refuse(fault.document, error.value, fault.keys)
