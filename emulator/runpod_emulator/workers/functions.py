"""Handlers that are functions of this very process: each job in a thread of its own, by the official worker's rules."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from runpod_emulator.workers.function_progress import ProgressUpdates
from runpod_emulator.workers.runner.frames import Result
from runpod_emulator.workers.runner.results import Lost, result
from runpod_emulator.workers.runner.running import run


@dataclass(frozen=True, slots=True)
class Function:
    """A handler, as `runpod.serverless.start` would be given it."""

    handler: Callable[..., Any]
    return_aggregate_stream: bool = False


def _nothing(job: Any) -> Any:
    raise RuntimeError("this endpoint has no handler, and no stub matches this job")


NOTHING = Function(_nothing)


@dataclass(slots=True)
class Handler:
    """What runs the jobs of one mock endpoint that no stub answers; as long as it is `NOTHING`, there are none."""

    function: Function = NOTHING


class Progress(NamedTuple):
    """A progress update; `output` is its JSON."""

    output: bytes


class Died(NamedTuple):
    """The handler has ended its process, as it would in a file: the worker is gone, with all its jobs."""


Report = bytes | Progress | Result | Died
"""The JSON of a chunk, an update, or an end."""


class Present(NamedTuple):
    """The job whose handler runs in a thread: whoever waits there for its end waits for itself."""

    job: str
    home: asyncio.AbstractEventLoop
    """The loop of the job's emulator."""


class _Daemon(int):
    """Yes, and of which handler: a thread is a daemon as the one that starts it, so those that a handler starts tell.

    Context variables are not handed on to them.
    """

    present: Present


_PRESENT: ContextVar[Present | None] = ContextVar("_PRESENT", default=None)
_UPDATES = ProgressUpdates()
"""The official client is one of this process, so this is too."""


def present() -> Present | None:
    """The job whose handler asks, in its own thread or in one that it has started; None where none does."""
    daemon = threading.current_thread().daemon
    return _PRESENT.get() or (daemon.present if isinstance(daemon, _Daemon) else None)


class FunctionCall:
    """One job in a function. `job` is the JSON that its worker receives."""

    def __init__(self, function: Function, job: bytes) -> None:
        self._config = {"handler": function.handler, "return_aggregate_stream": function.return_aggregate_stream}
        self._job = json.loads(job)
        self._reports: asyncio.Queue[Report | None] = asyncio.Queue()
        self._home = asyncio.get_running_loop()
        self._present = Present(self._job["id"], self._home)
        daemon = _Daemon(True)
        daemon.present = self._present
        self._thread = threading.Thread(
            target=self._work, name="runpod-handler", daemon=daemon,  # type: ignore[arg-type]  # it is one
        )  # fmt: skip
        self._stop: Callable[[], object] = lambda: None

    async def reports(self) -> AsyncIterator[Report]:
        """Run it: what it says, and then how it ended; nothing more once it was stopped."""
        self._thread.start()
        while (report := await self._reports.get()) is not None:
            yield report
            if isinstance(report, Result | Died):
                return

    def stop(self) -> None:
        """Listen no more; a handler that waits is cancelled, another goes on unheard."""
        self._reports.put_nowait(None)
        self._stop()

    def _work(self) -> None:
        _PRESENT.set(self._present)
        _UPDATES.begin(self._job, lambda output: self._tell(Progress(output)))
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            self._tell(None)
        except (SystemExit, KeyboardInterrupt):
            self._tell(Died())
        finally:
            _UPDATES.end(self._job)

    async def _run(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._stop = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(task.cancel)
        try:
            self._tell(result(await run(self._config, self._job, self._tell), refresh=False))
        except Lost as lost:  # the author of a test sits and waits: it fails at once, whatever the platform says
            self._tell(Result(None, str(lost), False))

    def _tell(self, report: Report | None) -> None:
        if not self._home.is_closed():
            self._home.call_soon_threadsafe(self._reports.put_nowait, report)
