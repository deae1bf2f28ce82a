"""What tests ask of what happened: which requests came, and whether something is the case yet."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)  # fmt: skip

from runpod_emulator.core.errors import InvalidBody
from runpod_emulator.core.jobs.job import JobStatus, Transition
from runpod_emulator.core.mocks.stubs import Question, Slow, fits
from runpod_emulator.core.rates import GRAPHQL, MANAGEMENT, Operation
from runpod_emulator.core.records.history import Moment
from runpod_emulator.core.records.journal import Journal
from runpod_emulator.core.records.news import Entry
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.time.clock import AutoClock, VirtualClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.doors.admin.listings import MOST, chosen
from runpod_emulator.doors.admin.names import check_endpoint
from runpod_emulator.doors.admin.unasked import SAID, Unasked
from runpod_emulator.mocking.checks import input_check, input_regex_check
from runpod_emulator.mocking.forms import Pattern
from runpod_emulator.mocking.models import Header, HeaderPattern
from runpod_emulator.mocking.patterns import TooSlow, found
from runpod_emulator.mocking.words import kind_of
from runpod_emulator.values import Exact, Milliseconds, nearest
from runpod_emulator.world.standing import WAYS, held_by, in_vain, late
from runpod_emulator.world.stillness import Stillness
from runpod_emulator.world.world import World

_PATIENCE, _VIRTUAL_PATIENCE = 10_000, 24 * 3_600_000
"""Milliseconds that a wait lasts which does not say how long."""


class Parameters(Exact):
    """The JSON that a caller sends with a request; an unknown member is refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_known(cls, given: Any) -> Any:
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(f"{str(key)[:_LONGEST]}: no such key{nearest(str(key), cls.model_fields)}")
        return given


def _own(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """A pattern that a test has compiled passes as it is; JSON holds none."""
    return value if isinstance(value, re.Pattern) else check(value)


def _operation(name: str) -> str:
    if name not in _OPERATIONS:
        raise ValueError(f"there is no operation {name[:_LONGEST]}{nearest(name.lower(), _OPERATIONS)}")
    return name


def _method(name: str) -> str:
    if name.upper() not in _METHODS:
        raise ValueError(f"there is no method {name[:_LONGEST]}{nearest(name.upper(), _METHODS)}")
    return name.upper()


def _path(path: Any) -> Any:
    """A path that a request may have, or a pattern; raises ValueError."""
    if isinstance(path, str) and (not path.startswith("/") or "?" in path or "#" in path):
        raise ValueError(
            f"{path[:_LONGEST]!r} is no path: it begins with / and ends before ?; path_regex searches in it"
        )
    return path


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET")
_OPERATIONS = (*(one.value for one in Operation), MANAGEMENT, GRAPHQL)
_LONGEST = 100
"""Characters of a wrong name that are shown."""

if TYPE_CHECKING:
    Text = str | re.Pattern[str]
    HeaderText = str | HeaderPattern | re.Pattern[str]
else:
    Text = Annotated[str, WrapValidator(_own)]
    HeaderText = Annotated[Header, WrapValidator(_own)]


class Filter(Parameters):
    """Which requests are meant; what is not said may be anything."""

    endpoint: str | None = Field(None, description="a pattern as in a shell")
    operation: Annotated[str, AfterValidator(_operation)] | None = Field(
        None, description="run, runsync, status, status_sync, stream, cancel, retry, purge …"
    )
    method: Annotated[str, AfterValidator(_method)] | None = Field(None, description="GET, POST …, in any case")
    path: Annotated[Text, AfterValidator(_path)] | None = Field(None, description="the whole one, without its query")
    path_regex: Pattern | None = Field(None, description="is searched in the path")
    status: int | None = Field(None, description="of the answer")
    job: str | None = None
    body: Any = Field(None, description="a part of the JSON body: members that must be there with these values")
    body_regex: dict[str, Pattern] = Field(
        {},
        max_length=100,
        description="by path in the body, such as `input.prompt`: a pattern that is searched there, as in stubs",
    )
    headers: dict[str, HeaderText] = Field(
        {}, description="headers that must be there with these values, or {regex: pattern}"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, given: Any) -> Any:
        if not isinstance(given, dict | cls):
            raise ValueError(f"write a mapping, such as {{operation: run}}; this is {kind_of(given)}")
        return given

    def check(self, world: World) -> None:
        """Raise ConfigurationError for an endpoint that nobody knows: what is asked of it would hold for ever."""
        check_endpoint(world, self.endpoint)

    def fits(self, entry: Entry) -> bool:
        """Whether a request is meant; its body is looked at last, and only if all else fits."""
        return next(self.differences(entry), None) is None

    def differences(self, entry: Entry, masks: Masks | None = None) -> Iterator[str]:
        """What keeps a request from being meant: secrets are compared as they are, and shown with `masks`.

        Raises InvalidBody for a pattern that takes too long.
        """
        question = Question("", entry.body or b"null")
        for told in (self._of_the_line(entry, question), self._of_the_body(entry, question)):
            yield from (masks.text(difference) for difference in told) if masks else told
        yield from self._of_the_headers(entry, question, masks)

    def may_fit(self, entry: Entry) -> bool:
        """Whether all that can be compared fits, and the body, which is asked for too, can't be."""
        if not entry.is_cut or (self.body is None and not self.body_regex):
            return False
        question = Question("", b"null")
        return not any((*self._of_the_line(entry, question), *self._of_the_headers(entry, question, None)))

    def _of_the_line(self, entry: Entry, question: Question) -> Iterator[str]:
        if self.endpoint is not None and not fits(self.endpoint, entry.endpoint):
            yield f"endpoint: expected {self.endpoint!r}, got {entry.endpoint!r}"
        for name in _COMPARED:
            expected, actual = getattr(self, name), getattr(entry, name)
            if expected is not None and expected != actual:
                yield f"{name}: expected {expected!r}, got {actual!r}"
        for path in (self.path, self.path_regex and HeaderPattern(regex=self.path_regex)):
            if path is not None and not _is(path, entry.path, question):
                yield f"path: expected {_written(path)}, got {entry.path!r}"

    def _of_the_body(self, entry: Entry, question: Question) -> Iterator[str]:
        if self.body is None and not self.body_regex:
            return
        if entry.is_cut:
            yield f"body: not compared, for {_unread(entry)}"
            return
        parts = [] if self.body is None else [input_check(self.body)]
        for check in (*parts, *(input_regex_check(*one) for one in self.body_regex.items())):
            difference = check(question)
            if isinstance(difference, Slow):
                raise InvalidBody(f"body_regex: {difference.partition(': ')[2]}")
            if difference:
                yield difference.replace("input", "body", 1)

    def _of_the_headers(self, entry: Entry, question: Question, masks: Masks | None) -> Iterator[str]:
        if self.headers:
            given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in entry.headers}
            yield from header_differences(self.headers, given, question, masks)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not self.model_fields_set


