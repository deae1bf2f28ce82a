"""What the log says, with whole names: a line has short ones, the facts of its record the others."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
from runpod_emulator.core.secrets.shown import BAR, INDENT


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines: `endpoint/worker/job | text` of what a worker has printed, `endpoint/job text` of what a job did.

    Those that tell a whole id are left out: here every line has it.
    """
    records = [record for record in caplog.records if getattr(record, "facts", {}).get("event") != "named"]
    return [line for record in records for line in _lines(record)]


def printed(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Those that workers have printed."""
    return [line for line in told(caplog) if " | " in line]


def _lines(record: logging.LogRecord) -> Iterator[str]:
    facts, message = getattr(record, "facts", {}), record.getMessage()
    job = facts.get("job", "")
    if facts.get("event") == "printed":
        where = "/".join(filter(None, (facts["endpoint"], facts["worker"], job)))
        for line in message.partition(BAR)[2].split(f"\n{INDENT}"):
            yield f"{where} | {line}"
    elif job:
        found = re.fullmatch(r"([^ #]+)(?:#\d+)? ([^ :]+)(?: \(([^)]+)\))?(.*)", message, re.DOTALL)
        assert found and found[1] == facts["endpoint"] and job.startswith(found[2]) and found[3] in (None, job)
        yield f"{found[1]}/{job}{found[4].removesuffix(f', job {job}')}"
    else:
        yield message
