"""What handlers find in the installed package's own modules, and what they change there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("runpod")


def test_a_timed_function_may_be_called_in_every_job(start: Any) -> None:
    child = start(
        """
        import runpod
        from runpod.serverless.utils import rp_debugger

        @rp_debugger.FunctionTimer
        def handler(job):
            with rp_debugger.LineTimer("inside"):
                return job["input"]

        runpod.serverless.start({"handler": handler})
        """
    )
    child.ready()
    assert [child.run(number).output for number in range(3)] == [b"0", b"1", b"2"]


def test_the_jobs_in_progress_are_those_of_the_worker(start: Any) -> None:
    child = start(
        """
        import runpod
        from runpod.serverless.modules.worker_state import JobsProgress

        runpod.serverless.start({"handler": lambda job: JobsProgress().get_job_list()})
        """
    )
    child.ready()
    assert [json.loads(child.run(id=name).output) for name in ("job-1", "job-1")] == ["job-1", "job-1"]


def test_the_debuggers_times_go_into_the_output_and_a_job_without_a_place_for_them_is_lost(start: Any) -> None:
    child = start(
        """
        import sys
        import runpod
        from runpod.serverless.utils import rp_debugger

        sys.argv += ["--own", "--rp_debugger"]

        @rp_debugger.FunctionTimer
        def handler(job):
            return {"error": "e"} if job["input"] else {"rest": sys.argv[1:]}

        runpod.serverless.start({"handler": handler})
        """
    )
    child.ready()
    for _ in range(2):
        child.job(True)
        assert "--rp_debugger" in json.loads(child.expect(Kind.LOST))["reason"]
        output = json.loads(child.run(False).output)
        assert output["rest"] == ["--own"]
        assert [time["name"] for time in output["rp_debugger"]["timestamps"]] == ["handler"]
