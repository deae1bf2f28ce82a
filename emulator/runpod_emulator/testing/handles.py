"""A stub and a fault that a test has added: what became of them, and how to take them away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from runpod_emulator.core.mocks.faults import Fault as CoreFault
from runpod_emulator.core.mocks.stubs import Stub as CoreStub
from runpod_emulator.world.world import World

Value = TypeVar("Value")


class Ask(Protocol):
    """Has a function called with a world, in the thread of its server."""

    def __call__(self, question: Callable[[World], Value]) -> Value:
        """What the function returns."""
        ...


class Stub:
    """A stub of a world. Its counts are those of this moment; a reset begins them anew."""

    def __init__(self, ask: Ask, stub: CoreStub) -> None:
        self._ask = ask
        self._stub = stub

    @property
    def id(self) -> str:
        """Its name."""
        return self._stub.id

    @property
    def asked(self) -> int:
        """Jobs that fitted it but for the number of the call."""
        return self._ask(lambda world: self._stub.asked)

    @property
    def matched(self) -> int:
        """Jobs that it took."""
        return self._ask(lambda world: self._stub.matched)

    @property
    def played(self) -> int:
        """Runs that a worker began, with those after a retry."""
        return self._ask(lambda world: self._stub.played)

    def remove(self) -> None:
        """Let it match no job any more; those that it has taken go on."""
        self._ask(self._remove)

    def _remove(self, world: World) -> None:
        if world.stubs.get(self.id) is self._stub:
            world.stubs.remove(self.id)

    def __repr__(self) -> str:
        return f"<stub {self.id}>"


class Fault:
    """A fault of a world. Its counts are those of this moment; a reset begins them anew."""

    def __init__(self, ask: Ask, fault: CoreFault) -> None:
        self._ask = ask
        self._fault = fault

    @property
    def id(self) -> str:
        """Its name."""
        return self._fault.id

    @property
    def kind(self) -> str:
        """What it does."""
        return str(self._fault.kind.value)

    @property
    def asked(self) -> int:
        """Calls that fitted it."""
        return self._ask(lambda world: self._fault.asked)

    @property
    def struck(self) -> int:
        """Calls that it struck."""
        return self._ask(lambda world: self._fault.struck)

    def remove(self) -> None:
        """Let it strike no more."""
        self._ask(self._remove)

    def _remove(self, world: World) -> None:
        if world.faults.get(self.id) is self._fault:
            world.faults.remove(self.id)

    def __repr__(self) -> str:
        return f"<fault {self.kind} {self.id}>"
