"""The file that says on which port a server listens, there only while it does."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from emulator.core.errors import ConfigurationError


class PortFile:
    """A path that others wait at. A device, a pipe or the like (`/dev/stdout`) is written to and never removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_file = not path.exists() or path.is_file()
        if path.is_symlink() and path.parts[:2] == ("/", "dev"):
            self._is_file = False
        self._written: tuple[int, int, int] | None = None
        """Which file is ours: device, inode and time of the last change in nanoseconds."""

    def clear(self) -> None:
        """Take away the file of an earlier run, so that nobody is misled; raises ConfigurationError."""
        try:
            if self._path.is_dir():
                raise self._failed("it is a folder")
            if self._is_file:
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
            draft.replace(self._path)
        except OSError as error:
            if self._is_file:
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)
            raise self._failed(error.strerror) from error

    def remove(self) -> None:
        """Take the file away, unless another server has written one since."""
        with contextlib.suppress(OSError):
            if self._written is not None and _identity(self._path) == self._written:
                self._path.unlink()

    def _failed(self, why: str | None) -> ConfigurationError:
        return ConfigurationError(f"--port-file {self._path}: {why}")


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _write_into(path: Path, text: bytes) -> None:
    """Write into what is no plain file; a pipe without a reader is an error."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
