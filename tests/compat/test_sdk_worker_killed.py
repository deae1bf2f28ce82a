"""Official workers that are killed while they hold a job: no job is lost, and none ends twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.sdk_workers import endure, killable
from tests.compat.servers import until
from tests.workers.processes import needs_proc

pytestmark = [pytest.mark.compat, needs_proc]


def test_each_job_ends_exactly_once(tmp_path: Path) -> None:
    for server in killable(tmp_path, workers=2):
        envelopes = endure(server, "ep", jobs=16, kills=2, seconds=0.5, limit=60.0)
        assert sum(envelope.get("retries", 0) for envelope in envelopes) == 2
        assert server.stop() == 0
        until(lambda server=server: not server.processes())
