"""Which lines are a traceback, and that it comes as a whole."""

from __future__ import annotations

import asyncio
import traceback

from runpod_emulator.core.fleet.worker import Said
from runpod_emulator.workers import printed
from runpod_emulator.workers.printed import Printed

from tests.tables import table

PLAIN = ["Traceback (most recent call last):", '  File "h.py", line 1, in h', "    1 / 0", "ZeroDivisionError: x"]
CHAIN = [*PLAIN, "", "During handling of the above exception, another exception occurred:", "", *PLAIN]
CAUSE = [*PLAIN, "", "The above exception was the direct cause of the following exception:", "", *PLAIN]
GROUP = [
    "  + Exception Group Traceback (most recent call last):",
    '  |   File "h.py", line 1, in h',
    "  | ExceptionGroup: g (1 sub-exception)",
    "  +-+---------------- 1 ----------------",
    "    | ValueError: 1",
    "    +------------------------------------",
]


def blocks(*chunks: list[str]) -> list[list[str]]:
    """What is said, as lists of lines: a traceback is one, any other line one of its own."""
    said: list[Said] = []

    async def feed() -> None:
        reader = Printed(said.append)
        for chunk in chunks:
            for line in chunk:
                reader.line(line.encode())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        reader.finish()

    asyncio.run(feed())
    found: list[list[str]] = [[]]
    for one in said:
        assert one.level == ("error" if one.more or found[-1] or one.text.startswith(("Traceback", "  + ")) else "info")
        found[-1].append(one.text)
        if not one.more:
            found.append([])
    return found[:-1]


@table(
    ("chunks", "expected"),
    [
        ([["a", "b", "", "c"]], [["a"], ["b"], [""], ["c"]]),
        ([["a", *PLAIN, "b"]], [["a"], PLAIN, ["b"]]),
        ([[*PLAIN, *PLAIN]], [PLAIN, PLAIN]),
        ([CHAIN, ["b"]], [CHAIN, ["b"]]),
        ([[*CAUSE, "", "b"]], [CAUSE, [""], ["b"]]),
        ([[*PLAIN, "", ""]], [PLAIN, [""], [""]]),
        ([GROUP, ["b"]], [GROUP, ["b"]]),
        ([[*GROUP, "b"]], [GROUP, ["b"]]),
        ([PLAIN[:2], PLAIN[2:], ["b"]], [PLAIN, ["b"]]),
        ([PLAIN[:3]], [PLAIN[:3]]),
        ([PLAIN, ["", "b"]], [PLAIN, [""], ["b"]]),
        ([["During handling of the above exception, nothing"]], [["During handling of the above exception, nothing"]]),
    ],
)
def test_a_traceback_comes_as_a_whole(chunks: list[list[str]], expected: list[list[str]]) -> None:
    assert blocks(*chunks) == expected


def test_what_python_writes_is_known() -> None:
    texts = []
    try:
        try:
            raise ValueError("inner")
        except ValueError:
            raise KeyError("outer")  # noqa: B904
    except KeyError:
        texts.append(traceback.format_exc())
    lines = texts[0].rstrip("\n").split("\n")
    assert blocks(["before", *lines, "after"]) == [["before"], lines, ["after"]]


async def test_a_traceback_is_said_while_the_handler_is_silent(monkeypatch) -> None:
    monkeypatch.setattr(printed, "_PATIENCE", 0.01)
    said: list[str] = []
    over = asyncio.Event()

    def note(one: Said) -> None:
        said.append(one.text)
        if not one.more:
            over.set()

    reader = Printed(note)
    for lines in (PLAIN, PLAIN[:2]):
        over.clear()
        for line in lines:
            reader.line(line.encode())
        await asyncio.wait_for(over.wait(), 5)
        assert said == lines
        said.clear()


def test_a_flood_that_begins_as_one_is_let_go() -> None:
    lines = [PLAIN[0], *["  on"] * 2_500]
    assert [len(block) for block in blocks(lines)][:1] == [1_000]


def test_no_line_of_a_private_key_is_said() -> None:
    key = ["-----BEGIN PRIVATE KEY-----", "QUJDREVGR0hJSktM", "-----END PRIVATE KEY-----"]
    assert blocks([*key, "QUJDREVGR0hJSktM"]) == [[key[0]], ["****"], [key[2]], ["QUJDREVGR0hJSktM"]]
