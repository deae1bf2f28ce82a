"""What a scripted worker performs instead of code, as data."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from runpod_emulator.core.settings import AT_ONCE, Span


class Asked(Protocol):
    """A job as its client handed it in."""

    @property
    def input(self) -> Any:
        """The parsed input; raises ValueError or RecursionError for one that Python can't hold."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the request, by names in lower case."""
        ...


@dataclass(slots=True)
class Scene:
    """What the values of a script can be made of: one job in one run."""

    endpoint: str
    job: str
    question: Asked
    """What the client asked for."""
    call: int
    """How many jobs the stub has matched, this one among them."""
    run: int
    """How many runs of the stub there were, this one among them."""
    clock: Callable[[], int]
    """Tells the time, in ms since the epoch; few values ask for it."""
    chance: random.Random
    seed: int | str | None = None
    """Of the endpoint's dice, for what must not depend on the order in which they are thrown."""
    model: Reply | None = None
    """The model of the endpoint, where it has one."""
    waiting: Callable[[], int] = lambda: 0
    """Tells how many jobs of the endpoint are in the queue."""

    @property
    def now(self) -> int:
        """The present time."""
        return self.clock()

    @property
    def input(self) -> Any:
        """The parsed input of the job."""
        return self.question.input

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the request, by names in lower case."""
        return self.question.headers


Value = Callable[[Scene], bytes]
"""Makes a JSON text; raises ScriptError."""


Text = Callable[[Scene], str]
"""Makes a text; raises ScriptError."""


class Said(NamedTuple):
    """A piece of a reply."""

    at: float
    """Its moment: ms since the run began, and never less than that of the piece before."""
    chunk: bytes | None = None
    """Its JSON; None where only time passes."""


class Reply(Protocol):
    """Answers a job in pieces, which it makes as they are said; raises ScriptError."""

    def __call__(self, scene: Scene) -> Generator[Said, None, None]:
        """The pieces in their order; whoever stops asking for them closes the generator."""
        ...


class ScriptError(Exception):
    """A value of a script cannot be made; the job fails with this text."""


class Ending(str, Enum):
    """How a script ends."""

    OUTPUT = "output"
    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Pause:
    """A time that passes, and polls by clients that must come, before the next thing happens: the later counts."""

    time: Span = AT_ONCE
    polls: int = 0

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to wait for."""
        return not (self.time.high or self.polls)


NO_PAUSE = Pause()
FOR_EVER = Pause(Span(1 << 52, 1 << 52))
"""Until something else ends the run."""


@dataclass(frozen=True, slots=True)
class Step:
    """A progress update or a stream chunk, after a pause."""

    value: Value
    is_chunk: bool = False
    pause: Pause = NO_PAUSE


@dataclass(frozen=True, slots=True)
class Script:
    """One run: a pause in the queue, steps, a pause, the end."""

    ending: Ending
    output: Value | None = None
    error: Text | None = None
    in_queue: Pause = NO_PAUSE
    steps: tuple[Step, ...] = field(default=())
    before_end: Pause = NO_PAUSE
    reply: Reply | None = None
    """Stands for steps and end: all that it says is the output, a list."""

    is_instant: bool = field(init=False, default=False)
    """Whether it answers without a step or a pause, once a worker has it."""

    def __post_init__(self) -> None:
        answers = self.ending in (Ending.OUTPUT, Ending.ERROR)
        goes_on = self.steps or self.reply is not None or not self.before_end.nothing
        object.__setattr__(self, "is_instant", answers and not goes_on)
