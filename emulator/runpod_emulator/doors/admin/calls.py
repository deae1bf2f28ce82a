"""What a test tells the built-in receiver of webhooks to answer, and expects it to have got."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import Field, model_validator

from runpod_emulator.core.errors import InvalidBody
from runpod_emulator.core.mocks.stubs import Question, Slow
from runpod_emulator.core.records.receiver import Answer, Received
from runpod_emulator.doors.admin import listings, shapes
from runpod_emulator.doors.admin.questions import HeaderText, Parameters, header_differences
from runpod_emulator.doors.admin.verified import Bounds, Verified
from runpod_emulator.mocking.checks import input_check, input_regex_check
from runpod_emulator.mocking.forms import Pattern
from runpod_emulator.values import Milliseconds
from runpod_emulator.world.world import World

_MOST, _NEAREST = 20, 5
"""Lines about calls that fit, and about those that did not."""
_LONGEST = 200
"""Characters of a body that are told."""


class Answers(Parameters):
    """What the receiver answers next."""

    status: int = Field(200, ge=100, le=599)
    times: int = Field(1, ge=1, le=1_000)
    name: str | None = Field(None, description="only calls to the URL of this name")
    delay: Milliseconds = Field(0, ge=0, description="the answer comes later, as 2s")
    body: Any = Field(None, description="of the answer: JSON, or a text")
    drop: bool = Field(False, description="the connection ends without an answer")

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Answers:
        if self.drop and not {"status", "body"}.isdisjoint(self.model_fields_set):
            raise ValueError("drop: a connection that is dropped has no status and no body")
        return self

    def tell(self, world: World, times: int) -> None:
        """Let the receiver of a world answer so many calls so."""
        body = b"" if self.body is None else self.body.encode() if isinstance(self.body, str) else _json(self.body)
        world.receiver.answer(Answer(self.status, self.delay, body, self.drop), times, self.name)


class CallFilter(Parameters):
    """Which calls are meant; what is not said may be anything."""

    name: str | None = Field(None, description="the last part of the URL")
    status: int | None = Field(None, description="of the answer")
    body: Any = Field(None, description="a part of the JSON body: members that must be there with these values")
    body_regex: dict[str, Pattern] = Field({}, max_length=100, description="patterns by path in the body")
    headers: dict[str, HeaderText] = Field({}, description="values, or {regex: pattern}")

    def differences(self, call: Received, world: World) -> Iterator[str]:
        """What keeps a call from being meant; raises InvalidBody for a pattern that takes too long."""
        question = Question("", call.body or b"null")
        for name, expected, actual in (("name", self.name, call.name), ("status", self.status, call.status)):
            if expected is not None and expected != actual:
                yield world.masks.text(f"{name}: expected {expected!r}, got {actual!r}")
        parts = [] if self.body is None else [input_check(self.body)]
        for check in (*parts, *(input_regex_check(*one) for one in self.body_regex.items())):
            difference = check(question)
            if isinstance(difference, Slow):
                raise InvalidBody(f"body_regex: {difference.partition(': ')[2]}")
            if difference:
                yield world.masks.text(difference.replace("input", "body", 1))
        yield from header_differences(self.headers, call.headers, question, world.masks)


class Expected(Parameters):
    """How many calls of a kind must have come."""

    match: CallFilter = Field(default_factory=lambda: CallFilter.model_validate({}))
    count: int | None = Field(None, ge=0, description="exactly so many; without it at least one")
    at_least: int | None = Field(None, ge=0)
    at_most: int | None = Field(None, ge=0)

    async def verified(self, world: World) -> Verified:
        """What came; raises InvalidBody for numbers that contradict each other."""
        bounds = Bounds(self.count, self.at_least, self.at_most)
        seen = [
            (call, list(self.match.differences(call, world))) async for call in listings.slowly(list(world.receiver))
        ]
        found = [call for call, differences in seen if not differences]
        if len(found) in bounds:
            return Verified(ok=True, count=len(found), detail="")
        detail = bounds.expected("call", len(found))
        if len(found) > bounds.low:
            told = [f"{_line(call, world)}: {_body(call, world)}" for call in found[-_MOST:]]
            return Verified(ok=False, count=len(found), detail=f"{detail}:" + _lines(told))
        others = sorted((one for one in seen if one[1]), key=lambda one: len(one[1]))[:_NEAREST]
        told = [f"{_line(call, world)}: {'; '.join(differences)}" for call, differences in others]
        detail += "; the nearest:" + _lines(told) if told else f"; no {'other ' * bool(found)}call came"
        return Verified(ok=False, count=len(found), detail=detail)


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise InvalidBody(f"body: {error}") from error


def _line(call: Received, world: World) -> str:
    return world.masks.text(f"{call.name} ({call.status or 'dropped'})")


def _body(call: Received, world: World) -> str:
    text = listings.json_of(shapes.shown(call.body, world.masks)).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _lines(told: list[str]) -> str:
    return "".join(f"\n  {line}" for line in told)
