"""Random templates from all that templates may say, over large inputs.

`python -m tests.mocking.vocabulary SECONDS SEED` looks for one whose evaluation takes long.
"""

from __future__ import annotations

import random
import re
import sys
import time

from runpod_emulator.core.mocks.script import Scene, ScriptError
from runpod_emulator.mocking.prices import FILTERS, METHODS, TESTS
from runpod_emulator.mocking.templates import Unusable, value_of

from tests.mocking.mocks import scene

_nested: list[object] = [1]
for _ in range(150):
    _nested = [_nested]
INPUT = {
    "t": "x" * 100_000, "u": "ß→x" * 30_000, "w": "ab " * 30_000, "s": 'hello, (a) <b> {c} %d "x"', "e": "",
    "lines": "ab\n\t" * 20_000, "p": "(" * 3_000 + ")" * 3_000, "tags": "<!---->" * 3_000, "at": "a@b.c." * 3_000,
    "l": list(range(1_000)), "m": [[place] * 10 for place in range(1_000)], "deep": _nested, "n": 7, "f": 1.5,
    "o": [{"a": {"b": place}, "n": str(place) * 50} for place in range(1_000)], "big": 10**3_000, "z": None,
    "d": {str(place): place for place in range(1_000)},
}  # fmt: skip
_NAMES = tuple(f"input.{name}" for name in INPUT)
_LITERALS = (
    "0", "1", "-1", "3", "100", "20000", "10**9", "2.5", "''", "'x'", "'ab'", "[]", "[1, 'a']", "{}", "none", "true",
    "{120: input.t}", "'{:>{}}'", "'{0}{0}'", "'%s%5d'", "'%(a)s'", "range(100000)", "'utf-8'", "'a.b'", "'n'", "now",
    "random()", "randint(1, 9)", "uuid()", "call", "namespace(a=1)", "joiner(',')", "cycler(1, 2)",
)  # fmt: skip
_OPTIONS = ("start=[]", "attribute='a.b'", "attribute='n'", "indent=9", "width=1", "reverse=true", "fill_with=input.t")
_BINARY = ("+", "-", "*", "*", "*", "**", "%", "/", "//", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or")
_FORMS = (
    "{{ <4> }}",
    "{{ <4> }}",
    "a{{ <4> }}b",
    "{% set v = <3> %}{% set w = v <operator> v %}{{ w }}",
    "{% for i in <2> %}{{ <2> }}{% endfor %}",
    "{% for i in <2> %}{% if i == <2> %}{{ i }}{% endif %}{% endfor %}",
    "{% for i in <1> %}{% set v = <3> %}{% endfor %}",
    "{% macro g(a) %}{{ <2> }}{% endmacro %}{{ g(1) ~ g(<2>) }}",
    "{% filter <filter> %}{{ <2> }}{% endfilter %}",
    "{% for i in <2> recursive %}{{ loop(<1>) }}{% endfor %}",
)
"""Of templates; <4> is an expression of that depth."""
_METHODS = sorted({name for methods in METHODS.values() for name in methods})


class Writer:
    """Writes templates; the same dice, the same templates."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def template(self) -> str:
        """One template: an expression alone, or among statements."""
        form = self._dice.choice(_FORMS)
        return re.sub(r"<(\w+)>", lambda found: self._part(found[1]), form)

    def _part(self, name: str) -> str:
        if name == "filter":
            return self._filter()
        return self._dice.choice(_BINARY) if name == "operator" else self._expression(int(name))

    def _expression(self, depth: int) -> str:
        if depth <= 0 or self._dice.random() < 0.15:
            return self._dice.choice(_NAMES if self._dice.random() < 0.6 else _LITERALS)
        one = self._expression
        return self._dice.choice(
            [
                lambda: f"({one(depth - 1)})|{self._filter()}",
                lambda: f"({one(depth - 1)})|{self._filter()}",
                lambda: f"({one(depth - 1)}).{self._dice.choice(_METHODS)}({self._arguments()})",
                lambda: f"({one(depth - 1)} {self._dice.choice(_BINARY)} {one(depth - 1)})",
                lambda: f"({one(depth - 1)} is {self._dice.choice(sorted(TESTS))}({self._arguments()}))",
                lambda: f"({one(depth - 1)})[{self._dice.choice(['::-1', ':10', '1:', '0', '::2'])}]",
                lambda: f"({one(depth - 1)} < {one(depth - 1)} < {one(0)})",
                lambda: f"[{one(depth - 1)}, {one(0)}]",
                lambda: f"([{one(depth - 1)}] * {self._dice.choice([10, 1000, 20000])})",
                lambda: f"({one(depth - 1)} * {self._dice.choice([2, 10, 100, 180])})",
                lambda: f"({one(0)} if {one(depth - 1)} else {one(0)})",
            ]
        )()

    def _filter(self) -> str:
        return f"{self._dice.choice(sorted(FILTERS))}({self._arguments()})"

    def _arguments(self) -> str:
        several = [self._expression(self._dice.choice([0, 0, 0, 1])) for _ in range(self._dice.choice([0, 0, 1, 1, 2]))]
        if self._dice.random() < 0.2:
            several.append(self._dice.choice(_OPTIONS))
        elif self._dice.random() < 0.1:
            several.insert(0, f"'{self._dice.choice(sorted(FILTERS) + sorted(TESTS))}'")
        return ", ".join(several)


def work(written: str, asked: Scene | None = None) -> tuple[float, str]:
    """Seconds of work that one evaluation takes, and what came of it: "" for a value."""
    try:
        value = value_of(written)
    except Unusable as error:
        return 0.0, f"faulty: {error}"
    asked = asked or scene(INPUT)
    began, outcome = time.thread_time(), ""
    try:
        value(asked)
    except ScriptError as error:
        outcome = str(error)
    return time.thread_time() - began, outcome


def _search(seconds: float, seed: int) -> None:
    end, worst, counts = time.monotonic() + seconds, 0.0, {"value": 0, "costly": 0, "other": 0}
    writer = Writer(seed)
    while time.monotonic() < end:
        written = writer.template()
        took, outcome = work(written)
        costly = any(reason in outcome for reason in ("more than", "longer than", "as long", "as wide", "as high"))
        counts["value" if not outcome else "costly" if costly else "other"] += 1
        if took > max(worst, 0.05):
            worst = took
            print(f"{took:.3f} s: {written} {outcome[-60:]}", flush=True)
    print(counts, f"worst {worst:.3f} s")


if __name__ == "__main__":
    _search(float(sys.argv[1]), int(sys.argv[2]))
