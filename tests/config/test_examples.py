"""The example input of a handler, from the files beside it and from its docstrings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.examples import example_input, example_of, without_comments
from runpod_emulator.config.services import Service

from tests.compat.servers import HANDLERS
from tests.tables import table

HUB = '{\n  // comments are allowed, http://x too\n  "tests": [{"name": "a", "input": {"from": "hub // not this"}}]}'
DOCUMENTED = '"""Says it.\n\nRequest:\n    {"input": {"from": "docstring {"}}\n"""\ndef handler(job):\n    return 1\n'
CODE = "def handler(job):\n    return 1\n"


def told(folder: Path, **files: str) -> Any:
    """The example of `src/handler.py` among these files; `__` in a name is a slash and `_dot_` a dot."""
    names = {"test_input": "src/test_input.json", "hub": ".runpod/tests.json", "handler": "src/handler.py"}
    for name, text in {"handler": CODE, **files}.items():
        path = folder / names[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return example_input("src/handler.py", str(folder))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"test_input": '{"input": {"from": "file"}}', "hub": HUB, "handler": DOCUMENTED}, {"from": "file"}),
        ({"hub": HUB, "handler": DOCUMENTED}, {"from": "hub // not this"}),
        ({"handler": DOCUMENTED}, {"from": "docstring {"}),
        ({"handler": 'def handler(job):\n    """As {\'input\': {\'n\': None}}."""\n'}, {"n": None}),
        ({"test_input": "no json", "hub": "[" * 5000, "handler": DOCUMENTED}, {"from": "docstring {"}),
        ({"test_input": '{"input": "a text"}'}, None),
        ({"test_input": '{"input": {}}', "hub": '{"tests": 7}'}, None),
        ({"handler": "def broken(:"}, None),
        ({"handler": '"""It gives {"output": {"a": 1}} } and {"input"."""\n'}, None),
        ({}, None),
    ],
)
def test_the_first_that_there_is(tmp_path: Path, files: dict[str, str], expected: Any) -> None:
    assert told(tmp_path, **files) == expected


def test_the_repository_is_the_end_of_what_is_above(tmp_path: Path) -> None:
    (tmp_path / ".runpod").mkdir()
    (tmp_path / ".runpod" / "tests.json").write_text(HUB)
    for name in ("own", "other"):
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "src" / "handler.py").write_text(CODE)
    (tmp_path / "other" / ".git").mkdir()
    assert example_input("own/src/handler.py", str(tmp_path)) == {"from": "hub // not this"}
    assert example_input("other/src/handler.py", str(tmp_path)) is None


def test_every_form_of_a_handler(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    source = '"""{"input": {"of": "module"}}"""\ndef run(job):\n    """{"input": {"of": "run"}}"""\n'
    (tmp_path / "package" / "module.py").write_text(source)
    forms = {
        "package/module.py": "module", "package/module.py:run": "run", "package.module:run": "run",
        "package.module:other": "module",
    }  # fmt: skip
    assert {form: example_input(form, str(tmp_path)) for form in forms} == {
        form: {"of": of} for form, of in forms.items()
    }
    assert example_input("package/gone.py", str(tmp_path)) is None
    assert example_input("json:dumps", str(tmp_path)) is None


@table(
    "service, expected",
    [
        (Service("handlers/echo.py"), {"message": "hello"}),
        (Service(command=("python", "-u", "handlers/tokens.py")), {"text": "one two three", "delay": 0.1}),
        (Service(command=("node", "worker.js")), None),
        (Service("handlers/echo.py:app", balanced=True), None),
        (Service(mock=True), None),
    ],
)
def test_of_what_serves_an_endpoint(service: Service, expected: Any) -> None:
    assert example_of(service, str(HANDLERS.parent)) == expected


def test_every_handler_here_has_an_example() -> None:
    missing = [file.name for file in HANDLERS.glob("*.py") if example_input(str(file)) is None]
    assert missing == []


def test_comments_leave_lines_and_columns_as_they_were() -> None:
    text = '{"a": "http://b", // c "d"\n  "e\\"//": 1}//'
    assert json.loads(without_comments(text)) == {"a": "http://b", 'e"//': 1}
    assert [len(line) for line in without_comments(text).splitlines()] == [len(line) for line in text.splitlines()]
