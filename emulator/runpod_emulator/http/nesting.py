"""How deep a JSON text is nested, found out without parsing it: in time that grows with its length alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

_PIECE = 64 * 1024
"""Bytes looked at in one go: a few tenths of a millisecond, after which another thread gets its turn."""
_BLOCK = 256
"""Brackets counted together; one by one they are looked at only where they could reach the limit."""
_OPEN = b"\x01"
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Brackets as the bytes of 1 and -1."""
_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_BACKSLASHES = re.compile(rb"\\*")


def nests_deeper(body: bytes, limit: int) -> bool:
    """Whether more than `limit` arrays and objects are open at once anywhere; brackets in strings do not count."""
    return _has_more(body, limit) and _rises_above(body, limit)


def _has_more(body: bytes, limit: int) -> bool:
    """Whether it has more opening brackets than that; long texts without any are passed over in leaps."""
    if len(body) <= limit:
        return False
    for bracket in (b"[", b"{"):
        at = body.find(bracket)
        while at >= 0:
            limit -= 1
            if limit < 0:
                return True
            at = body.find(bracket, at + 1)
    return False


def _rises_above(body: bytes, limit: int) -> bool:
    depth = 0
    for steps in _steps(body):
        signed = memoryview(steps).cast("b")
        for start in range(0, len(steps), _BLOCK):
            end = min(start + _BLOCK, len(steps))
            opened = steps.count(_OPEN, start, end)
            if depth + opened > limit and depth + max(accumulate(signed[start:end])) > limit:
                return True
            depth += 2 * opened - (end - start)
    return False


def _steps(body: bytes) -> Iterator[bytes]:
    """For each piece of the text the brackets outside strings, in order: 1 for one that opens, 255 for one that closes.

    Two adjacent quotes can be dropped wherever they stand: what lies behind them stays
    inside, or outside, a string. That leaves the quotes of strings that hold brackets.
    """
    in_string = 0
    for piece in _pieces(body):
        if b"\\" in piece:  # to look for two bytes in vain takes longer than all the rest
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        plain = piece.translate(_STEPS, _NOT_BRACKETS)
        if b'"' in plain:
            plain = plain.replace(b'""', b"")
        parts = plain.split(b'"')
        yield b"".join(parts[in_string::2])
        in_string ^= len(parts) - 1 & 1


def _pieces(body: bytes) -> Iterator[bytes]:
    """The text in pieces, none of which ends between a backslash and what it escapes."""
    start = 0
    while start < len(body):
        end = start + _PIECE
        if body[end - 1 : end] == b"\\":
            found = _BACKSLASHES.match(body, end)
            assert found is not None
            end = found.end() + 1
        yield body[start:end]
        start = end
