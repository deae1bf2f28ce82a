"""Which files of the handler's own folder its code comes from, so that the server can watch them."""

from __future__ import annotations

import os
import sys
import time
import traceback

_FOREIGN = ("site-packages", "dist-packages", "node_modules")


class OwnFiles:
    """The source files below one folder that were imported, or that an import failed in."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(os.path.realpath(folder), "")
        self._seen: set[str] = set()
        self._modules = 0
        self._looked_at = time.time_ns()

    def news(self, error: BaseException | None = None) -> list[list[str]] | None:
        """All files there are by now, and those saved since the last call; None when there are no more than then."""
        if error is None and len(sys.modules) == self._modules:
            return None
        self._modules = len(sys.modules)
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        found = {path for path in map(self._own, files | _files_of(error)) if path}
        looked_at, self._looked_at = self._looked_at, time.time_ns()
        if found <= self._seen:
            return None
        new = found - self._seen
        self._seen |= found
        return [sorted(self._seen), sorted(path for path in new if _saved_at(path) > looked_at)]

    def _own(self, file: object) -> str:
        """The whole path of a file below the folder, empty for any other."""
        if not isinstance(file, str):
            return ""
        path = os.path.realpath(file)
        below = path[len(self._folder) :].split(os.sep)
        foreign = any(part in _FOREIGN or part.startswith(".") for part in below)
        return path if path.startswith(self._folder) and path.endswith(".py") and not foreign else ""


def _saved_at(path: str) -> int:
    """When a file was last written, in ns since the epoch; 0 for one that is gone."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _files_of(error: BaseException | None) -> set[object]:
    """The files that an error and its causes passed through, or could not be read in."""
    files: set[object] = set()
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        files |= {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        files.add(getattr(error, "filename", None))  # of a SyntaxError
        error = error.__cause__ or error.__context__
    return files
