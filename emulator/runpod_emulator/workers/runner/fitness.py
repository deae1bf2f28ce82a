"""The handler's own fitness checks: run in order before the first job; a worker that fails one takes none."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

from .installed import rules
from .output import say
from .tracebacks import user_traceback

_REASON = 256
"""Characters of a reason that the official worker reports."""

checks: list[Callable[[], Any]] = []


def register_fitness_check(check: Callable[[], Any]) -> Callable[[], Any]:
    """Run `check`, a plain or async function without arguments, before the first job; it raises if all is not well."""
    check.__name__  # noqa: B018 - the official worker logs the name: what has none is refused here
    checks.append(check)
    return check


def note_early_checks() -> None:
    """Say, as SDK 2.0 does at its import, that the built-in checks have passed: here they are always skipped."""
    on_the_platform = all(os.environ.get(name, "").strip() for name in ("RUNPOD_ENDPOINT_ID", "RUNPOD_WEBHOOK_GET_JOB"))
    put_off = any(map(_is_on, ("RUNPOD_TEST", "RUNPOD_SKIP_FITNESS_CHECKS", "RUNPOD_DEFER_FITNESS_CHECKS")))
    if rules() >= (2, 0) and on_the_platform and not put_off:
        os.environ["RUNPOD_EARLY_FITNESS_CHECKS_DONE"] = "1"


async def failing_check() -> str:
    """Run the checks until one fails; returns its name and reason, empty when all passed."""
    if rules() >= (2, 0) and _is_on("RUNPOD_SKIP_FITNESS_CHECKS"):
        return ""
    for check in checks:
        try:
            if inspect.iscoroutinefunction(check):
                await check()
            else:
                check()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            say(f"{user_traceback(error)}Fitness check failed: {check.__name__} | {reason}")
            return f"fitness check {check.__name__} failed: {reason[:_REASON]}"
    return ""


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")
