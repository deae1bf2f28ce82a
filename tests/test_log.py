"""The log: plain lines, and coloured ones for people alone."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator

import click
import pytest

from emulator.core.masks import Masks
from emulator.log import ColouredLines, begin_log


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
    logging.getLogger("emulator").info("a line")
    logging.getLogger("emulator").debug("a detail")


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


def coloured(level: int, text: str, name: str = "emulator", *, broken: bool = False) -> str:
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
    line = coloured(logging.INFO, "echo/w1/job | said | more", "emulator.worker")
    assert line.endswith(click.style("echo/w1/job | ", fg="cyan") + "said | more")


@pytest.mark.parametrize(("text", "name"), [("a | b", "emulator"), ("no bar", "emulator.worker")])
def test_no_other_line_has_it(text: str, name: str) -> None:
    assert coloured(logging.INFO, text, name).endswith(f" {text}")


def test_a_coloured_line_keeps_its_traceback() -> None:
    assert "ValueError: why" in click.unstyle(coloured(logging.ERROR, "text", broken=True))


def test_a_level_that_nobody_knows_is_no_mistake() -> None:
    assert "text" in coloured(35, "text")


# Secrets


def test_no_line_and_no_traceback_shows_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    root.handlers = []
    try:
        begin_log("info", False, Masks(["own-key-of-the-server"]))
        log = logging.getLogger("emulator.test")
        log.info("%s: acknowledged by %s", "webhook", "http://user:a-long-password@h/?token=a-long-token")
        log.warning("a key: own-key-of-the-server")
        try:
            raise ValueError("no bucket for {'accessSecret': 'a-long-secret'} own-key-of-the-server")
        except ValueError:
            log.exception("it failed with %s", "Bearer a-long-key-of-a-client")
        logging.getLogger("emulator.jobs").info("%s %s", "ep/job", "COMPLETED")
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
