"""Takes each protection out of a copy of the project, and expects the tests named beside it to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("emulator", "tests", "handlers", "docs", "docker", "examples", "pyproject.toml", "README.md", "Dockerfile")
_FAILED = 1
"""pytest's exit code for tests that failed; others say that it could not try them."""
_LIMIT = 300.0
"""Seconds that the tests of one mutant may take."""


def copy_project(folder: Path) -> None:
    """Put what the tests need into an empty folder."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, folder / part)


def run_tests(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests of the copy; returns pytest's exit code and what it said."""
    command = [sys.executable, "-B", "-m", "pytest", "-n", "0", "-x", "-q", "-m", "compat or not compat", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder / "emulator")}  # the copy, not what is installed
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_LIMIT)
    return done.returncode, done.stdout + done.stderr


def survives(folder: Path, mutant: Mutant) -> str:
    """Take the protection out, run its tests and put it back; returns what is wrong, "" when they failed."""
    file = folder / mutant.file
    whole = file.read_text()
    file.write_text(mutant.applied_to(whole))
    try:
        code, said = run_tests(folder, mutant.tests)
    finally:
        file.write_text(whole)
    if code == _FAILED:
        return ""
    return "its tests pass all the same" if code == 0 else f"pytest ended with {code}:\n{said}"


def main(names: Sequence[str]) -> int:
    """Try the mutants of these names, or all; returns the number of those that no test noticed."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    bad = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folder = Path(place)
        copy_project(folder)
        every = sorted({test for mutant in chosen for test in mutant.tests})
        code, said = run_tests(folder, every)
        if code:
            print(f"the tests do not pass before anything is taken out (pytest ended with {code}):\n{said}")
            return len(chosen) or 1
        for mutant in chosen:
            began = time.monotonic()
            problem = survives(folder, mutant)
            bad += bool(problem)
            print(f"{mutant.name}: {problem or 'noticed'} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} noticed")
    return bad


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
