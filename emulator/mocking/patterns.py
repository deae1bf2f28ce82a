"""Regular expressions of users: compiled within bounds, and searched for no longer than a job's stubs may take.

They are those of the package `regex`, Python's own and some more: `re` cannot be stopped, and
`(a+)+$` takes it years to find missing.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from emulator.core.clock import cpu_time
from emulator.core.stubs import Question

LONGEST_PATTERN = 10_000
"""Characters: compiling takes 3 µs each."""
LONGEST_TEXT = 50_000
"""Characters of a text that are searched; between two looks at the time the engine may go through all of them often,
which takes it 65 ms at worst."""
MOST_PARTS = 20_000
"""Of a pattern with its repetitions written out, as the compiler does."""
PATIENCE = 0.03
"""Seconds that the patterns of all stubs together may work on one job."""
_LEAST = 0.001
"""Seconds without which no search is begun."""
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
    """Whether a pattern is in the first LONGEST_TEXT characters of a text; raises TooSlow."""
    compiled = _compiled(pattern)
    left = PATIENCE - question.searched
    if left < _LEAST:
        raise TooSlow("was not searched for any more")
    began = cpu_time()
    try:
        return compiled.search(text, 0, LONGEST_TEXT, timeout=left) is not None
    except (TimeoutError, MemoryError):
        question.searched = PATIENCE
        raise TooSlow("took too long") from None
    finally:
        question.searched += cpu_time() - began


@functools.lru_cache(maxsize=1024)
def _compiled(written: str) -> Any:
    if len(written) > LONGEST_PATTERN:
        raise Refused(f"longer than {LONGEST_PATTERN} characters")
    if _parts(written) > MOST_PARTS:
        raise Refused(f"more than {MOST_PARTS} parts when its repetitions are written out")
    import regex  # late: most servers have no pattern, and a start shall be quick

    try:
        return regex.compile(written)
    except (regex.error, RecursionError, OverflowError, ValueError, KeyError, IndexError) as error:
        raise Refused("nests too deep" if isinstance(error, RecursionError) else str(error)) from error


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
