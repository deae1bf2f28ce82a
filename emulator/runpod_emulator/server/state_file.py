"""The file in which a server keeps its worlds: locked while it runs, replaced as a whole, put aside if it is broken."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import itertools
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.time.clock import RealClock
from runpod_emulator.world.snapshot import Snapshot
from runpod_emulator.world.snapshot_json import NoSnapshot, OtherVersion, snapshots_in

_MODE = 0o600
"""Nobody else may read it: inputs and credentials of buckets are in it."""


class StateFile:
    """One file, from `lock` until `unlock`. What goes wrong is a ConfigurationError that names the option."""

    def __init__(self, path: Path) -> None:
        self.given = path
        self._path = path.resolve()
        self._draft = self._path.with_name(f"{self._path.name}.new")
        self._lock_path = self._path.with_name(f"{self._path.name}.lock")
        self._lock: int | None = None
        self._writing = threading.Lock()

    def lock(self) -> None:
        """Have the file for this server alone; raises ConfigurationError where another one has it."""
        try:
            if self._path.exists() and not self._path.is_file():
                raise self._failed("it is no plain file")
            while self._lock is None:
                self._lock = self._locked()
        except OSError as error:
            raise self._failed(error.strerror) from error

    def _locked(self) -> int | None:
        """A descriptor that holds the lock; None where its file was taken away meanwhile."""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(self._lock_path).st_ino == os.fstat(descriptor).st_ino:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode("ascii", "replace")
            os.close(descriptor)
            raise self._failed(
                f"another server (process {owner or 'unknown'}) uses it: give this one another"
            ) from None
        os.close(descriptor)
        return None

    def read(self) -> tuple[list[Snapshot], str]:
        """What is in the file, and "" or what to tell of one that is broken, which is put aside.

        Raises ConfigurationError for one of another version, which stays as it is.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return [], ""
        except OSError as error:
            raise self._failed(error.strerror) from error
        if not data:
            return [], ""
        try:
            return snapshots_in(data), ""
        except OtherVersion as error:
            raise self._failed(f"{error}. It is left as it is: give another file, or move this one away") from error
        except NoSnapshot as error:
            return [], f"--state {self.given}: {error}. It is kept as {self._put_aside().name}, and nothing was loaded"

    def _put_aside(self) -> Path:
        stamp = datetime.datetime.fromtimestamp(RealClock().now() / 1000, datetime.timezone.utc)
        name = f"{self._path.name}.broken-{stamp:%Y%m%dT%H%M%SZ}"
        names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        aside = next(path for path in map(self._path.with_name, names) if not path.exists())
        try:
            self._path.rename(aside)
        except OSError as error:
            raise self._failed(f"it is broken, and can't be put aside: {error.strerror}") from error
        return aside

    def write(self, pieces: Iterable[bytes]) -> None:
        """Put these in the place of what is in the file, as a whole or not at all; one at a time. Raises OSError."""
        with self._writing:
            self._write(pieces)

    def _write(self, pieces: Iterable[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._draft, flags, _MODE)
        try:
            os.fchmod(descriptor, _MODE)
            for piece in pieces:
                _write(descriptor, piece)
            os.fsync(descriptor)
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                self._draft.unlink()
            raise
        os.close(descriptor)
        self._draft.replace(self._path)
        _keep_name(self._path.parent)

    def unlock(self) -> None:
        """Leave the file to others."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                self._lock_path.unlink()
            os.close(lock)

    def _failed(self, why: str | None) -> ConfigurationError:
        return ConfigurationError(f"--state {self.given}: {why}")


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _keep_name(folder: Path) -> None:
    """Let the new name outlive a crash of the machine, where the file system can promise that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
