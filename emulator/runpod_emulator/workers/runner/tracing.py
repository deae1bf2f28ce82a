"""The trace that a job belongs to, for handlers that make spans with OpenTelemetry. Nobody else can see it.

It is no member of the job and no variable, which a handler would not find in production either. It is the present
context of OpenTelemetry, in programs that have loaded that.
"""

from __future__ import annotations

import importlib
import sys


def enter(traceparent: str) -> None:
    """Let the spans of this task, and of what it starts, be below this one."""
    if not traceparent or "opentelemetry" not in sys.modules:
        return
    try:
        context = importlib.import_module("opentelemetry.context")
        propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        carrier = {"traceparent": traceparent}
        context.attach(propagation.TraceContextTextMapPropagator().extract(carrier))
    except Exception:  # whatever that package has become: the job matters more
        return
