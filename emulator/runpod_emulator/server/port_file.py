"""The file that says on which port a server listens, there only while it does."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from runpod_emulator.core.errors import ConfigurationError


class PortFile:
    """A path that others wait at. A device, a pipe or the like (`/dev/stdout`) is written to and never removed.

    A server keeps its file locked for as long as it runs, so that another one knows whether it is stale.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_file = not path.exists() or path.is_file()
        if path.is_symlink() and path.parts[:2] == ("/", "dev"):
            self._is_file = False
        self._written: tuple[int, int, int] | None = None
        """Which file is ours: device, inode and time of the last change in nanoseconds."""
        self._lock: int | None = None
        """The descriptor that holds the lock of our file."""

    def clear(self) -> None:
        """Take away the file of an earlier run, so that nobody is misled; raises ConfigurationError.

        That of a server which runs stays until ours is written: this start may fail yet.
        """
        try:
            if self._path.is_dir():
                raise self._failed("it is a folder")
            if self._is_file and not _is_locked(self._path):
                self._path.unlink(missing_ok=True)
            if self._is_file and not os.access(self._path.parent, os.W_OK):
                raise self._failed(f"{self._path.parent} is no folder that this user can write to")
        except OSError as error:
            raise self._failed(error.strerror) from error

    def write(self, port: int) -> None:
        """Say the port, as a whole or not at all; raises ConfigurationError and leaves nothing behind then."""
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            if not self._is_file:
                _write_into(self._path, str(port).encode())
                return
            draft.write_text(str(port))
            self._written = _identity(draft)
            self._lock = _locked(draft)
            draft.replace(self._path)
        except OSError as error:
            if self._is_file:
                self._unlock()
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)
            raise self._failed(error.strerror) from error

    def remove(self) -> None:
        """Take the file away, unless another server has written one since."""
        with contextlib.suppress(OSError):
            if self._written is not None and _identity(self._path) == self._written:
                self._path.unlink()
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _failed(self, why: str | None) -> ConfigurationError:
        return ConfigurationError(f"--port-file {self._path}: {why}")


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _locked(path: Path) -> int | None:
    """A descriptor that keeps the file locked while this process lives; None where that can't be, as on some shares."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _is_locked(path: Path) -> bool:
    """Whether the server that wrote it runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _write_into(path: Path, text: bytes) -> None:
    """Write into what is no plain file; a pipe without a reader is an error."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
