"""One batch: requests that are collected first and then run together, each as a job of its own.

    DRAFT ── finalize ──> FINALIZED ── cancel, and the last running request has ended ──> CANCELLED
      └───────────────────────── cancel ────────────────────────────────────────────────────┘

A batch whose requests have all ended stays FINALIZED. Its counters follow from the transitions of its jobs, each told
once, so a retried, lost or expired run is counted as the job's record says.
"""

from __future__ import annotations

from enum import Enum

from runpod_emulator.core.jobs.job import Job, JobStatus, Transition

_S = JobStatus
ORDER = (_S.FAILED, _S.TIMED_OUT, _S.IN_PROGRESS, _S.IN_QUEUE, _S.COMPLETED, _S.CANCELLED)
"""In which a page lists requests: failed, in progress, queued, completed is that of the service's console."""
FORGOTTEN = "the request was deleted before it ended: its time to live was over"
"""The error of a request whose job was deleted unfinished; it counts as failed, or its batch would never be done."""


class BatchStatus(str, Enum):
    """The states that clients see; nothing here makes a batch FAILED."""

    DRAFT = "DRAFT"
    FINALIZED = "FINALIZED"
    CANCELLED = "CANCELLED"


class BatchRequest:
    """One request: its input, and from the batch's finalization on its job, as it last was."""

    __slots__ = ("id", "input", "job", "status")

    def __init__(self, request_id: str, text: bytes) -> None:
        self.id = request_id
        self.input = text
        """JSON as it came."""
        self.status = JobStatus.IN_QUEUE
        self.job: Job | None = None


class Batch:
    """A batch of an endpoint, with its requests by their ids."""

    def __init__(self, endpoint: str, batch_id: str, created_at: int) -> None:
        self.endpoint = endpoint
        self.id = batch_id
        self.created_at = created_at
        """In ms since the epoch."""
        self.name = ""
        self.status = BatchStatus.DRAFT
        self.is_cancelled = False
        """Whether a client has cancelled it; it is CANCELLED once nothing of it runs any more."""
        self.requests: dict[str, BatchRequest] = {}
        self.counts = dict.fromkeys(JobStatus, 0)

    @property
    def in_progress(self) -> int:
        """Requests that a worker holds."""
        return self.counts[_S.IN_PROGRESS]

    @property
    def completed(self) -> int:
        """Requests that have ended well."""
        return self.counts[_S.COMPLETED]

    @property
    def failed(self) -> int:
        """Requests that have failed, or timed out."""
        return self.counts[_S.FAILED] + self.counts[_S.TIMED_OUT]

    @property
    def open(self) -> int:
        """Requests that have not ended."""
        return self.counts[_S.IN_QUEUE] + self.counts[_S.IN_PROGRESS]

    @property
    def is_active(self) -> bool:
        """Whether it was finalized, and some request has not ended."""
        return self.status is BatchStatus.FINALIZED and self.open > 0

    def add(self, request: BatchRequest) -> None:
        """One request more."""
        self.requests[request.id] = request
        self.counts[request.status] += 1

    def remove(self, request: BatchRequest) -> None:
        """One request less."""
        del self.requests[request.id]
        self.counts[request.status] -= 1

    def heard(self, transition: Transition) -> None:
        """The job of a request has changed; one that is deleted after its end leaves its outcome here."""
        request = self.requests.get(transition.job.id)
        if request is None:
            return
        job = transition.job
        if transition.after is None:
            if job.status.terminal:
                return
            job = job._replace(status=_S.FAILED, error=FORGOTTEN, ended_at=transition.at)
        request.job = job
        self._set(request, job.status)

    def cancel(self) -> None:
        """Let what was never handed out end here; those with a job end with it."""
        self.is_cancelled = True
        for request in self.requests.values():
            if request.job is None:
                self._set(request, _S.CANCELLED)
        self._settle()

    def page(self, offset: int, limit: int) -> list[BatchRequest]:
        """Requests in the order of `ORDER`, and of one status the first added first."""
        ordered = sorted(self.requests.values(), key=lambda request: ORDER.index(request.status))
        return ordered[offset : offset + limit]

    def _set(self, request: BatchRequest, status: JobStatus) -> None:
        self.counts[request.status] -= 1
        self.counts[status] += 1
        request.status = status
        self._settle()

    def _settle(self) -> None:
        if self.is_cancelled and not self.open:
            self.status = BatchStatus.CANCELLED
