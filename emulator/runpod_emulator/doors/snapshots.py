"""How a world is replaced by a snapshot, whoever has it: a file of the server, a caller of the admin API, or a test."""

from __future__ import annotations

import asyncio
import logging

from pydantic import ValidationError

from runpod_emulator.core.errors import EmulatorError
from runpod_emulator.core.mocks.faults import Fault as CoreFault
from runpod_emulator.core.mocks.stubs import Stub as CoreStub
from runpod_emulator.world.saving import Loaded, Mocks, bring_back, store_of
from runpod_emulator.world.snapshot import KeptFault, KeptStub, Snapshot
from runpod_emulator.world.snapshot_json import NoSnapshot, snapshots_in
from runpod_emulator.world.world import World

log = logging.getLogger("runpod_emulator")


async def go_on_from(world: World, snapshot: Snapshot) -> Loaded:
    """Go on where this server has ended: time has passed since; raises NoSnapshot for counts that are none."""
    loaded = await bring_back(world, snapshot, _mocks(world, snapshot), restarts=True)
    await world.timeline.catch_up()
    return loaded


async def replace_by(world: World, data: bytes, namespace: str = "") -> Loaded:
    """Forget what is in a world, as a reset does, and go on from a snapshot; raises NoSnapshot, and changes nothing.

    Of several worlds in it the one of this `namespace` is meant.
    """
    snapshot = _meant(await asyncio.to_thread(snapshots_in, data), namespace)
    mocks = _mocks(world, snapshot)
    store_of(world)  # a shared store is not to be emptied for what is then refused
    await world.reset()
    await world.store.clear()  # of what has come in meanwhile
    loaded = await bring_back(world, snapshot, mocks, restarts=False)
    await world.timeline.catch_up()
    return loaded


def _meant(snapshots: list[Snapshot], namespace: str) -> Snapshot:
    if len(snapshots) == 1:
        return snapshots[0]
    for one in snapshots:
        if one.namespace == namespace:
            return one
    raise NoSnapshot(f"there are {len(snapshots)} worlds in it, and none is of this namespace")


def _mocks(world: World, snapshot: Snapshot) -> Mocks:
    stubs = {one.id: stub for one in snapshot.stubs if (stub := _stub(world, one)) is not None}
    now = world.timeline.now()
    return Mocks(stubs, {one.id: fault for one in snapshot.faults if (fault := _fault(world, one, now)) is not None})


def _stub(world: World, kept: KeptStub) -> CoreStub | None:
    """The stub that was written so; None, with a line in the log, for one that can't be read any more."""
    from runpod_emulator.mocking.models import Stub  # it takes a tenth of a second

    try:
        stub = Stub.model_validate({**kept.source, "id": kept.id}).to_core(kept.place, kept.source)
    except (ValidationError, EmulatorError, TypeError) as error:
        _leave_out(world, f"stub {kept.id}", error)
        return None
    _count(stub, kept)
    return stub


def _fault(world: World, kept: KeptFault, now: int) -> CoreFault | None:
    """The fault that was written so; None, with a line in the log, for one that can't be read any more."""
    from runpod_emulator.mocking.faults import Fault

    try:
        fault = Fault.model_validate({**kept.source, "id": kept.id}).to_core(now)
    except (ValidationError, EmulatorError, TypeError) as error:
        _leave_out(world, f"fault {kept.id}", error)
        return None
    _count(fault, kept)
    return fault


def _count(mock: CoreStub | CoreFault, kept: KeptStub | KeptFault) -> None:
    try:
        mock.count_on(kept.counted)
    except (TypeError, ValueError) as error:
        raise NoSnapshot(f"what {kept.id} has counted is no list of its counts") from error


def _leave_out(world: World, what: str, error: Exception) -> None:
    reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    log.warning("%s of the snapshot is left out: %s", world.masks.text(what), world.masks.text(reason))
