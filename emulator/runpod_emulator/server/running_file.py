"""The files that say which servers run on this machine, for clients on it: one a server, in a folder of the user's own.

A server keeps its file locked for as long as it lives. The file of one that was killed is locked by nobody: it is
passed over, and the next server takes it away. No key is ever in a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runpod_emulator.core.time.clock import RealClock

_SUFFIX = ".json"
_LONGEST = 4096
"""Bytes of such a file."""
_log = logging.getLogger("runpod_emulator")


class Running(NamedTuple):
    """One server that runs, as its file says."""

    pid: int
    port: int
    base_url: str
    """What clients set as RUNPOD_ENDPOINT_BASE_URL."""
    admin_url: str
    started: int
    """When, in ms since the epoch."""
    directory: str = ""
    """Where it was started, "" where that is not known."""


def folder() -> Path:
    """Where the files are: the user's folder for what runs now, else the one for what lasts."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.path.isdir(runtime):
        return Path(runtime) / "runpod-emulator"
    state = os.environ.get("XDG_STATE_HOME", "") or os.path.expanduser("~/.local/state")
    return Path(state) / "runpod-emulator" / "running"


def here() -> str:
    """The directory of this process; "" for one that is gone, or too long for a file."""
    try:
        path = os.getcwd()
    except OSError:
        return ""
    return path if len(json.dumps(path)) <= _LONGEST // 2 else ""


def running() -> list[Running]:
    """The servers that run, those that started last first."""
    found = [one for path in _files() if (one := _read(path)) is not None]
    return sorted(found, key=lambda one: -one.started)


class RunningFile:
    """The file of one server, from `write` until `remove`. A folder that cannot be written to stops no server."""

    def __init__(self, port: int, base_url: str) -> None:
        self._told = Running(
            os.getpid(), port, base_url, f"{base_url.removesuffix('/v2')}/__emulator", RealClock().now(), here()
        )
        self._path: Path | None = None
        self._lock: int | None = None
        """The descriptor that holds the lock."""

    def write(self) -> None:
        """Say that the server runs, and take away what killed ones have left."""
        try:
            place = folder()
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in _files():
                _take_away_stale(path)
            self._write(place / f"{self._told.pid}-{self._told.port}{_SUFFIX}")
        except OSError as error:
            _log.debug("no client will find this server by itself: %s", error)
            self.remove()

    def _write(self, path: Path) -> None:
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        self._lock = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(self._lock, json.dumps(self._told._asdict()).encode())
        draft.replace(path)
        self._path = path

    def remove(self) -> None:
        """Say no longer so."""
        path, self._path = self._path, None
        lock, self._lock = self._lock, None
        with contextlib.suppress(OSError):
            if path is not None:
                path.unlink()
        if lock is not None:
            os.close(lock)


def _files() -> Iterator[Path]:
    """The files that may be of servers; none where the folder is another user's, or open to others."""
    place = folder()
    with contextlib.suppress(OSError):
        about = place.stat()
        if about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield from sorted(path for path in place.iterdir() if path.suffix == _SUFFIX)


def _read(path: Path) -> Running | None:
    """What the file of a living server says; None for what is stale, or no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not _is_held(descriptor):
            return None
        told = json.loads(os.read(descriptor, _LONGEST))
        told.setdefault("directory", "")
        one = Running(*(told[name] for name in Running._fields))
        kinds = (int, int, str, str, int, str)
        return one if all(type(value) is kind for value, kind in zip(one, kinds, strict=True)) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    finally:
        os.close(descriptor)


def _is_held(descriptor: int) -> bool:
    """Whether its server lives. The lock that is tried is one that readers share, so that none takes another for it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _take_away_stale(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not _is_held(descriptor):
                path.unlink()
        finally:
            os.close(descriptor)