def header_differences(
    wanted: Mapping[str, HeaderText], given: Mapping[str, str], question: Question, masks: Masks | None
) -> Iterator[str]:
    """Which headers, of those given by their names in lower case, are not as they are wanted; raises InvalidBody."""
    for name, expected in wanted.items():
        actual = given.get(name.lower())
        if not _is(expected, actual, question):
            shown = _written(expected, functools.partial(_shown, name, masks))
            place = masks.text(name) if masks else name
            yield f"header {place}: expected {shown}, got {_shown(name, masks, actual)}"


def _is(expected: str | HeaderPattern | re.Pattern[str], actual: str | None, question: Question) -> bool:
    """Whether a text is the expected one, or a pattern is found in it; raises InvalidBody."""
    if isinstance(expected, str) or actual is None:
        return expected == actual
    if isinstance(expected, re.Pattern):
        return expected.search(actual) is not None
    try:
        return found(expected.regex, actual, question)
    except TooSlow as error:
        raise InvalidBody(f"the pattern {expected.regex!r} {error}") from error


def _written(expected: str | HeaderPattern | re.Pattern[str], shown: Callable[[str], str] = repr) -> str:
    if isinstance(expected, str):
        return shown(expected)
    return f"a match of {shown(expected.regex if isinstance(expected, HeaderPattern) else expected.pattern)}"


def _unread(entry: Entry) -> str:
    kept, whole = len(entry.body), entry.body_size
    return f"it was not read: {entry.unread}" if entry.unread else f"only {kept} of its {whole} bytes were kept"


def _shown(name: str, masks: Masks | None, value: str | None) -> str:
    return repr(masks.header(name, value) if masks and value is not None else value)


_COMPARED = ("operation", "method", "status", "job")


async def meant(journal: Journal, match: Filter) -> list[Entry]:
    """The requests that fit, oldest first."""
    return await chosen(list(journal), match.fits)


def mode(world: World) -> Literal["real", "virtual", "auto"]:
    """How the world's clock goes."""
    clock = world.timeline.clock
    return "virtual" if isinstance(clock, VirtualClock) else "auto" if isinstance(clock, AutoClock) else "real"


class Awaited(Parameters):
    """What to wait for: all that is said must hold."""

    idle: bool = Field(False, description="no job waits or runs, and no webhook is owed")
    job: str | None = Field(None, description="this job has ended, or is gone")
    status: JobStatus | None = Field(None, description="the state that `count` jobs must have reached")
    count: int = Field(1, ge=1, le=MOST)
    endpoint: str | None = Field(None, description="only jobs of this endpoint; a pattern as in a shell")
    webhooks: int | None = Field(None, ge=1, le=MOST, description="so many webhook calls were acknowledged")
    timeout: Milliseconds | None = Field(
        None, ge=0, description="on the emulator's clock; 10 s of real time, a day of any other when left out"
    )


