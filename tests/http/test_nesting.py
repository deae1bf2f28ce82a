"""How deep a text is nested: the same answer as a look at each character gives, in time that grows with the length."""

import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from runpod_emulator.core.platform import preset
from runpod_emulator.http import nesting, wire
from runpod_emulator.http.nesting import nests_deeper

MIB = 1 << 20
PARTS = st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b'\\"', b"\\\\", b"[]", b"x", b"[" * 300, b"]" * 300])


def deepest(body: bytes) -> int:
    """One character after the other."""
    depth = most = 0
    in_string = escaped = False
    for char in body.decode():
        if escaped:
            escaped = False
        elif in_string:
            escaped, in_string = char == "\\", char != '"'
        elif char == '"':
            in_string = True
        else:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(char, 0)
            most = max(most, depth)
    return most


def outside_strings_plain(body: bytes) -> bool:
    """Whether every backslash stands in a string: one elsewhere is no JSON, and nobody asks how deep that is."""
    in_string = escaped = False
    for char in body.decode():
        if not in_string and char == "\\":
            return False
        if escaped:
            escaped = False
        elif in_string and char == "\\":
            escaped = True
        elif char == '"':
            in_string = not in_string
    return True


@given(parts=st.lists(PARTS, max_size=40), piece=st.integers(1, 9), block=st.integers(1, 9))
@example(parts=[b"[", b'"', b"\\\\", b'\\"', b"[", b'"', b"["], piece=3, block=1)
def test_it_is_what_each_character_says(parts, piece, block):
    body = b"".join(parts)
    if not outside_strings_plain(body):
        return
    depth = deepest(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "_PIECE", piece)
        patch.setattr(nesting, "_BLOCK", block)
        assert not nests_deeper(body, depth)
        assert depth == 0 or nests_deeper(body, depth - 1)


LONG = {
    "open brackets": lambda: b"[" * 20 * MIB,
    "points": lambda: b"[" + b"[1,2]," * (3 * MIB) + b"1]",
    "pairs": lambda: b"[" + b"[]," * (7 * MIB) + b"1]",
    "a string of brackets": lambda: b'["' + b"[" * 20 * MIB + b'"]',
    "escaped quotes": lambda: b'["' + b'\\"' * 10 * MIB + b'"' + b",[]" * 600 + b"]",
    "backslashes": lambda: b'["' + b"\\\\" * 10 * MIB + b'"' + b",[]" * 600 + b"]",
    "objects": lambda: b"[" + b'{"a":1},' * (5 * MIB // 2) + b"1]",
    "towers": lambda: b"[" + (b"[" * 450 + b"]" * 450 + b",") * (20 * MIB // 901) + b"1]",
}
"""Made when they are needed: each process of the tests loads this file."""


@pytest.mark.parametrize("name", LONG)
def test_20_mib_take_no_time_to_speak_of(name):
    body = LONG[name]()
    took = []
    for _ in range(3):
        began = time.process_time()
        nests_deeper(body, 500)
        took.append(time.process_time() - began)
        if min(took) < 0.05:
            return
    assert min(took) < 0.2


HEAVY = {
    "members": lambda: b"{" + b",".join(b'"%d":1' % i for i in range(1_600_000)) + b',"input":{}}',
    "a policy": lambda: b'{"input":{},"policy":{"x":[' + b"1," * 10 * MIB + b"1]}}",
    "an s3Config": lambda: b'{"input":{},"s3Config":{"x":[' + b"1," * 10 * MIB + b"1]}}",
    "a webhook": lambda: b'{"input":{},"webhook":[' + b"1," * 10 * MIB + b"1]}",
    "an error": lambda: b'{"error":[' + b"1," * 10 * MIB + b"1]}",
    "a stop": lambda: b'{"stopPod":[' + b"1," * 10 * MIB + b"1]}",
    "no number": lambda: b'{"output":[' + b"1," * 10 * MIB + b"NaN]}",
}


@pytest.mark.parametrize("name", HEAVY)
def test_no_member_is_taken_apart_that_nobody_asks_for(name):
    body = HEAVY[name]()
    took = []
    for _ in range(3):
        began = time.process_time()
        with contextlib.suppress(wire.InvalidBody):
            wire.submission(body, preset("observed"), sync=False)
        middle = time.process_time()
        try:
            wire.report(body)
        except wire.InvalidBody:
            wire.is_loose(body)
        took.append(max(middle - began, time.process_time() - middle))
        if min(took) < 0.05:
            return
    assert min(took) < 0.3
