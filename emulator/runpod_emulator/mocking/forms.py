"""The forms in which a stub's members are written: the fields that its models are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)  # fmt: skip
from pydantic_core import PydanticCustomError, core_schema

from runpod_emulator.core.settings import Span
from runpod_emulator.mocking.patterns import Refused, check_pattern
from runpod_emulator.mocking.templates import Unusable, check_json, value_of
from runpod_emulator.mocking.words import kind_of
from runpod_emulator.values import as_text, nearest, spanned

_NEAR = 0.7
"""How alike a wrong key and a right one are, of 1, that one may be meant for the other: `aftr`, `afer`, `Polls`."""
_LONGEST_KEY = 100
"""Characters of a wrong key that are compared with the right ones, and shown."""


class Written(BaseModel):
    """A mapping that users write: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    expected: ClassVar[str] = "a mapping"
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """What to say of keys that are none here: where they belong, where what is nearest would mislead."""

    @model_validator(mode="before")
    @classmethod
    def _is_known(cls, given: Any) -> Any:
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise PydanticCustomError(
                "not_a_mapping", "write {expected}; this is {kind}", {"expected": cls.expected, "kind": kind_of(given)}
            )
        for key in given:
            if key not in cls.model_fields:
                place = cls.elsewhere.get(str(key))
                hint = nearest(str(key), cls.model_fields) if place is None else f"; {place}"
                raise refusal(f"no such key{hint}", (str(key),))
        return given


def refusal(reason: str, keys: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """An error of validation; `keys` lead on from the field to the part that is wrong."""
    where = "".join(f"{key}: " for key in [".".join(str(key)[:_LONGEST_KEY] for key in keys)] if key)
    context = {"where": where, "reason": reason, "keys": list(keys)}
    return PydanticCustomError("refused", "{where}{reason}", context)


def _templated(written: Any) -> Any:
    try:
        value_of(written)
    except Unusable as error:
        raise refusal(error.reason, error.keys) from error
    return written


def _json(written: Any) -> Any:
    try:
        check_json(written)
    except Unusable as error:
        raise refusal(error.reason, error.keys) from error
    return written


_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x", re.ASCII: "a"}


def written_pattern(given: Any) -> Any:
    """The text of a pattern that a test has compiled; anything else as it is."""
    if not isinstance(given, re.Pattern) or not isinstance(given.pattern, str):
        return given
    flags = "".join(letter for flag, letter in _FLAGS.items() if given.flags & flag)
    return f"(?{flags}){given.pattern}" if flags else given.pattern


def _pattern(written: str) -> str:
    try:
        check_pattern(written)
    except Refused as error:
        raise refusal(f"no regular expression: {error}") from error
    return written


def _span(written: Any, info: core_schema.ValidationInfo) -> Span:
    try:
        return spanned(written, info)
    except OverflowError as error:
        raise ValueError("longer than any time") from error


Json = Annotated[Any, AfterValidator(_json)]
"""Any JSON."""
Templated = Annotated[Any, AfterValidator(_templated)]
"""Any JSON, with templates in it."""
TemplatedText = Annotated[str, Field(min_length=1), AfterValidator(_templated)]
"""A text that is a template or not."""
Pattern = Annotated[str, BeforeValidator(written_pattern), AfterValidator(_pattern)]
"""A regular expression of Python's, within the bounds of `patterns.py`; in Python also one that is compiled."""
Time = Annotated[
    str | int | Span,
    GetPydanticSchema(lambda _source, _handler: core_schema.with_info_plain_validator_function(_span)),
    PlainSerializer(as_text),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}], "examples": ["2s", "1s-3s", 250]}
    ),
]
"""A duration, or a range that the dice choose from: ms, `2s` or `1s-3s`. A Span once it is read."""


TAGS = ("<one>", "<list>", "<mapping>", "<text>")
"""Of the members of unions; they are in the places of pydantic's errors, and in nothing that users write."""


def _list_or_one(written: Any) -> str:
    return "<list>" if isinstance(written, list) else "<one>"


def mapping_or_text(written: Any) -> str:
    """The tag of a mapping, or of anything else."""
    return "<mapping>" if isinstance(written, Mapping | Written) else "<text>"


ONE = Tag("<one>")
SEVERAL = Tag("<list>")
ONE_OR_SEVERAL = Discriminator(_list_or_one)
"""Makes one error of a union with a list: pydantic would report the first member's, which may not be the point."""


def _misspelt(given: Mapping[Any, Any], name: str, known: Iterable[str]) -> str:
    """What is wrong with a mapping that looks like an item of ours, and is none: "" for data of the user's own.

    It looks like one where some of its keys are ours, and each of the others is nearly one that is missing.
    """
    missing, ours = [one for one in known if one not in given], [key for key in given if key in known]
    others = [str(key)[:_LONGEST_KEY] for key in given if key not in known]
    near = {key: get_close_matches(key, missing, n=1, cutoff=_NEAR) for key in others}
    if not ours or not all(near.values()):
        return ""
    return f"{others[0]}: no such key; the nearest is {near[others[0]][0]}" if others else f"{name} is missing"


def short_form(model: type[Written], name: str) -> GetPydanticSchema:
    """Makes a field of `model` that is also written as the bare value of its member `name`.

    A mapping is the long form only if it has that member and none but the model's.
    """

    def lengthened(given: Any) -> Any:
        is_long = isinstance(given, model) or (
            isinstance(given, Mapping) and name in given and set(given) <= set(model.model_fields)
        )
        if isinstance(given, Mapping) and not is_long and (wrong := _misspelt(given, name, model.model_fields)):
            keys = ", ".join(sorted(model.model_fields))
            raise refusal(f"{wrong}; an item has {name} and no keys but {keys}, or is data as a whole: {{{name}: …}}")
        return given if is_long else {name: given}

    def schema(_source: Any, handler: Callable[[Any], core_schema.CoreSchema]) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(lengthened, handler(model))

    long = f"{{{', '.join(sorted(model.model_fields))}}}"
    description = f"the value itself, or {long}, of which {name} must be there and no other key may be"
    return GetPydanticSchema(schema, lambda _source, _handler: {"description": description})
