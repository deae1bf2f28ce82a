"""Stubs: which script a job plays. A stub matches jobs; a book of them chooses."""

from __future__ import annotations

import fnmatch
import heapq
import json
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from runpod_emulator.core.mocks.script import Script

log = logging.getLogger("runpod_emulator.stubs")


@dataclass
class Question:
    """A job that looks for its stub."""

    endpoint: str
    raw_input: bytes
    raw_headers: Sequence[tuple[bytes, bytes]] = ()
    """As they came, with names in lower case."""
    searched: float = 0.0
    """Seconds that patterns have worked on it."""

    @cached_property
    def input(self) -> Any:
        """The parsed input."""
        return json.loads(self.raw_input)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers as text; of several of one name the first."""
        return self._headers

    @cached_property
    def _headers(self) -> dict[str, str]:
        texts: dict[str, str] = {}
        for name, value in self.raw_headers:
            texts.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        return texts


class Slow(str):
    """A difference that says that a pattern took too long to look for."""


Check = Callable[[Question], str]
"""Returns what differs, "" when nothing does."""


def is_pattern(endpoint: str) -> bool:
    """Whether an endpoint is named by a pattern as in a shell, which may fit several."""
    return bool(set(endpoint) & set("*?["))


def fits(pattern: str, endpoint: str) -> bool:
    """Whether an endpoint is the one that is named, or one of those that a pattern as in a shell fits."""
    return endpoint == pattern or fnmatch.fnmatchcase(endpoint, pattern)


@dataclass(slots=True)
class Stub:
    """A match and what follows from it.

    `scripts` are played one a run, the last one again and again. A run draws its number when
    a worker takes the job, so a job that never runs uses up none. Where a script holds its job
    in the queue, each job has its number from the start, and gives it back if it never runs.
    `calls` are the numbers, from 1, of the jobs it takes among those that its checks let through.
    """

    id: str
    scripts: tuple[Script, ...]
    endpoint: str = "*"
    """A pattern as in a shell."""
    checks: tuple[Check, ...] = ()
    calls: frozenset[int] = frozenset()
    priority: int = 0
    times: int | None = None
    place: str = ""
    """Where it was written, as `stubs/llm.yaml:12`."""
    source: Any = None
    """As it was written, for those who list it."""
    asked: int = 0
    matched: int = 0
    played: int = 0
    """Runs that have begun."""
    problem: str = ""
    """Of its patterns: the last that took too long to look for."""
    is_off: bool = False
    """Whether somebody has switched it off: it takes no job until it is switched on, or everything is reset."""
    holds: bool = field(init=False)
    """Whether any of its scripts lets the job wait where no worker can see it."""
    _drawn: int = field(default=0, init=False)
    _given_back: list[int] = field(default_factory=list, init=False)
    """A heap of numbers below `_drawn` that no run has."""

    def __post_init__(self) -> None:
        self.holds = any(not script.in_queue.nothing for script in self.scripts)

    @property
    def names_endpoint(self) -> bool:
        """Whether its endpoint is one id, and no pattern."""
        return not is_pattern(self.endpoint)

    @property
    def used_up(self) -> bool:
        """Whether it has matched as often as it may."""
        return self.times is not None and self.matched >= self.times

    def serves(self, endpoint: str) -> bool:
        """Whether it is for jobs of this endpoint."""
        return fits(self.endpoint, endpoint)

    def differences(self, question: Question) -> list[str]:
        """What keeps it from matching, apart from counts."""
        if not self.serves(question.endpoint):
            return [f"endpoint: expected {self.endpoint}, got {question.endpoint}"]
        return [difference for check in self.checks if (difference := check(question))]

    def matches(self, question: Question) -> bool:
        """Whether the job is one of its own; counts it."""
        if self.used_up or self.is_off or not self.serves(question.endpoint):
            return False
        difference = next(filter(None, (check(question) for check in self.checks)), "")
        if difference:
            if isinstance(difference, Slow):
                self._complain(difference)
            return False
        self.asked += 1
        if self.calls and self.asked not in self.calls:
            return False
        self.matched += 1
        return True

    def _complain(self, problem: Slow) -> None:
        self.problem = str(problem)
        log.warning("stub %s does not match: %s", self.id, self.problem)

    def draw(self) -> int:
        """The number of the next run, from 1: the lowest that nobody has."""
        if self._given_back:
            return heapq.heappop(self._given_back)
        self._drawn += 1
        return self._drawn

    def give_back(self, run: int) -> None:
        """There was no run of this number after all."""
        heapq.heappush(self._given_back, run)

    def script(self, run: int) -> Script:
        """The script of the run of this number."""
        return self.scripts[min(run, len(self.scripts)) - 1]

    def counted(self) -> list[Any]:
        """What it has counted so far, and whether it is off: for `count_on`, as what JSON can hold."""
        return [self.asked, self.matched, self.played, self._drawn, list(self._given_back), self.is_off, self.problem]

    def count_on(self, counted: Sequence[Any]) -> None:
        """Go on from what one of its kind had `counted`; raises TypeError or ValueError for anything else."""
        asked, matched, played, drawn, given_back, is_off, problem = counted
        self.asked, self.matched, self.played, self._drawn = int(asked), int(matched), int(played), int(drawn)
        self._given_back = sorted(map(int, given_back))
        self.is_off, self.problem = bool(is_off), str(problem)

    def begin(self) -> None:
        """Count anew."""
        self.asked = self.matched = self.played = self._drawn = 0
        self.problem = ""
        self.is_off = False
        self._given_back.clear()


class Miss(NamedTuple):
    """A job that no stub matched: its endpoint, and why."""

    endpoint: str
    why: str


_MISSES = 100
"""Jobs that are remembered for having met no stub."""


class StubBook:
    """The stubs of one emulator: those of higher priority first, of equal ones the youngest."""

    def __init__(self) -> None:
        self._stubs: list[Stub] = []
        self._ids: set[str] = set()
        self._kept: list[Stub] = []
        self.misses: deque[Miss] = deque(maxlen=_MISSES)
        """Jobs that no stub matched since the last reset, the oldest first."""

    def __bool__(self) -> bool:
        return bool(self._stubs)

    def __iter__(self) -> Iterator[Stub]:
        return iter(self._stubs)

    def __contains__(self, stub_id: object) -> bool:
        return stub_id in self._ids

    def add(self, stub: Stub) -> None:
        """One stub more; one of the same id is replaced."""
        self.remove(stub.id)
        self._stubs.insert(bisect_left(self._stubs, -stub.priority, key=lambda one: -one.priority), stub)
        self._ids.add(stub.id)

    def change(self, stub: Stub) -> None:
        """Put a stub in the place of the one of its id, on or off as that; one of another priority is the youngest."""
        old = self.get(stub.id)
        if old is not None:
            stub.is_off = old.is_off
        if old is None or old.priority != stub.priority:
            self.add(stub)
        else:
            self._put(stub if one is old else one for one in self._stubs)

    def remove(self, stub_id: str) -> bool:
        """Drop a stub; returns whether there was one."""
        if stub_id not in self._ids:  # or many are added in the square of their number
            return False
        self._put(stub for stub in self._stubs if stub.id != stub_id)
        return True

    def get(self, stub_id: str) -> Stub | None:
        """The stub of this id."""
        return next((stub for stub in self._stubs if stub.id == stub_id), None)

    def clear(self) -> None:
        """Drop every stub."""
        self._put([])

    def _put(self, stubs: Iterable[Stub]) -> None:
        self._stubs = list(stubs)
        self._ids = {stub.id for stub in self._stubs}

    def keep(self) -> None:
        """The stubs there are now come back with each reset."""
        self._kept = list(self._stubs)

    def keep_instead(self, stubs: list[Stub]) -> None:
        """Put these in the place of the kept ones; what came since stays, and stays younger."""
        kept = {stub.id for stub in self._kept}
        since = [stub for stub in self._stubs if stub.id not in kept]
        self.clear()
        for stub in stubs:
            self.add(stub)
        self.keep()
        for stub in reversed(since):
            self.add(stub)

    def reset(self) -> None:
        """Drop what came after `keep`, and count anew."""
        self._put(self._kept)
        self.misses.clear()
        for stub in self._stubs:
            stub.begin()

    def added(self) -> list[Stub]:
        """The stubs that came after `keep`."""
        kept = set(map(id, self._kept))
        return [stub for stub in self._stubs if id(stub) not in kept]

    def choose(self, question: Question) -> Stub | None:
        """The first stub that matches."""
        question.searched = 0.0
        return next((stub for stub in self._stubs if stub.matches(question)), None)

    def missed(self, question: Question) -> str:
        """Why none matched: the stub that fits best, and what differs. The job is remembered for it."""
        why = self._nearest(question)
        self.misses.append(Miss(question.endpoint, why))
        return why

    def _nearest(self, question: Question) -> str:
        if not self._stubs:
            return "there is no stub at all"
        ranked = min(
            self._stubs,
            key=lambda stub: (
                not stub.serves(question.endpoint), len(stub.differences(question)), stub.used_up, stub.is_off
            ),
        )  # fmt: skip
        name = f"{ranked.id} ({ranked.place})" if ranked.place else ranked.id
        differences = ranked.differences(question)
        if not differences:
            why = (
                "it is switched off"
                if ranked.is_off
                else (
                    f"it has matched {ranked.matched} times, which is all it may"
                    if ranked.used_up
                    else (
                        f"this was call {ranked.asked} of it, and it is for {', '.join(map(str, sorted(ranked.calls)))}"
                    )
                )
            )
            differences = [why]
        return f"the nearest is {name}: {'; '.join(differences)}"
