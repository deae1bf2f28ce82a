"""The table, and what it was measured on and with."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.bench.load import client
from tests.bench.rows import Line, Row, Sample
from tests.bench.servers import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"
_PACKAGES = ("starlette", "fastapi", "uvicorn", "uvloop", "httptools", "orjson", "msgspec", "aiohttp", "runpod")


@dataclass
class Result:
    """What came of one row: a sample for each round, and what went wrong."""

    row: Row
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Its lines of the table."""
        lines = [f"| **{self.row.title}** (`{self.row.name}`) | | | |"]
        if self.samples:
            lines += [_line(line, self.samples) for line in self.row.lines]
        return lines + [f"| a round failed | {problem} | | **not met** |" for problem in self.problems]


def _line(line: Line, samples: Sequence[Sample]) -> str:
    values = [line.of(sample) for sample in samples]
    middle = statistics.median(values)
    measured = f"{number(middle)} {line.unit}".rstrip()
    if len(values) > 1:
        measured += f" ({number(min(values))} - {number(max(values))})"
    verdict = ("met" if line.met(middle) else "**not met**") if line.target else ""
    return f"| {line.what} | {measured} | {line.target} | {verdict} |"


def number(value: float) -> str:
    """As many digits as mean anything."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def table(results: Sequence[Result]) -> str:
    """Everything that was measured."""
    head = ["| what | measured, median (lowest - highest) | target | |", "|---|---|---|---|"]
    return "\n".join((*head, *(line for result in results for line in result.lines())))


def circumstances(rounds: int, seconds: float, jobs: int, before: float) -> str:
    """Machine, versions and command; `before` is the load average at the beginning."""
    command = f"python -m tests.bench {' '.join(sys.argv[1:])}".strip()
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    after = os.getloadavg()[0]
    return (
        f"Measured by `{command}` at commit {_commit()}: {rounds} rounds, {seconds:g} s of load on each server, "
        f"{jobs:,} jobs where the table says 1,000,000.\n\n"
        f"- Machine: {os.cpu_count()} cores of {_model()}, {_memory()} GB, {platform.system()} {platform.release()}. "
        f"Load average {before:.2f} before, {after:.2f} after.\n"
        f"- Python {platform.python_version()}, {versions}.\n"
        f"- Load: {client()}."
    )


def write(text: str) -> None:
    """Put it into the page, between its marks."""
    page = PAGE.read_text()
    before, rest = page.split(_BEGIN)
    after = rest.split(_END)[1]
    PAGE.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(missing)"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
