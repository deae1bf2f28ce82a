"""The log: plain lines, and coloured ones for people alone."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.server.log import begin_log
from runpod_emulator.server.log_lines import TextLines
from runpod_emulator.server.log_secrets import WithoutSecrets
from runpod_emulator.server.outlet import Outlet


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def same_levels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever level a test sets, the next one finds none of it."""
    names = ("", "uvicorn", "watchfiles")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def a_line_and_a_detail() -> None:
    logging.getLogger("runpod_emulator").info("a line")
    logging.getLogger("runpod_emulator").debug("a detail")


def logged(
    stream: io.StringIO, *, level: str = "info", write: Callable[[], None] = a_line_and_a_detail, form: str = "text"
) -> str:
    """What a log that begins anew shows of what is written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.root, "handlers", [])
        patch.setattr(sys, "stderr", stream)
        begin_log(level, form=form)
        write()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "variables", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": ""}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"NO_COLOR": "0", "FORCE_COLOR": "1"}, False),
        (Terminal, {"FORCE_COLOR": "0"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
        (io.StringIO, {"FORCE_COLOR": ""}, False),
        (io.StringIO, {"FORCE_COLOR": "1"}, True),
        (io.StringIO, {"FORCE_COLOR": "3", "TERM": "dumb"}, True),
    ],
)
def test_colours_are_for_terminals_unless_a_variable_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], variables: dict[str, str], coloured: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    line = logged(stream())
    assert ("\x1b[" in line) is coloured
    assert click.unstyle(line).endswith("a line\n")


def test_a_line_of_a_file_has_date_level_and_text() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    a line\n", logged(io.StringIO()))


def test_a_line_on_a_terminal_is_short() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d info  a line\n", click.unstyle(logged(Terminal())))


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("warning", 0), ("error", 0)])
def test_the_log_shows_its_level_and_above(level: str, lines: int) -> None:
    assert logged(io.StringIO(), level=level).count("\n") == lines


def test_chatty_libraries_only_warn() -> None:
    def chatter() -> None:
        for name in ("uvicorn.error", "watchfiles.main"):
            logging.getLogger(name).info("chatter")
            logging.getLogger(name).warning("of %s", name)

    text = logged(io.StringIO(), level="debug", write=chatter)
    assert [line.partition("WARNING ")[2] for line in text.splitlines()] == ["of uvicorn.error", "of watchfiles.main"]


# The colours


DRESSED = TextLines(short=True, coloured=True)


def coloured(level: int, text: str, name: str = "runpod_emulator", *, broken: bool = False) -> str:
    """The line without its time."""
    why = (ValueError, ValueError("why"), None) if broken else None
    record = logging.LogRecord(name, level, "", 0, text, None, why)
    return DRESSED.format(record).partition(" ")[2]


@pytest.mark.parametrize(
    ("level", "color"),
    [
        (logging.DEBUG, "bright_black"),
        (logging.INFO, "green"),
        (logging.WARNING, "yellow"),
        (logging.ERROR, "red"),
        (logging.CRITICAL, "red"),
    ],
)
def test_a_level_has_its_colour(level: int, color: str) -> None:
    name = {logging.WARNING: "warn", logging.CRITICAL: "crit"}.get(level) or logging.getLevelName(level).lower()
    assert coloured(level, "text").startswith(click.style(f"{name:5}", fg=color))


def test_what_goes_wrong_is_coloured_as_a_whole() -> None:
    assert coloured(logging.WARNING, "text").endswith(" " + click.style("text", fg="yellow"))
    assert coloured(logging.INFO, "text").endswith(" text")


def test_where_a_workers_line_comes_from_has_a_colour_of_its_own() -> None:
    line = coloured(logging.INFO, "echo#1 8881 │ said │ more", "runpod_emulator.worker")
    assert line.endswith(click.style("echo#1 8881 │ ", fg="cyan") + "said │ more")


@pytest.mark.parametrize(("text", "name"), [("a │ b", "runpod_emulator"), ("no bar", "runpod_emulator.worker")])
def test_no_other_line_has_it(text: str, name: str) -> None:
    assert coloured(logging.INFO, text, name).endswith(f" {text}")


def test_a_coloured_line_keeps_its_traceback() -> None:
    assert "ValueError: why" in click.unstyle(coloured(logging.ERROR, "text", broken=True))


def test_a_level_that_nobody_knows_is_no_mistake() -> None:
    assert "text" in coloured(35, "text")


# Secrets


@pytest.mark.parametrize(
    ("plain", "coloured", "shown"),
    [
        ("password=SECRET123456", "password\x1b[0m=SECRET123456\x1b[0m", "password=****3456"),
        ("password=SECRET123456", "pass\x1b[31mword=SECRET123456\x1b[0m", "password=****3456"),
        ("own-key-of-the-server", "own-key\x1b[1m-of-the-server\x1b[0m", "****rver"),
        ("red and blue", "\x1b[31mred\x1b[0m and blue\x1b[0m", "\x1b[31mred\x1b[0m and blue\x1b[0m"),
    ],
)
def test_no_secret_hides_behind_colours(plain: str, coloured: str, shown: str) -> None:
    record = logging.LogRecord("runpod_emulator.worker", logging.INFO, "", 0, "%s │ %s", ("ep#1", plain), None)
    record.coloured = coloured
    WithoutSecrets(Masks(["own-key-of-the-server"])).filter(record)
    assert DRESSED.format(record).endswith(click.style("ep#1 │ ", fg="cyan") + shown)


def test_no_line_and_no_traceback_shows_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    root.handlers = []
    try:
        begin_log("info", Masks(["own-key-of-the-server"]))
        log = logging.getLogger("runpod_emulator.test")
        log.info("%s: acknowledged by %s", "webhook", "http://user:a-long-password@h/?token=a-long-token")
        log.warning("a key: own-key-of-the-server")
        try:
            raise ValueError("no bucket for {'accessSecret': 'a-long-secret'} own-key-of-the-server")
        except ValueError:
            log.exception("it failed with %s", "Bearer a-long-key-of-a-client")
        logging.getLogger("runpod_emulator.jobs").info("%s %s", "ep/job", "COMPLETED")
    finally:
        root.handlers, root.level = before
    said = capsys.readouterr().err
    for secret in ("a-long-password", "a-long-token", "a-long-secret", "a-long-key", "own-key-of-the-server"):
        assert secret not in said
    for shown in (
        "http://user:****word@h/?token=****oken",
        "a key: ****rver",
        "Traceback",
        "'****cret'}",
        "ep/job COMPLETED",
    ):
        assert shown in said


# Nothing in a record looks like another one

FAKE = "2026-01-01 12:00:00,000 INFO    FAKE"
RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ +\S.*")


def of_others() -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.error(f"a\n{FAKE}\rb\x1b[2J")
    try:
        raise ValueError(f"x\n{FAKE}")
    except ValueError:
        logger.exception("failed", stack_info=True)


def of_ours() -> None:
    logger = logging.getLogger("runpod_emulator.webhooks")
    logger.error("%s", f"a\n{FAKE}\rb\x1b[2J")
    try:
        raise ValueError(f"x\n{FAKE}")
    except ValueError:
        logger.exception("failed", stack_info=True)


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("write", [of_others, of_ours])
def test_what_a_record_quotes_never_looks_like_a_record(write: Callable[[], None], color: bool) -> None:
    text = click.unstyle(logged(Terminal() if color else io.StringIO(), write=write))
    assert text.count(FAKE) == 2 and "Traceback (most recent call last)" in text and "Stack (most recent" in text
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())
    assert "\\x1b[2J" in text and "\x1b" not in text and "\r" not in text
    if not color:
        assert sum(bool(RECORD.fullmatch(line)) for line in text.splitlines()) == 2
        assert all(line.startswith("  ") or RECORD.fullmatch(line) for line in text.splitlines())


def test_a_workers_line_has_its_own_colours_where_there_are_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        coloured = {"coloured": "\x1b[31mred\x1b[0m"}
        logging.getLogger("runpod_emulator.worker").info("%s │ %s", "ep#1", "red", extra=coloured)

    assert logged(Terminal(), write=write).endswith("\x1b[31mred\x1b[0m\n")
    assert logged(io.StringIO(), write=write).endswith(" INFO    ep#1 │ red\n")
    monkeypatch.setenv("NO_COLOR", "1")
    assert logged(Terminal(), write=write).endswith(" info  ep#1 │ red\n")


@pytest.mark.parametrize("at", [0.0, 1.001, 1.999, 2.0, 59.5])
def test_each_line_has_its_own_time(at: float) -> None:
    formatter, usual = TextLines(), logging.Formatter("%(asctime)s")
    for created in (at, at + 0.5, at + 1):
        record = logging.LogRecord("runpod_emulator", logging.INFO, "", 0, "text", None, None)
        record.created, record.msecs = created, int(created * 1000) % 1000
        assert formatter.format(record) == f"{usual.format(record)} INFO    text"


def test_what_was_dropped_is_a_line_of_the_log(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    stream = io.TextIOWrapper(Outlet(descriptor), "utf-8", write_through=True)  # type: ignore[type-var]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.root, "handlers", [])
        patch.setattr(sys, "stderr", stream)
        begin_log("info")
        logging.getLogger("runpod_emulator").info("größer \ud800")
        stream.buffer._dropped = 3
        logging.getLogger("runpod_emulator").info("on")
    first, second, third = (tmp_path / "log").read_text().splitlines()
    assert first.endswith(" INFO    größer \\ud800")
    assert second.endswith(" WARNING 3 lines of the log were dropped: nobody read them")
    assert third.endswith(" INFO    on")
    os.close(descriptor)


# JSON


def test_every_line_of_json_is_an_object() -> None:
    def write() -> None:
        of_others()
        of_ours()
        logging.getLogger("someone.else").warning("%d", "no number")
        facts = {"event": "request", "endpoint": "ep", "status": 429, "ms": 0, "job": "", "why": "token=a-long-token"}
        logging.getLogger("runpod_emulator.requests").info("%s", "GET ep/\x9b 429", extra={"facts": facts})
        line = {"facts": {"event": "printed", "endpoint": "ep", "worker": "w", "job": "j"}}
        logging.getLogger("runpod_emulator.worker").error("%s │ %s", "ep#1", block("a\nb │ c"), extra=line)

    text = logged(io.StringIO(), write=write, form="json")
    assert text.isascii() and not re.search("[\x00-\x09\x0b-\x1f\x7f]", text)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [list(line)[:4] for line in lines] == [["time", "level", "event", "message"]] * 7
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time")) for line in lines)
    for raised in (lines[1], lines[3]):
        assert raised.pop("traceback").splitlines()[-2:] == ["ValueError: x", FAKE]
        assert raised.pop("stack").startswith("Stack (most recent call last):")
    assert [line["event"] for line in lines[:4]] == ["log", "log", "webhooks", "webhooks"]
    assert lines[1]["logger"] == "uvicorn.error" and "logger" not in lines[3]
    assert lines[4]["message"].startswith("a line of the logger someone.else is lost: TypeError")
    assert lines[5:] == [
        {"level": "info", "event": "request", "message": "GET ep/\\x9b 429", "endpoint": "ep", "status": 429, "ms": 0,
         "why": "token=****oken"},
        {"level": "error", "event": "printed", "message": "a\nb │ c", "endpoint": "ep", "worker": "w", "job": "j"},
    ]  # fmt: skip


def test_a_log_with_wrong_words_says_so_and_goes_on() -> None:
    def write() -> None:
        logging.getLogger("someone.else").warning("%d", "no number")
        logging.getLogger("someone.else").warning("on")

    first, second = logged(io.StringIO(), write=write).splitlines()
    assert "a line of the logger someone.else is lost: TypeError: " in first and second.endswith(" WARNING on")
