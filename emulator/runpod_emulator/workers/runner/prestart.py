"""Prestart hooks of SDK 2.0: what a handler does once, before its first job, while jobs are already taken.

The hooks run in order under one deadline. A plain one runs in a thread of its own, so that jobs can come meanwhile;
they wait. When a hook fails, every job that came fails with the reason; a worker that had none takes one, so that
somebody is told; then the process ends with 1, and the next worker tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import os
import threading
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .capture import KEPT, Capture, paused
from .installed import runpod_version
from .output import flush_output, say

OBEY = 1.0
"""Seconds that a hook has to end when it is cancelled."""
CLAIM = 10.0
"""Seconds that a worker whose hook failed waits for a job to tell it, when it has had none."""

hooks: list[Callable[[], Any]] = []


def register_prestart_hook(hook: Callable[[], Any]) -> Callable[[], Any]:
    """Run `hook`, a plain or async function without arguments, before the handler is first called."""
    hooks.append(hook)
    return hook


class PrestartTimeout(Exception):
    """The hooks took longer than `prestart_timeout`."""

    __module__ = "runpod.serverless.modules.rp_prestart"  # as tracebacks tell it


class PrestartCancellationTimeout(Exception):
    """A hook went on when it was cancelled."""

    __module__ = "runpod.serverless.modules.rp_prestart"


class _HookFailed(Exception):
    def __init__(self, original: BaseException) -> None:
        super().__init__(str(original))
        self.original = original


class Gate:
    """Lets jobs through once the hooks have run; with a failed hook it is the end of the process.

    `wait_for_a_job(seconds)` and `drain()` are the loop's: until a job has come, until all have ended.
    """

    def __init__(
        self,
        timeout: float | None,
        wait_for_a_job: Callable[[float], Awaitable[None]],
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        self._timeout = timeout
        self._wait_for_a_job = wait_for_a_job
        self._drain = drain
        self._running: asyncio.Future[str] | None = None

    def begin(self) -> None:
        """Run the hooks, if there are any."""
        if hooks:
            self._running = asyncio.ensure_future(run_hooks(tuple(hooks), self._timeout))
            self._ending = asyncio.ensure_future(self._end_if_failed(self._running))

    async def passed(self) -> str:
        """Wait for the hooks; returns the error of the job when one failed."""
        return "" if self._running is None else await asyncio.shield(self._running)

    async def _end_if_failed(self, running: asyncio.Future[str]) -> None:
        if await running:
            await self._wait_for_a_job(CLAIM)
            await self._drain()
            flush_output()
            os._exit(1)


async def run_hooks(todo: Sequence[Callable[[], Any]], timeout: float | None) -> str:
    """Run all hooks; returns the error of every job when one fails, as JSON text, and else nothing."""
    name = "unknown"

    async def run_all() -> None:
        nonlocal name
        for hook in todo:
            name = getattr(hook, "__name__", type(hook).__name__)
            with paused():
                say(f"Prestart | running hook: {name}")
            await _run_one(hook, name)

    with Capture() as capture:
        try:
            if timeout is None:
                await run_all()
            else:
                await asyncio.wait_for(run_all(), timeout)
            return ""
        except asyncio.TimeoutError as error:
            late = PrestartTimeout(f"prestart hook '{name}' exceeded prestart_timeout of {timeout}s")
            late.__cause__ = error
            return _failure(late, name, capture.text())
        except (_HookFailed, PrestartCancellationTimeout) as error:
            return _failure(getattr(error, "original", error), name, capture.text())


async def _run_one(hook: Callable[[], Any], name: str) -> None:
    """Run one hook: its own cancellation is a failure, that from outside ends it."""
    task = asyncio.ensure_future(_guarded(hook))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        if task.cancelled():
            raise _HookFailed(cancelled) from cancelled
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=OBEY)
        if not done:
            raise PrestartCancellationTimeout(f"prestart hook '{name}' did not stop after cancellation") from cancelled
        with contextlib.suppress(BaseException):
            await task
        raise


async def _guarded(hook: Callable[[], Any]) -> None:
    try:
        is_async = inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004
        value = hook() if is_async else await _in_a_thread(hook)
        if inspect.isawaitable(value):
            await value
    except (Exception, SystemExit) as error:
        raise _HookFailed(error) from error


async def _in_a_thread(hook: Callable[[], Any]) -> Any:
    """What a plain hook returns or raises; nobody waits for its thread when the process ends."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Any, error: BaseException | None) -> None:
        if outcome.done():
            return
        outcome.set_result((value, error))

    def work() -> None:
        value, failed = None, None
        try:
            value = context.run(hook)
        except BaseException as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=work, name="rp-prestart", daemon=True).start()
    value, error = await outcome
    if error is not None:
        raise error
    return value


def _failure(error: BaseException, hook: str, logs: str) -> str:
    said = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    with paused():
        say(f"{said}prestart_failed | {hook}")
    report = {
        "event": "prestart_failed",
        "error_type": type(error).__name__,
        "error_message": _clipped(str(error)),
        "error_traceback": _clipped(said),
        "worker_id": os.environ.get("RUNPOD_POD_ID", "unknown"),
        "runpod_version": runpod_version(),
        "hook": hook,
    }
    if logs:
        report["logs"] = logs[-KEPT:]
    return json.dumps(report)


def _clipped(text: str) -> str:
    """Its head and its tail, where it is long."""
    if len(text) <= KEPT:
        return text
    half = KEPT // 2
    return f"{text[:half]}\n...[{len(text) - 2 * half} characters truncated]...\n{text[-half:]}"
