"""Where a handler waits until the test lets it go on, in whatever process it runs."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

PASS = 'open({}, "rb", 0).read(1)'
"""What a handler does there, with the gate's path in quotes; it goes on, too, once the test's process has ended."""
_MANY = 64


class Gate:
    """A named pipe; its path is its text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def __str__(self) -> str:
        return str(self._path)

    def open(self) -> None:
        """Let all go on who wait here, or will."""
        os.write(self._descriptor, bytes(_MANY))

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._descriptor)

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
