"""The tool that counts file switches counts them."""

from __future__ import annotations

from pathlib import Path
from types import CodeType

from tests.tools.trips import Figures, Switches, count, served

_ONE = """
def one(other):
    helper()
    other()
    helper()
def helper(): pass
"""
_OTHER = "def other(): pass"


def _module(path: Path, text: str) -> dict[str, object]:
    names: dict[str, object] = {}
    code: CodeType = compile(text, str(path), "exec")
    exec(code, names)
    return names


def test_a_file_that_begins_and_a_file_that_goes_on_are_both_seen(tmp_path: Path) -> None:
    one, other = _module(tmp_path / "one.py", _ONE)["one"], _module(tmp_path / "other.py", _OTHER)["other"]
    assert callable(one)
    with Switches(str(tmp_path)) as switches:
        one(other)
        len("another one's")
    assert switches.figures == Figures(begun=2, run=2), "into the other file, and back"


async def test_trips_are_counted() -> None:
    async with served(endpoint=["sdk"], load_balancer=[]) as client:
        for name in ("a stubbed job", "an SDK worker's poll"):
            figures = await count(name, client, warm=1, counted=1)
            assert 50 < figures.begun <= figures.run, name
