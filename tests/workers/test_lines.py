"""Lines of what a handler prints: where they end, how long they are, what is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from runpod_emulator.workers.lines import FRAME_PAUSE, LONGEST, Lines, cleaned

from tests.tables import table


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def cut(*data: bytes) -> list[bytes]:
    """The lines of what comes at once, and of what is unfinished at the end."""
    found: list[bytes] = []
    lines = Lines(found.append)
    for one in data:
        lines.feed(one)
    lines.finish()
    return found


WHOLE = {
    "lines": (b"one\ntwo\n\nthree", [b"one", b"two", b"", b"three"]),
    "windows": (b"one\r\ntwo\r\n", [b"one", b"two"]),
    "progress by return before": (b"\r10%\r20%\r30%\n", [b"30%"]),
    "progress by return after": (b"10%\r20%\r30%\r", [b"30%"]),
    "progress that is cleared": (b"\r10%\r20%\r   \r", [b"20%"]),
    "progress that is cleared by an escape": (b"\r10%\r20%\r\x1b[2K", [b"20%"]),
    "two bars": (b"\ra1\n\rb1\x1b[A\n\rb2\x1b[A\n\rb3\x1b[A\n\ra2\n", [b"a1", b"a2"]),
    "a line after a bar": (b"\r10%\r20%\nnext\n\nlast\n", [b"20%", b"next", b"", b"last"]),
}


@table("size", [1, 2, 3, 7, 100])
@table("case", WHOLE)
async def test_lines_are_the_same_however_they_come(case: str, size: int) -> None:
    data, expected = WHOLE[case]
    found = cut(*pieces(data, size))
    assert [line for line in found if line in expected] == expected
    if b"%" not in data and b"\x1b" not in data:
        assert found == expected


@pytest.mark.parametrize("size", [1_000, 16 * 1024, 10**6])
def test_a_line_without_an_end_is_cut(size: int) -> None:
    found = cut(*pieces(b"x" * 1_000_000, size))
    assert b"".join(found) == b"x" * 1_000_000
    assert {len(line) for line in found[:-1]} == {LONGEST}


KEY = b"a-key-that-the-child-knows"


@table("shown", [*range(1, len(KEY) + 1)])
def test_no_secret_is_cut_in_two(shown: int) -> None:
    found: list[bytes] = []
    lines = Lines(found.append, [b"another", KEY])
    lines.feed(b"x" * (LONGEST - shown) + KEY + b"y")
    lines.finish()
    assert b"".join(found) == b"x" * (LONGEST - shown) + KEY + b"y"
    assert shown <= 3 or any(KEY in line for line in found)


def test_nor_is_a_word() -> None:
    text = b"x" * (LONGEST - 20) + b" rpa_ABCDEFGHIJKLMNOPQRSTUVWXYZ and more"
    assert cut(text) == [text[: LONGEST - 19], text[LONGEST - 19 :]]


def test_a_long_line_is_cut_as_it_comes() -> None:
    found: list[bytes] = []
    Lines(found.append).feed(b"x" * (LONGEST + 1))
    assert found == [b"x" * LONGEST]


@table("shift", range(4))
@table("character", ["ä", "☃", "👩"])
def test_no_character_is_cut_in_two(character: str, shift: int) -> None:
    text = "x" * shift + character * LONGEST
    found = cut(*pieces(text.encode(), 1_001))
    assert "".join(line.decode() for line in found) == text
    assert max(map(len, found)) <= LONGEST


def test_the_end_of_a_line_that_was_handed_on_is_no_line() -> None:
    found: list[bytes] = []
    lines = Lines(found.append)
    lines.feed(b"a")
    lines.finish()
    lines.feed(b"\nb\n")
    assert found == [b"a", b"b"]


class Bar:
    """A progress bar under a clock of its own: frames that are shown, and when."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.shown: list[str] = []
        self._due: list[Callable[[], None]] = []
        self.lines = Lines(lambda line: self.shown.append(line.decode()))
        patch.setattr(asyncio, "get_running_loop", lambda: self)

    def call_later(self, seconds: float, work: Callable[[], None]) -> Bar:
        assert seconds == FRAME_PAUSE == 0.2
        self._due.append(work)
        return self

    def cancel(self) -> None:
        self._due.clear()

    def feed(self, *frames: bytes) -> list[str]:
        """What is shown at once of some frames."""
        before = len(self.shown)
        for frame in frames:
            self.lines.feed(frame)
        return self.shown[before:]

    def pause(self) -> list[str]:
        """What is shown when the pause between two frames is over."""
        before = len(self.shown)
        assert len(self._due) <= 1
        if self._due:
            self._due.pop()()
        return self.shown[before:]


