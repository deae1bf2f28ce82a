"""Watching stub files: what is saved there is in use at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.mocking.files import SUFFIXES
from runpod_emulator.mocking.start import Mocking, read_mocking

log = logging.getLogger("runpod_emulator.reload")

_GATHER = 300
"""Milliseconds in which changes are taken as one; an editor writes a file in several steps."""


async def watch_mocking(paths: Sequence[Path], profiles: Sequence[str], changed: Callable[[Mocking], None]) -> None:
    """Call `changed` with what files and profiles say, after each change of these files, until cancelled.

    What is wrong in a file is logged, and nothing is called.
    """
    from watchfiles import awatch

    own = {path.absolute() for path in paths}

    def concerns(_change: object, name: str) -> bool:
        path = Path(name).absolute()
        return path in own or (path.parent in own and path.suffix in SUFFIXES)

    folders = {path if path.is_dir() else path.parent for path in own}
    watch = awatch(*folders, watch_filter=concerns, recursive=False, debounce=_GATHER, step=50)
    async for changes in watch:
        names = ", ".join(sorted({Path(name).name for _, name in changes}))
        try:
            mocking = await asyncio.to_thread(read_mocking, paths, profiles)  # a megabyte takes seconds
        except ConfigurationError as error:
            log.error("%s: the stubs and faults of before stay in use", block(str(error)))
            continue
        except Exception:
            log.exception("%s: cannot be read; the stubs and faults of before stay in use", names)
            continue
        log.info("%s changed: %d stubs, %d faults", names, len(mocking.stubs), len(mocking.faults))
        changed(mocking)
