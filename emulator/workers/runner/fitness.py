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


async def failing_check() -> str:
    """Run the checks until one fails; answers its name and reason, empty when all passed."""
    skipped = os.environ.get("RUNPOD_SKIP_FITNESS_CHECKS", "").strip().lower() in ("1", "true", "yes", "on")
    if skipped and rules() >= (2, 0):
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
