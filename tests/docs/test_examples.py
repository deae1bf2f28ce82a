"""The examples pass, are short, and are what docs/testing-clients.md shows."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from runpod_emulator.mocking.start import read_mocking
from runpod_emulator.testing import Job, Request, Transition, WebhookCall

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "test_backend.py"
FIVE = ROOT / "examples" / "test_production.py"
PAGE = (ROOT / "docs" / "testing-clients.md").read_text()


def test_the_examples_pass():
    command = [sys.executable, "-m", "pytest", str(ROOT / "examples"), "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
    command += ["-p", "no:schemathesis"]  # it takes a second to load
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stdout
    assert "16 passed" in outcome.stdout


def test_each_example_is_shorter_than_fifteen_lines():
    tests = [node for node in ast.parse(EXAMPLES.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert len(tests) == 12
    assert all((test.end_lineno or 0) - test.lineno < 15 for test in tests)


def test_the_five_are_shorter_than_twelve_lines():
    tests = [node for node in ast.parse(FIVE.read_text()).body if isinstance(node, ast.FunctionDef)][1:]
    assert len(tests) == 5
    assert all((test.end_lineno or 0) - test.lineno < 11 for test in tests)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_page_shows_what_is_tested(block: str):
    for part in block.strip().split("\n\n\n"):
        assert part.strip() in EXAMPLES.read_text() + FIVE.read_text()


def test_the_stub_and_the_faults_of_the_page_can_be_read(tmp_path: Path):
    stubs, faults = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "stubs.yaml").write_text(stubs)
    (tmp_path / "faults.yaml").write_text(faults)
    found = read_mocking([tmp_path], [])
    assert [stub.endpoint for stub in found.stubs] == ["llm*"]
    assert [(fault.fault, fault.endpoint) for fault in found.faults] == [("status", "*"), ("worker_crash", "llm*")]


@pytest.mark.parametrize("record", [Job, Transition, Request, WebhookCall])
def test_the_page_names_every_attribute_of_a_record(record: type):
    row = re.search(rf"^\| `{record.__name__}` \| `(.*)` \|$", PAGE, re.MULTILINE)
    assert row is not None
    assert row[1].split() == list(record.__dataclass_fields__)
