"""The pytest plugin: the fixture `runpod_emulator` and the mark of the same name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from emulator.testing import Emulator

_MARK = """runpod_emulator(*endpoints, profile=NAME, clock=CLOCK, **options): \
an emulator of its own for this test, with options of `runpod-emulator serve`; profile names one of faults"""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", _MARK)


@pytest.fixture(scope="session")
def _runpod_emulator_session() -> Iterator[Emulator]:
    from emulator.testing import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def runpod_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """RunPod on a free port: one server a session, cleared for each test; RunPod clients are pointed at it.

    A test marked with options has an emulator of its own.
    """
    mark = request.node.get_closest_marker("runpod_emulator")
    if mark is None or not (mark.args or mark.kwargs):
        emulator: Emulator = request.getfixturevalue("_runpod_emulator_session")
        emulator.reset()
        _point_at(emulator, monkeypatch)
        yield emulator
        return
    from emulator.testing import Emulator as Own

    options: dict[str, Any] = dict(mark.kwargs)
    profile = options.pop("profile", None)
    with Own(*mark.args, **options) as emulator:
        if profile is not None:
            emulator.profile(profile)
        _point_at(emulator, monkeypatch)
        yield emulator


def _point_at(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point RunPod clients here: by variables, and the official one, where it is loaded, by its own settings."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    runpod = sys.modules.get("runpod")
    if runpod is not None:
        monkeypatch.setattr(runpod, "endpoint_url_base", emulator.base_url, raising=False)
        monkeypatch.setattr(runpod, "api_key", emulator.key, raising=False)
