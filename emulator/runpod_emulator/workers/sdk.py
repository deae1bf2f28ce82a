"""Whose rules the worker processes of an endpoint keep, told before any of them has started."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from runpod_emulator.workers.runner.installed import KNOWN, NEWEST, PREFIX, SUFFIX, installed_version, numbers


def sdk_rules(python: str, chosen: str | None) -> str:
    """The rules in words, such as `1.12 (runpod 1.12.0)`, for an interpreter and what `--sdk-rules` says."""
    if chosen is not None:
        return f"{chosen} (--sdk-rules)"
    version = installed_version() if python == sys.executable else _version_beside(python)
    if not version:
        return f"{NEWEST} (no runpod is installed for {python})"
    newest = max((name for name in KNOWN if numbers(name) <= numbers(version)), key=numbers, default=min(KNOWN))
    return f"{newest} (runpod {version})"


def _version_beside(python: str) -> str:
    """The version in the environment of an interpreter, which is not asked: that would take its whole start."""
    program = Path(shutil.which(python) or python)
    for home in (program.parent.parent, program.resolve().parent.parent):
        for found in sorted(home.glob(f"lib*/python*/*-packages/{PREFIX}*{SUFFIX}")):
            return found.name[len(PREFIX) : -len(SUFFIX)]
    return ""
