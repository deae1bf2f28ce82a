"""The banner of serve, what it calls, and the line of a stop."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.cli.banner import banner, farewell
from runpod_emulator.cli.keys import Keys, open_in_browser
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.server.server import Server

from tests.stores.servers import shared_server

Opener = Callable[..., Server]


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opener]:
    """Servers on free ports that have not been started."""
    monkeypatch.chdir(tmp_path)
    opened: list[Server] = []

    def open_one(*handlers: str, **settings: Any) -> Server:
        for handler in handlers:
            (tmp_path / handler).parent.mkdir(exist_ok=True)
            (tmp_path / handler).touch()
        opened.append(Server(read_settings(handlers=list(handlers), **{"port": 0, "no_config": True, **settings})))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.stop()


def body(text: str) -> Any:
    """What the call of a banner sends."""
    call = text[text.index("  curl ") :].replace("\\\n", " ")
    words = shlex.split(call)
    return json.loads(words[words.index("-d") + 1])


async def test_it_fits_80_columns_and_names_all_that_is_served(server: Opener) -> None:
    one = server("src/echo.py", "b.py", command=["c=python -u run.py"], mock=["m"], endpoint=["e"], reload=True)
    lines = banner(one).splitlines()
    assert [line for line in lines if len(line) > 80 and "python  " not in line] == []
    listed = lines[lines.index(next(line for line in lines if "endpoints" in line)) :]
    rows = [" ".join(line.removeprefix("  endpoints").split()) for line in listed[:5]]
    assert rows == [
        "e elsewhere workers started elsewhere", "c command python -u run.py 0-3 workers", "m mock stubs",
        "echo handler src/echo.py 0-3 workers", "b handler b.py 0-3 workers",
    ]  # fmt: skip
    assert "  watched    ./, src/\n" in banner(one)


async def test_the_call_sends_the_handlers_own_example_unless_that_is_a_secret(server: Opener, tmp_path: Path) -> None:
    one = server("src/h.py")
    assert body(banner(one)) == {"input": {"message": "hello"}}
    file = tmp_path / "src" / "test_input.json"
    file.write_text(json.dumps({"input": {"text": "it's \u200b a \x1b[31m test"}}))
    assert body(banner(one)) == {"input": {"text": "it's \u200b a \x1b[31m test"}}
    assert "\x1b" not in banner(one) and "\u200b" not in banner(one)
    file.write_text(json.dumps({"input": {"api_key": "SECRET-1234567890"}}))
    assert "SECRET" not in banner(one)
    assert body(banner(one)) == {"input": {"message": "hello"}}


async def test_the_store_is_named_without_its_password(server: Opener) -> None:
    text = banner(server(store="valkeys://:s3cret@127.0.0.1:1/2?prefix=mine", mock=["m"]))
    assert "\n  store      valkeys://127.0.0.1:1/2, keys begin with mine\n" in text and "s3cret" not in text


async def test_many_endpoints_are_counted_and_colours_change_no_text(server: Opener) -> None:
    one = server(mock=[f"m{number}" for number in range(40)])
    assert "and 16 more, which the page lists" in banner(one)
    assert re.sub(r"\x1b\[\d*m", "", banner(one, colored=True)) == banner(one)


async def test_a_stop_names_what_it_abandons(server: Opener) -> None:
    one = server(mock=["llm"])
    assert await farewell(one) == "Stopping."
    queue = one.emulator.endpoints.queues["llm"]
    jobs = [await queue.submit(Submission(b"{}", sync=number == 0)) for number in range(7)]
    ids = [job.id.removeprefix("sync-")[:4] for job in jobs]
    await queue.cancel(jobs[6].id)
    named = ", ".join(f"llm {one}" for one in ids[:5])
    assert await farewell(one) == f"Stopping: 6 jobs abandoned ({named}, and 1 more)"


async def test_over_a_store_a_stop_names_what_runs_here(server: Opener) -> None:
    one = server(store=f"{shared_server().url}?prefix={secrets.token_hex(4)}", endpoint=["llm"])
    await one.emulator.open()
    queue = one.emulator.endpoints.queues["llm"]
    jobs = [await queue.submit(Submission(b"{}")) for _ in range(3)]
    assert await farewell(one) == "Stopping."
    taken = await queue.work.take("w", 1, None, Caller())
    assert [job.id for job in taken] == [jobs[0].id]
    assert await farewell(one) == f"Stopping: 1 job given back to the store (llm {jobs[0].id[:4]})"


async def test_a_store_and_a_file_exclude_each_other(server: Opener, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--state and --store exclude each other"):
        server(store="redis://127.0.0.1:1/0", state=tmp_path / "state.json", mock=["m"])


async def test_the_keys_open_the_page_and_tell_where_it_is(server: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    one, shown, opened = server(mock=["m"]), list[str](), list[str]()
    for works in (True, False):
        keys = Keys(one, shown.append, lambda url, works=works: opened.append(url) or works)  # type: ignore[func-returns-value]
        keys.take(b"\x1b[Ao")
        for task in tuple(keys.tasks):
            await task
    page = one.base_url.removesuffix("v2")
    assert (shown, opened) == ([f"Opened {page}", f"There is no browser to open here: {page}"], [page, page])
    keys.take(b"r\xff")
    for task in tuple(keys.tasks):
        await task
    assert shown[-1] == "There are no workers to restart."
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("webbrowser._tryorder", [])
    assert open_in_browser(page) is False
