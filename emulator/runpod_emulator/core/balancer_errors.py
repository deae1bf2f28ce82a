"""The part of the error tree that is about load-balancing endpoints: see `errors.py`."""

from __future__ import annotations

from runpod_emulator.core.errors import BadRequest, NotFound, RequestError, size_text


class QueueCall(BadRequest):
    """A call of the queue API on a load-balancing endpoint; `verb` is the first segment of its path."""

    row = "error.queue_call"
    bare = True

    def __init__(self, verb: str) -> None:
        if verb == "run":
            self.row = "error.queue_call_run"
        super().__init__(f"/{verb} is not allowed for LB API, use load balancer endpoint")


class WrongKind(BadRequest):
    """A load-balanced request to a queue-based endpoint."""

    detail = "not allowed for QB API"
    row = "error.wrong_kind"
    bare = True


class NoWorkers(BadRequest):
    """No worker of the load-balancing endpoint can ever come: it may have none."""

    detail = "no workers available"
    row = "error.no_workers"
    bare = True


class Overloaded(NoWorkers):
    """All workers of the load-balancing endpoint are at their capacity, and no other can come."""

    row = "error.overloaded"

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class NoWorkerInTime(BadRequest):
    """No worker of the load-balancing endpoint was healthy in time."""

    detail = "timed out waiting for worker"
    row = "error.worker_timeout"

    def __init__(self, strict: bool = False) -> None:
        if strict:
            self.row = "error.strict_worker_timeout"
        super().__init__()


class AffinityGone(NotFound):
    """The one worker that may answer is gone."""

    detail = "affinity_worker_gone"
    row = "error.affinity_gone"


class BadGateway(RequestError):
    """A worker of a load-balancing endpoint has not answered rightly."""

    status = 502
    title = "Bad Gateway"
    row = "error.bad_gateway"


class WorkerFailed(BadGateway):
    """The worker closed the connection, or refused it."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(f"the worker {worker} did not answer: {reason}")


class AnswerTooLarge(BadGateway):
    """The worker's answer exceeds the limit, given in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the worker's answer is larger than {size_text(limit)}")


class AnswerTooLate(RequestError):
    """The worker took longer than a request may."""

    status = 524
    title = "A Timeout Occurred"
    row = "error.answer_too_late"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the worker has not answered within {limit / 1000:g} s")
