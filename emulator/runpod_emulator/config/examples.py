"""An example input of a handler, from what its author has left beside it; its code is read and never run.

The first of these that there is: `test_input.json` in the handler's folder, the first test of a `.runpod/tests.json`
there or above it, and what a docstring of it shows, written as `{"input": {...}}`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from runpod_emulator.config.services import Service
from runpod_emulator.values import file_of

TEST_INPUT = "test_input.json"
"""The file that `python handler.py` of the official SDK reads."""
HUB_TESTS = Path(".runpod", "tests.json")
"""The tests of a repository for RunPod's Hub."""
FALLBACK = {"message": "hello"}
"""What is sent where there is no example."""
_LARGEST = 1 << 20
"""Bytes of a file that is looked at."""
_FOLDERS_ABOVE = 4
_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*')
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', re.DOTALL)
_LONGEST_DOCSTRING = 20_000


def example_input(handler: str, directory: str | None = None) -> dict[str, Any] | None:
    """The example input of a handler in the forms of `serve`, None where there is none.

    `directory` is where its workers run, None for the working directory.
    """
    path = _file(handler, Path(directory or "."))
    if path is None:
        return None
    function = "" if handler.endswith(".py") else handler.rpartition(":")[2]
    for found in (_test_inputs(path), _hub_inputs(path), _documented(path, function)):
        for example in found:
            if isinstance(example, dict) and example:
                return example
    return None


def example_of(service: Service, directory: str | None = None) -> dict[str, Any] | None:
    """The example input of what serves an endpoint: of a command, that of the Python file which it names."""
    if service.balanced:
        return None
    scripts = [word for word in service.command if word.endswith(".py")]
    handler = service.handler or (scripts[0] if scripts else "")
    return example_input(handler, directory) if handler else None


def without_comments(text: str) -> str:
    """JSON without its `//` comments, whose places stay blank: lines and columns are as they were."""
    return _COMMENT.sub(lambda match: match[1] or " " * len(match[0]), text)


def hub_tests_above(folder: Path) -> Iterator[Path]:
    """Each `.runpod/tests.json` in a folder and above it, up to the repository's root."""
    for place in [folder, *folder.parents][: _FOLDERS_ABOVE + 1]:
        if (place / HUB_TESTS).is_file():
            yield place / HUB_TESTS
        if (place / ".git").exists():
            return


def _file(handler: str, directory: Path) -> Path | None:
    named = file_of(handler)
    if named is not None:
        path = directory / named
        return path.absolute() if path.is_file() else None
    module = directory.joinpath(*handler.partition(":")[0].split("."))
    places = (module.with_suffix(".py"), module / "__init__.py")
    return next((place.absolute() for place in places if place.is_file()), None)


def _read(path: Path) -> str:
    """What a file says, empty where it cannot be read, is no text, or is too large to be an example."""
    try:
        return path.read_text("utf-8") if path.stat().st_size <= _LARGEST else ""
    except (OSError, ValueError):
        return ""


def _json(path: Path) -> Any:
    try:
        return json.loads(without_comments(_read(path)))
    except (ValueError, RecursionError):
        return None


def _test_inputs(path: Path) -> Iterator[Any]:
    job = _json(path.with_name(TEST_INPUT))
    if isinstance(job, dict):
        yield job.get("input")


def _hub_inputs(path: Path) -> Iterator[Any]:
    for file in hub_tests_above(path.parent):
        said = _json(file)
        tests = said.get("tests") if isinstance(said, dict) else None
        for test in tests if isinstance(tests, list) else ():
            if isinstance(test, dict):
                yield test.get("input")


def _documented(path: Path, function: str) -> Iterator[Any]:
    try:
        module = ast.parse(_read(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    functions = [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in (function or "handler", "handler")
    ]
    named = [node for node in functions if node.name == function]
    nodes: Iterable[Any] = (*named, module, *functions)
    for node in nodes:
        for value in _literals((ast.get_docstring(node) or "")[:_LONGEST_DOCSTRING]):
            if isinstance(value, dict):
                yield value.get("input")


def _literals(text: str) -> Iterator[Any]:
    """The JSON objects and Python dicts within a text, the outer ones."""
    shape = _STRINGS.sub(lambda match: "_" * len(match[0]) if "\n" not in match[0] else match[0], text)
    start = depth = 0
    for at, character in enumerate(shape):
        if character == "{":
            start = at if depth == 0 else start
            depth += 1
        elif character == "}" and depth:
            depth -= 1
            if depth == 0:
                yield _literal(text[start : at + 1])


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None
