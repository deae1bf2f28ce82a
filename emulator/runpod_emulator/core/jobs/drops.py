"""Jobs that a worker lets go of without a report: what becomes of them, in the platform's way or at once."""

from __future__ import annotations

from dataclasses import dataclass

from runpod_emulator.core.jobs.deadlines import lost_event
from runpod_emulator.core.jobs.job import Job, Requeued
from runpod_emulator.core.platform import Platform

EMPTY_INPUT = "the worker took no job without an input, and an empty one is removed"
"""Why the official worker drops a job whose empty input was stripped."""
UNSENT = "the worker let go of the job without a report: the last ERROR line of its log says why"
"""Why an official worker that asks for more no longer holds its job."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One job that was let go of; as text, what that means and which field changes it."""

    job: Job
    reason: str
    platform: Platform

    @property
    def fails_at_once(self) -> bool:
        """Whether the job fails now, and not when its lease has run out."""
        return bool(getattr(self.platform, self._field) == "fail")

    @property
    def _field(self) -> str:
        return "strip_empty_input" if self.reason == EMPTY_INPUT else "unsendable_result"

    def __str__(self) -> str:
        reason = self.reason.rstrip(".")
        if self.fails_at_once:
            return (
                f"{reason}. RunPod would lose the job; here it fails at once (--set {self._field}=lost is RunPod's way)"
            )
        seconds = self.platform.worker_lease / 1000
        what = "it is tried once more" if isinstance(lost_event(self.job, self.platform), Requeued) else "it fails"
        return (
            f"{reason}. RunPod will report this as lost: when its lease of {seconds:g} s has run out, {what} "
            f"(--set {self._field}=fail fails it at once)"
        )
