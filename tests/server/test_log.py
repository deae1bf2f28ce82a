"""The log: plain lines, and coloured ones for people alone."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.server.log import ColouredLines, PlainLines, WithoutSecrets, begin_log
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
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def a_line_and_a_detail() -> None:
    logging.getLogger("runpod_emulator").info("a line")
    logging.getLogger("runpod_emulator").debug("a detail")


def logged(
    stream: io.StringIO, *, color: bool, level: str = "info", write: Callable[[], None] = a_line_and_a_detail
) -> str:
    """What a log that begins anew shows of what is written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.root, "handlers", [])
        patch.setattr(sys, "stderr", stream)
        begin_log(level, color)
        write()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "color", "no_color", "coloured"),
    [
        (Terminal, True, None, True),
        (Terminal, True, "", True),
        (Terminal, True, "1", False),
        (Terminal, True, "0", False),
        (Terminal, False, None, False),
        (io.StringIO, True, None, False),
        (io.StringIO, True, "1", False),
        (io.StringIO, False, None, False),
    ],
)
def test_lines_are_coloured_only_to_a_terminal_and_without_no_color(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], color: bool, no_color: str | None, coloured: bool
) -> None:
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    line = logged(stream(), color=color)
    assert ("\x1b[" in line) is coloured
    assert click.unstyle(line).endswith("a line\n")


def test_a_plain_line_has_date_level_and_text() -> None:
    line = logged(io.StringIO(), color=False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    a line\n", line)


def test_a_coloured_line_has_time_level_and_text() -> None:
    line = logged(Terminal(), color=True)
    assert re.fullmatch(r"\d\d:\d\d:\d\d info    a line\n", click.unstyle(line))


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("warning", 0), ("error", 0)])
def test_the_log_shows_its_level_and_above(level: str, lines: int) -> None:
    assert logged(io.StringIO(), color=False, level=level).count("\n") == lines


def test_chatty_libraries_only_warn() -> None:
    def chatter() -> None:
        for name in ("uvicorn.error", "watchfiles.main"):
            logging.getLogger(name).info("chatter")
            logging.getLogger(name).warning("of %s", name)

    text = logged(io.StringIO(), color=False, level="debug", write=chatter)
    assert [line.partition("WARNING ")[2] for line in text.splitlines()] == ["of uvicorn.error", "of watchfiles.main"]


# The colours


def coloured(level: int, text: str, name: str = "runpod_emulator", *, broken: bool = False) -> str:
    """The line without its time."""
    why = (ValueError, ValueError("why"), None) if broken else None
    record = logging.LogRecord(name, level, "", 0, text, None, why)
    return ColouredLines().format(record).partition(" ")[2]


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
    name = logging.getLevelName(level).lower()
    assert coloured(level, "text").startswith(click.style(f"{name:7}", fg=color))


def test_what_goes_wrong_is_coloured_as_a_whole() -> None:
    assert coloured(logging.WARNING, "text").endswith(" " + click.style("text", fg="yellow"))
    assert coloured(logging.INFO, "text").endswith(" text")


def test_where_a_workers_line_comes_from_has_a_colour_of_its_own() -> None:
    line = coloured(logging.INFO, "echo/w1/job | said | more", "runpod_emulator.worker")
    assert line.endswith(click.style("echo/w1/job | ", fg="cyan") + "said | more")


@pytest.mark.parametrize(("text", "name"), [("a | b", "runpod_emulator"), ("no bar", "runpod_emulator.worker")])
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
    record = logging.LogRecord("runpod_emulator.worker", logging.INFO, "", 0, "%s | %s", ("ep/w1", plain), None)
    record.coloured = coloured
    WithoutSecrets(Masks(["own-key-of-the-server"])).filter(record)
    assert ColouredLines().format(record).endswith(click.style("ep/w1 | ", fg="cyan") + shown)


def test_a_private_key_that_comes_line_by_line_is_hidden() -> None:
    key = [
        "-----BEGIN RSA PRIVATE KEY-----",
        "Proc-Type: 4,ENCRYPTED",
        "",
        "QUJDREVGR0hJSktM" * 4,
        "QUJDRA==",
        "-----END RSA PRIVATE KEY-----",
    ]
    masks, said = WithoutSecrets(Masks()), list[str]()
    for where, line in [
        *(("a", line) for line in [*key[:4]]),
        ("b", "word"),
        *(("a", line) for line in key[4:]),
        ("a", "word"),
    ]:
        record = logging.LogRecord("runpod_emulator.worker", logging.INFO, "", 0, "%s | %s", (where, line), None)
        masks.filter(record)
        said.append(record.getMessage())
    assert said == [
        "a | -----BEGIN RSA PRIVATE KEY-----****", "a | ****", "a | ****", "a | ****", "b | word", "a | ****",
        "a | -----END RSA PRIVATE KEY-----", "a | word",
    ]  # fmt: skip


def test_no_line_and_no_traceback_shows_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    root.handlers = []
    try:
        begin_log("info", False, Masks(["own-key-of-the-server"]))
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
    text = click.unstyle(logged(Terminal() if color else io.StringIO(), color=color, write=write))
    assert text.count(FAKE) == 2 and "Traceback (most recent call last)" in text and "Stack (most recent" in text
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())
    assert "\\x1b[2J" in text and "\x1b" not in text and "\r" not in text
    if not color:
        assert sum(bool(RECORD.fullmatch(line)) for line in text.splitlines()) == 2
        assert all(line.startswith("  ") or RECORD.fullmatch(line) for line in text.splitlines())


def test_a_workers_line_has_its_own_colours_on_a_terminal_alone() -> None:
    def write() -> None:
        coloured = {"coloured": "\x1b[31mred\x1b[0m"}
        logging.getLogger("runpod_emulator.worker").info("%s | %s", "ep/w", "red", extra=coloured)

    assert logged(Terminal(), color=True, write=write).endswith("\x1b[31mred\x1b[0m\n")
    assert logged(io.StringIO(), color=True, write=write).endswith(" INFO    ep/w | red\n")
    assert logged(Terminal(), color=False, write=write).endswith(" INFO    ep/w | red\n")


@pytest.mark.parametrize("at", [0.0, 1.001, 1.999, 2.0, 59.5])
def test_each_line_has_its_own_time(at: float) -> None:
    formatter, usual = PlainLines(), logging.Formatter("%(asctime)s")
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
        begin_log("info", False)
        logging.getLogger("runpod_emulator").info("größer \ud800")
        stream.buffer._dropped = 3
        logging.getLogger("runpod_emulator").info("on")
    first, second, third = (tmp_path / "log").read_text().splitlines()
    assert first.endswith(" INFO    größer \\ud800")
    assert second.endswith(" WARNING 3 lines of the log were dropped: nobody read them")
    assert third.endswith(" INFO    on")
    os.close(descriptor)
