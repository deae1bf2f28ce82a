"""The keeper of one worker: a process between the server and the worker, which ends with everything the worker began.

A worker on RunPod is a container: when it goes, all that ran in it goes, whatever session or group it moved to. Here a
small process does that. It forks off at the very start of a worker, before any code of the user's, and stays behind as
the worker's parent; the worker leads a session of its own below it.

- **Whom it finds.** On Linux it is a child subreaper: whoever loses its parent somewhere below becomes its child. So it
  never guesses: it ends its children, then those that became its children by that, until there are none. Nothing but
  descendants of the worker can be among them, and no number of a process can be another's by then: a child's number is
  kept until its parent has waited for it. It waits for all of them, so there are no zombies either.
- **When.** When the worker has ended, however; or when the leash is cut: a socket whose other end only the server
  holds. The server cuts it to end a worker at once, and the kernel does when the server is gone, also by SIGKILL. The
  keeper runs no code of the user's and takes no lock of his, so nothing can keep it from noticing.
- **How it looks from outside.** Signals to it go to the worker's group; it ends as the worker ended, with its code or
  by its signal. So the server treats the keeper as if it were the worker.
- **Who keeps the keeper.** It calls itself `keeper of NUMBER`, so that `pkill -9 -f handler.py`, or `python`, leaves it
  to do its work. When it is killed all the same, the kernel kills the worker, and the server the worker's group, whose
  number it was told through the leash; only what left that group then goes on.
- **Elsewhere than on Linux** nobody can adopt orphans: the keeper ends the worker's group, and what left it goes on.

It costs a fork (about 1 ms) and 4 MB: no second start of an interpreter.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterable, Iterator

LINUX = sys.platform == "linux"
TOLD = b"."
"""What the keeper writes to the leash when it has ended everything: nothing is left to be killed."""
_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
_HEARD = {*_PASSED_ON, signal.SIGCHLD}
_PATIENCE = 3
"""Seconds to end everything: a process that the kernel holds (a dead disk) must not hold the server too."""
_SET_DEATH_SIGNAL, _SET_NAME, _SET_SUBREAPER = 1, 15, 36
"""Of prctl."""


def keep(leash: int) -> None:
    """Fork: what returns is the worker, and the process that there was is its keeper from now on."""
    if select.select([leash], [], [], 0)[0]:  # the server is gone already
        os._exit(1)
    kernel = _Kernel()
    kernel.prctl(_SET_SUBREAPER, 1)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # the keeper must not die of one before it passes it on
    keeper, worker = os.getpid(), os.fork()
    if worker:
        _Keeper(leash, worker, kernel).run()
    os.setsid()
    os.close(leash)
    kernel.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != keeper:  # it went before the kernel watched
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Kernel:
    """What Python has no call for; does nothing where there is no such thing."""

    def __init__(self) -> None:
        self._ctypes = None
        with contextlib.suppress(ImportError):  # an interpreter may be built without it
            import ctypes

            self._ctypes = ctypes if LINUX else None

    def prctl(self, option: int, value: int) -> None:
        """Change something of this process."""
        if self._ctypes is not None:
            long = self._ctypes.c_ulong
            self._ctypes.CDLL(None).prctl(option, long(value), long(0), long(0), long(0))

    def rename(self, title: str) -> None:
        """Be called otherwise in `ps` and for `pkill`: the words of the command line are overwritten where they lie."""
        if self._ctypes is None:
            return
        name = self._ctypes.create_string_buffer(title.encode()[:15])
        self.prctl(_SET_NAME, self._ctypes.addressof(name))
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            start, end = map(int, file.read().rpartition(")")[2].split()[45:47])
        if start:
            self._ctypes.memset(start, 0, end - start)
            self._ctypes.memmove(start, title.encode(), min(len(title), end - start - 1))


class _Keeper:
    """Waits for the end of the worker or of the leash, and then ends everything."""

    def __init__(self, leash: int, worker: int, kernel: _Kernel) -> None:
        self._leash = leash
        self._worker = worker
        self._kernel = kernel
        self._status: int | None = None
        """How the worker ended, as the system tells it."""
        self._news, self._bell = os.pipe()

    def run(self) -> None:
        """Keep the worker, and end as it ended; never returns."""
        try:
            self._tell(b"%d" % self._worker)
            self._settle_down()
            with contextlib.suppress(OSError):
                self._keep()
            self._end_all()
            self._tell(TOLD)
            self._end_as_the_worker()
        finally:
            os._exit(1)

    def _settle_down(self) -> None:
        os.set_blocking(self._bell, False)
        signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        for sign in _HEARD:
            signal.signal(sign, lambda *_: None)
        with contextlib.suppress(OSError, ValueError, IndexError):
            self._kernel.rename(f"keeper of {self._worker}")
        for name in os.listdir("/dev/fd"):  # the worker's channel must end with the worker
            if int(name) > 2 and int(name) not in (self._leash, self._news, self._bell):
                with contextlib.suppress(OSError):
                    os.close(int(name))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)

    def _keep(self) -> None:
        """Pass signals on until the worker has ended or the leash is cut."""
        waiting = select.poll()
        waiting.register(self._news, select.POLLIN)
        waiting.register(self._leash, select.POLLIN)
        while not self._has_ended():
            ready = [descriptor for descriptor, _ in waiting.poll()]
            if self._leash in ready:
                return
            for sign in os.read(self._news, 512):
                if sign in _PASSED_ON:
                    self._signal(sign)

    def _has_ended(self) -> bool:
        """Wait for all that have ended; returns whether the worker is one of them."""
        while self._status is None and self._wait_for_one(os.WNOHANG):
            pass
        return self._status is not None

    def _signal(self, sign: int) -> None:
        """To the worker's group; before there is one, to the worker."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(self._worker, sign)
            except ProcessLookupError:
                os.kill(self._worker, sign)

    def _end_all(self) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE)
        if self._status is None:
            self._signal(signal.SIGKILL)
        elif not LINUX:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._worker, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while _kill_all(_children()) or self._status is None:
                self._wait_for_one()
                while self._wait_for_one(os.WNOHANG):
                    pass
        signal.alarm(0)

    def _wait_for_one(self, how: int = 0) -> int:
        child, status = os.waitpid(-1, how)
        if child == self._worker:
            self._status = status
        return child

    def _end_as_the_worker(self) -> None:
        status = self._status or 0
        if not os.WIFSIGNALED(status):
            os._exit(os.WEXITSTATUS(status))
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has left its own
        sign = os.WTERMSIG(status)
        with contextlib.suppress(OSError):  # of SIGKILL
            signal.signal(sign, signal.SIG_DFL)
        os.kill(os.getpid(), sign)
        os._exit(128 + sign)

    def _tell(self, what: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._leash, what)


def _kill_all(processes: Iterable[int]) -> int:
    """Returns how many of them will end."""
    killed = 0
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # one that runs as another user
            os.kill(process, signal.SIGKILL)
            killed += 1
    return killed


def _children() -> Iterator[int]:
    """Children of this process, also those that it adopted."""
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", encoding="ascii") as file:
            yield from map(int, file.read().split())
    except OSError:  # a kernel that does not list them, or none of Linux
        yield from _children_by_looking_at_all(own)


def _children_by_looking_at_all(own: int) -> Iterator[int]:
    for name in os.listdir("/proc") if LINUX else ():
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
                if parent == own:
                    yield int(name)
