"""What the plugin adds to the report of a test: the story of its emulators if it fails, and what a strict one lacks."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from typing import Any, Protocol

import pytest

_FIXTURE = "runpod_emulator"
_HEADING = "what the emulator knows"
_STRICT = f"{_FIXTURE}_strict"
_HELP = """tests that use the fixture fail for stubs and faults that were never used, jobs that met no stub, webhooks \
that were given up, and refused requests that nobody asked for"""


class World(Protocol):
    """One world of an emulator, as far as a report needs it."""

    def story(self) -> str:
        """What happened."""
        ...

    def unmet(self) -> list[str]:
        """What a strict test fails for."""
        ...


class Told(Protocol):
    """An emulator."""

    strict: bool

    @property
    def worlds(self) -> Mapping[str, World]:
        """Its worlds by their names, "" for the first."""
        ...


class _Seen:
    """The emulators of the present test."""

    def __init__(self) -> None:
        self.made: list[Told] = []
        """By fixtures for this test."""
        self.strict: list[Told] = []
        """Those that are looked through at its end."""


_SEEN = pytest.StashKey[_Seen]()


def add_options(parser: pytest.Parser) -> None:
    """Declare the setting."""
    parser.addini(_STRICT, _HELP, type="bool", default=False)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Note an emulator that a fixture has made; a strict one of this test is looked through by us, at its end."""
    value = yield
    if (made := _emulator(value)) is not None:
        seen = request.config.stash.setdefault(_SEEN, _Seen())
        seen.made.append(made)
        if fixturedef.scope == "function" and (made.strict or _is_strict(request, fixturedef.argname)):
            made.strict = False  # its own look would come with the end of its fixture, and spoil a failure
            seen.strict.append(made)
    return value


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a strict test that has passed so far."""
    __tracebackhide__ = True
    result = yield
    seen = item.config.stash.get(_SEEN, None)
    worlds = [world for one in (seen.strict if seen else ()) for world in one.worlds.values()]
    reasons = [reason for world in worlds for reason in world.unmet()]
    if reasons:
        pytest.fail("strict: " + "\n        ".join(reasons), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Tell the story of a failing test's emulators, as far as they live."""
    report = yield
    seen = item.config.stash.get(_SEEN, None)
    if report.failed:
        given = [one for value in getattr(item, "funcargs", {}).values() if (one := _emulator(value)) is not None]
        for one in {id(one): one for one in [*given, *(seen.made if seen else ())]}.values():
            report.sections += _stories(one)
    if seen and call.when == "teardown":
        seen.made.clear()
        seen.strict.clear()
    return report


def _stories(emulator: Told) -> list[tuple[str, str]]:
    """What there is to tell of each world, with its heading."""
    try:
        named = emulator.worlds.items()
        return [(f"{_HEADING} of {name}" if name else _HEADING, world.story()) for name, world in named]
    except (RuntimeError, TimeoutError):  # it does not run any more, or hangs, which may be why the test fails
        return []


def _emulator(value: Any) -> Told | None:
    """The value, if it is an emulator; nothing is imported to find that out."""
    module = sys.modules.get("runpod_emulator.testing.emulator")
    if module is None or not isinstance(value, module.Emulator):
        return None
    found: Told = value
    return found


def _is_strict(request: pytest.FixtureRequest, fixture: str) -> bool:
    """Whether the nearest mark that says something of it, or else the setting, makes the test strict."""
    if fixture != _FIXTURE:
        return False
    said = (mark.kwargs["strict"] for mark in request.node.iter_markers(_FIXTURE) if "strict" in mark.kwargs)
    return bool(next(said, request.config.getini(_STRICT)))
