"""The keys that `serve` and `dev` know in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from runpod_emulator.server.server import Server

LEVELS = ("info", "debug", "warning", "error")
"""Log levels, in the order in which `l` goes through them."""
_IN_TERMINALS = ("www-browser", "links", "elinks", "lynx", "w3m", "browsh")
"""Browsers that would take the terminal for themselves."""
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|O.)?")
_CLEAR = "\x1b[2J\x1b[3J\x1b[H"
HINT = "Press h for the keys."


class Key(NamedTuple):
    """What a key is for, and what it does."""

    does: str
    act: Callable[[], None]


class Keys:
    """Does what is typed; `show` prints a line, `browse` opens a URL."""

    def __init__(
        self, server: Server, show: Callable[[str], None] = lambda line: print(line, flush=True),
        browse: Callable[[str], bool] | None = None,
    ) -> None:  # fmt: skip
        self._server = server
        self._show = show
        self._browse = browse or open_in_browser
        self._tasks: set[asyncio.Task[None]] = set()
        self.keys = {
            "o": Key("open the page in a browser", lambda: self._later(self._open())),
            "c": Key("clear the screen", lambda: show(_CLEAR)),
            "r": Key("restart the workers; jobs that run end first", lambda: self._later(self._restart())),
            "l": Key("change the log level", self._change_level),
            "q": Key("quit", lambda: os.kill(os.getpid(), signal.SIGTERM)),
            "h": Key("this list", self._help),
        }

    def take(self, data: bytes) -> None:
        """Do what these bytes ask for; an escape sequence, as of an arrow, asks for nothing."""
        for letter in _SEQUENCE.sub("", data.decode("utf-8", "ignore")):
            if letter in "\r\n":
                self._show("")
            elif (key := self.keys.get("h" if letter == "?" else letter.lower())) is not None:
                key.act()

    def _help(self) -> None:
        self._show("\n".join(f"  {letter}  {key.does}" for letter, key in self.keys.items()))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        url = f"{self._server.base_url.removesuffix('/v2')}/"
        opened = await asyncio.get_running_loop().run_in_executor(None, self._browse, url)
        self._show(f"Opened {url}" if opened else f"There is no browser to open here: {url}")

    async def _restart(self) -> None:
        """Fresh workers of every endpoint that has any of ours; each goes when one with the same code is up."""
        endpoints = [endpoint for world in self._server.worlds for endpoint in world.endpoints.values()]
        ours = [endpoint for endpoint in endpoints if endpoint.workforce.launcher.processes]
        if not ours:
            self._show("There are no workers to restart.")
            return
        self._show("Restarting workers...")
        outcomes = await asyncio.gather(*(endpoint.workforce.reload() for endpoint in ours))
        failed = [
            endpoint.workforce.id for endpoint, good in zip(ours, outcomes, strict=True) if good is False
        ]  # fmt: skip
        self._show(f"Could not start {', '.join(failed)}: the log says why." if failed else "Workers are fresh.")

    def _change_level(self) -> None:
        root = logging.getLogger()
        present = logging.getLevelName(root.level).lower()
        following = LEVELS[(LEVELS.index(present) + 1) % len(LEVELS)] if present in LEVELS else LEVELS[0]
        root.setLevel(following.upper())
        self._show(f"Log level: {following}")


def open_in_browser(url: str) -> bool:
    """Open a page in the user's browser, but for one that would take this terminal; False where there is none."""
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError):
        browser = webbrowser.get()
        if os.environ.get("BROWSER") or getattr(browser, "basename", "") not in _IN_TERMINALS:
            return browser.open(url)
    return False


def are_wanted() -> bool:
    """Whether somebody sits at a terminal: what the keys bring about is printed there."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
