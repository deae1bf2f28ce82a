"""A server in a Python program: its options, its start and its end."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_origin

from runpod_emulator.config.options import GivenOptions, form
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.settings import check_id
from runpod_emulator.effects import unmocked as _loaded_before_any_mock  # noqa: F401
from runpod_emulator.testing.checking import text
from runpod_emulator.testing.thread import PATIENCE, Link, ServerThread
from runpod_emulator.testing.verbs import Verbs
from runpod_emulator.values import bare, nearest

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from runpod_emulator.testing.options import Options


_ELSEWHERE: dict[str, str] = dict.fromkeys(("endpoints", "endpoint"), "; their ids come first: Emulator('llm', …)")
"""What to say of names that are no options, where the nearest one would mislead."""


class Emulator(Verbs):
    """A server on a free port of this machine, in a thread of its own, and its first world.

    `endpoints` are ids of mock endpoints, of which `openai=[…]` says where a model answers what no stub
    does; an id that a stub names is served too. `options`
    are those of `runpod-emulator serve`, such as `clock="virtual"` or `seed=7`; without a
    seed it is 0, and `proxy=True` takes a free port. It works inside a running event loop, under freezegun, and in any
    thread.
    `patience` is how many seconds of real time a call may take before it raises TimeoutError.
    A `strict` one raises AssertionError at the end of its `with` block, unless that has failed, for
    stubs and faults that were never used, jobs that met no stub, webhooks that were given up, and
    refused requests that nobody asked for.
    """

    def __init__(
        self, *endpoints: str, patience: float = PATIENCE, strict: bool = False, **options: Unpack[Options]
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int | float) or not 0 < patience < float("inf"):
            raise ConfigurationError(f"patience: {patience!r} is no number of seconds above 0")
        _check(endpoints, options)
        self.strict = strict
        self._thread = ServerThread(patience)
        super().__init__(Link(self._thread))
        self._asked: dict[str, Any] = dict(options)
        self._level: int | str | None = None
        """Of the log before the start, where an option has changed it."""
        usual = {"port": 0, "tls_port": 0, "config": os.devnull, "log_level": "warning", "seed": 0}
        self._options: dict[str, Any] = {**usual, **options}
        if self._options.get("proxy") is True:
            self._options["proxy"] = 0
        models = self._options.get("openai", [])
        mocks = dict.fromkeys([*endpoints, *self._options.get("mock", [])])
        self._options["mock"] = [one for one in mocks if one not in models] or ([] if models else ["mock"])

    @property
    def worlds(self) -> dict[str, Verbs]:
        """The worlds that were asked for, by their names: the first has none."""
        return {"": self, **self._named}

    async def _drop_named(self) -> None:
        for name in self._named:
            await self.link.server.worlds.drop(name)

    def drop_namespaces(self) -> None:
        """End the other worlds that were asked for: whoever asks again gets new ones."""
        if self._named:
            self.link.do(self._drop_named())
            self._named.clear()

    def start(self) -> Self:
        """Serve; raises ConfigurationError, and RuntimeError where it runs already."""
        settings = read_settings(str, **self._options)
        self._asserted.clear()
        self._named.clear()
        if "log_level" in self._asked and not self._thread.is_running:
            self._level = _set_level(settings.log_level.upper())
        self._thread.start(settings)
        return self

    def stop(self) -> None:
        """Stop; leaves no thread and no process behind. Harmless when it does not run."""
        self._thread.stop()
        if self._level is not None:
            _set_level(self._level)
            self._level = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Stop, and raise AssertionError for what a strict test fails for, if it has not failed already."""
        try:
            all_worlds = self.worlds.values() if self.strict and error is None else ()
            reasons = [reason for world in all_worlds for reason in world.unmet()]
        finally:
            self.stop()
        if reasons:
            raise AssertionError("strict: " + "\n        ".join(reasons))

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._end, error)


def _check(endpoints: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for what is no endpoint, no option, or a time without a unit."""
    for endpoint in endpoints:
        if isinstance(endpoint, list | tuple | set | frozenset):
            raise ConfigurationError(f"endpoint: {endpoint!r} is no text: write {', '.join(map(repr, endpoint))}")
        check_id(text("endpoint", endpoint))
        if endpoints.count(endpoint) > 1:
            raise ConfigurationError(f"endpoint {endpoint} is named twice")
    for name, value in options.items():
        field = GivenOptions.model_fields.get(name)
        if field is None:
            near = _ELSEWHERE.get(name) or nearest(name, ["patience", "strict", *GivenOptions.model_fields])
            raise ConfigurationError(f"there is no option {name}{near}")
        if form(field) in ("TIME", "SPAN") and (problem := bare(value)):
            raise ConfigurationError(f"{name}: {problem}")
        if isinstance(value, str | Mapping) and get_origin(field.annotation) is list:
            one = value if isinstance(value, str) else next((f"{key}={given}" for key, given in value.items()), "…")
            raise ConfigurationError(f"{name}: write a list, such as [{one!r}]")


def _set_level(level: int | str) -> int:
    """Set the level of the emulator's log; returns the one before."""
    log = logging.getLogger("runpod_emulator")
    before = log.level
    log.setLevel(level)
    return before
