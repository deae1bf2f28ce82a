"""What a server mocks from its start: the stubs and faults of files, and the faults of profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.mocking.faults import Fault
from runpod_emulator.mocking.files import RawFault, read_stub_files, refuse
from runpod_emulator.mocking.profiles import profile


@dataclass(frozen=True)
class Mocking:
    """Stubs and faults, in the order in which they were written."""

    stubs: list[Stub]
    faults: list[Fault]


def read_mocking(paths: Sequence[Path], profiles: Sequence[str]) -> Mocking:
    """What files and profiles say; raises ConfigurationError, which names file, line and key."""
    found = read_stub_files(paths)
    faults = [_fault(raw) for raw in found.faults]
    return Mocking(found.stubs, faults + [fault for name in profiles for fault in profile(name)])


def _fault(raw: RawFault) -> Fault:
    try:
        return Fault.model_validate(raw.content)
    except ValidationError as error:
        refuse(raw.document, error, raw.keys)
