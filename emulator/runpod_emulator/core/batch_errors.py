"""The part of the error tree that is about batches. What the service says in these cases was never seen."""

from __future__ import annotations

from http import HTTPStatus

from runpod_emulator.core.errors import BadRequest, NotFound


class BatchNotFound(NotFound):
    """No batch of this endpoint has the id."""

    detail = "batch not found"
    row = "error.batch_not_found"


class BatchRequestNotFound(NotFound):
    """The batch has no request of this id."""

    detail = "batch request not found"
    row = "error.batch_not_found"


class BatchRefused(BadRequest):
    """A batch can't do that; `status` is the platform's for these."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status
        self.title = HTTPStatus(status).phrase


class WrongBatchState(BatchRefused):
    """The batch is in a state in which this can't be done."""

    row = "error.batch_state"


class BatchFull(BatchRefused):
    """One request, or one batch, more than there may be."""

    row = "error.batch_full"
