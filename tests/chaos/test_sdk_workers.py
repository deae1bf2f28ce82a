"""The same as in tests/compat, for long: `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.sdk_workers import endure, killable
from tests.compat.servers import until
from tests.workers.processes import needs_proc

pytestmark = [pytest.mark.chaos, needs_proc]


def test_each_of_500_jobs_ends_exactly_once(tmp_path: Path) -> None:
    for server in killable(tmp_path, workers=3):
        envelopes = endure(server, "ep", jobs=500, kills=50, seconds=0.5, limit=900.0)
        assert sum(envelope.get("retries", 0) for envelope in envelopes) == 50
        assert server.stop() == 0
        until(lambda server=server: not server.processes())
