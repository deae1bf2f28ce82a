"""What `serve` makes of a file that cannot be served does not depend on the worker."""

from __future__ import annotations

import pytest

from tests.parity.cases import SDKS, Startup
from tests.parity.catalogue.startups import STARTUPS
from tests.parity.kindnesses import STARTS_KINDLY
from tests.parity.starts import Start, try_all

pytestmark = pytest.mark.parity

CASES = [
    pytest.param(sdk, startup, id=f"{sdk}-{startup.name}")
    for sdk in SDKS
    for startup in STARTUPS
    if sdk in startup.sdks
]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, tuple[Start, Start]]]:
    return {sdk: try_all(sdk, tmp_path_factory.mktemp("starts")) for sdk in SDKS}


@pytest.mark.parametrize(("sdk", "startup"), CASES)
def test_a_file_is_served_or_refused_alike(
    started: dict[str, dict[str, tuple[Start, Start]]], sdk: str, startup: Startup
) -> None:
    ours, theirs = started[sdk][startup.name]
    if startup.name in STARTS_KINDLY:
        assert ours.outcome != theirs.outcome, "this is no kindness any more"
        return
    assert ours.outcome == theirs.outcome, (ours.said, theirs.said)
    if startup.says:
        assert startup.says in ours.said
        assert startup.says in theirs.said
