"""What all tests share."""

from __future__ import annotations

import os
import shutil
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
