"""What servers and handlers say reaches a terminal as text, and a pipe as the JSON that it was."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO

import msgspec
import pytest
from rich.console import Console
from rich.spinner import Spinner
from runpod_emulator.cli.client.ends import NoServer
from runpod_emulator.cli.client.envelope import Envelope, duration, read_chunks, read_envelope
from runpod_emulator.cli.client.lines import log_line, print_line, request_line, time_of, transition_line
from runpod_emulator.cli.client.live import LiveLine, bar, progress_text, share_of
from runpod_emulator.cli.client.looking import _HEADINGS, _SPARE
from runpod_emulator.cli.client.named import Name
from runpod_emulator.cli.client.shown import print_chunk, print_output, print_table, say, seen_json

from tests.tables import table

EVIL = "\x1b[2J\x1b]0;title\x07[red]\u202e\x9b2J\x00\r:smile:\U000e0041"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal without colours in place of both streams."""
    shown = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


def assert_seen(text: str) -> None:
    """All of it can be seen, and nothing was taken for markup."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # how it looks
    assert all(character.isprintable() or character in "\n" for character in text), ascii(text)
    assert "smile" in text
    assert "[red]" in text


def test_whatever_is_printed_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    value = json.dumps({"a": EVIL}, ensure_ascii=False)
    evil = {"endpoint": EVIL, "job": EVIL, "id": EVIL, "text": EVIL, "why": EVIL, "worker": EVIL, "status": EVIL,
            "method": EVIL, "path": EVIL, "event": EVIL, "number": EVIL, "level": EVIL}  # fmt: skip
    print_output(value)
    print_output(json.dumps(EVIL), raw=True)
    print_chunk(json.dumps(EVIL))
    print_table(["a"], [[EVIL]])
    for line in (log_line, transition_line, request_line):
        print_line(line(evil))
    say(EVIL)
    say(progress_text(json.dumps(EVIL)))
    said = terminal.getvalue()
    assert_seen(said)
    assert said.count("[red]") > 10


@table("text", ['"a\u009b\u2028b"', '{"\x7f": "\U000e0041"}', '{\n\t"a": 1}', '"plain ä 😀"'])
def test_json_that_can_be_seen_says_the_same(text: str) -> None:
    seen = seen_json(text)
    assert json.loads(seen) == json.loads(text)
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # how it looks
    assert all(character.isprintable() or character in "\n\t" for character in seen)


def test_what_is_piped_is_the_json_that_came(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("1e400", "123456789012345678901234567890.0", '{"b":1, "a":2}', "[" * 2000 + "]" * 2000, "9" * 5000):
        print_output(text)
        assert capsys.readouterr().out == f"{text}\n"
    print_output('"two\\nlines"', raw=True)
    print_chunk('"a"', raw=True)
    print_chunk('"b"')
    assert capsys.readouterr().out == 'two\nlines\na"b"\n'


def test_what_python_cannot_hold_is_shown_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    print_output("9" * 5000)
    print_output("[" * 5_000 + "]" * 5_000)
    assert terminal.getvalue().replace("\n", "").startswith("9" * 5000 + "[[[")


EXCEPTION = json.dumps(
    {"error_type": "<class 'ValueError'>", "error_message": "no", "error_traceback": "Traceback:\n  x\n"}
)


@table(
    "error, told",
    [
        (None, ""),
        ("plain", "plain"),
        (EXCEPTION, "ValueError: no\nTraceback:\n  x"),
        ('{"error_message": "no"}', "no"),
        ('{"other": 1}', '{"other": 1}'),
        ("5", "5"),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_what_went_wrong(error: object, told: str) -> None:
    body = json.dumps({"id": "a", "status": "FAILED", "error": error}, separators=(",", ":")).encode()
    assert read_envelope(body, "here").problem == told


@table("body", [b"", b"[]", b"{}", b"<html>", b'{"id": 1, "status": "x"}', b'{"id": "a", "status": null}', b"\xff"])
def test_what_is_no_job(body: bytes) -> None:
    with pytest.raises(NoServer, match="here does not answer as RunPod does"):
        read_envelope(body, "here")


@table(
    "body, chunks",
    [
        (b'{"status":"IN_PROGRESS","stream":[{"output":1},{"output":"a"}]}', ("IN_PROGRESS", ["1", '"a"'])),
        (b'[{"output":{"a":1},"metrics":{}}]', ("", ['{"a":1}'])),
        (b'{"status":"COMPLETED","stream":[]}', ("COMPLETED", [])),
    ],
)
def test_chunks_in_both_shapes(body: bytes, chunks: tuple[str, list[str]]) -> None:
    assert read_chunks(body, "here") == chunks


def test_a_line_of_a_job() -> None:
    job = Envelope("sync-8881c1a2-x", "COMPLETED", delay_time=12, execution_time=61_000, retries=1, worker_id="w")
    told = "echo 8881c1a2 COMPLETED  waited 12 ms, ran 1 min 1 s, worker w, retries 1"
    assert job.told(Name("echo", job.id)) == told


@table("ms, text", [(0, "0 ms"), (999, "999 ms"), (1_500, "1.5 s"), (59_960, "60.0 s"), (90_000, "1 min 30 s"),
                    (7_260_000, "2 h 1 min")])  # fmt: skip
def test_durations(ms: float, text: str) -> None:
    assert duration(ms) == text


@table(
    "update, share",
    [("40%", 0.4), ("step 2/5", 0.4), ("2 of 5", 0.4), ('{"step": 2, "of": 5}', 0.4), ("loading", None), ("7/5", None),
     ("3/0", None), ("1.5 GB", None), ("100 %", 1.0)],
)  # fmt: skip
def test_how_much_is_done(update: str, share: float | None) -> None:
    assert share_of(update) == share


def test_a_bar() -> None:
    assert bar(0.5) == "━" * 10 + "╌" * 10


def test_the_live_line_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    line = LiveLine("progress 8881c1a2")
    line._job = Envelope("1", "IN_PROGRESS", msgspec.Raw(json.dumps({"step": 2, "of": 5, "what": "w" * 90}).encode()))
    Console(file=terminal, width=40).print(Spinner("dots", line))
    (shown,) = terminal.getvalue().splitlines()
    assert "IN_PROGRESS" in shown
    assert shown.rstrip().endswith("…")


def test_a_narrow_terminal_leaves_out_what_matters_least(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ["17:00:00", "progress/8881c1a2", "IN_PROGRESS", "12.5 s", "1 min 30 s", "abcdefghijklmn", "1", "e" * 200]
    for columns, left in ((80, (*_HEADINGS[:3], "waited", "error")), (200, _HEADINGS)):
        terminal = on_terminal(monkeypatch)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
        print_table(_HEADINGS, [row], _SPARE)
        heading, first, *_ = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
        assert tuple(heading.split()) == left
        assert "IN_PROGRESS" in first
        assert "…" not in first


@table("at, text", [(None, ""), ("soon", ""), (10**30, "")])
def test_a_time_that_is_none(at: object, text: str) -> None:
    assert time_of(at) == text
