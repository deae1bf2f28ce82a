"""A network volume: the folder that workers find where RunPod mounts it, at /runpod-volume, as far as that can be made.

The place is one for the whole machine, so it is a link to one folder only, of the endpoint that came first. All workers
find their own volume in RUNPOD_VOLUME_PATH too.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Set
from pathlib import Path

log = logging.getLogger("runpod_emulator.worker")

LINK = Path("/runpod-volume")


class VolumeLink:
    """The link of one server; it goes with the server that made it."""

    def __init__(self) -> None:
        self._made = False
        self._first: tuple[str, str] | None = None
        """The endpoint whose volume is at the link, and the folder."""
        self._users: set[str] = set()
        """All endpoints whose volume that is."""

    def offer(self, endpoint: str, folder: str) -> None:
        """The endpoint has this volume: lead there if nothing else is in the place; the log says how it is found."""
        if self._first is not None and self._first[1] == folder:
            self._users.add(endpoint)
            return
        if self._first is not None:
            other, place = self._first
            self._only_by_variable(endpoint, folder, f"is {place}, of endpoint {other}, and can be one folder only")
            return
        try:
            LINK.symlink_to(folder, target_is_directory=True)
            self._made = True
        except FileExistsError:
            if not self._leads_to(folder):
                self._only_by_variable(endpoint, folder, self._what_is_there())
                return
        except OSError as error:
            self._only_by_variable(endpoint, folder, f"cannot be made ({error.strerror})")
            return
        self._first = endpoint, folder
        self._users = {endpoint}
        log.info("%s is %s, the volume of endpoint %s", LINK, folder, endpoint)

    def keep_for(self, endpoints: Set[str]) -> None:
        """These endpoints are left: a link that is for none of them goes, so that another's volume finds its place."""
        self._users &= endpoints
        if not self._users:
            self.remove()

    def remove(self) -> None:
        """Take the link away, if this server made it."""
        if self._made and self._first is not None and self._leads_to(self._first[1]):
            with contextlib.suppress(OSError):
                LINK.unlink()
        self._made, self._first = False, None

    @staticmethod
    def _what_is_there() -> str:
        if not LINK.is_symlink():
            return "is there already and is something else"
        target = os.readlink(LINK)
        return f"leads to {target} already (if no other server needs that, remove it: rm {LINK})"

    @staticmethod
    def _leads_to(folder: str) -> bool:
        return os.path.realpath(LINK) == os.path.realpath(folder)

    @staticmethod
    def _only_by_variable(endpoint: str, folder: str, why: str) -> None:
        log.warning(
            "%s %s: workers of endpoint %s find their volume only by RUNPOD_VOLUME_PATH=%s", LINK, why, endpoint, folder
        )
