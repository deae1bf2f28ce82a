"""`breakpoint()` and `pdb` in a handler: the server's terminal is the worker's as long as it stops there.

A worker has no standard input. While its debugger waits for a command, descriptors 0 and 1 are a terminal that the
server lends it, so that pdb, readline and the debuggers that are made of them work as in any program. Where the server
has no terminal, a breakpoint is passed over, and the log says what would help.
"""

from __future__ import annotations

import array
import contextlib
import functools
import io
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .jobs import Jobs
from .output import flush_output, say
from .runpod_stub import Loaded

_NO_TERMINAL = (
    "The breakpoint at {place} is passed over: this server has no terminal to lend. Start it in one "
    "('runpod-emulator dev handler.py'), or attach an editor: 'runpod-emulator dev --debug handler.py'."
)
_NO_TERMINAL_FOR_FORKS = (
    "The breakpoint at {place} is passed over: the terminal is for the worker's own process, not for a fork of it."
)
_QUIT = "The debugger was left: the job fails with BdbQuit. 'c' would have let it go on."


class Borrowed:
    """The server's terminal, which the worker has for a time; -1 is the descriptor of nobody to ask."""

    def __init__(self, descriptor: int, jobs: Jobs) -> None:
        self._jobs = jobs
        self._turn = threading.RLock()
        self._refused: set[str] = set()
        self._server = None
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
            self._server = socket.socket(fileno=descriptor)
            self._server.setblocking(True)
        self._process = os.getpid()

    @property
    def is_there(self) -> bool:
        """Whether there is one to borrow; a fork has none."""
        return self._server is not None and os.getpid() == self._process

    def refuse(self, place: str) -> None:
        """Say that there is none, and what would help: once for a place."""
        if place not in self._refused:
            self._refused.add(place)
            say((_NO_TERMINAL if self._server is None else _NO_TERMINAL_FOR_FORKS).format(place=place))

    @contextlib.contextmanager
    def session(self, place: str, first: bool) -> Iterator[None]:
        """Have the terminal as standard input and output meanwhile; `first` stops are told in the log."""
        with self._turn:
            terminal = self._ask({"stop": place, "job": self._jobs.current(), "first": first})
            try:
                with _as_standard_streams(terminal), _interruptible():
                    yield
            finally:
                os.close(terminal)
                self._tell({"go": True})

    def _ask(self, word: dict[str, Any]) -> int:
        assert self._server is not None
        flush_output()
        self._tell(word)
        room = array.array("i", [-1])
        _, ancillary, *_ = self._server.recvmsg(1, socket.CMSG_SPACE(room.itemsize))
        if not ancillary:  # the server is gone, and this worker is about to be
            os._exit(1)
        room = array.array("i")
        room.frombytes(ancillary[0][2][: room.itemsize])
        return int(room[0])

    def _tell(self, word: dict[str, Any]) -> None:
        assert self._server is not None
        self._server.sendall(json.dumps(word).encode() + b"\n")


@contextlib.contextmanager
def _as_standard_streams(terminal: int) -> Iterator[None]:
    """readline, and what `input` does with it, want descriptors 0 and 1."""
    kept = [os.dup(0), os.dup(1)]
    streams = sys.stdin, sys.stdout
    for number in (0, 1):
        os.dup2(terminal, number)
    sys.stdin = _text(0, "r")
    sys.stdout = _text(1, "w")
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        sys.stdin, sys.stdout = streams
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _text(descriptor: int, mode: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C be what it is in any program; the worker's own handler would let it leave."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class PdbFinder:
    """Lets pdb borrow the terminal, from its first import on: whoever never debugs never loads it."""

    def __init__(self, borrowed: Borrowed) -> None:
        self._borrowed = borrowed

    def install(self) -> None:
        """Stand in the way of the import of `pdb`."""
        if "pdb" in sys.modules:
            lend_to(sys.modules["pdb"], self._borrowed)
        else:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Load it, and change its debugger."""
        if fullname != "pdb":
            return None
        sys.meta_path.remove(self)
        module = import_module("pdb")
        lend_to(module, self._borrowed)
        module.__spec__ = Loaded(module).spec
        return module.__spec__


def _announcing_in_time(debugger: Any) -> None:
    """What a debugger of this class says just before it stops, as `--Return--`, is for the terminal to come."""
    message = debugger.message

    def announced(step: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(step)
        def stop(self: Any, *args: Any) -> None:
            self.held = [] if self._borrows else None
            try:
                step(self, *args)
            finally:
                self.held = None

        return stop

    def keep(self: Any, *args: Any) -> None:
        message(self, *args) if self.held is None else self.held.append(args)

    debugger.held, debugger.message = None, keep
    for name in ("user_call", "user_return", "user_exception"):
        setattr(debugger, name, announced(getattr(debugger, name)))


def _tell_held(debugger: Any) -> None:
    held, debugger.held = debugger.held, None
    for args in held or ():
        debugger.message(*args)


def lend_to(pdb: Any, borrowed: Borrowed) -> None:
    """Make the module's debugger, and all that will be made of it, borrow the terminal while it waits for a command."""

    class Pdb(pdb.Pdb):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            given = [*args[1:3], kwargs.get("stdin"), kwargs.get("stdout")]
            self._borrows = all(stream is None for stream in given)
            self._is_first = True
            if len(args) < 5:
                kwargs.setdefault("nosigint", True)
            super().__init__(*args, **kwargs)

        def set_trace(self, frame: Any = None, *args: Any, **kwargs: Any) -> None:
            frame = frame or sys._getframe().f_back
            if self._borrows and not borrowed.is_there:
                borrowed.refuse(_place(frame))
                return
            self._is_first = True
            super().set_trace(frame, *args, **kwargs)

        def interaction(self, frame: Any, *args: Any, **kwargs: Any) -> None:
            if not self._borrows:
                super().interaction(frame, *args, **kwargs)
            elif not borrowed.is_there:
                borrowed.refuse(_place(frame, *args))
            else:
                first, self._is_first = self._is_first, False
                with borrowed.session(_place(frame, *args), first):
                    self.stdin, self.stdout = sys.stdin, sys.stdout
                    _tell_held(self)
                    super().interaction(frame, *args, **kwargs)

        def do_quit(self, arg: str) -> bool:
            """q: the job fails, and the worker goes on."""
            self._user_requested_quit = True
            self.set_quit()
            say(_QUIT)
            return True

        do_q = do_exit = do_quit

        def do_EOF(self, arg: str) -> bool:
            """Ctrl-D: the same."""
            self.message("")
            return self.do_quit(arg)

    _announcing_in_time(Pdb)
    Pdb.__name__ = Pdb.__qualname__ = "Pdb"
    Pdb.__module__ = pdb.__name__
    pdb.Pdb = Pdb


def _place(frame: Any, failure: Any = None) -> str:
    """Where a frame is, as a developer names it; without one, where an exception, or its traceback, comes from."""
    traceback = getattr(failure, "__traceback__", failure)
    if frame is not None or traceback is None:
        return "an exception" if frame is None else _named(frame, frame.f_lineno)
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return _named(traceback.tb_frame, traceback.tb_lineno)


def _named(frame: Any, line: int) -> str:
    return f"{os.path.basename(frame.f_code.co_filename)}:{line}"
