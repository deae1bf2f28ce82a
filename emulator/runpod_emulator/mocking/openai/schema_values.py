"""Values that fit a JSON schema: made byte by byte, each one of those that a grammar of the schema allows next.

The grammar is llguidance's, one of those by which vLLM itself holds models to a schema, so what vLLM can't hold to is
refused here too. What is chosen among the allowed bytes makes short values that people can read.
"""

from __future__ import annotations

import json
import random
import string
from typing import TYPE_CHECKING, Any

from runpod_emulator.mocking.openai import tokens
from runpod_emulator.mocking.openai.errors import ModelError, bad_request

if TYPE_CHECKING:
    from llguidance import LLMatcher

_MOST_BYTES = 16_384
"""Of one value."""
_DEEPEST = 6
"""Levels from which on a value closes as soon as it may."""
_READABLE = frozenset((string.ascii_letters + string.digits).encode())
_DIGITS = frozenset(b"0123456789")
_PLAIN = _READABLE - frozenset(b"06789")
"""Of digits those that no date or time makes odd: its seconds may be 60."""
_SEPARATORS = frozenset(b"@.-_:/ ")
_SEPARATED = 0.2
"""How often one of these is taken where a text could go on without: a format may wait for it."""
_FREE = 40
"""Allowed bytes of a member's name from which on it is anybody's, and no property of the schema."""
_ITEMS, _DIGITS_MOST = 3, 3
_NEEDS = "a value that fits a schema needs one library more: pip install 'runpod-emulator[openai]'"


def value(schema: dict[str, Any], chance: random.Random, lenient: bool = False) -> str:
    """The compact JSON of a value that fits; raises ModelError for a schema that no grammar can be made of.

    A `lenient` one passes over keywords that the grammar does not know, as models do that nothing holds to a schema.
    """
    return _Writer(_matcher(schema, lenient), chance).written()


def _matcher(schema: dict[str, Any], lenient: bool) -> LLMatcher:
    try:
        from llguidance import LLMatcher, LLTokenizer
    except ImportError:
        raise ModelError(501, "MissingLibraryError", _NEEDS) from None
    try:
        form = LLMatcher.grammar_from_json_schema(
            json.dumps(schema), overrides={"whitespace_flexible": False, "lenient": lenient}
        )
        matcher = LLMatcher(LLTokenizer("byte"), form, log_level=0)
    except ValueError as error:
        raise _misfit(str(error)) from None
    if matcher.is_error():
        raise _misfit(matcher.get_error())
    return matcher


def _misfit(reason: str) -> ModelError:
    """A schema that no value is made for; below the first line of its reason llguidance shows what it was doing."""
    return bad_request(f"Invalid JSON schema: {reason.partition(chr(10))[0] or 'no value fits it'}")


class _Writer:
    """Writes one value."""

    def __init__(self, matcher: LLMatcher, chance: random.Random) -> None:
        self._matcher = matcher
        self._chance = chance
        self._text = bytearray()
        self._levels: list[int] = []
        """How many commas each open object or list has."""
        self._is_string = False
        self._escaped = False
        self._wanted = b""
        """What is left of the words that the present string would like to say."""
        self._digits = 0

    def written(self) -> str:
        """The whole value."""
        while not self._matcher.is_stopped():
            if forced := self._matcher.compute_ff_bytes():
                self._write(forced)
                continue
            allowed = self._allowed()
            if self._is_over(allowed):
                break
            if not allowed:
                raise _misfit(self._matcher.get_error())
            self._write(bytes([self._choose(allowed)]))
        return self._text.decode("utf-8", "replace")

    def _allowed(self) -> frozenset[int]:
        bias = self._matcher.compute_logit_bias()
        return frozenset(byte for byte in range(256) if bias[byte])

    def _is_over(self, allowed: frozenset[int]) -> bool:
        """Whether the value may end, and does: a number at the top may always go on."""
        return self._matcher.is_accepting() and (not allowed & _DIGITS or self._digits >= _DIGITS_MOST)

    def _write(self, written: bytes) -> None:
        self._matcher.consume_tokens(list(written))
        self._text += written
        if len(self._text) > _MOST_BYTES:
            raise _misfit(f"its values have more than {_MOST_BYTES} bytes")
        for byte in written:
            self._follow(byte)

    def _follow(self, byte: int) -> None:
        self._digits = self._digits + 1 if byte in _DIGITS else 0
        if self._is_string:
            closes = byte == ord('"') and not self._escaped
            self._escaped = byte == ord("\\") and not self._escaped
            self._is_string = not closes
        elif byte == ord('"'):
            self._is_string = True
            self._wanted = tokens.words(self._chance, self._chance.randint(1, 3)).rstrip(".").encode()
        elif byte in b"{[":
            self._levels.append(0)
        elif byte in b"}]" and self._levels:
            self._levels.pop()
        elif byte == ord(",") and self._levels:
            self._levels[-1] += 1

    def _choose(self, allowed: frozenset[int]) -> int:
        return self._in_string(allowed) if self._is_string else self._outside(allowed)

    def _in_string(self, allowed: frozenset[int]) -> int:
        if not self._wanted and ord('"') in allowed:
            return ord('"')
        wanted, self._wanted = self._wanted[:1], self._wanted[1:]
        if wanted and wanted[0] in allowed:
            return wanted[0]
        if not wanted and allowed & _SEPARATORS and self._chance.random() < _SEPARATED:
            return self._any(allowed & _SEPARATORS)
        return self._any(allowed & _PLAIN or allowed & _READABLE or allowed - {ord('"'), ord("\\")} or allowed)

    def _outside(self, allowed: frozenset[int]) -> int:
        if self._digits and allowed - _DIGITS and self._ends_number():
            allowed = allowed & frozenset(b",]}") or allowed
        closing = allowed & frozenset(b"]}")
        if closing and self._closes(allowed):
            return min(closing)
        allowed = allowed - closing or allowed
        for preferred in (frozenset(b",:"), *_kinds(len(self._levels))):
            if allowed & preferred:
                return self._any(allowed & preferred)
        return self._any(allowed - frozenset(b"eE.-+n \t\r\n") or allowed)

    def _ends_number(self) -> bool:
        return self._digits >= self._chance.randint(1, _DIGITS_MOST)

    def _closes(self, allowed: frozenset[int]) -> bool:
        """Whether the present object or list ends where it may."""
        if len(self._levels) >= _DEEPEST or len(self._text) > _MOST_BYTES // 2:
            return True
        if ord("]") in allowed:
            return ord(",") in allowed and self._levels[-1] + 1 >= self._chance.randint(1, _ITEMS)
        return self._has_free_name(allowed)

    def _has_free_name(self, allowed: frozenset[int]) -> bool:
        """Whether the next member of an object would be one that its schema does not name."""
        ahead = self._matcher.deep_copy()
        for byte in b',"' if ord(",") in allowed else b'"':
            if not ahead.consume_token(byte):
                return True
        return sum(map(bool, ahead.compute_logit_bias()[:128])) > _FREE

    def _any(self, allowed: frozenset[int]) -> int:
        return self._chance.choice(sorted(allowed))


def _kinds(depth: int) -> tuple[frozenset[int], ...]:
    """How values begin, the preferred first: at the top no null where something else may stand, deep down no depth."""
    texts, branches, literals = frozenset(b'"'), frozenset(b"{["), frozenset(b"tf")
    if depth < _DEEPEST - 2:
        return texts | branches, _DIGITS, literals
    return texts, _DIGITS, literals, frozenset(b"n")
