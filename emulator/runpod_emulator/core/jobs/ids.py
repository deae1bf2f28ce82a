"""Ids of jobs and workers, in the service's form and from one seed."""

from __future__ import annotations

import string
from typing import Protocol

from runpod_emulator.core.dice import Dice

_UUID4 = 0x4 << 76 | 0x8 << 60
"""The bits that say that random ones are a UUID of version 4."""
_FREE = ~(0xF << 76 | 0xC << 60)
_ALPHABET = string.ascii_lowercase + string.digits


SYNC = "sync-"
"""The beginning of the ids that /runsync gives."""


class IdSource(Protocol):
    """Mints ids that no other server over the same store mints."""

    @property
    def seed(self) -> int | None:
        """What all of the world's dice are thrown from, None for chance."""
        ...

    def reset(self) -> None:
        """Begin the ids of jobs anew, if there is a seed; workers live on, so theirs go on."""
        ...

    def reseed(self, seed: int) -> None:
        """Take another seed: the ids of jobs begin anew with the next reset."""
        ...

    def go_on(self, loads: int) -> None:
        """Mint none of those that were minted before the world was loaded for this time, the `loads`th."""
        ...

    def job(self, suffix: str, sync: bool) -> str:
        """The id of a job, with the region `suffix`; `sync` is /runsync."""
        ...

    def worker(self) -> str:
        """The id of a worker."""
        ...


class Ids:
    """Mints ids; the same seed mints the same ones in the same order, at each `owner` others."""

    def __init__(self, seed: int | None = None, owner: str = "") -> None:
        self.seed = seed
        self._owner = owner
        self._first = f"{seed} {owner}" if owner and seed is not None else seed
        self._jobs = Dice(self._first)
        self._workers = Dice(None if seed is None else f"{self._first} workers")
        self._has_workers = False

    def reset(self) -> None:
        """Begin the ids of jobs anew, if there is a seed; workers live on, so theirs go on."""
        if self._first is not None:
            self._jobs = Dice(self._first)

    def reseed(self, seed: int) -> None:
        """Take another seed: the ids of jobs begin anew with the next reset."""
        self.seed = seed
        self._first = f"{seed} {self._owner}" if self._owner else seed
        self._jobs.reseed(self._first)

    def go_on(self, loads: int) -> None:
        """Mint none of those that were minted before the world was loaded for this time, until the next reset.

        Workers that are there live on, so where there are some theirs go on.
        """
        if self._first is None:
            return
        self._jobs = Dice(f"{self._first} after {loads}")
        if not self._has_workers:
            self._workers = Dice(f"{self._first} workers after {loads}")

    def job(self, suffix: str, sync: bool) -> str:
        """A uuid4 with the region `suffix`, prefixed `SYNC` for /runsync."""
        plain = f"{self._jobs.chance.getrandbits(128) & _FREE | _UUID4:032x}"
        parts = plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]
        return f"{SYNC if sync else ''}{'-'.join(parts)}{suffix}"

    def worker(self) -> str:
        """Fourteen lower-case letters and digits."""
        self._has_workers = True
        return "".join(self._workers.chance.choices(_ALPHABET, k=14))
