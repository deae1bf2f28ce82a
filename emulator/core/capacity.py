"""How many workers may have a process at once, over all endpoints of a server."""

from __future__ import annotations

from collections.abc import Callable

Grant = Callable[[], None]


class Capacity:
    """Hands out places for processes, first come first served; `limit` None is no limit.

    Whoever waits makes idle workers of other endpoints give way.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._holders: set[str] = set()
        self._waiting: dict[str, Grant] = {}
        self._lenders: list[Callable[[], bool]] = []

    @property
    def contended(self) -> bool:
        """Whether some worker waits for a place."""
        return bool(self._waiting)

    def lend(self, give_way: Callable[[], bool]) -> None:
        """Ask `give_way` to end an idle worker when a place is wanted; it answers whether it did."""
        self._lenders.append(give_way)

    def claim(self, worker: str, granted: Grant) -> None:
        """Call `granted` once the worker may have a process, at once where there is room."""
        self._waiting[worker] = granted
        self._grant()
        if worker in self._waiting:
            any(give_way() for give_way in self._lenders)

    def release(self, worker: str) -> None:
        """The worker wants no place any more."""
        self._waiting.pop(worker, None)
        if worker in self._holders:
            self._holders.remove(worker)
            self._grant()

    def _grant(self) -> None:
        while self._waiting and (self.limit is None or len(self._holders) < self.limit):
            worker = next(iter(self._waiting))
            granted = self._waiting.pop(worker)
            self._holders.add(worker)
            granted()
