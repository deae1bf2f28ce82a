"""What happens in one emulated world, and who is told: a metric, a page or a memory is one `Effect`.

An effect overrides the methods of the news that it wants, and names the events of jobs that concern it. Which those are
is asked once, as the world is made or an effect joins it, so news that nobody wants costs nothing. An effect is told in
the middle of a verb: it never waits, never raises, and changes no job.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from runpod_emulator.core.fleet.worker import Line as Line
from runpod_emulator.core.fleet.worker import WorkerChange
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.jobs.listeners import ALL, Kinds, Listener, by_kind

LONGEST_BODY = 64 * 1024
"""Bytes of a request's body that effects are told."""


class Entry(NamedTuple):
    """One request and how it was answered."""

    number: int
    """Of the requests of its world since it was made or reset, from 1."""
    at: int
    endpoint: str
    operation: str
    """Empty where no route has the path, or the route is not emulated."""
    method: str
    path: str
    query: str
    headers: Sequence[tuple[bytes, bytes]]
    """As they came."""
    body: bytes
    """No more than the beginning of a long one."""
    status: int
    """0 where the connection was reset instead of an answer."""
    job: str
    """The job that it made or is about, empty for none."""
    body_size: int
    """Bytes of the whole body, as far as is known."""
    head: int = 0
    """Bytes of a head that is longer than usual."""
    unread: str = ""
    """Why the body was not read, or not to its end; "" where it was."""
    fault: str = ""
    """The id of the fault that has made the answer what it is, "" for none."""
    took: int = 0
    """Milliseconds from when it was let in until it was answered; 0 where it was not let in."""
    stub: str = ""
    """The id of the stub that its job plays, "" for none."""
    why: str = ""
    """Why it was refused, in words; "" where it was not."""

    def bare(self) -> Entry:
        """The same without its headers and its body, which may be large."""
        return Entry._make((*self[:_HEADERS], (), b"", *self[_HEADERS + 2 :]))  # a third of the time of _replace

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of the body was kept, or nothing of it."""
        return bool(self.unread) or len(self.body) < self.body_size

    @property
    def json(self) -> Any:
        """The parsed body; None when it is no JSON, or was cut."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


_HEADERS = Entry._fields.index("headers")
"""Where the headers stand, and the body after them."""


class Attempt(NamedTuple):
    """One webhook call: `problem` is what went wrong, "" for nothing. The delivery is as the call has left it."""

    at: int
    delivery: Delivery
    problem: str


class Effect:
    """Is told what happens in a world. Each method does nothing unless it is overridden."""

    events: Kinds = ALL
    """Kinds of events for which `won` and `heard` are called."""

    def won(self, transition: Transition) -> None:
        """A job has changed; told once, where the write won."""

    def heard(self, transition: Transition) -> None:
        """A job has changed; told wherever that is heard of, in the order of the writes."""

    def worker_changed(self, change: WorkerChange) -> None:
        """A worker has come, is in another state or is gone."""

    def printed(self, line: Line) -> None:
        """A worker has printed a line."""

    def answered(self, entry: Entry) -> None:
        """A client's request has got its answer."""

    def refused(self, entry: Entry) -> None:
        """That answer is a refusal, or none at all; told after `answered`."""

    def tried(self, attempt: Attempt) -> None:
        """A webhook was called."""

    def cleared(self, endpoint: str | None) -> None:
        """A reset has forgotten the jobs of an endpoint; without one, those of all."""

    def removed(self, endpoint: str) -> None:
        """An endpoint was taken away, and its jobs with it."""

    def loaded(self, jobs: int) -> None:
        """So many jobs have come back from a snapshot; nobody was told of what had happened to them."""


class News:
    """Whom to call for each piece of news: those effects that override its method, in their order.

    The lists are changed in place as effects come and go, so whoever has one sees it.
    """

    def __init__(self, effects: Iterable[Effect]) -> None:
        self._effects = list(effects)
        self.won: dict[type[Any], tuple[Listener, ...]] = {}
        self.heard: dict[type[Any], tuple[Listener, ...]] = {}
        self.worker_changed: list[Callable[[WorkerChange], None]] = []
        self.printed: list[Callable[[Line], None]] = []
        self.answered: list[Callable[[Entry], None]] = []
        self.refused: list[Callable[[Entry], None]] = []
        self.tried: list[Callable[[Attempt], None]] = []
        self.cleared: list[Callable[[str | None], None]] = []
        self.removed: list[Callable[[str], None]] = []
        self.loaded: list[Callable[[int], None]] = []
        self._ask()

    def tell(self, effects: Sequence[Effect]) -> None:
        """Tell these effects too from now on, after the others: what nobody follows costs nothing."""
        self._effects += effects
        self._ask()

    def leave(self, effects: Collection[Effect]) -> None:
        """Tell these no more."""
        self._effects = [one for one in self._effects if one not in effects]
        self._ask()

    @contextlib.contextmanager
    def telling(self, effects: Sequence[Effect]) -> Iterator[None]:
        """Tell these effects until this is left."""
        self.tell(effects)
        try:
            yield
        finally:
            self.leave(effects)

    def _ask(self) -> None:
        for name in ("won", "heard"):
            rows = [(getattr(effect, name), effect.events) for effect in self._effects if _overrides(effect, name)]
            getattr(self, name).update(by_kind(rows))
        for name in ("worker_changed", "printed", "answered", "refused", "tried", "cleared", "removed", "loaded"):
            getattr(self, name)[:] = [getattr(effect, name) for effect in self._effects if _overrides(effect, name)]


def _overrides(effect: Effect, method: str) -> bool:
    return getattr(type(effect), method) is not getattr(Effect, method)
