"""What a worker process runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from runpod_emulator.core.missing import how_to_install, missing_module
from runpod_emulator.workers.child import STOP_GRACE
from runpod_emulator.workers.debug_port import DebugPort
from runpod_emulator.workers.environment import inherited
from runpod_emulator.workers.ports import Ports, address_taken
from runpod_emulator.workers.stops import Lender

_ASKED = 5.0
"""Seconds that a program has to show that it is Python."""
NO_START = (
    "{file} defines handler and has not called runpod.serverless.start. It is served here all the same; in production "
    "it takes no job: the program ends. Call start, or set the variable that the call depends on"
)


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker process runs: a handler in the forms of `serve`, and the interpreter for it."""

    handler: str
    python: str
    environment: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 1
    """Jobs at once of a handler that has no concurrency_modifier."""
    directory: str | None = None
    folder: str | None = None
    """The handler's own folder, where `imported` learns which files below it its code comes from.

    It is told all of them by now, and those that were saved after they may have been read.
    """
    imported: Callable[[list[str], list[str]], None] = lambda files, newer: None
    stop_grace: float = STOP_GRACE
    """Seconds that a worker has to leave when nobody waits for it."""
    ports: Ports = field(default_factory=Ports)
    """Where ports of a worker's own come from."""
    protocol: Callable[[str], Mapping[str, str]] = lambda worker: {}
    """The variables of the worker protocol for a worker: what the handler starts reports by them."""
    rules: str | None = None
    """Whose rules it keeps, as in `--sdk-rules`; None for those of the installed package."""
    terminal: Lender | None = None
    """Who lends a worker the terminal while it stops at a breakpoint."""
    debug: DebugPort | None = None
    """Where an editor may attach to its one worker."""
    shown: str = ""
    """What people are told that it runs, where the handler is not their own file."""
    never_started: set[int] = field(default_factory=set)
    """Versions of the code of which was said that it never calls `runpod.serverless.start`."""

    def arguments(self, channel: int, terminal: int | None = None) -> list[str]:
        """What the runner is started with; its descriptor of the frames, and that by which it asks for a terminal."""
        words = ["--handler", self.handler, "--channel", str(channel), "--concurrency", str(self.concurrency)]
        if self.rules is not None:
            words += ["--rules", self.rules]
        if self.folder is not None:
            words += ["--folder", self.folder]
        if self.debug is not None:
            words += ["--debug", str(self.debug.number)]
        if terminal is not None:
            words += ["--terminal", str(terminal)]
        return words

    def turn(self, leave: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """What a worker must have to live; `leave` is called when another one waits for it."""
        return nullcontext() if self.debug is None else self.debug.turn(leave)

    def is_news_that_it_never_starts(self, version: int) -> bool:
        """Whether nobody has said so of this version of its code; true once."""
        known = version in self.never_started
        self.never_started.add(version)
        return not known

    def files(self) -> list[str]:
        """The handler's file, where it names one."""
        path = self.handler if self.handler.endswith(".py") else self.handler.rpartition(":")[0]
        if not path.endswith(".py"):
            return []
        own = os.path.abspath(os.path.join(self.directory or "", path))
        return [own, os.path.realpath(own)]

    async def not_started(self, reason: str) -> str:
        """What is said of a handler that could not be started for this reason, with advice where there is some."""
        advice = address_taken(reason) or self._missing(reason) or await self._complaint()
        return f"handler {self.shown or self.handler} could not be started:\n{reason.rstrip()}{advice}"

    def _missing(self, reason: str) -> str:
        module = missing_module(reason)
        return f"\n{how_to_install(module, self.python)}" if module else ""

    async def _complaint(self) -> str:
        """Why the interpreter of `--python` can't run workers, if it is none; empty otherwise."""
        if self.python == sys.executable:
            return ""
        ask = (self.python, "-c", "print(6 * 7)")
        nowhere = asyncio.subprocess.DEVNULL
        pipe = asyncio.subprocess.PIPE
        try:
            asked = await asyncio.create_subprocess_exec(
                *ask, stdin=nowhere, stdout=pipe, stderr=nowhere, env=inherited()
            )
        except OSError:  # which is said already
            return ""
        try:
            answer, _ = await asyncio.wait_for(asked.communicate(), _ASKED)
        except asyncio.TimeoutError:
            asked.kill()
            answer = b""
        return "" if answer.strip() == b"42" else f"\n--python {self.python} is no Python interpreter"
