"""Files of tests for a handler: of RunPod's Hub (`.runpod/tests.json`), of its test-runner, and `test_input.json`.

The first two differ in their outermost value, an object or a list. `//` comments may stand in all of them. A key that
none of them has, or a value of another type, is an error that says where it stands.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runpod_emulator.config.examples import HUB_TESTS, TEST_INPUT, without_comments
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.values import nearest

TIMEOUT = 30_000
"""Milliseconds of a test that names none: RunPod's harness takes this number too, as seconds."""
NOTHING: Any = object()
"""Where a test expects no output in particular."""
PLACES = (HUB_TESTS, Path(TEST_INPUT), Path("src", TEST_INPUT), Path(".github", "tests.json"))
"""Where a file of tests is looked for, in this order."""
_EXPECTED = ("expected", "expected_output", "output")


@dataclass(frozen=True)
class HubTest:
    """One test: a request, and what is expected of its job."""

    name: str
    request: dict[str, Any]
    timeout: int = TIMEOUT
    """Milliseconds."""
    expected: Any = NOTHING
    """The output, compared as JSON."""
    status: str = "COMPLETED"
    arguments: tuple[str, ...] = ()
    """Words after the handler's file, with which a test of the runner starts it."""


@dataclass(frozen=True)
class HubTests:
    """The tests of a file, in its order."""

    path: Path
    tests: list[HubTest]
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the workers."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Variable(_Strict):
    key: str = Field(min_length=1)
    value: str


class _Config(_Strict):
    gpuTypeId: str = ""
    gpuCount: int = 0
    cpuFlavor: str = ""
    env: list[_Variable] = []
    allowedCudaVersions: list[str] = []
    runsOn: Literal["GPU", "CPU"] = "GPU"


class _Test(_Strict):
    input: dict[str, Any]
    name: str = ""
    timeout: int = Field(TIMEOUT, ge=1)
    expected: Any = None
    expected_output: Any = None


class _HubFile(_Strict):
    tests: list[_Test] = Field(min_length=1)
    config: _Config = _Config()


class _Template(_Strict):
    model_config = ConfigDict(extra="allow", strict=True)
    dockerArgs: str = ""


class _Hardware(_Strict):
    endpointConfig: dict[str, Any] = {}
    templateConfig: _Template = _Template()


class _RunnerTest(_Test):
    id: str | int = ""
    output: Any = None
    hardwareConfig: _Hardware = _Hardware()


class _RunnerFile(_Strict):
    tests: list[_RunnerTest] = Field(min_length=1)


class _Request(_Strict):
    input: dict[str, Any]
    id: str = ""
    webhook: str = ""
    policy: dict[str, Any] = {}
    s3Config: dict[str, Any] = {}


def read_tests(path: Path) -> HubTests:
    """The tests of a file, whichever of the three it is; raises ConfigurationError."""
    try:
        said = json.loads(without_comments(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}:{error.lineno}:{error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: it is no JSON in UTF-8: {error}") from error
    if isinstance(said, list):
        found = _checked(path, _RunnerFile, {"tests": said}).tests
        return HubTests(path, [_of_runner(one, number) for number, one in enumerate(found, 1)])
    if isinstance(said, dict) and "input" in said and "tests" not in said:
        _checked(path, _Request, said)
        request = {name: value for name, value in said.items() if name != "id"}
        return HubTests(path, [HubTest(path.stem, request)])
    file = _checked(path, _HubFile, said)
    tests = [_test(one, one.name or f"Test {number}") for number, one in enumerate(file.tests, 1)]
    return HubTests(path, tests, {one.key: one.value for one in file.config.env})


def find_tests(folder: Path) -> Path:
    """The file of tests in a folder; raises ConfigurationError where there is none."""
    for place in PLACES:
        if (folder / place).is_file():
            return folder / place
    raise ConfigurationError(f"there is no {', '.join(map(str, PLACES[:2]))} in {folder}: name a file of tests")


def _test(test: _Test, name: str) -> HubTest:
    given = {key: getattr(test, key) for key in _EXPECTED if key in test.model_fields_set}
    expected = next(iter(given.values()), NOTHING)
    if isinstance(expected, dict) and set(expected) == {"status"} and isinstance(expected["status"], str):
        return HubTest(name, {"input": test.input}, test.timeout, status=expected["status"])
    return HubTest(name, {"input": test.input}, test.timeout, expected)


def _of_runner(test: _RunnerTest, number: int) -> HubTest:
    own = _test(test, test.name or str(test.id) or f"Test {number}")
    line = test.hardwareConfig.templateConfig.dockerArgs
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigurationError(f"dockerArgs {line}: {error}") from error
    scripts = [at for at, word in enumerate(words) if word.endswith(".py")]
    arguments = tuple(words[scripts[0] + 1 :]) if scripts else ()
    return HubTest(own.name, own.request, own.timeout, own.expected, own.status, arguments)


def _checked(path: Path, kind: Any, said: Any) -> Any:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        first = _first(error)
        raise ConfigurationError(f"{path}: {_place(kind, first['loc'])}{_problem(kind, first)}") from error


def _first(error: ValidationError) -> Any:
    """The first error; for a key that is missing the one of an unknown key beside it, which may be meant for it."""
    errors = error.errors()
    first = errors[0]
    if first["type"] != "missing":
        return first
    unknown = (one for one in errors if one["type"] == "extra_forbidden" and one["loc"][:-1] == first["loc"][:-1])
    return next(unknown, first)


def _place(kind: Any, location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    text = "".join(parts).lstrip(".")
    text = text.removeprefix("tests") if kind is _RunnerFile else text
    return f"{text}: " if text else ""


def _problem(kind: Any, error: Any) -> str:
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return f"there is no such key here{nearest(name, _keys(kind, error['loc'][:-1]))}"
    return str({"missing": "it is missing", "too_short": "there is no test"}.get(error["type"], error["msg"]))


def _keys(kind: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at a place."""
    for part in location:
        if isinstance(part, str):
            annotation = kind.model_fields[part].annotation
            kind = next((one for one in getattr(annotation, "__args__", ()) if _is_model(one)), annotation)
    return list(kind.model_fields)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
