"""Which files of the handler's own folder its code comes from, so that the server can watch them."""

from __future__ import annotations

import os
import sys
import traceback

_FOREIGN = ("site-packages", "dist-packages", "node_modules")


class OwnFiles:
    """The source files below one folder that were imported, or that an import failed in."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(os.path.realpath(folder), "")
        self._seen: set[str] = set()
        self._modules = 0

    def news(self, error: BaseException | None = None) -> list[str] | None:
        """All files there are by now, sorted; None when there are no more than at the last call."""
        if error is None and len(sys.modules) == self._modules:
            return None
        self._modules = len(sys.modules)
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        found = {path for path in map(self._own, files | _files_of(error)) if path}
        if found <= self._seen:
            return None
        self._seen |= found
        return sorted(self._seen)

    def _own(self, file: object) -> str:
        """The whole path of a file below the folder, empty for any other."""
        if not isinstance(file, str):
            return ""
        path = os.path.realpath(file)
        below = path[len(self._folder) :].split(os.sep)
        foreign = any(part in _FOREIGN or part.startswith(".") for part in below)
        return path if path.startswith(self._folder) and path.endswith(".py") and not foreign else ""


def _files_of(error: BaseException | None) -> set[object]:
    """The files that an error passed through, or could not be read in."""
    if error is None:
        return set()
    files: set[object] = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    files.add(getattr(error, "filename", None))  # of a SyntaxError
    return files
