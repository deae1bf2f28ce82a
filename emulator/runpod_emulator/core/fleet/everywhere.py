"""What the fleet and the autoscaler of one server ask about the workers of all servers over a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runpod_emulator.core.fleet.worker import Worker


class Everywhere(Protocol):
    """The workers of one endpoint at all servers. Where a store is one server's own, there is none of these."""

    @property
    def leads(self) -> bool:
        """Whether this server decides how many workers there are."""
        ...

    @property
    def alive(self) -> int:
        """Workers that servers have started, or are about to."""
        ...

    @property
    def up(self) -> int:
        """Those of them that take jobs."""
        ...

    def free_slots(self, running: int) -> int:
        """Jobs that all workers could still take, given how many run."""
        ...

    def start_one(self, here: bool, at_once: bool = False) -> None:
        """Bring up one worker more, if there is a place: here, or where there are the fewest."""
        ...

    def ask_to_go(self, worker: Worker, fewest: int) -> None:
        """End a worker whose idle timeout is over, unless no more than `fewest` are up."""
        ...

    def give_up_broken(self) -> None:
        """Another may have the places of workers that could not start."""
        ...
