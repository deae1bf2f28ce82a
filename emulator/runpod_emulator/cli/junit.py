"""A report in the XML of JUnit, which CI systems read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml  # it only writes  # nosec B405
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.shown import visible

_LONGEST = 64 * 1024
"""Characters of a problem."""
_NOT_XML = re.compile("[\ufffe\uffff]")


class Case(Protocol):
    """How one test went."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def problem(self) -> str:
        """Why it has failed, empty for one that has passed."""
        ...

    @property
    def milliseconds(self) -> int:
        """How long it took."""
        ...


class _Totals(NamedTuple):
    tests: int
    failures: int
    seconds: float


def write_report(path: Path, suite: str, cases: Sequence[Case], shown: Callable[[str], str]) -> None:
    """Write one suite of cases; `shown` masks what may be a secret. Raises ConfigurationError."""
    totals = _Totals(
        len(cases), sum(bool(case.problem) for case in cases), sum(case.milliseconds for case in cases) / 1000
    )
    attributes = {
        "name": _text(suite), "tests": str(totals.tests), "failures": str(totals.failures), "errors": "0",
        "skipped": "0", "time": f"{totals.seconds:.3f}",
    }  # fmt: skip
    root = xml.Element("testsuites")
    element = xml.SubElement(root, "testsuite", attributes)
    for case in cases:
        one = {"classname": _text(suite), "name": _text(shown(case.name)), "time": f"{case.milliseconds / 1000:.3f}"}
        entry = xml.SubElement(element, "testcase", one)
        if case.problem:
            text = _text(shown(case.problem))[:_LONGEST]
            xml.SubElement(entry, "failure", {"message": text[:300]}).text = text
    try:
        xml.ElementTree(root).write(path, "utf-8", xml_declaration=True)
    except OSError as error:
        raise ConfigurationError(f"--junit {path}: {error.strerror or error}") from error


def _text(text: str) -> str:
    """Text of which XML may hold every character."""
    return _NOT_XML.sub("?", visible(text))
