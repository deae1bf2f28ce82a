"""Cases as data: a request, and what the handler does with it; and the handler files made from them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["plain", "async", "generator", "async generator", "own"]
SDKS = ("1.12", "2.0")

IMPORTS = """\
import asyncio, atexit, base64, collections, contextlib, dataclasses, datetime, decimal, enum, functools, inspect, io
import itertools, json, math, multiprocessing, operator, os, pathlib, random, signal, subprocess, sys, tempfile
import threading, time, types, uuid, warnings
"""

GATE = """\
def gate(job, number=1):
    '''Wait until the client has seen the progress or chunk of this number; it gives up, so that nothing hangs.'''
    deadline = time.monotonic() + 5
    while not os.path.exists(f"{job['input']['gate']}.{number}") and time.monotonic() < deadline:
        time.sleep(0.01)


def note(job, text):
    '''Leave a line for a later job of this endpoint.'''
    with open(os.path.dirname(job["input"]["gate"]) + "/notes-" + os.environ["RUNPOD_ENDPOINT_ID"], "a") as file:
        file.write(text + "\\n")


def notes(job, count, patience=10):
    '''The lines that were left, once there are so many.'''
    path = os.path.dirname(job["input"]["gate"]) + "/notes-" + os.environ["RUNPOD_ENDPOINT_ID"]
    deadline = time.monotonic() + patience
    while True:
        lines = open(path).read().splitlines() if os.path.exists(path) else []
        if len(lines) >= count or time.monotonic() > deadline:
            return lines
        time.sleep(0.02)
"""

_FUNCTION = {
    "plain": ("def {name}(job):", ""),
    "async": ("async def {name}(job):", ""),
    "generator": ("def {name}(job):", "\n    if False:\n        yield"),
    "async generator": ("async def {name}(job):", "\n    if False:\n        yield"),
}
_HANDLER = {
    "plain": "def handler(job):\n    return CASES[job['input']['case']](job)",
    "async": "async def handler(job):\n    return await CASES[job['input']['case']](job)",
    "generator": "def handler(job):\n    yield from CASES[job['input']['case']](job)",
    "async generator": (
        "async def handler(job):\n    async for chunk in CASES[job['input']['case']](job):\n        yield chunk"
    ),
}


@dataclass(frozen=True)
class Case:
    """One request. `body` are the statements that its handler runs for it."""

    body: str = "return job['input']['case']"
    input: Mapping[str, Any] = field(default_factory=dict)
    """Members of the input, beside those that every case has."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Members of the request; an `input` here is the whole input."""
    client: Literal["", "cancel", "stream"] = ""
    """What the client does at the first progress or chunk: cancel, or read the stream as it comes."""


Cases = Mapping[str, "Case | str"]


@dataclass(frozen=True)
class Handler:
    """One file with the cases that it serves, in this order, one after the other.

    `head` runs before `start`, which is given the handler and `config`. Of a handler of kind `own`, `head` defines
    `handler` itself, or is the whole file when it calls `start`.
    """

    name: str
    cases: Cases
    kind: Kind = "plain"
    head: str = ""
    config: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    sdks: tuple[str, ...] = SDKS
    guarded: bool = False
    """Whether `start` is only called in the main module, as in a program that spawns children."""
    sample: bool = False
    """Whether `make compat` plays it."""

    @property
    def all(self) -> dict[str, Case]:
        """Its cases by name."""
        return {name: Case(case) if isinstance(case, str) else case for name, case in self.cases.items()}

    @property
    def source(self) -> str:
        """The file."""
        head = textwrap.dedent(self.head).strip("\n")
        if self.kind == "own":
            parts = [IMPORTS + "import runpod", GATE, head]
            if "serverless.start(" not in head:
                parts.append(self._start)
            return "\n\n".join(parts) + "\n"
        before, after = _FUNCTION[self.kind]
        names = {case: f"case_{number}" for number, case in enumerate(self.cases)}
        functions = [
            f"{before.format(name=names[name])}\n{textwrap.indent(_statements(case.body), '    ')}{after}"
            for name, case in self.all.items()
        ]
        table = ", ".join(f"{case!r}: {name}" for case, name in names.items())
        parts = [IMPORTS + "import runpod", GATE, head, *functions, f"CASES = {{{table}}}"]
        return "\n\n\n".join(part for part in (*parts, _HANDLER[self.kind], self._start) if part) + "\n"

    @property
    def _start(self) -> str:
        call = f'runpod.serverless.start({{"handler": handler{self.config and ", " + self.config}}})'
        return f'if __name__ == "__main__":\n    {call}' if self.guarded else call

    def write(self, folder: Path) -> Path:
        """The file, written."""
        file = folder / f"{self.name}_handler.py"
        file.write_text(self.source, encoding="utf-8")
        return file


@dataclass(frozen=True)
class Startup:
    """One file of which only the start is looked at. `says` stands in what `serve` tells if it refuses."""

    name: str
    body: str
    says: str = ""
    sdks: tuple[str, ...] = SDKS

    def write(self, folder: Path) -> Path:
        """The file, written."""
        file = folder / f"{self.name}_handler.py"
        file.write_text(f"{IMPORTS}import runpod\n\n\n{self.body}\n", encoding="utf-8")
        return file


def _statements(body: str) -> str:
    return textwrap.dedent(body).strip("\n") or "pass"
