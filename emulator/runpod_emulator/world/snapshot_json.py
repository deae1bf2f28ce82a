"""Snapshots as JSON: written in pieces, between which others have a turn, and read as a whole.

    {"format": "runpod-emulator state", "version": 1, "worlds": [{"namespace": "", "jobs": [...], ...}]}

Whoever changes what is written raises VERSION: a server reads no other one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson
from pydantic import BaseModel

from runpod_emulator import __version__
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.jobs.listeners import ALL
from runpod_emulator.core.records.history import Noted, Told
from runpod_emulator.core.records.news import Attempt
from runpod_emulator.core.records.streams import Piece
from runpod_emulator.stores import records
from runpod_emulator.stores.snapshot import (
    Contents,
    bytes_of,
    chunk_rows,
    delivery_in,
    delivery_row,
    job_in,
    job_row,
    shelf_row,
    shelves_in,
    text_of,
)
from runpod_emulator.world.covers import Cover, Masked
from runpod_emulator.world.snapshot import KeptFault, KeptStub, Key, Snapshot

FORMAT = "runpod-emulator state"
VERSION = 2
_PIECE = 8_192
"""Bytes that are written at once: a tenth of a millisecond for usual jobs."""
_KINDS = {kind.__name__: kind for kind in ALL}
_Moment = tuple[int, str, JobStatus | None, str | None, int, int]
_WRONG = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What reading raises of JSON that is no snapshot; msgspec's error is a ValueError."""


class NoSnapshot(Exception):
    """What was read is no snapshot; says why."""


class OtherVersion(NoSnapshot):
    """It is one of another version."""

    def __init__(self, version: Any, by: Any) -> None:
        super().__init__(
            f"its version is {str(version)[:20]} (written by runpod-emulator {str(by)[:20]}), and this one, "
            f"{__version__}, reads version {VERSION} only"
        )


def pieces_of(snapshots: Iterable[Snapshot], cover: Cover | Masked) -> Iterator[bytes]:
    """Snapshots as JSON, bit by bit."""
    yield b'{"format":"%s","version":%d,"emulator":"%s","worlds":[' % (FORMAT.encode(), VERSION, __version__.encode())
    between = b""
    for snapshot in snapshots:
        yield between
        yield from _pieces(snapshot, cover)
        between = b","
    yield b"]}\n"


def _pieces(snapshot: Snapshot, cover: Cover | Masked) -> Iterator[bytes]:
    head = {
        "namespace": cover.text(snapshot.namespace),
        "clock": {"mode": snapshot.mode, "now": snapshot.now},
        "loads": snapshot.loads,
        "places": snapshot.store.places,
        "records": records.FORMAT,
        "endpoints": [shelf_row(shelf) for shelf in snapshot.store.shelves],
        "unread": sorted(snapshot.unread),
        "stubs": [_stub(one, cover) for one in snapshot.stubs],
        "faults": [_fault(one, cover) for one in snapshot.faults],
    }
    yield _dumped(head)[:-1]
    shelves, told = snapshot.store.shelves, snapshot.told
    jobs = (job for shelf in shelves for job in shelf.jobs)
    yield from _section("jobs", (job_row(cover.job(job)) for job in jobs))
    yield from _section("chunks", chunk_rows(shelves, cover.json))
    yield from _section("deliveries", (delivery_row(cover.delivery(one)) for one in snapshot.store.deliveries))
    yield from _section("histories", ([*key, [_moment(one, cover) for one in noted]] for key, noted in told.noted))
    yield from _section("expired", (job_row(cover.job(job)) for job in told.expired))
    yield from _section("said", ([*key, [_piece(one, cover) for one in pieces]] for key, pieces in snapshot.said))
    yield from _section("calls", (_call(one, cover) for one in snapshot.calls))
    yield b"}"


def _section(name: str, rows: Iterable[Any]) -> Iterator[bytes]:
    """A list under a name."""
    yield b',"%s":[' % name.encode()
    parts, length, between = list[bytes](), 0, b""
    for row in rows:
        text = _dumped(row)
        parts += between, text
        between = b","
        length += len(text)
        if length > _PIECE:
            yield b"".join(parts)
            parts, length = [], 0
    yield b"".join((*parts, b"]"))


def _stub(kept: KeptStub, cover: Cover | Masked) -> dict[str, Any]:
    source = cover.value(_plain(kept.source))
    return {
        "id": kept.id, "stub": source, "place": kept.place, "counted": kept.counted, "ofStart": kept.of_start
    }  # fmt: skip


