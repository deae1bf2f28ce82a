"""The batches of one world, in this process's memory, and what clients do with them.

The requests of an endpoint's batches are ordinary jobs in a queue beside the endpoint's own, which `world/endpoints.py`
makes, with workers of its own. So the rules for jobs hold for them as they are: leases, retries, stubs, faults, time.
A field of the job's record names its batch. Clients cannot name that queue, and stubs and faults know it by the name of
the endpoint.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from runpod_emulator.core.batch_errors import BatchFull, BatchNotFound, BatchRequestNotFound, WrongBatchState
from runpod_emulator.core.dice import Dice
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import EndpointPaused, IllegalTransition, JobNotFound, NotEmulated
from runpod_emulator.core.jobs.batches import Batch, BatchRequest, BatchStatus
from runpod_emulator.core.jobs.job import (
    Cancelled,
    Completed,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Requeued,
    Retried,
    Returned,
    Submitted,
    Taken,
    TimedOut,
    Transition,
)  # fmt: skip
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.settings import named
from runpod_emulator.core.time.clock import turn

_LETTERS = string.ascii_lowercase + string.digits
_AT_ONCE = 100
"""Requests that are queued before others get their turn."""


class Batches(Effect):
    """Those of one world. `queue_of` returns the queue for the batches of an endpoint, and makes it if need be."""

    events = (Submitted, Taken, Returned, Requeued, Completed, Failed, Cancelled, TimedOut, Retried, Forgotten)

    def __init__(self, shared: Shared, queue_of: Callable[[str], Endpoint]) -> None:
        self._shared = shared
        self._queue_of = queue_of
        self._dice = Dice(None if shared.ids.seed is None else f"{shared.ids.seed} batches")
        self._batches: dict[str, dict[str, Batch]] = {}
        self._is_told = False
        self.tell: Callable[[Sequence[Effect]], None] = lambda effects: None
        """Called before the first batch, from which on it has to hear of jobs."""

    # What clients do

    def create(self, endpoint: str, inputs: Sequence[bytes], at: int) -> Batch:
        """A draft with these requests. Raises BatchFull, NotEmulated."""
        if self._shared.store.owners is not None:
            raise NotEmulated("the batch API over a store that servers share (--store)")
        if not self._is_told:
            self.tell([self])
            self._is_told = True
        self._check_room(0, len(inputs))
        batch = Batch(endpoint, self._mint("batch"), at)
        self._fill(batch, inputs)
        self._batches.setdefault(endpoint, {})[batch.id] = batch
        return batch

    def of(self, endpoint: str) -> list[Batch]:
        """The batches of an endpoint, newest first."""
        return list(reversed(self._batches.get(endpoint, {}).values()))

    def get(self, endpoint: str, batch_id: str) -> Batch:
        """One of them; raises BatchNotFound."""
        try:
            return self._batches[endpoint][batch_id]
        except KeyError:
            raise BatchNotFound from None

    def add(self, batch: Batch, inputs: Sequence[bytes]) -> None:
        """Add requests to a draft, all or none; raises WrongBatchState, BatchFull."""
        self._check_draft(batch)
        self._check_room(len(batch.requests), len(inputs))
        self._fill(batch, inputs)

    def remove(self, batch: Batch, request_id: str) -> None:
        """Take a request out of a draft; raises WrongBatchState, BatchRequestNotFound."""
        self._check_draft(batch)
        request = batch.requests.get(request_id)
        if request is None:
            raise BatchRequestNotFound
        batch.remove(request)

    async def finalize(self, batch: Batch, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Queue all requests of a draft; stubs see the `headers` of the call that did it.

        Raises WrongBatchState, BatchFull, EndpointPaused; then it stays a draft.
        """
        self._check_draft(batch)
        queue = self._queue_of(batch.endpoint)
        platform = self._shared.platform
        if not queue.settings.workers_max and platform.paused_endpoint == "conflict":
            raise EndpointPaused
        self._check_active(batch)
        batch.status = BatchStatus.FINALIZED
        for number, request in enumerate(list(batch.requests.values())):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await turn()
            if request.job is None and request.status is JobStatus.IN_QUEUE:
                job = await queue.submit(Submission(request.input, headers=headers, id=request.id, batch=batch.id))
                if batch.is_cancelled:
                    await self._withdraw(queue, job.id, job.submitted_at)

    async def cancel(self, batch: Batch) -> None:
        """Cancel what waits now; what runs ends by itself. Raises WrongBatchState for one that has ended."""
        if batch.is_cancelled or (batch.status is BatchStatus.FINALIZED and not batch.open):
            word = "CANCELLED" if batch.is_cancelled else "FINALIZED, and all of its requests have ended"
            raise self._wrong("is not in a cancellable state", word)
        batch.cancel()
        if batch.status is BatchStatus.FINALIZED:
            queue = self._queue_of(batch.endpoint)
            at = await self._shared.timeline.present()
            for request in list(batch.requests.values()):
                if request.status is JobStatus.IN_QUEUE:
                    await self._withdraw(queue, request.id, at)

    # What happens

    def heard(self, transition: Transition) -> None:
        """Count what becomes of a request."""
        job = transition.job
        if job.batch:
            batch = self._batches.get(named(job.endpoint), {}).get(job.batch)
            if batch is not None:
                batch.heard(transition)

    def cleared(self, endpoint: str | None) -> None:
        """Forget batches with the jobs; after a whole reset ids begin anew."""
        if endpoint is None:
            self._batches.clear()
            self._dice.reset()
        else:
            self._batches.pop(endpoint, None)

    def removed(self, endpoint: str) -> None:
        """Forget those of an endpoint that was taken away."""
        self._batches.pop(endpoint, None)

    async def _withdraw(self, queue: Endpoint, request_id: str, at: int) -> None:
        with suppress(JobNotFound, IllegalTransition):
            await queue.work.engine.change_if(request_id, _cancel_waiting, at)
        await queue.work.balance(queue.work.engine.counts)

    def _fill(self, batch: Batch, inputs: Iterable[bytes]) -> None:
        for text in inputs:
            batch.add(BatchRequest(self._mint("req"), text))

    def _mint(self, kind: str) -> str:
        return f"{kind}_{''.join(self._dice.chance.choices(_LETTERS, k=16))}"

    def _check_draft(self, batch: Batch) -> None:
        if batch.status is not BatchStatus.DRAFT:
            raise self._wrong("can be changed, and finalized, only while it is a DRAFT", batch.status.value)

    def _check_room(self, there: int, more: int) -> None:
        limit = self._shared.platform.batch_requests_limit
        if there + more > limit:
            raise self._full(f"a batch holds {limit} requests at most: this one has {there}, and {more} are too many")

    def _check_active(self, batch: Batch) -> None:
        platform, others = self._shared.platform, self.of(batch.endpoint)
        active = sum(other.is_active for other in others)
        if active >= platform.batch_active_limit:
            raise self._full(f"{active} batches of this endpoint are active, as many as may be: wait, or cancel one")
        waiting = sum(other.counts[JobStatus.IN_QUEUE] for other in others if other.is_active)
        if waiting + len(batch.requests) > platform.batch_queue_limit:
            raise self._full(
                f"{waiting} requests of batches wait for this endpoint, and {platform.batch_queue_limit} may: "
                f"{len(batch.requests)} more are too many"
            )

    def _wrong(self, what: str, state: str) -> WrongBatchState:
        return WrongBatchState(f"batch {what}: {state}", self._shared.platform.batch_error_status)

    def _full(self, detail: str) -> BatchFull:
        return BatchFull(detail, self._shared.platform.batch_error_status)


def _cancel_waiting(job: Job) -> Cancelled | None:
    return Cancelled() if job.status is JobStatus.IN_QUEUE else None
