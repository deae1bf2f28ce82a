"""Size limits of results and stream chunks."""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runpod_emulator.core.jobs.job import Completed, Failed
from runpod_emulator.core.jobs.results import ending, is_oversized, split_chunk
from runpod_emulator.core.platform import preset

OBSERVED = preset("observed", run_result_limit=10, runsync_result_limit=11)
DOCUMENTED = preset("documented", run_result_limit=10, runsync_result_limit=11)
FITS, TOO_LONG = b'"12345678"', b'"123456789"'


def test_a_result_without_error_completes():
    assert ending("j", 3, FITS, None, OBSERVED) == Completed(3, FITS)
    assert ending("j", 3, None, "", OBSERVED) == Completed(3, None)


def test_an_error_fails_the_job_and_keeps_the_output_beside_it():
    assert ending("j", 3, FITS, "boom", OBSERVED) == Failed("boom", FITS, 3)


def test_a_result_at_the_limit_is_kept_and_one_byte_more_is_not():
    assert [is_oversized("j", output, OBSERVED) for output in (FITS, TOO_LONG, None)] == [False, True, False]


def test_runsync_has_a_limit_of_its_own():
    assert not is_oversized("sync-j", TOO_LONG, OBSERVED)
    assert is_oversized("sync-j", TOO_LONG + b" ", OBSERVED)
    assert ending("sync-j", 3, TOO_LONG + b" ", None, DOCUMENTED) == Failed(
        "result too large: more than 11 bytes", None, 3
    )


def test_an_oversized_result_completes_without_output_as_observed():
    assert ending("j", 3, TOO_LONG, None, OBSERVED) == Completed(3, None)


def test_an_oversized_result_fails_as_documented():
    assert ending("j", 3, TOO_LONG, None, DOCUMENTED) == Failed("result too large: more than 10 bytes", None, 3)


@pytest.mark.parametrize("platform", [OBSERVED, DOCUMENTED])
def test_an_oversized_result_does_not_hide_the_error_beside_it(platform):
    assert ending("j", 3, TOO_LONG, "boom", platform) == Failed("boom", None, 3)


def test_a_chunk_at_the_limit_stays_whole_and_a_longer_string_is_split():
    platform = preset("observed")
    whole = json.dumps("x" * 999_998).encode()
    assert len(whole) == platform.stream_chunk_limit == 1_000_000
    assert split_chunk(whole, platform) == (whole,)
    parts = [json.loads(part) for part in split_chunk(json.dumps("x" * 2_500_000).encode(), platform)]
    assert [len(part) for part in parts] == [1_000_000, 1_000_000, 500_000]


def test_what_is_no_string_passes_whole_whatever_its_size():
    platform = preset("observed", stream_chunk_limit=8)
    for value in ({"text": "x" * 50}, ["x" * 50], 10**50):
        chunk = json.dumps(value).encode()
        assert split_chunk(chunk, platform) == (chunk,)


def test_splitting_can_be_switched_off():
    chunk = json.dumps("x" * 50).encode()
    assert split_chunk(chunk, preset("observed", stream_chunk_limit=8, split_chunks=False)) == (chunk,)


@settings(derandomize=True, database=None, deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from('aé€😀"\\\n\u2028'), max_size=60) | st.text(max_size=60),
    limit=st.integers(4, 40),
    ascii_only=st.booleans(),
)
def test_a_split_is_lossless_within_the_limit_and_never_inside_a_character(text: str, limit: int, ascii_only: bool):
    chunk = json.dumps(text, ensure_ascii=ascii_only).encode()
    parts = split_chunk(chunk, preset("observed", stream_chunk_limit=limit))
    values = [json.loads(part) for part in parts]
    assert "".join(values) == text
    if len(chunk) <= limit:
        assert parts == (chunk,)
        return
    sizes = [len(value.encode()) for value in values]
    assert max(sizes, default=0) <= limit
    for size, following in zip(sizes, values[1:], strict=False):
        assert size + len(following[0].encode()) > limit


def test_a_long_string_with_a_lone_surrogate_is_split_too():
    chunk = json.dumps("\ud800" * 5).encode()
    parts = split_chunk(chunk, preset("observed", stream_chunk_limit=8))
    assert "".join(json.loads(part) for part in parts) == "\ud800" * 5


class Endless(Exception):
    """More steps than any finite split takes."""


def bounded(steps: int, call: Any, *arguments: Any) -> Any:
    """What the call answers; raises Endless after so many lines of it."""
    left = steps

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Endless
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        return call(*arguments)
    finally:
        sys.settrace(former)


@pytest.mark.parametrize("limit", [0, 3])
def test_a_limit_below_one_character_comes_to_an_end(limit: int):
    parts = bounded(5_000, split_chunk, '"😀😀"'.encode(), preset("observed", stream_chunk_limit=limit))
    assert "".join(json.loads(part) for part in parts) == "😀😀"
