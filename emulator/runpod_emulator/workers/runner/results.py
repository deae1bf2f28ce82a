"""What the outcome of a handler becomes: the official worker's mapping, down to the bytes.

The official worker makes JSON of a result only when it posts it, outside of the code that catches what a handler
raises. So some results never arrive, and nobody is told: the job is lost, its lease runs out, another worker tries
it, and it ends as a lost job does. Here such a result is `Lost`, and the server decides what becomes of the job.

What is no JSON (a set, a generator, a nesting too deep) the official worker logs and goes on: `Unsendable` with
`goes_on`. What breaks it in another way (half a surrogate pair, a circle) leaves its code as an exception, which ends
the stream in the middle too. NaN and Infinity it posts as they are, and the service refuses the body.
"""

from __future__ import annotations

import inspect
import json
import os
from typing import NamedTuple

from .frames import Result
from .installed import runpod_version
from .tracebacks import user_traceback

NOTHING = object()
NOT_FINITE = "the worker's result is not JSON: it holds NaN or Infinity"
"""The error of a job whose result the service refuses; the server says the same of an official worker's post."""

_PLAIN = frozenset((str, int, float, bool, type(None), dict, list, tuple))
"""Types that have a text; what is inside of them is looked at only where it can't be sent."""
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_loose_encoder = json.JSONEncoder(ensure_ascii=False)


class Lost(Exception):
    """The official worker never reports on this job; the text says why."""


class Unsendable(Lost):
    """The handler gave something that cannot be sent; `goes_on` tells whether the official worker only logs it."""

    def __init__(self, text: str, goes_on: bool) -> None:
        super().__init__(text)
        self.goes_on = goes_on


class NotFinite(Exception):
    """The handler gave a number that JSON does not have."""


class Unspeakable(Exception):
    """The handler gave something of which not even a text can be made: that the official worker reports."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Outcome(NamedTuple):
    """How a handler ended; `error` is whatever truthy thing it put there."""

    output: object = NOTHING
    error: object = None
    refresh: bool = False
    raised: bool = False
    """Whether the handler raised, which the official worker logs as an error."""


def encode(value: object, what: str) -> bytes:
    """The JSON of `value`, as the official worker writes it; raises Unsendable, NotFinite and Unspeakable."""
    if type(value) not in _PLAIN:
        put_into_words(value)
    try:
        return _encoder.encode(value).encode()
    except Exception:
        failure = _loose_failure(value)
    if failure is None:
        raise NotFinite
    put_into_words(value)
    reason = f"{type(failure).__name__}: {_text(failure)}{_hint(value)}"
    goes_on = isinstance(failure, (TypeError, RuntimeError))
    raise Unsendable(f"The handler's {what} is not JSON: {reason}", goes_on)


def returned(value: object) -> Outcome:
    """A handler's return value, with its reserved keys taken out."""
    error = refresh = None
    if isinstance(value, dict):
        error = value.pop("error", None)
        refresh = value.pop("refresh_worker", None)
    if value == {}:
        value = NOTHING
    return Outcome(value, error or None, bool(refresh))


def raised(error: BaseException, traceback: str, logs: str = "") -> Outcome:
    """An exception, as the JSON text that the official worker puts into `error`; raises Lost."""
    report = {
        "error_type": str(type(error)),
        "error_message": _own_text(error),
        "error_traceback": traceback,
        "hostname": os.environ.get("RUNPOD_POD_HOSTNAME", "unknown"),
        "worker_id": os.environ.get("RUNPOD_POD_ID", "unknown"),
        "runpod_version": runpod_version(),
    }
    if logs:
        report["logs"] = logs
    return Outcome(error=json.dumps(report), raised=True)


def raised_in_stream(error: BaseException, traceback: str, logs: str = "") -> Outcome:
    """The outcome of an exception that a generator raises: a plain text; raises Lost."""
    text = f"handler: {_own_text(error)} \ntraceback: {traceback}"
    return Outcome(error=f"{text}\nlogs:\n{logs}" if logs else text, raised=True)


def result(outcome: Outcome, refresh: bool) -> Result:
    """The report that ends a job; `refresh` is the worker's setting, which holds for each of its jobs.

    Raises Unsendable.
    """
    try:
        output = None if outcome.output is NOTHING else encode(outcome.output, "result")
        return Result(output, _error(outcome.error), refresh or outcome.refresh)
    except NotFinite:
        return Result(None, NOT_FINITE, refresh)
    except Unspeakable as unspeakable:
        report = raised(unspeakable.error, user_traceback(unspeakable.error))
        return Result(None, str(report.error), refresh)


def _error(error: object) -> str | None:
    """The envelope's `error` is a string: what the handler put there, or the JSON of that."""
    if error is None:
        return None
    text = encode(error, "error").decode()
    return error if isinstance(error, str) else text


def _loose_failure(value: object) -> Exception | None:
    """What keeps the official worker from sending it, which writes NaN and Infinity; None for nothing else."""
    try:
        _loose_encoder.encode(value).encode()
    except Exception as error:
        return error.with_traceback(None)
    return None


def put_into_words(value: object) -> None:
    """The official worker logs what a handler gives, within the code that catches what a handler raises.

    Raises Unspeakable.
    """
    try:
        f"{value}"
    except Exception as error:
        raise Unspeakable(error) from None


def _own_text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as again:
        kind = type(error).__name__
        raise Lost(f"The handler's {kind} can't be put into words: {type(again).__name__}: {_text(again)}") from None


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<unprintable {type(value).__name__} object>"


def _hint(value: object) -> str:
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return ". The handler returned a generator object: to stream, use yield in the handler itself"
    return ""
