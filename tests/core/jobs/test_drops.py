"""Jobs that a worker lets go of without a report."""

from __future__ import annotations

import pytest
from runpod_emulator.core.jobs.drops import EMPTY_INPUT, Drop
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.platform import preset

JOB = Job("ep", "j", JobStatus.IN_PROGRESS, b"{}", 0, 1_000, 1_000, 600_000, 1)


@pytest.mark.parametrize(
    ("reason", "retries", "field", "value", "said"),
    [
        ("it is a set.", 0, "unsendable_result", "lost", "it is a set. RunPod will report this as lost: when its lease "
         "of 40 s has run out, it is tried once more (--set unsendable_result=fail fails it at once)"),
        ("it is a set", 1, "unsendable_result", "lost", "it is a set. RunPod will report this as lost: when its lease "
         "of 40 s has run out, it fails (--set unsendable_result=fail fails it at once)"),
        ("it is a set", 0, "unsendable_result", "fail", "it is a set. RunPod would lose the job; here it fails at once "
         "(--set unsendable_result=lost is RunPod's way)"),
        (EMPTY_INPUT, 0, "strip_empty_input", "lost", f"{EMPTY_INPUT}. RunPod will report this as lost: when its lease "
         "of 40 s has run out, it is tried once more (--set strip_empty_input=fail fails it at once)"),
        (EMPTY_INPUT, 0, "strip_empty_input", "fail", f"{EMPTY_INPUT}. RunPod would lose the job; here it fails at "
         "once (--set strip_empty_input=lost is RunPod's way)"),
    ],
)  # fmt: skip
def test_the_log_says_what_becomes_of_it_and_which_field_decides(
    reason: str, retries: int, field: str, value: str, said: str
) -> None:
    job = JOB._replace(retries=retries)
    drop = Drop(job, reason, preset("observed", **{field: value}))
    assert str(drop) == said
    assert drop.fails_at_once is (value == "fail")
