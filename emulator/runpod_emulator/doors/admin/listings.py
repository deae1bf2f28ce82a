"""Long lists of the admin API: looked through, and written down, in slices between which everybody else has a turn."""

from __future__ import annotations

import heapq
import json
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import orjson
from starlette.responses import Response, StreamingResponse

from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.mocks.stubs import fits, is_pattern
from runpod_emulator.core.time.clock import turn, work_time
from runpod_emulator.world.world import World

_LONGEST = 0.003
"""Seconds of work between two turns of the others."""
_PAGE = 1_000
"""Jobs that a store is asked for at once."""
_PIECE = 262_144
"""Bytes that are joined to be sent at once."""
MOST = 1_000_000
"""Of a limit or an offset."""
Item = TypeVar("Item")


async def slowly(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items, with turns for others between them."""
    until = work_time() + _LONGEST
    for item in items:
        yield item
        if work_time() > until:
            await turn()
            until = work_time() + _LONGEST


async def chosen(items: Iterable[Item], fits: Callable[[Item], bool]) -> list[Item]:
    """The items that fit."""
    return [item async for item in slowly(items) if fits(item)]


async def jobs_of(
    world: World,
    endpoint: str | None,
    status: JobStatus | None,
    offset: int,
    limit: int,
    fits: Callable[[Job], bool] | None = None,
) -> tuple[list[Job], int]:
    """A page of the jobs of all endpoints or one, newest first, and how many there are; raises EndpointNotFound.

    Only with `fits`, which is asked last, are all of them looked at.
    """
    total, found = 0, []
    for name in _named(world, endpoint):
        if fits is not None:
            chosen_ones = await _newest(world, name, status, MOST, fits)
            total += len(chosen_ones)
            found.append(chosen_ones[: offset + limit])
            continue
        now = (await world.store.counts(name)).now
        count = sum(now.values()) if status is None else now[status]
        total += count
        found.append(await _newest(world, name, status, min(offset + limit, count)))
    merged = heapq.merge(*found, key=lambda job: -job.submitted_at)
    return [job async for job in slowly(islice(merged, offset, offset + limit))], total


def telling(text: str, since: int | None) -> Callable[[Job], bool] | None:
    """Whether a job has a text in its id, its endpoint or its input, and came at a time or later; None for any job."""
    if not text and since is None:
        return None
    forms = {text.encode("utf-8", "replace"), json.dumps(text)[1:-1].encode()}

    def is_meant(job: Job) -> bool:
        if since is not None and job.submitted_at < since:
            return False
        return not text or text in job.id or text in job.endpoint or any(form in job.input for form in forms)

    return is_meant


def _named(world: World, endpoint: str | None) -> list[str]:
    """The endpoints that are meant: all, those that a pattern fits, or one; raises EndpointNotFound."""
    if endpoint is None or is_pattern(endpoint):
        return [name for name in world.endpoints.queues if endpoint is None or fits(endpoint, name)]
    return [world.endpoints.queue(endpoint).id]


async def _newest(
    world: World, endpoint: str, status: JobStatus | None, most: int, fits: Callable[[Job], bool] | None = None
) -> list[Job]:
    found: list[Job] = []
    offset = 0
    while len(found) < most:
        page, _ = await world.store.recent(endpoint, offset, _PAGE)
        if not page:
            break
        of_status = page if status is None else [job for job in page if job.status is status]
        found += of_status if fits is None else await chosen(of_status, fits)
        offset += _PAGE
        await turn()
    return found[:most]


async def listed(name: str, items: Iterable[Item], shape: Callable[[Item], Any], **more: int) -> Response:
    """An answer with the shapes of all items under one name, and more numbers."""
    rest = "".join(f',"{key}":{value}' for key, value in more.items())
    return await _long(b'{"%s":[' % name.encode(), items, shape, b"]%s}" % rest.encode())


async def plain_list(items: Iterable[Item], shape: Callable[[Item], Any]) -> Response:
    """An answer that is the list of the shapes."""
    return await _long(b"[", items, shape, b"]")


async def _long(begin: bytes, items: Iterable[Item], shape: Callable[[Item], Any], end: bytes) -> Response:
    """A list as an answer: a short one whole, a long one bit by bit, as fast as it is read."""
    pieces = _pieces(begin, items, shape, end)
    first = await anext(pieces)
    second = await anext(pieces, None)
    if second is None:
        return answer(first)

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        yield second
        async for piece in pieces:
            yield piece

    return StreamingResponse(all_pieces(), media_type="application/json")


async def _pieces(
    begin: bytes, items: Iterable[Item], shape: Callable[[Item], Any], end: bytes
) -> AsyncIterator[bytes]:
    parts, length = [begin], 0
    between = b""
    async for item in slowly(items):
        text = json_of(shape(item))
        parts += between, text
        between = b","
        length += len(text)
        if length > _PIECE:
            yield b"".join(parts)
            parts, length = [], 0
    yield b"".join([*parts, end])


def answer(text: bytes) -> Response:
    """An answer of this JSON text."""
    return Response(text, media_type="application/json")


def json_of(value: Any) -> bytes:
    """A value as JSON; it may hold fragments."""
    try:
        return orjson.dumps(value)
    except TypeError:  # nested deeper than 254 levels, which jobs may be
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_unfolded).encode()


def _unfolded(fragment: Any) -> Any:
    return json.loads(fragment.contents)
