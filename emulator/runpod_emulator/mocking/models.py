"""A stub as users write it, in YAML, JSON or Python: which jobs it matches, and what they get."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from itertools import count
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.mocks.stubs import Check, is_pattern
from runpod_emulator.core.mocks.stubs import Stub as CoreStub
from runpod_emulator.core.settings import check_id
from runpod_emulator.mocking import checks
from runpod_emulator.mocking.forms import ONE, ONE_OR_SEVERAL, SEVERAL, Json, Pattern, Written, mapping_or_text
from runpod_emulator.mocking.responses import Chunk, Response, Step, Update

__all__ = ["Chunk", "HeaderPattern", "Match", "Response", "Step", "Stub", "Update"]

Number = Annotated[int, Field(ge=1, le=1_000_000_000)]
Numbers = Annotated[list[Number], Field(min_length=1)]
Responses = Annotated[list[Response], Field(min_length=1)]


class HeaderPattern(Written):
    """A header whose value is one of many."""

    regex: Pattern = Field(description="is searched in the value")


def _header(given: Any) -> Any:
    return {"regex": given} if isinstance(given, re.Pattern) else given


Header = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[HeaderPattern, Tag("<mapping>")],
    Discriminator(mapping_or_text),
    BeforeValidator(_header),
]


class Match(Written):
    """The jobs that a stub is for: all that is written must hold."""

    expected: ClassVar[str] = "a match as a mapping, such as {input: {prompt: hello}}"
    elsewhere: ClassVar[Mapping[str, str]] = {
        name: f"a part of the input is written below input: {{input: {{{name}: …}}}}"
        for name in ("prompt", "text", "messages", "model", "image", "seed")
    }

    input: Json = Field(
        default=None,
        description="a part of the input: objects member by member, lists item by item, all else equal",
        examples=[{"prompt": "hello"}],
    )
    input_regex: dict[str, Pattern] = Field(
        default={},
        description="by path in the input, such as `options.0.name`: a pattern that is searched in the text there, or "
        "in the compact JSON of what is no text",
        examples=[{"options.name": "^fast"}],
    )
    headers: dict[str, Header] = Field(
        default={},
        description="by name, in any case: the value, or {regex: pattern}",
        examples=[{"x-tenant": "acme", "user-agent": {"regex": "^RunPod"}}],
    )
    call: Annotated[Annotated[Number, ONE] | Annotated[Numbers, SEVERAL], ONE_OR_SEVERAL] | None = Field(
        default=None,
        description="the number, from 1, of the job among those that fit otherwise; or several numbers",
        examples=[[1, 3]],
    )

    def checks(self) -> Iterator[Check]:
        """What a job must pass, apart from its number."""
        if self.input is not None:
            yield checks.input_check(self.input)
        for path, pattern in self.input_regex.items():
            yield checks.input_regex_check(path, pattern)
        for name, header in self.headers.items():
            if isinstance(header, HeaderPattern):
                yield checks.header_regex_check(name, header.regex)
            else:
                yield checks.header_check(name, header)

    def calls(self) -> frozenset[int]:
        """The numbers of the jobs; empty for all."""
        if self.call is None:
            return frozenset()
        return frozenset([self.call] if isinstance(self.call, int) else self.call)


def _free(endpoint: str) -> str:
    try:
        if not is_pattern(endpoint):
            check_id(endpoint)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return endpoint


class Stub(Written):
    """Jobs that match get this response, whatever would run otherwise."""

    expected: ClassVar[str] = "a stub as a mapping, such as {respond: {output: hello}}"
    elsewhere: ClassVar[Mapping[str, str]] = {
        name: f"it belongs in {place}: {{{name}: …}}"
        for place, model in (("respond", Response), ("match", Match))
        for name in model.model_fields
    }

    id: str | None = Field(
        default=None, min_length=1, description="names the stub; made up if missing", examples=["greeting"]
    )
    endpoint: Annotated[str, AfterValidator(_free)] = Field(
        default="*", min_length=1, max_length=1_000, description="a pattern as in a shell", examples=["llm*"]
    )
    match: Match = Field(
        default=Match(), description="the jobs it is for; all if missing", examples=[{"input": {"prompt": "hello"}}]
    )
    priority: int = Field(
        default=0,
        ge=-1_000_000_000,
        le=1_000_000_000,
        description="stubs of higher priority are asked first; of equal ones, the youngest",
        examples=[10],
    )
    times: Number | None = Field(
        default=None, description="how many jobs it takes, without an end if missing", examples=[2]
    )
    respond: Annotated[Annotated[Response, ONE] | Annotated[Responses, SEVERAL], ONE_OR_SEVERAL] = Field(
        description="the response, or a list of them: one a run, in the order in which workers take the jobs, "
        "the last again and again",
        examples=[[{"error": "CUDA out of memory"}, {"output": "hello"}]],
    )

    def to_core(
        self,
        place: str = "",
        source: Mapping[str, Any] | None = None,
        *,
        taken: Container[str] = (),
        numbers: Iterator[int] | None = None,
    ) -> CoreStub:
        """The stub that matches and counts.

        `place` is where it was written, `source` how, by default its members. Where it has
        no id, it gets the first of stub-1, stub-2 ... that is not `taken`. Several stubs may share
        `numbers`, from 1: none searches those before it again.
        """
        stub_id = self.id or next(name for number in numbers or count(1) if (name := f"stub-{number}") not in taken)
        responses = self.respond if isinstance(self.respond, list) else [self.respond]
        return CoreStub(
            id=stub_id,
            scripts=tuple(response.to_core(f"stub {stub_id}") for response in responses),
            endpoint=self.endpoint,
            checks=tuple(self.match.checks()),
            calls=self.match.calls(),
            priority=self.priority,
            times=self.times,
            place=place,
            source=self.model_dump(exclude_unset=True) if source is None else source,
        )
