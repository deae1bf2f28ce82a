"""The runner under every Python that is at hand, from 3.8 on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind


def found(version: str) -> str | None:
    """An interpreter of this version, on the path or among pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = sorted(root.glob(f"{version}.*/bin/python"))
    return str(installed[-1]) if installed else shutil.which(f"python{version}")


VERSIONS = {version: python for minor in range(8, 16) if (python := found(version := f"3.{minor}"))}
"""Interpreters that are here, by version; at least the one that runs this."""


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_handler(start: Any, version: str) -> None:
    python = VERSIONS[version]
    child = start(
        """
        import asyncio, sys
        import runpod

        async def handler(job):
            runpod.serverless.progress_update(job, sys.version_info[:2])
            if job["input"] == "fail":
                raise ValueError("failed")
            if job["input"] == "wait":
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            print("at work")
            return {"error": "e", "refresh_worker": True}

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 2})
        """,
        python=(python,),
    )
    child.ready()
    child.job()
    assert child.expect(Kind.PROGRESS).decode() == f"[3, {version[2:]}]"
    assert child.done() == (None, "e", True)
    child.told("<job-1>at work\n")
    child.job("fail")
    child.expect(Kind.PROGRESS)
    told = json.loads(child.done().error)
    assert told["error_traceback"].endswith("ValueError: failed\n")
    assert "runner" not in told["error_traceback"].replace("test_interpreters", "")
    child.expect(Kind.PROGRESS, child.job("wait"))
    child.stop("job-1")
    child.expect(Kind.STOPPED)
    child.process.terminate()
    assert child.wait() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_streams_and_broken_files(start: Any, version: str) -> None:
    python = VERSIONS[version]
    child = start("async def handler(job):\n    yield 'a'\n    yield {'error': 1}", python=(python,))
    child.ready()
    child.job()
    assert child.chunks() == (["a"], (None, "1", False))
    told = start("import runpod\nfrom runpod.nothing import more", python=(python, "-S")).broken()
    assert "The handler uses runpod.nothing" in told
    assert "runner" not in told
