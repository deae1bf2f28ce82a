"""What the outcome of a handler becomes: the official worker's mapping, down to the bytes."""

from __future__ import annotations

import inspect
import json
import os
from typing import NamedTuple

from .frames import Result
from .installed import runpod_version

NOTHING = object()
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ascii_encoder = json.JSONEncoder(allow_nan=False)


class NotJSON(Exception):
    """The handler gave something that JSON cannot say; the text tells what."""


class Outcome(NamedTuple):
    """How a handler ended; `error` is whatever truthy thing it put there."""

    output: object = NOTHING
    error: object = None
    refresh: bool = False


def encode(value: object, what: str) -> bytes:
    """The JSON of `value`, as the official worker writes it."""
    try:
        try:
            return _encoder.encode(value).encode()
        except UnicodeEncodeError:  # half a surrogate pair can only be escaped
            return _ascii_encoder.encode(value).encode()
    except Exception as error:
        reason = f"{type(error).__name__}: {_text(error)}{_hint(value)}"
        raise NotJSON(f"The handler's {what} is not JSON: {reason}") from None


def returned(value: object) -> Outcome:
    """A handler's return value, with its reserved keys taken out."""
    error = refresh = None
    if isinstance(value, dict):
        error = value.pop("error", None)
        refresh = value.pop("refresh_worker", None)
    if value == {}:
        value = NOTHING
    return Outcome(value, error or None, bool(refresh))


def raised(error: BaseException, traceback: str) -> Outcome:
    """An exception, as the JSON text that the official worker puts into `error`."""
    report = {
        "error_type": str(type(error)),
        "error_message": _text(error),
        "error_traceback": traceback,
        "hostname": os.environ.get("RUNPOD_POD_HOSTNAME", "unknown"),
        "worker_id": os.environ.get("RUNPOD_POD_ID", "unknown"),
        "runpod_version": runpod_version(),
    }
    return Outcome(error=json.dumps(report))


def raised_in_stream(error: BaseException, traceback: str) -> Outcome:
    """The same for a generator: a plain text."""
    return Outcome(error=f"handler: {_text(error)} \ntraceback: {traceback}")


def result(outcome: Outcome, refresh: bool) -> Result:
    """The report that ends a job; `refresh` is the worker's setting, which holds for each of its jobs."""
    stop_worker = refresh or outcome.refresh
    if outcome.output is NOTHING:
        return Result(None, _error(outcome.error), stop_worker)
    try:
        return Result(encode(outcome.output, "result"), _error(outcome.error), stop_worker)
    except NotJSON as error:
        return Result(None, str(error), stop_worker)


def _error(error: object) -> str | None:
    """The envelope's `error` is a string, whatever the handler put there."""
    if error is None or isinstance(error, str):
        return error
    if isinstance(error, (dict, list)):
        try:
            return encode(error, "error").decode()
        except NotJSON:
            pass
    return _text(error)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<unprintable {type(value).__name__} object>"


def _hint(value: object) -> str:
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return ". The handler returned a generator object: to stream, use yield in the handler itself"
    return ""
