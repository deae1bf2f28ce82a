"""One error tree. What is about load-balancing endpoints is in `balancer_errors.py`, about batches in
`batch_errors.py`, about doors in `door_errors.py`, about the management API in `management_errors.py` and
`graphql_errors.py`, about the proxy in `proxy_errors.py`, about stores in `store_errors.py`.

::

    EmulatorError
    ├── RequestError            what a client sees, in the service's own shape
    │   ├── BadRequest          400  InvalidBody, InputMissing, InputNotObject, WebhookInvalid,
    │   │                            BodyTooLarge, OutOfRange, InvalidQuery, NotRetryable,
    │   │                            NotCancellable, NamespaceInvalid, WrongKind, QueueCall,
    │   │                            NoWorkers, NoWorkerInTime, Overloaded, FlashEndpointMissing
    │   ├── Unauthorized        401  NoToken, InvalidKey
    │   ├── Forbidden           403  ForeignPage, NoOutsideWorkers
    │   ├── NotFound            404  EndpointNotFound, FlashEndpointNotFound, JobNotFound, RouteNotFound,
    │   │                            AffinityGone, NamespaceNotFound
    │   ├── MethodNotAllowed    405
    │   ├── EndpointPaused      409
    │   ├── TooManyRequests     429  RateLimited, QueueFull, NamespacesFull
    │   ├── InternalError       500  and beside it JobFailed
    │   ├── BadGateway          502  WorkerFailed, AnswerTooLarge
    │   ├── Unavailable         503  StoreAway, StoreFull
    │   ├── AnswerTooLate       524
    │   └── NotEmulated         501
    ├── IllegalTransition       a job cannot do that now
    │   └── StaleLease          a report on a hand-out that is over
    └── ConfigurationError      the start stops with exit code 2
        └── PortTaken           exit code 3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType

_SHOWN = 100
"""Characters of a client's word that an error repeats."""


class EmulatorError(Exception):
    """Everything the emulator raises on purpose."""


class IllegalTransition(EmulatorError):
    """The transition table has no row for this event in this state."""

    def __init__(self, status: str, event: str) -> None:
        super().__init__(f"a job that is {status} can't be {event}")
        self.status = status
        self.event = event


class StaleLease(IllegalTransition):
    """A report carries the number of a hand-out that is over."""


class ConfigurationError(EmulatorError):
    """A wrong option, handler or configuration; the text tells the user what to change."""

    exit_code = 2


class PortTaken(ConfigurationError):
    """Another process listens on the port."""

    exit_code = 3


class RequestError(EmulatorError):
    """An error that a client sees: `status`, `title` and `detail` are its body, `row` its ledger row.

    An empty `detail` is left out, and `code` is there on the few answers that have one.
    """

    status = 500
    title = "Internal Server Error"
    detail = "internal error"
    code = ""
    row = "error.internal"
    headers: Mapping[str, str] = MappingProxyType({})
    reason = ""
    """Why in words, where those who run the server are told more than the client."""
    media_type = ""
    """That of its body, where it is not the platform's."""
    bare = False
    """Whether the body is `{"error": detail}`, as on a few answers of the load balancer."""

    def __init__(self, detail: str | None = None) -> None:
        if detail is not None:
            self.detail = detail
        super().__init__(self.detail)

    @property
    def why(self) -> str:
        """The reason in words, for those who run the server: what the client is told, or more than that."""
        return self.reason or self.detail.removeprefix("bad request: ")


class InternalError(RequestError):
    """A fault of the emulator itself; the log has the traceback."""

    detail = "internal error of the emulator: its log has the traceback"


class JobFailed(RequestError):
    """The job of an OpenAI request has failed; the service does not say why."""

    detail = "internal server error"
    row = "openai.failed"


class BadRequest(RequestError):
    """The request cannot be understood."""

    status = 400
    title = "Bad Request"
    detail = "bad request"
    row = "error.bad_request"


class InvalidBody(BadRequest):
    """The body is not JSON, not an object, or one of its fields has a wrong type."""

    detail = "bad request: body: invalid json"
    row = "error.invalid_body"

    def __init__(self, reason: str = "invalid json") -> None:
        super().__init__(f"bad request: body: {reason}")


class InputMissing(InvalidBody):
    """The body has no input, or null."""

    row = "error.input_missing"

    def __init__(self) -> None:
        super().__init__("input is required")


class InputNotObject(InvalidBody):
    """The input is not a JSON object."""

    row = "error.input_not_object"

    def __init__(self) -> None:
        super().__init__("input must be an object")


class WebhookInvalid(InvalidBody):
    """The webhook is not an http or https URL."""

    row = "error.webhook_invalid"

    def __init__(self) -> None:
        super().__init__("webhook must be an http or https URL")


class BodyTooLarge(BadRequest):
    """The body exceeds the operation's limit, given in bytes."""

    row = "error.body_too_large"

    def __init__(self, limit: int, row: str | None = None) -> None:
        self.row = row or self.row
        super().__init__(f"bad request: body: exceeded max body size of {size_text(limit)}")


class OutOfRange(BadRequest):
    """A number outside its range, or no number at all; the range is in milliseconds."""

    row = "error.out_of_range"

    def __init__(self, name: str, low: int, high: int | None) -> None:
        span = f"of {low} or more" if high is None else f"from {low} to {high}"
        super().__init__(f"bad request: {name} must be a whole number of milliseconds {span}")


class InvalidQuery(BadRequest):
    """A query parameter that is no whole number of its range."""

    row = "error.out_of_range"

    def __init__(self, name: str, low: int, high: int | None) -> None:
        span = f"of {low} or more" if high is None else f"from {low} to {high}"
        super().__init__(f"bad request: {name} must be a whole number {span}")


