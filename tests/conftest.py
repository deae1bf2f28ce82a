"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gates import Gate

HOW_TO_GET = {
    "node": "apt-get install nodejs (or any Node.js 18 or newer)",
    "npm": "apt-get install npm",
    "curl": "apt-get install curl",
    "zsh": "apt-get install zsh",
    "chromium": "apt-get install chromium",
    "redis-server": "apt-get install redis-server",
}

FIRST = (
    "plugin/test_marks.py", "docs/test_examples.py", "model/test_machine.py", "model/test_defects.py",
    "testing/test_story.py", "testing/test_strict.py", "testing/test_emulator.py", "cli/test_main.py",
    "server/test_server.py", "doors/test_openapi.py",
)  # fmt: skip
"""Files that take longer than the number of their tests tells: begun late, one of them would be waited for."""


def pytest_configure(config: pytest.Config) -> None:
    """Let xdist hand out the files in the order of the tests, where it would else begin with those of many tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave the ten thousand tests to no look for garbage: it would go through all of them, time and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, put the long files first, then those of many tests."""
    if hasattr(config, "workerinput"):
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (not item.path.as_posix().endswith(FIRST), -tests[item.path]))


def require(*programs: str) -> None:
    """Skip the test where a system part is missing; fail instead when EMULATOR_TESTS_STRICT is set."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    reason = "; ".join(f"needs {program}: {HOW_TO_GET[program]}" for program in missing)
    if os.environ.get("EMULATOR_TESTS_STRICT"):
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = sorted({str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped})
    if reasons:
        terminalreporter.section("skipped for lack of a system part")
        for reason in reasons:
            terminalreporter.line(reason)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate, closed."""
    with Gate(tmp_path / "gate") as gate:
        yield gate
