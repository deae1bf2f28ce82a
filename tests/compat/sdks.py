"""The official SDKs that workers and clients are tried with: each is an interpreter that has one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

NEXT = Path(sys.prefix) / "sdk2" / "bin" / "python"
"""The interpreter of the coming major version; `make compat` makes its environment."""
PYTHONS = {"1.12": Path(sys.executable), "2.0": NEXT}
"""Interpreters by the version of `runpod` that they have."""


def interpreter(version: str) -> str:
    """The interpreter of an SDK; its test is skipped, or fails where nothing may be skipped, when there is none."""
    python = PYTHONS[version]
    if not python.is_file():
        reason = f"needs {python} with runpod {version}: make .venv/.sdk2"
        if os.environ.get("EMULATOR_TESTS_STRICT"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(python)


def sdk_command(version: str, file: Path) -> str:
    """The command line of an image that holds this handler and an SDK."""
    return f"{shlex.quote(interpreter(version))} -u {shlex.quote(str(file))}"


def packages(version: str) -> str:
    """The folder of an SDK's packages: on the PYTHONPATH of another interpreter they go before its own."""
    asked = [interpreter(version), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
