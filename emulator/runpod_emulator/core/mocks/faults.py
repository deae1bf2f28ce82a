"""Faults: what goes wrong on purpose, how often, and for how long. A book of them decides.

Everything here is data and dice. `fault_kinds.py` has the table of kinds, and says where each acts.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import Any

from runpod_emulator.core.errors import RequestError
from runpod_emulator.core.mocks.fault_kinds import FaultKind, Place
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import AT_ONCE, Span, named
from runpod_emulator.core.time.timeline import Timeline


@dataclass(slots=True)
class Fault:
    """One rule: what it fits, how often it strikes, and the parameters of its kind.

    Without `operations` or `calls` it fits all. `calls` are numbers, from 1, of what the rule
    fits; `probability` is asked after them. Times are ms.
    """

    id: str
    """"" lets the book choose one."""
    kind: FaultKind
    endpoint: str = "*"
    """A pattern as in a shell."""
    operations: frozenset[Operation] = frozenset()
    calls: frozenset[int] = frozenset()
    probability: float = 1.0
    seed: int | None = None
    """Of its dice; None takes the book's."""
    times: int | None = None
    """How often it may strike."""
    expires_at: int | None = None
    """When it ends by itself, in ms since the epoch."""
    lasts: int = 0
    """How long it is there, in ms, where it ends by itself: a reset lets that begin anew."""
    delay: Span = AT_ONCE
    status: int = 500
    body: bytes | None = None
    """None is the service's own shape of an error."""
    headers: Mapping[str, str] = field(default_factory=dict)
    processed: bool = False
    """Whether the request is carried out, and only its answer is lost."""
    larger_than: int = 0
    """Only requests whose announced body has more bytes than this."""
    count: int | None = None
    """Chunks before a crash, or repetitions."""
    source: Any = None
    """As it was written, for those who list it."""
    is_off: bool = False
    """Whether somebody has switched it off: it is asked nothing until it is switched on, or everything is reset."""
    asked: int = 0
    struck: int = 0
    _dice: random.Random = field(default_factory=random.Random, repr=False, compare=False)
    _delays: random.Random = field(default_factory=random.Random, repr=False, compare=False)
    _salt: str = ""

    @property
    def used_up(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.times is not None and self.struck >= self.times

    def is_over(self, now: int) -> bool:
        """Whether it has ended by itself at `now`, in ms since the epoch."""
        return self.expires_at is not None and self.expires_at <= now

    def begin(self, seed: str | None) -> None:
        """Count anew, with the dice of `seed`, or of the rule's own seed; None is chance."""
        own = seed if self.seed is None else str(self.seed)
        self._salt = str(random.getrandbits(64)) if own is None else own
        self._dice = random.Random(f"{self._salt} dice")
        self._delays = random.Random(f"{self._salt} delays" if self.delay.seed is None else self.delay.seed)
        self.asked = self.struck = 0
        self.is_off = False

    def counted(self) -> list[Any]:
        """What it has counted so far, and whether it is off: for `count_on`, as what JSON can hold."""
        return [self.asked, self.struck, self.is_off]

    def count_on(self, counted: Sequence[Any]) -> None:
        """Go on from what one of its kind had `counted`; raises TypeError or ValueError for anything else."""
        asked, struck, is_off = counted
        self.asked, self.struck, self.is_off = int(asked), int(struck), bool(is_off)

    def strikes(self) -> bool:
        """Count one call that the rule fits, and tell whether it would strike."""
        self.asked += 1
        if self.used_up or (self.calls and self.asked not in self.calls):
            return False
        return self.probability >= 1 or self._dice.random() < self.probability

    def draw_delay(self) -> int:
        """A duration within the rule's delay, in ms."""
        low, high, _ = self.delay
        return low if low == high else self._delays.randint(low, high)

    def delays_workers(self, endpoint: str) -> bool:
        """Whether it concerns how workers of this endpoint come up."""
        return not self.is_off and self.kind.row.place is Place.WORKER and _concerns(self, endpoint, None)

    def delay_of(self, key: str) -> int:
        """A duration within the rule's delay, in ms: always the same for one key, and without a use of the dice."""
        low, high, seed = self.delay
        return random.Random(f"{self._salt if seed is None else seed} {key}").randint(low, high)


class FaultBook:
    """The faults of one emulator, in the order in which they were added.

    Each has dice of its own, made of the book's seed and its id: so neither another rule nor
    what other endpoints do changes when it strikes.
    """

    def __init__(self, seed: int | None, timeline: Timeline) -> None:
        self.seed = seed
        self._timeline = timeline
        self.rules: dict[str, Fault] = {}
        """By id, in the order in which they are asked."""
        self._kept: list[Fault] = []
        self._added = 0

    def __bool__(self) -> bool:
        return bool(self.rules)

    def __iter__(self) -> Iterator[Fault]:
        self._drop_expired()
        return iter(list(self.rules.values()))

    def add(self, fault: Fault) -> Fault:
        """One rule more; one of the same id is replaced. Its counts begin at none."""
        self._added += 1
        fault.id = fault.id or next(name for n in count(self._added) if self.get(name := f"fault-{n}") is None)
        self.rules.pop(fault.id, None)
        fault.begin(self._seed_of(fault))
        self.rules[fault.id] = fault
        return fault

    def remove(self, fault_id: str) -> bool:
        """Drop a rule; returns whether there was one."""
        was_there = self.get(fault_id) is not None
        self.rules.pop(fault_id, None)
        return was_there

    def get(self, fault_id: str) -> Fault | None:
        """The rule of this id."""
        fault = self.rules.get(fault_id)
        return None if fault is None or fault.is_over(self._timeline.now()) else fault

    def clear(self) -> None:
        """Drop every rule."""
        self.rules = {}

    def keep(self) -> None:
        """The rules there are now come back with each reset."""
        self._kept = list(self.rules.values())

    def keep_instead(self, faults: list[Fault]) -> None:
        """Put these in the place of the kept ones; what came since stays, behind them."""
        kept = {fault.id for fault in self._kept}
        since = [fault for fault in self if fault.id not in kept]
        self.rules = _by_id(since)
        self._kept = [self.add(fault) for fault in faults]
        ids = {fault.id for fault in self._kept}
        self.rules = _by_id([*self._kept, *(fault for fault in since if fault.id not in ids)])

    def reset(self) -> None:
        """Drop what came after `keep`; what is left counts anew, with its dice as at first."""
        self.rules = _by_id(self._kept)
        self._added = len(self._kept)
        now = self._timeline.now()
        for fault in self._kept:
            if fault.expires_at is not None:
                fault.expires_at = now + fault.lasts
            fault.begin(self._seed_of(fault))

    def delays_workers(self, endpoint: str) -> bool:
        """Whether there is a rule that concerns how workers of this endpoint come up."""
        return any(fault.delays_workers(endpoint) for fault in self)

    def added(self) -> list[Fault]:
        """The rules that came after `keep`, and have not ended by themselves."""
        kept = set(map(id, self._kept))
        return [fault for fault in self if id(fault) not in kept]

    def has(self, kind: FaultKind) -> bool:
        """Whether there is a rule of this kind."""
        return any(fault.kind is kind for fault in self.rules.values())

    def draw(
        self,
        kinds: FaultKind | Collection[FaultKind],
        endpoint: str,
        operation: Operation | None = None,
        fits: Callable[[Fault], bool] = lambda fault: True,
    ) -> Fault | None:
        """The rule that strikes now, if any: the first one, where several would.

        Every rule of these kinds that fits has been asked once then, whichever strikes.
        """
        wanted = (kinds,) if isinstance(kinds, FaultKind) else kinds
        chosen = None
        for fault in self:
            if fault.is_off or fault.kind not in wanted or not _concerns(fault, endpoint, operation) or not fits(fault):
                continue
            if fault.strikes() and chosen is None:
                chosen = fault
        if chosen is not None:
            chosen.struck += 1
        return chosen

    def _seed_of(self, fault: Fault) -> str | None:
        return None if self.seed is None else f"{self.seed} faults {fault.id}"

    def _drop_expired(self) -> None:
        now = self._timeline.now()
        if any(fault.is_over(now) for fault in self.rules.values()):
            self.rules = _by_id(fault for fault in self.rules.values() if not fault.is_over(now))


def _by_id(faults: Iterable[Fault]) -> dict[str, Fault]:
    return {fault.id: fault for fault in faults}


class MadeByFault(RequestError):
    """The error that a fault answers, in the service's shape."""

    row = "error.fault"

    def __init__(self, status: int, about_job: bool, headers: Mapping[str, str]) -> None:
        self.status = status
        self.title = _TITLES.get(status) or _phrase(status)
        self.headers = headers
        detail = _DETAILS.get(status, self.title.lower())
        super().__init__(_OF_JOBS.get(status, detail) if about_job else detail)


_TITLES = {520: "Web Server Returned an Unknown Error", 522: "Connection Timed Out", 524: "A Timeout Occurred"}
"""Of statuses that the edge of the service has made up."""
_OF_JOBS = {404: "job not found", 500: ""}
"""What is said of one job; recorded: a 500 on /status without a detail, of a job that went on."""
_DETAILS = {401: "invalid api key", 404: "endpoint not found", 429: "rate limit exceeded"}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"


def _concerns(fault: Fault, endpoint: str, operation: Operation | None) -> bool:
    if fault.operations and operation not in fault.operations:
        return False
    return fnmatch.fnmatchcase(named(endpoint), fault.endpoint)