def _fault(kept: KeptFault, cover: Cover | Masked) -> dict[str, Any]:
    source = cover.value(_plain(kept.source))
    return {
        "id": kept.id, "fault": source, "expiresAt": kept.expires_at, "counted": kept.counted, "ofStart": kept.of_start
    }  # fmt: skip


def _plain(source: Any) -> Any:
    return source.model_dump(mode="json", exclude_unset=True) if isinstance(source, BaseModel) else source


def _moment(noted: Noted, cover: Cover | Masked) -> list[Any]:
    at, event, status, worker, retries, ttl = noted
    named = worker and cover.text(worker)
    return [at, event.__name__, None if status is None else status.value, named, retries, ttl]


def _piece(piece: Piece, cover: Cover | Masked) -> list[Any]:
    return [piece.at, piece.is_progress, text_of(cover.json(piece.output))]


def _call(call: Attempt, cover: Cover | Masked) -> list[Any]:
    return [call.at, cover.text(call.problem), delivery_row(cover.delivery(call.delivery))]


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # nested deeper than 254 levels, or a number of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def snapshots_in(data: bytes) -> list[Snapshot]:
    """The snapshots in this JSON; raises NoSnapshot, of which OtherVersion is one."""
    try:
        parsed = orjson.loads(data)
    except ValueError as error:
        raise NoSnapshot(f"it is no JSON: {error}") from error
    if not isinstance(parsed, dict) or parsed.get("format") != FORMAT:
        raise NoSnapshot(f'it is no state of runpod-emulator: there is no "format":"{FORMAT}" in it')
    if parsed.get("version") != VERSION or type(parsed["version"]) is not int:
        raise OtherVersion(parsed.get("version"), parsed.get("emulator"))
    try:
        found = [_snapshot(world) for world in parsed["worlds"]]
    except _WRONG as error:
        raise NoSnapshot(f"what is in it does not fit together: {type(error).__name__}: {str(error)[:200]}") from error
    if len({one.namespace for one in found}) < len(found):
        raise NoSnapshot("two worlds in it have the same namespace")
    return found


def _snapshot(world: Mapping[str, Any]) -> Snapshot:
    if world["records"] != records.FORMAT:
        raise ValueError(f"records of format {world['records']}")
    shelves = shelves_in(world["endpoints"], map(job_in, world["jobs"]), world["chunks"])
    return _typed(
        Snapshot(
            namespace=world["namespace"],
            mode=world["clock"]["mode"],
            now=world["clock"]["now"],
            loads=world["loads"],
            store=Contents(world["places"], shelves, [delivery_in(row) for row in world["deliveries"]]),
            told=Told([_noted(*row) for row in world["histories"]], [job_in(row) for row in world["expired"]]),
            said=[_said(*row) for row in world["said"]],
            calls=[_attempt(*row) for row in world["calls"]],
            unread=frozenset((endpoint, job) for endpoint, job in world["unread"]),
            stubs=[
                KeptStub(one["id"], one["stub"], one["place"], one["counted"], one["ofStart"]) for one in world["stubs"]
            ],
            faults=[
                KeptFault(one["id"], one["fault"], one["expiresAt"], one["counted"], one["ofStart"])
                for one in world["faults"]
            ],
        )
    )


def _typed(snapshot: Snapshot) -> Snapshot:
    """The same; raises ValueError or TypeError where something is of another type than it says."""
    for value, kind in (
        (snapshot.namespace, str), (snapshot.mode, str), (snapshot.now, int), (snapshot.loads, int),
        (snapshot.store.places, int),
    ):  # fmt: skip
        if type(value) is not kind:
            raise TypeError(f"{str(value)[:20]} is no {kind.__name__}")
    msgspec.convert(list(map(tuple, snapshot.stubs)), list[KeptStub])
    msgspec.convert(list(map(tuple, snapshot.faults)), list[KeptFault])
    return snapshot


def _noted(endpoint: str, job: str, rows: Sequence[Any]) -> tuple[Key, tuple[Noted, ...]]:
    moments = msgspec.convert(rows, list[_Moment])
    noted = tuple(
        (at, _KINDS[name], status, worker, retries, ttl) for at, name, status, worker, retries, ttl in moments
    )
    return _key(endpoint, job), noted


def _said(endpoint: str, job: str, rows: Sequence[Any]) -> tuple[Key, list[Piece]]:
    return _key(endpoint, job), [Piece(int(at), bool(is_progress), bytes_of(text)) for at, is_progress, text in rows]


def _attempt(at: int, problem: str, row: Sequence[Any]) -> Attempt:
    return Attempt(int(at), delivery_in(row), str(problem))


def _key(endpoint: Any, job: Any) -> Key:
    return msgspec.convert((endpoint, job), tuple[str, str])
