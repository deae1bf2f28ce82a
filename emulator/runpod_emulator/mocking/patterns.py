"""Regular expressions of users: compiled within bounds, and searched for no longer than a job's stubs may take.

They are those of the package `regex`, Python's own and some more: `re` cannot be stopped, and
`(a+)+$` takes it years to find missing.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from runpod_emulator.core.mocks.stubs import Question
from runpod_emulator.core.time.clock import cpu_time

LONGEST_PATTERN = 10_000
"""Characters: compiling takes 3 µs each."""
LONGEST_TEXT = 50_000
"""Characters of a text that are searched. Between two looks at the time the engine may go through all of them, which
takes it 1 µs each."""
_MEMBER = 0.25
"""As dear as a character is to compare it with one member of a set, `\\p{Lu}` at worst: fewer are searched then."""
MOST_MEMBERS = 500
"""Of one set."""
MOST_PARTS = 20_000
"""Of a pattern with its repetitions written out, as the compiler does."""
PATIENCE = 0.03
"""Seconds that the patterns of all stubs together may work on one job."""
_LEAST = 0.001
"""Seconds without which no search is begun."""
_SET = re.compile(r"\\.|\(\?#[^)]*\)|(\[\^?\]?(?:\\.|\[:\^?\w*:\]|[^\]\\])*\])", re.DOTALL)
"""What may hold a bracket that begins none, or a set."""
_SET_MEMBER = re.compile(r"\\[pPN]\{[^}]*\}|\[:\^?\w*:\]|(?:\\.|[^\\])(?:-(?:\\.|[^\]\\]))?", re.DOTALL)
_REPEATED = re.compile(r"\{(\d*)(?:,\d*)?\}")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?#[^)]*\)|\{\d*(?:,\d*)?\}|.", re.DOTALL)


class Refused(ValueError):
    """A pattern is none, or takes too long to compile; says why."""


class TooSlow(Exception):
    """The time for all patterns of a job is used up; says what became of this one."""


def check_pattern(written: str) -> None:
    """Raise Refused for a pattern that cannot be used."""
    _compiled(written)


def found(pattern: str, text: str, question: Question) -> bool:
    """Whether a pattern is in the beginning of a text, LONGEST_TEXT characters at most; raises TooSlow."""
    compiled, longest = _compiled(pattern)
    left = PATIENCE - question.searched
    if left < _LEAST:
        raise TooSlow("was not searched for any more")
    began = cpu_time()
    try:
        return compiled.search(text, 0, longest, timeout=left) is not None
    except (TimeoutError, MemoryError):
        question.searched = PATIENCE
        raise TooSlow("took too long") from None
    finally:
        question.searched += cpu_time() - began


@functools.lru_cache(maxsize=1024)
def _compiled(written: str) -> tuple[Any, int]:
    """The pattern, and how many characters it is searched in."""
    if len(written) > LONGEST_PATTERN:
        raise Refused(f"longer than {LONGEST_PATTERN} characters")
    if _parts(written) > MOST_PARTS:
        raise Refused(f"more than {MOST_PARTS} parts when its repetitions are written out")
    import regex  # late: most servers have no pattern, and a start shall be quick

    try:
        compiled = regex.compile(written)
    except (regex.error, RecursionError, OverflowError, ValueError, KeyError, IndexError) as error:
        raise Refused("nests too deep" if isinstance(error, RecursionError) else str(error)) from error
    if compiled.flags & regex.V1:
        raise Refused("(?V1) is not for stubs: its sets within sets take any time")
    return compiled, _searched(_members(written, bool(compiled.flags & regex.VERBOSE)))


def _searched(members: int) -> int:
    if members > MOST_MEMBERS:
        raise Refused(f"more than {MOST_MEMBERS} members in one set")
    return int(LONGEST_TEXT / (1 + _MEMBER * max(0, members - 1)))


def _members(written: str, is_verbose: bool) -> int:
    """How many members the largest set has; a comment may hide where one begins, so all may be one then."""
    sets = [written] if is_verbose and "[" in written else _SET.findall(written)
    return max((len(_SET_MEMBER.findall(one[1:-1].removeprefix("^"))) for one in sets), default=0)


def _parts(written: str) -> int:
    """About how many parts a pattern has when what it repeats, as in `(a{9}){9}`, is written out."""
    sums, last = [0], 0
    for part in _TOKEN.findall(written):
        repeated = _REPEATED.fullmatch(part)
        if part == "(":
            sums.append(0)
            last = 0
            continue
        if part == ")" and len(sums) > 1:
            last = 1 + sums.pop()
        elif repeated is not None:
            # a repeated group costs its compiler one copy more than it is repeated
            last = last * min(MOST_PARTS, int((repeated[1] or "0")[:6]))
        elif part.isspace() or part.startswith("(?#"):  # may be no part, where (?x) is set
            continue
        else:
            last = 1
        sums[-1] += last
        if max(sums[-1], last) > MOST_PARTS:
            return sums[-1] + last
    return sum(sums)