class NotRetryable(BadRequest):
    """Only FAILED and TIMED_OUT jobs can be retried."""

    row = "error.not_retryable"

    def __init__(self, job_status: str, status: int) -> None:
        super().__init__(f"job is not in a retryable state: {job_status}")
        self.status = status
        self.title = HTTPStatus(status).phrase


class NotCancellable(BadRequest):
    """The job has ended and `cancel_terminal` is reject."""

    row = "error.not_cancellable"

    def __init__(self, job_status: str) -> None:
        super().__init__(f"job is not in a cancellable state: {job_status}")


class NamespaceInvalid(BadRequest):
    """This server has no such namespace, and can't make one."""

    row = "error.namespace"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no namespace {name[:100]!r}: a name has up to 100 letters, digits, dots, - and _, and begins with one "
            "of the first two; a server without namespaces has none"
        )


class FlashEndpointMissing(BadRequest):
    """A call of the Flash route that does not say which endpoint it is for."""

    detail = (
        "bad request: header X-Flash-Endpoint is required: the name of the function's endpoint, beside X-Flash-App and "
        "X-Flash-Environment"
    )
    row = "error.flash_endpoint_missing"


class Unauthorized(RequestError):
    """The request carries no acceptable key."""

    status = 401
    title = "Unauthorized"
    row = "error.unauthorized"


class NoToken(Unauthorized):
    """No Authorization header."""

    detail = "no token provided"
    row = "error.no_token"
    reason = "no Authorization header"


class InvalidKey(Unauthorized):
    """A key that is not among the accepted ones."""

    detail = "invalid api key"
    row = "error.invalid_key"


class NotFound(RequestError):
    """Nothing has this address."""

    status = 404
    title = "Not Found"
    row = "error.not_found"


class EndpointNotFound(NotFound):
    """No endpoint has this id."""

    detail = "endpoint not found"
    row = "error.endpoint_not_found"


class FlashEndpointNotFound(NotFound):
    """No endpoint has the name in a Flash client's headers; `names` are those there are."""

    row = "error.flash_endpoint_not_found"

    def __init__(self, app: str, environment: str, name: str, names: Sequence[str]) -> None:
        served = ", ".join(names) or "none"
        super().__init__(
            f"endpoint {name[:_SHOWN]!r} of app {app[:_SHOWN]!r}, environment {environment[:_SHOWN]!r} not found: "
            f"the endpoints here are {served}"
        )


class JobNotFound(NotFound):
    """The job is unknown, expired, deleted or another endpoint's."""

    detail = "job not found"
    row = "error.job_not_found"

    def __init__(self, detail: str | None = None, *, job: str = "") -> None:
        """Clients are told the `detail` alone, a program in Python which `job` it was."""
        super().__init__(detail)
        if job:
            self.args = (f"job {job[:_SHOWN]!r} not found: it was never here, or a reset has forgotten it",)


class NamespaceNotFound(NotFound):
    """Nobody has used this namespace yet, or it is gone."""

    row = "error.namespace"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no namespace {name[:_SHOWN]!r}; - is the one without a name")


class RouteNotFound(NotFound):
    """The path exists nowhere in the service."""

    detail = "route not found"
    row = "error.route_not_found"


class MethodNotAllowed(RequestError):
    """The route exists, but not for this method; `allow` is the Allow header."""

    status = 405
    title = "Method Not Allowed"
    detail = "method not allowed"
    row = "error.method_not_allowed"

    def __init__(self, allow: str) -> None:
        super().__init__()
        self.headers = {"Allow": allow}
        self.reason = f"the route takes {allow}"


class EndpointPaused(RequestError):
    """The endpoint may have no worker: its maximum is 0."""

    status = 409
    title = "Conflict"
    detail = "Endpoint is paused (max_workers=0). Set max_workers > 0 to accept work."
    code = "ENDPOINT_PAUSED"
    row = "error.paused"


class TooManyRequests(RequestError):
    """A limit is reached; `retry_after` is in whole seconds."""

    status = 429
    title = "Too Many Requests"
    row = "error.rate_limited"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after)}


class RateLimited(TooManyRequests):
    """More requests in a window, or at once, than the operation admits; `limit` also fills a RateLimit header.

    `reason` names the limit.
    """

    def __init__(self, retry_after: int, limit: int | None = None, reason: str = "") -> None:
        super().__init__("rate limit exceeded", retry_after)
        self.reason = reason
        if limit is not None:
            self.headers = {**self.headers, "RateLimit": f"limit={limit}, remaining=0, reset={retry_after}"}


class QueueFull(TooManyRequests):
    """More queued jobs than the endpoint's workers may ever have."""

    row = "error.queue_full"

    def __init__(self, limit: int) -> None:
        super().__init__(f"queue is full: more than {limit} jobs wait for this endpoint", 1)


class NamespacesFull(TooManyRequests):
    """One namespace more than the server may have, and there is work in all of them."""

    row = "error.namespace"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the server has {most} namespaces, and each of them has unfinished work: drop some, or start it with "
            "a higher --max-namespaces",
            1,
        )


class NotEmulated(RequestError):
    """A route of the real service that the emulator does not have (yet)."""

    status = 501
    title = "Not Implemented"
    row = "error.not_emulated"
    media_type = "application/problem+json"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} exists on RunPod but is not emulated: see docs/management.md#not-emulated")


def size_text(limit: int) -> str:
    """A size in bytes, in MiB where it is a whole number of them."""
    return f"{limit // 1048576}MiB" if limit % 1048576 == 0 else f"{limit} bytes"
