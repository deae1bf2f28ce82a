"""What a job's record says of the script that the job plays, so that any process over the store can go on with it.

Pure, as `core/jobs/job.py` is. Which scripts a stub has, the process knows in which the job is played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class ScriptState(NamedTuple):
    """Of a job that plays a script: which, in which run, and what it waits for. Times are ms since the epoch."""

    stub: str | None
    """The id of the stub that has matched it; None where none has."""
    call: int = 0
    """How many jobs the stub had matched, this one among them."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    """Of the request, as they came: values of the script may be made of them."""
    failure: str = ""
    """Why no stub has matched it: that is how it fails."""
    run: int = 0
    """The number of its run among those of the stub, or of the run to come; 0 for one that is drawn when it begins."""
    numbered: bool = False
    """Whether it had that number from the start, and keeps it when a claim is given back."""
    held_until: int | None = None
    """When it is released, once no poll is owed; None while its script does not hold it back."""
    polls_owed: int = 0
    """How many polls by clients the present pause still waits for."""

    @property
    def release_due(self) -> int | None:
        """When time alone will release the job."""
        return None if self.polls_owed else self.held_until

    def begun(self, run: int) -> ScriptState:
        """A worker has the job, and plays the run of this number."""
        values = (self.stub, self.call, self.headers, self.failure, run, self.numbered, None, 0)
        return tuple.__new__(ScriptState, values)  # in a quarter of the time that `_replace` takes

    def given_back(self) -> ScriptState:
        """The run that has just begun was none."""
        return self._replace(run=self.run if self.numbered else 0, polls_owed=0)

    def lost(self) -> ScriptState:
        """The run's worker was lost: there will be another one."""
        return self._replace(run=0, polls_owed=0)

    def paused(self, polls: int) -> ScriptState:
        """The run goes on after so many polls."""
        return self._replace(polls_owed=polls)

    def looked_at(self, at: int) -> ScriptState:
        """A client has polled. What is released by the last poll that it waits for, is so no earlier than that."""
        owed = max(0, self.polls_owed - 1)
        held_until = self.held_until if owed or self.held_until is None else max(self.held_until, at)
        return self._replace(polls_owed=owed, held_until=held_until)

    def released(self) -> ScriptState:
        """It waits for a worker only."""
        return self._replace(held_until=None, polls_owed=0)


def holds(script: ScriptState | None) -> bool:
    """Whether the script of a job that is about to be queued holds it back."""
    return script is not None and script.held_until is not None


@dataclass(frozen=True, slots=True)
class Looked:
    """A client has polled a job whose script waits for that."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The job's script goes on when clients have polled so often."""

    lease: int
    polls: int


INWARD = (Looked, Paused)
"""Events that only say how far a script is: nobody who follows jobs is told of them."""