@pytest.mark.parametrize("form", [b"\r%d", b"%d\r"])
def test_of_a_progress_bar_a_frame_is_shown_now_and_then_and_always_the_last(
    monkeypatch: pytest.MonkeyPatch, form: bytes
) -> None:
    bar = Bar(monkeypatch)
    assert bar.feed(form % 1) == ["1"]
    assert bar.feed(form % 2, form % 3, form % 4) == []
    assert bar.pause() == ["4"]
    assert bar.pause() == []
    assert bar.feed(form % 5) == ["5"]
    assert bar.feed(form % 6, form % 7) == []
    assert bar.feed(b"\n") == ["7"]
    assert bar.pause() == []
    assert bar.feed(b"next\n") == ["next"]


def test_the_same_frame_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Bar(monkeypatch)
    assert bar.feed(b"\r100%") == ["100%"]
    assert bar.feed(b"\r100%") + bar.pause() + bar.feed(b"\r100%\n") == []
    assert bar.feed(b"\r100%\n") == ["100%"], "another bar"


def test_the_last_frame_is_shown_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Bar(monkeypatch)
    bar.feed(b"\r1", b"\r2", b"\r3")
    bar.lines.finish()
    assert bar.shown == ["1", "3"]
    assert bar.pause() == []


RED, OFF = "\x1b[31m", "\x1b[0m"
CLEANED = {
    b"plain": ("plain", "plain"),
    b"a\tb": ("a\tb", "a\tb"),
    f"{RED}red{OFF} \x1b[1;38;5;3mbold".encode(): ("red bold", f"{RED}red{OFF} \x1b[1;38;5;3mbold{OFF}"),
    b"\x1b[2J\x1b[H\x1b[?25lup\x1b[A": ("up", "up"),
    b"\x1b]0;title\x07a\x1b]8;;http://h\x1b\\link\x1b]8;;\x1b\\": ("alink", "alink"),
    b"\x1bPq#0\x1b\\x\x1bc\x1b(B": ("x", "x"),
    b"\x1b]0;never ended": ("0;never ended", "0;never ended"),
    b"a\0b\x07c\x08d\x7fe": ("abcde", "abcde"),
    "a\x85b\u2028c\u202ed\x9b1m".encode(): ("abcd1m", "abcd1m"),
    b"caf\xe9 \xc3": (r"caf\xe9 \xc3", r"caf\xe9 \xc3"),
    "a\u200bb\ufeffc\u2060d\U000e0041e".encode(): ("abcde", "abcde"),
    "größer ☃ 👩‍💻".encode(): ("größer ☃ 👩‍💻", "größer ☃ 👩‍💻"),
}


@table("line", CLEANED)
def test_a_line_keeps_its_colours_and_no_other_control_character(line: bytes) -> None:
    assert cleaned(line) == CLEANED[line]


@pytest.mark.parametrize("text", ["\x1b]", "\x1b[0", "\x1b[", "\x1bP", "\x1b ", "\x1b[31m"])
def test_cleaning_takes_time_in_proportion(text: str) -> None:
    """No regular expression looks for the same end again and again: with one that does this takes minutes."""
    shown, _ = cleaned((text * 1_000_000).encode())
    assert "\x1b" not in shown
