"""What others wrote is shown in one line, whoever handles the log."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unicodedata import category

import pytest
from runpod_emulator.core.secrets.shown import LOGGERS, Shown, block, visible

from tests.tables import table

FAKE = "2026-01-01 12:00:00,000 INFO    FAKE"
HIDDEN = {
    "\n": r"\n", "\r": r"\r", "\t": r"\t", "\x00": r"\x00", "\x07": r"\x07", "\x0b": r"\x0b", "\x1b[2J": r"\x1b[2J",
    "\x1e": r"\x1e", "\x7f": r"\x7f", "\x85": r"\x85", "\x9b1m": r"\x9b1m", "\u2028": r"\u2028", "\u2029": r"\u2029",
    "\u202e": r"\u202e", "\u2066": r"\u2066", "\u200f": r"\u200f", "\u061c": r"\u061c", "\ud800": r"\ud800",
    "\u200b": r"\u200b", "\u2060": r"\u2060", "\ufeff": r"\ufeff", "\ufff9": r"\ufff9", "\U000e0041": r"\U000e0041",
}  # fmt: skip


@table("text", HIDDEN)
def test_what_cannot_be_seen_is_shown_as_python_writes_it(text: str) -> None:
    assert visible(f"a{text}b") == f"a{HIDDEN[text]}b"


SEEN = "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Of the characters of formats: joiners that letters and emoji need, and signs that are seen."""


def test_no_character_of_a_format_is_passed_over() -> None:
    formats = [character for character in map(chr, range(sys.maxunicode + 1)) if category(character) == "Cf"]
    assert {character for character in formats if visible(character) == character} <= set(SEEN)


@pytest.mark.parametrize("text", ["", "plain", "größer ☃ 日本語", "👩‍💻", r"a\nb", "a b"])
def test_what_can_be_seen_stays(text: str) -> None:
    assert visible(text) == text


def test_lines_after_the_first_are_indented() -> None:
    assert block(f"one\n{FAKE}\n\ttwo\rthree") == f"one\n  {FAKE}\n          two\\rthree"


class Odd:
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.fixture
def users_log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """A handler that a user of the library has put there, with the formatter that logging has by itself."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("name", LOGGERS)
def test_a_log_line_of_ours_is_one_line_for_any_handler(users_log: io.StringIO, name: str) -> None:
    quoted = f"http://h/\n{FAKE}\u2028{FAKE}"
    logging.getLogger(name).warning("%s, %d, %s, %s", quoted, 3, ValueError("x\r" + FAKE), Odd())
    assert users_log.getvalue() == rf"http://h/\n{FAKE}\u2028{FAKE}, 3, x\r{FAKE}, a Odd that cannot be shown" + "\n"


def test_a_text_of_ours_keeps_its_lines(users_log: io.StringIO) -> None:
    logging.getLogger("runpod_emulator").error("broken: %s", block(f"Traceback\n{FAKE}"))
    assert users_log.getvalue() == f"broken: Traceback\n  {FAKE}\n"


def test_a_traceback_keeps_its_lines_and_none_looks_like_one_of_the_log(users_log: io.StringIO) -> None:
    try:
        raise ValueError(f"x\n{FAKE}\x1b[2J")
    except ValueError:
        logging.getLogger("runpod_emulator.timers").exception("a timer failed")
    first, *others = users_log.getvalue().splitlines()
    assert first == "a timer failed"
    assert others[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in others)
    assert others[-1] == f"  {FAKE}\\x1b[2J"


def test_every_logger_of_the_emulator_is_guarded() -> None:
    root = Path(sys.modules["runpod_emulator"].__file__ or "").parent
    used = {
        name
        for file in root.rglob("*.py")
        for name in re.findall(r'getLogger\("(runpod_emulator[^"]*)"', file.read_text())
    }
    assert used <= set(LOGGERS)


def test_what_may_stand_as_it_is_does(users_log: io.StringIO) -> None:
    logging.getLogger("runpod_emulator.worker").warning("%s", Shown("a\tb"))
    assert users_log.getvalue() == "a\tb\n"
