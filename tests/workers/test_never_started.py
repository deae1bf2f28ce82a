"""A file that defines a handler and does not start it is served, and called by name: in production it takes no job."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import Command, Starter, commands, until

SAID = "defines handler and has not called runpod.serverless.start"
NO_START = "def handler(job):\n    return [NUMBER, job['input']]\n"
DUAL = """
    import asyncio
    import os

    import runpod

    mode_to_run = os.getenv("MODE_TO_RUN", "pod")


    async def handler(job):
        return job["input"]


    if mode_to_run == "pod":
        async def main():
            print(await handler({"input": {"prompt": "hello"}}))

        asyncio.run(main())
    else:
        runpod.serverless.start({"handler": handler})
    """
"""As in the vendor's guide to handlers that run in a Pod and in Serverless."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    (tmp_path / "plain.py").write_text(f"NUMBER = 1\n{NO_START}")
    (tmp_path / "dual.py").write_text(textwrap.dedent(DUAL))
    with commands(tmp_path) as start:
        yield start


def warnings(command: Command, endpoint: str) -> int:
    """How often an endpoint was warned about."""
    return sum(f"WARNING {endpoint}: " in line and SAID in line for line in command.err.text.splitlines())


def test_serve_names_each_such_file_once(start: Starter) -> None:
    served = ("plain.py", "dual.py", "--endpoint", "on_purpose=plain.py:handler", "--workers-min", 2)
    here = start("serve", *served, "--max-processes", 9, "--port", 0).ready()
    for endpoint in ("plain", "dual", "on_purpose"):
        assert here.http.post(f"/{endpoint}/runsync", json={"input": {"a": 1}}).json()["status"] == "COMPLETED"
    until(lambda: [warnings(here, endpoint) for endpoint in ("plain", "dual", "on_purpose")] == [1, 1, 0])
    assert f"plain.py {SAID}" in here.err.text
    assert "in production it takes no job" in here.err.line(SAID)
    other = {"X-Emulator-Namespace": "other"}
    assert here.http.post("/plain/runsync", json={"input": {"a": 1}}, headers=other).json()["status"] == "COMPLETED"
    assert warnings(here, "plain") == 1


def test_the_variable_that_starts_it_silences_the_warning(start: Starter) -> None:
    here = start("serve", "dual.py", "--environment", "MODE_TO_RUN=serverless", "--port", 0).ready()
    assert here.http.post("/dual/runsync", json={"input": {"a": 1}}).json()["status"] == "COMPLETED"
    assert SAID not in here.err.text


def test_dev_says_it_again_of_new_code(start: Starter) -> None:
    here = start("dev", "plain.py", "--port", 0).ready()
    until(lambda: warnings(here, "plain") == 1)
    (here.folder / "plain.py").write_text(f"NUMBER = 2\n{NO_START}")
    until(lambda: warnings(here, "plain") == 2)
    (here.folder / "plain.py").write_text(
        f"import runpod\nNUMBER = 3\n{NO_START}\nrunpod.serverless.start({{'handler': handler}})\n"
    )
    ask = {"input": {"a": 1}}
    until(lambda: here.http.post("/plain/runsync", json=ask).json()["output"] == [3, {"a": 1}])
    assert warnings(here, "plain") == 2
