"""Ids of jobs and workers, in the service's form and from one seed."""

from __future__ import annotations

import random
import string

_UUID4 = 0x4 << 76 | 0x8 << 60
"""The bits that say that random ones are a UUID of version 4."""
_FREE = ~(0xF << 76 | 0xC << 60)
_ALPHABET = string.ascii_lowercase + string.digits


SYNC = "sync-"
"""The beginning of the ids that /runsync gives."""


class Ids:
    """Mints ids; the same seed mints the same ones in the same order."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._jobs = random.Random(seed)
        self._workers = random.Random(None if seed is None else f"{seed} workers")

    def reset(self) -> None:
        """Begin the ids of jobs anew, if there is a seed; workers live on, so theirs go on."""
        if self.seed is not None:
            self._jobs.seed(self.seed)

    def job(self, suffix: str, sync: bool) -> str:
        """A uuid4 with the region `suffix`, prefixed `SYNC` for /runsync."""
        plain = f"{self._jobs.getrandbits(128) & _FREE | _UUID4:032x}"
        parts = plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]
        return f"{SYNC if sync else ''}{'-'.join(parts)}{suffix}"

    def worker(self) -> str:
        """Fourteen lower-case letters and digits."""
        return "".join(self._workers.choices(_ALPHABET, k=14))
