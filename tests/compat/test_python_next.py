"""The suites of the official Python client once more, with the coming major version of `runpod`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.compat.sdks import packages
from tests.compat.servers import ROOT

pytestmark = pytest.mark.compat

VERSION = "2.0"
SUITES = ("test_python.py", "test_python_mocked.py", "test_https.py")
ALONE = ("-o", "addopts=", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "compat")
"""Options of a run that is no part of ours."""
LIMIT = 120


def python(*words: str, **more: object) -> subprocess.Popen[str]:
    """Our interpreter, with our packages, but for those that the SDK brings along."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RUNPOD_"))}
    environment = {**clean, "PYTHONPATH": packages(VERSION)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, **pipes)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All suites, running at once: mostly they wait."""
    started = {suite: python("-m", "pytest", *ALONE, f"tests/compat/{suite}") for suite in SUITES}
    yield started
    for run in started.values():
        run.send_signal(signal.SIGINT)  # so that it ends its servers
        run.communicate(timeout=LIMIT)


def test_it_is_the_next_version(runs: object) -> None:
    told, _ = python("-c", "import runpod; print(runpod.__version__)").communicate(timeout=LIMIT)
    assert told.startswith(VERSION)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_passes(runs: dict[str, subprocess.Popen[str]], suite: str) -> None:
    told, _ = runs[suite].communicate(timeout=LIMIT)
    assert runs[suite].returncode == 0, told
    *_, summary = told.strip().splitlines()
    assert re.fullmatch(r"\d+ passed in .*", summary), summary
