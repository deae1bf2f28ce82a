"""The boundary's bytes: whatever is packed comes out again, however the stream was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_emulator.workers.runner.frames import HEADER, Decoder, Frame, Kind, Result, pack, pack_result, unpack_result

frames = st.builds(
    Frame, st.sampled_from(Kind), st.text(st.characters(codec="utf-8"), max_size=40), st.binary(max_size=300)
)


@given(st.lists(frames, max_size=6))
def test_a_stream_read_byte_by_byte_gives_its_frames(sent: list[Frame]) -> None:
    decoder = Decoder()
    stream = b"".join(pack(*frame) for frame in sent)
    assert [frame for at in range(len(stream)) for frame in decoder.feed(stream[at : at + 1])] == sent


@given(st.lists(frames, max_size=6), st.data())
def test_a_stream_cut_anywhere_gives_its_frames(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(pack(*frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    decoder = Decoder()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [frame for piece in pieces for frame in decoder.feed(piece)] == sent


@given(st.builds(Result, st.none() | st.binary(), st.none() | st.text(st.characters(codec="utf-8")), st.booleans()))
def test_a_result_comes_back(result: Result) -> None:
    assert unpack_result(pack_result(result)) == result


def test_a_frame_is_kept_until_its_last_byte() -> None:
    decoder = Decoder()
    stream = pack(Kind.DONE, "a", b"x" * 100_000)
    assert list(decoder.feed(stream[:-1])) == []
    assert list(decoder.feed(stream[-1:] + stream[:3])) == [Frame(Kind.DONE, "a", b"x" * 100_000)]
    assert list(decoder.feed(stream[3:])) == [Frame(Kind.DONE, "a", b"x" * 100_000)]


def test_a_kind_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="99"):
        list(Decoder().feed(HEADER.pack(99, 0, 0)))
