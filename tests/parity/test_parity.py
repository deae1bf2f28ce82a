"""Every handler of the catalogue, played by our light process and by the official worker: a client sees the same."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.parity.batches import batches
from tests.parity.cases import SDKS, Handler
from tests.parity.catalogue import HANDLERS
from tests.parity.kindnesses import KINDNESSES, MOST, STARTS_KINDLY
from tests.parity.stage import Played, play_until_sure

pytestmark = pytest.mark.parity

Player = Callable[[str, Handler], Played]


def _marked(handler: Handler) -> list[pytest.MarkDecorator]:
    return [pytest.mark.compat] if handler.sample else []


def _played() -> list[tuple[str, Handler]]:
    """Handlers by SDK, in the order in which their batches are played."""
    return [
        (sdk, handler)
        for sdk in SDKS
        for batch in batches([handler for handler in HANDLERS if sdk in handler.sdks])
        for handler in batch
    ]


CASES = [
    pytest.param(sdk, handler, case, id=f"{sdk}-{handler.name}-{case.replace(' ', '-')}", marks=_marked(handler))
    for sdk, handler in _played()
    for case in handler.cases
]
ENDS = [pytest.param(sdk, handler, id=f"{sdk}-{handler.name}", marks=_marked(handler)) for sdk, handler in _played()]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Player:
    """Plays the batch of a handler when the first of its cases is looked at.

    Samples are played under each SDK at once: the official workers mostly wait between two jobs.
    """
    done: dict[tuple[str, str], Played | Exception] = {}

    def outcome(sdk: str, handler: Handler, folder: Path) -> dict[tuple[str, str], Played | Exception]:
        group = next(batch for batch in batches([one for one in HANDLERS if sdk in one.sdks]) if handler in batch)
        played: Played | Exception
        try:
            played = play_until_sure(group, sdk, folder)
        except Exception as error:  # a batch that cannot be played is not tried again for each of its cases
            played = error
        return {(sdk, one.name): played for one in group}

    def player(sdk: str, handler: Handler) -> Played:
        if (sdk, handler.name) not in done:
            sdks = handler.sdks if handler.sample else (sdk,)
            folders = [tmp_path_factory.mktemp("parity") for _ in sdks]
            with ThreadPoolExecutor(len(sdks)) as beside_each_other:
                for played in beside_each_other.map(outcome, sdks, [handler] * len(sdks), folders):
                    done.update(played)
        found = done[sdk, handler.name]
        if isinstance(found, Exception):
            raise found
        return found

    return player


@pytest.mark.parametrize(("sdk", "handler", "case"), CASES)
def test_a_client_sees_the_same(played: Player, sdk: str, handler: Handler, case: str) -> None:
    ours, theirs = played(sdk, handler).cases[handler.name, case]
    if (handler.name, case) in KINDNESSES:
        assert ours != theirs, "this is no kindness any more"
        return
    assert not ours.differences(theirs)


@pytest.mark.parametrize(("sdk", "handler"), ENDS)
def test_the_counters_end_alike(played: Player, sdk: str, handler: Handler) -> None:
    ours, theirs = played(sdk, handler).health[handler.name]
    if not any(name == handler.name for name, _ in KINDNESSES):
        assert ours == theirs


@pytest.mark.compat
def test_there_are_few_kindnesses() -> None:
    known = {(handler.name, case) for handler in HANDLERS for case in handler.cases}
    assert KINDNESSES.keys() <= known
    assert len({*KINDNESSES.values(), *STARTS_KINDLY}) <= MOST
