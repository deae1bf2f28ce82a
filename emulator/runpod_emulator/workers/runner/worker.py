"""One worker process from its first step to its last."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import loading, sdk_log
from .arguments import take_arguments
from .breakpoints import Borrowed, PdbFinder
from .channel import Channel
from .fitness import checks, failing_check, note_early_checks, register_fitness_check
from .frames import Kind
from .imported import OwnFiles
from .installed import choose_rules, rules
from .jobs import Jobs
from .loading import HandlerError
from .loop import JobLoop
from .output import flush_output, say, take_output
from .posting import post_progress
from .prestart import register_prestart_hook
from .results import NotFinite, Unsendable, Unspeakable, encode
from .runpod_stub import RunpodPackage
from .tracebacks import user_traceback

_USAGE = (
    "usage: runner --handler SPEC --channel FD [--concurrency N] [--folder PATH] [--rules N] [--terminal FD] "
    "[--debug PORT] [-- ARGUMENT ...]"
)
_NO_START = """\
{place} ended without calling runpod.serverless.start, and it defines no function named handler. Write in it

    import runpod
    runpod.serverless.start({{"handler": your_function}})

or define handler(job), or name your function: {place}:your_function"""
_WRONG_THREAD = "runpod.serverless.start must be called from the main thread, and this is the thread {thread}."
_NO_HANDLER = (
    'runpod.serverless.start was given no handler: write start({"handler": your_function}). '
    "The official worker takes jobs all the same, and each of them is lost."
)


class Worker:
    """Loads a handler and serves it; its public methods are what `runpod.serverless` offers.

    With a `folder`, the server is told which files below it the handler's code comes from.
    `concurrency` is for a handler without a modifier of its own.
    """

    def __init__(self, channel: Channel, jobs: Jobs, folder: str = "", concurrency: int = 1) -> None:
        self._channel = channel
        self._jobs = jobs
        self._files = OwnFiles(folder) if folder else None
        self._concurrency = concurrency
        self._loop: JobLoop | None = None
        self._process = os.getpid()
        self._has_started = False
        self._started_itself = True
        """Whether the handler's code has called `start`, or needs not to."""
        self._noting = False
        self._noted: dict[str, Any] = {}

    @property
    def ready(self) -> bool:
        """Whether the server was told that jobs may come."""
        return self._loop is not None and self._loop.ready

    def start(self, config: dict[str, Any]) -> None:
        """Serve `config["handler"]`; returns when the worker is told to leave."""
        if self.ready:
            raise RuntimeError("runpod.serverless.start was called a second time.")
        if threading.current_thread() is not threading.main_thread():
            self.give_up(_WRONG_THREAD.format(thread=threading.current_thread().name))
        config["reference_counter_start"] = time.perf_counter()
        sdk_log.begin()
        if self._noting:
            self._noted = config
            return
        take_arguments(config)
        if "handler" not in config:
            say(_NO_HANDLER)
        self._has_started = True
        ill = asyncio.run(failing_check()) if checks else ""
        if ill:
            self.give_up(ill)
        asyncio.run(self._serve(config))

    async def _serve(self, config: dict[str, Any]) -> None:
        self._loop = JobLoop(
            config, self._channel, self._jobs, self._files, self._concurrency, started=self._started_itself
        )
        await self._loop.run()

    def progress_update(self, job: dict[str, Any], progress: Any) -> None:
        """Report the progress of a job, from any thread; from a child process over HTTP, as the official one."""
        name = job["id"]
        try:
            body = encode(progress, "progress update")
        except Unspeakable as unspeakable:
            raise unspeakable.error from None
        except (Unsendable, NotFinite) as error:
            say(f"{error or 'The progress update holds NaN or Infinity'}. It is ignored.")
            return
        if not isinstance(name, str):
            say(f"The progress update of job {name!r} is ignored: its id is no text.")
        elif os.getpid() == self._process:
            self._channel.send(Kind.PROGRESS, name, body)
        else:
            post_progress(name, body)

    def run(self, spec: str, arguments: list[str]) -> None:
        """Load what SPEC names and serve it."""
        place, name = loading.split(spec)
        if name:
            self._noting = True
            handler = loading.load_function(place, name, arguments)
            self._noting = False
            if not callable(handler):
                raise HandlerError(f"{spec} is no function: {handler!r}.")
            noted = self._noted if self._noted.get("handler") == handler else {}
            self.start({**noted, "handler": handler})
            return
        module = loading.run_file(place, arguments)
        if not self._has_started:
            if not callable(getattr(module, "handler", None)):
                raise HandlerError(_NO_START.format(place=place))
            self._started_itself = False
            self.start({"handler": module.handler})

    def give_up(self, reason: str, error: BaseException | None = None) -> NoReturn:
        """Tell the server that no job can be served, and end; threads of the handler cannot keep us."""
        flush_output()
        files = self._files.news(error) if self._files is not None else None
        if files is not None:
            self._channel.send(Kind.FILES, body=json.dumps(files).encode())
        self._channel.send(Kind.BROKEN, body=reason.encode("utf-8", "backslashreplace"))
        os._exit(1)


def main(argv: list[str]) -> None:
    """What `__main__` runs."""
    options, arguments = _options(argv)
    try:
        spec, channel = options["--handler"], int(options["--channel"])
        concurrency, terminal = int(options.get("--concurrency", "1")), int(options.get("--terminal", "-1"))
    except (KeyError, ValueError):
        sys.exit(_USAGE)
    choose_rules(options.get("--rules", ""))
    jobs = Jobs()
    to_server = Channel(channel)
    take_output(jobs, to_server.send_printed)
    worker = Worker(to_server, jobs, options.get("--folder", ""), concurrency)
    RunpodPackage(_provided(worker)).install()
    PdbFinder(Borrowed(terminal, jobs)).install()
    note_early_checks()
    try:
        if "--debug" in options:
            from .debugger import listen

            listen(int(options["--debug"]))
        worker.run(spec, arguments)
    except BaseException as error:
        if worker.ready:
            raise
        worker.give_up(str(error) if isinstance(error, HandlerError) else user_traceback(error), error)


def _provided(worker: Worker) -> dict[str, Callable[..., Any]]:
    """The functions of `runpod.serverless` that are ours."""
    ours: dict[str, Callable[..., Any]] = {
        "start": worker.start,
        "progress_update": worker.progress_update,
        "register_fitness_check": register_fitness_check,
    }
    if rules() >= (2, 0):
        ours["register_prestart_hook"] = register_prestart_hook
    return ours


def _options(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options in any order, and the handler's arguments; argparse would cost more than all the rest of this folder."""
    own, arguments = argv, []
    if "--" in argv:
        own, arguments = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    return {own[at]: own[at + 1] for at in range(0, len(own) - 1, 2)}, arguments