async def wait_until(
    world: World, awaited: Awaited, caller: Caller, ways: str = WAYS, patience: float | None = None
) -> str:
    """Wait for what was asked for; returns what is missing when the time is over, "" for nothing.

    On a clock that stands the wait is over as soon as nothing runs: then it says what is due next, and the `ways` to
    move time there. An automatic one leaves out nothing while no job waits or runs: there somebody must hand one in.
    `patience` is how many seconds of real time it may take.
    """
    problem = ""
    reached, clock = Reached(world, awaited), mode(world)
    still, unasked, is_unasked = Stillness(world, patience), Unasked(world), False

    async def done() -> bool:
        nonlocal problem, is_unasked
        problem = await missing(world, awaited, reached)
        is_unasked = awaited.webhooks is not None and awaited.status is None and await unasked.is_so()
        caller.hurries = clock != "auto" or world.store.has_work()
        if not problem or is_unasked or still.is_late or (awaited.job is not None and not _moments(world, awaited.job)):
            return True
        return still.is_over and (clock == "virtual" or awaited.timeout is None)

    usual = _PATIENCE if clock == "real" else _VIRTUAL_PATIENCE
    until = world.timeline.now() + (usual if awaited.timeout is None else awaited.timeout)
    listening = world.feeds.listening
    with listening(reached.heard, _nothing), listening(still.heard, _nothing), still, unasked:
        await world.feeds.wait_for(done, until, caller)
    if not problem:
        return ""
    if is_unasked:
        return f"{problem}: {SAID}"
    if still.is_late:
        longer = "; Emulator(patience=…) lets it last longer" if (awaited.timeout or 0) > (patience or 0) * 1000 else ""
        return f"{problem}: {late(patience or 0.0, await held_by(world))}{longer}"
    return f"{problem}: {await in_vain(world, awaited.job, ways)}" if still.is_over and clock == "virtual" else problem


def _nothing() -> None:
    pass


class Reached:
    """The jobs that were in the state that is waited for: all are looked through once, and after a reset."""

    def __init__(self, world: World, awaited: Awaited) -> None:
        self._history = world.history
        self._awaited = awaited
        self._jobs: set[tuple[str, str]] = set()
        self._age = -1

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._jobs)

    def heard(self, transition: Transition) -> None:
        """One transition more."""
        job = transition.job
        if transition.after is not None and job.status is self._awaited.status and self._is_meant(job.endpoint):
            self._jobs.add((job.endpoint, job.id))

    def count(self) -> int:
        """How many jobs there were."""
        if self._age != self._history.age:
            self._age = self._history.age
            status = self._awaited.status
            self._jobs = {key for key in self._history.reached(status) if self._is_meant(key[0])} if status else set()
        return len(self._jobs)

    def _is_meant(self, endpoint: str) -> bool:
        return self._awaited.endpoint is None or fits(self._awaited.endpoint, endpoint)


def _moments(world: World, job_id: str) -> list[list[Moment]]:
    """What is remembered of a job, at each endpoint that had one of this id."""
    return [moments for endpoint in world.endpoints.queues if (moments := world.history.of(endpoint, job_id))]


async def missing(world: World, awaited: Awaited, reached: Reached) -> str:
    """What does not hold yet, empty for nothing. Whoever waits for jobs to end knows of each that has."""
    if awaited.idle:
        world.unread.all_told()
        if not await world.idle():
            return "jobs wait or run, or a webhook is owed"
    if awaited.job is not None:
        moments = _moments(world, awaited.job)
        if not moments:
            return f"job {awaited.job} was never there: whoever handed it in may have called another emulator"
        if awaited.status is not None:
            was = any(moment.status == awaited.status.value for moment in moments[0])
            return "" if was else f"job {awaited.job} is {moments[0][-1].status}, and was never {awaited.status.value}"
        if moments[0][-1].status in ("IN_QUEUE", "IN_PROGRESS"):
            return f"job {awaited.job} is {moments[0][-1].status}"
        world.unread.told([(endpoint, awaited.job) for endpoint in world.endpoints.queues])
    if awaited.status is not None:
        count = reached.count()
        world.unread.told(reached)
        if count < awaited.count:
            return f"{count} of {awaited.count} jobs were {awaited.status.value}"
    if awaited.webhooks is not None and world.attempts.acknowledged < awaited.webhooks:
        return f"{world.attempts.acknowledged} of {awaited.webhooks} webhook calls were acknowledged"
    return ""
