"""What each error says to a client."""

from __future__ import annotations

import pytest
from runpod_emulator.core import errors
from runpod_emulator.core.errors import EmulatorError, RequestError

from tests.tables import table

BODIES = [
    (errors.NoToken(), 401, "Unauthorized", "no token provided"),
    (errors.InvalidKey(), 401, "Unauthorized", "invalid api key"),
    (errors.EndpointNotFound(), 404, "Not Found", "endpoint not found"),
    (errors.JobNotFound(), 404, "Not Found", "job not found"),
    (errors.RouteNotFound(), 404, "Not Found", "route not found"),
    (errors.MethodNotAllowed("GET, POST"), 405, "Method Not Allowed", "method not allowed"),
    (errors.BodyTooLarge(10 << 20), 400, "Bad Request", "bad request: body: exceeded max body size of 10MiB"),
    (errors.BodyTooLarge(20 << 20), 400, "Bad Request", "bad request: body: exceeded max body size of 20MiB"),
    (errors.BodyTooLarge(1_000), 400, "Bad Request", "bad request: body: exceeded max body size of 1000 bytes"),
    (errors.InvalidBody(), 400, "Bad Request", "bad request: body: invalid json"),
    (errors.InputMissing(), 400, "Bad Request", "bad request: body: input is required"),
    (errors.InputNotObject(), 400, "Bad Request", "bad request: body: input must be an object"),
    (errors.NotRetryable("COMPLETED", 400), 400, "Bad Request", "job is not in a retryable state: COMPLETED"),
    (errors.NotRetryable("COMPLETED", 409), 409, "Conflict", "job is not in a retryable state: COMPLETED"),
    (errors.RateLimited(7), 429, "Too Many Requests", "rate limit exceeded"),
]


@table(("error", "status", "title", "detail"), BODIES)
def test_the_body_of_an_error(error: RequestError, status: int, title: str, detail: str):
    assert (error.status, error.title, error.detail, str(error)) == (status, title, detail, detail)


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (errors.RateLimited(7), {"Retry-After": "7"}),
        (errors.QueueFull(1_500), {"Retry-After": "1"}),
        (errors.MethodNotAllowed("GET, POST"), {"Allow": "GET, POST"}),
        (errors.JobNotFound(), {}),
    ],
)
def test_the_headers_of_an_error(error: RequestError, headers: dict[str, str]):
    assert dict(error.headers) == headers


@pytest.mark.parametrize(("high", "span"), [(300_000, "from 1000 to 300000"), (None, "of 1000 or more")])
def test_a_number_out_of_range_names_field_and_range(high: int | None, span: str):
    error = errors.OutOfRange("wait", 1_000, high)
    assert error.detail == f"bad request: wait must be a whole number of milliseconds {span}"


def test_one_error_does_not_change_the_next():
    errors.RateLimited(7)
    assert dict(errors.TooManyRequests.headers) == {}
    assert errors.JobNotFound("another").detail != errors.JobNotFound().detail


def test_the_tree():
    assert issubclass(errors.StaleLease, errors.IllegalTransition)
    assert not issubclass(errors.IllegalTransition, RequestError)
    assert (errors.ConfigurationError.exit_code, errors.PortTaken.exit_code) == (2, 3)
    own = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert all(issubclass(kind, EmulatorError) for kind in own)
