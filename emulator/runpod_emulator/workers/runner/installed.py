"""The `runpod` package of the handler's interpreter, without importing it: its version, and whose rules hold.

A worker process keeps the rules of the installed package, or, where there is none, those of the newest version that
this file knows. `--sdk-rules` decides otherwise.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Tuple

KNOWN = {"1.12": "1.12.0", "2.0": "2.0.0rc2"}
"""The rules there are, and the version that each was read from."""
NEWEST = "2.0"

PREFIX, SUFFIX = "runpod-", ".dist-info"
"""Of the folder that tells the installed version."""
_chosen: list[str] = []


def choose_rules(name: str) -> None:
    """Keep these rules, whatever is installed; empty for those of the installed package."""
    _chosen[:] = [name] if name else []


def rules() -> Tuple[int, int]:  # noqa: UP006 - Python 3.8 cannot subscript tuple, and this may be evaluated
    """Major and minor number of the rules that hold."""
    return numbers(_chosen[0] if _chosen else installed_version() or NEWEST)


def numbers(version: str) -> Tuple[int, int]:  # noqa: UP006
    """Major and minor number of a version; those of the newest for what is none."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (2, 0)


def installed_version() -> str:
    """The version that an import would find now, empty for none."""
    return _found_in(tuple(sys.path))


def runpod_version() -> str:
    """The version that errors tell."""
    return installed_version() or KNOWN[_chosen[0] if _chosen else NEWEST]


@functools.lru_cache(None)
def _found_in(folders: Tuple[str, ...]) -> str:  # noqa: UP006
    """Reading folder names takes 1 ms, `importlib.metadata` 50."""
    for folder in folders:
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:
            continue
        for name in names:
            if name.startswith(PREFIX) and name.endswith(SUFFIX):
                return name[len(PREFIX) : -len(SUFFIX)]
    return ""
