"""Whether the requests came that a test expects: as many, and in this order; and what came instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, Field

from runpod_emulator.core.errors import InvalidBody
from runpod_emulator.core.records.journal import Journal
from runpod_emulator.core.records.news import Entry
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.doors.admin.listings import chosen, slowly
from runpod_emulator.doors.admin.questions import Filter, Parameters
from runpod_emulator.doors.admin.told import folded, lines
from runpod_emulator.world.world import World

_NEAREST, _MOST = 5, 20
"""Lines about requests that did not fit, and about those that did."""


class Verified(BaseModel):
    """What came."""

    ok: bool
    count: int
    detail: str = Field("", description="what came instead, when it is not as expected")


class Bounds:
    """How many are expected; raises InvalidBody for numbers that contradict each other."""

    def __init__(self, count: int | None = None, at_least: int | None = None, at_most: int | None = None) -> None:
        if count is not None and (at_least is not None or at_most is not None):
            raise InvalidBody("count: write either count, or at_least and at_most")
        self.high = at_most if count is None else count
        usual = int(at_most is None) if at_least is None else at_least
        self.low = usual if count is None else count
        if self.high is not None and self.high < self.low:
            raise InvalidBody(f"at_most: {self.high} is less than at_least, {self.low}")

    def __contains__(self, found: int) -> bool:
        return self.low <= found and (self.high is None or found <= self.high)

    def __str__(self) -> str:
        if self.high == self.low:
            return str(self.low or "no")
        if self.high is None:
            return f"at least {self.low}"
        return f"{self.low} to {self.high}" if self.low else f"at most {self.high}"

    def expected(self, thing: str, found: int) -> str:
        """What was expected, and what is there."""
        number = self.low if self.high is None else self.high
        return f"expected {self} such {thing}{'' if number in (0, 1) else 's'}, got {found or 'none'}"


class Verification(Parameters):
    """How many requests of a kind must have come, or in which order."""

    match: Filter | None = None
    order: list[Filter] | None = Field(
        None, max_length=100, description="these must have come one after the other, whatever came between them"
    )
    count: int | None = Field(None, ge=0, description="exactly so many; without it at least one")
    at_least: int | None = Field(None, ge=0)
    at_most: int | None = Field(None, ge=0)

    async def verified(self, world: World, found: set[int] | None = None) -> Verified:
        """What came, and its numbers in `found`; raises InvalidBody for a question without a meaning."""
        found = set() if found is None else found
        if (self.match is None) == (self.order is None):
            raise InvalidBody("write either match or order")
        for match in (*(self.order or ()), *([self.match] if self.match else ())):
            match.check(world)
        if self.match is None:
            return await verified_order(world.journal, world.masks, self.order or [], found)
        bounds = Bounds(self.count, self.at_least, self.at_most)
        return await verified(world.journal, world.masks, self.match, bounds, found)


async def verified(journal: Journal, masks: Masks, match: Filter, bounds: Bounds, numbers: set[int]) -> Verified:
    """Whether as many requests fit as were expected, whose `numbers` are added; raises InvalidBody."""
    _meaning(match)
    found = await chosen(list(journal), match.fits)
    numbers.update(entry.number for entry in found)
    unread = await chosen(list(journal), match.may_fit) if bounds.high is not None else []
    if len(found) in bounds and len(found) + len(unread) in bounds:
        return Verified(ok=True, count=len(found), detail="")
    detail = bounds.expected("request", len(found)) + _forgotten(journal)
    if len(found) in bounds:
        detail += f", and {len(unread)} whose body can't be compared:"
        differences = ((entry, f": {'; '.join(match.differences(entry, masks))}") for entry in unread)
        detail += "".join(f"\n  {line}" for line in lines(differences, masks, _NEAREST))
    elif len(found) > bounds.low:
        told = lines(((entry, "") for entry in found), masks, _MOST)
        detail += ":" + "".join(f"\n  {line}" for line in told)
    else:
        detail += await _nearest(match, list(journal), masks, "request" if not found else "other request")
    return Verified(ok=False, count=len(found), detail=detail)


def _forgotten(journal: Journal) -> str:
    """That older requests were forgotten, if some were; whoever expects none can't know of those."""
    return f" among the last {len(journal)}; {journal.forgotten} older ones were forgotten" if journal.forgotten else ""


async def verified_order(journal: Journal, masks: Masks, order: Sequence[Filter], numbers: set[int]) -> Verified:
    """Whether requests came in this order, whose `numbers` are added; raises InvalidBody."""
    if len(order) < 2:
        raise InvalidBody("order: write two matches, or more")
    for match in order:
        _meaning(match)
    entries = list(journal)
    met: list[Entry] = []
    rest = iter(entries)
    for match in order:
        found = await _next(rest, match)
        if found is None:
            missing = await _missing(entries, masks, order, met)
            older = f"\n  {journal.forgotten} older requests were forgotten" if journal.forgotten else ""
            return Verified(ok=False, count=len(met), detail=missing + older)
        met.append(found)
        numbers.add(found.number)
    return Verified(ok=True, count=len(met), detail="")


async def _next(entries: Iterator[Entry], match: Filter) -> Entry | None:
    async for entry in slowly(entries):
        if match.fits(entry):
            return entry
    return None


async def _missing(entries: list[Entry], masks: Masks, order: Sequence[Filter], met: list[Entry]) -> str:
    """Which request of an order did not come, and when it came instead."""
    match, which = order[len(met)], f"request {len(met) + 1} of {len(order)} did not come"
    if not met:
        return which + await _nearest(match, entries, masks, "request")
    told = "".join(f"\n  {number}: {line}" for number, line in enumerate(_each(met, masks), 1))
    earlier = await chosen(entries, match.fits)
    if not earlier:
        return f"{which}{told}" + await _nearest(match, entries, masks, "request")
    came = "".join(f"\n  it came before: {line}" for line in lines(((one, "") for one in earlier), masks, _NEAREST))
    return f"{which} after the others{told}{came}"


def _each(entries: list[Entry], masks: Masks) -> list[str]:
    return [fold.line(masks) for entry in entries for fold in folded([(entry, "")])]


async def _nearest(match: Filter, entries: list[Entry], masks: Masks, other: str) -> str:
    """The requests that came instead, the nearest first."""
    others = [
        (differences, entry)
        async for entry in slowly(entries)
        if (differences := list(match.differences(entry, masks)))
    ]
    if not others:
        return f"; no {other} came"
    ranked = sorted(others, key=lambda one: len(one[0]))
    folds = folded((entry, f": {'; '.join(differences)}") for differences, entry in ranked)
    return "; the nearest:" + "".join(f"\n  {fold.line(masks)}" for fold in folds[:_NEAREST])


def _meaning(match: Filter) -> None:
    if match.is_empty:
        raise InvalidBody("match: say which requests are meant; an empty one would fit any")
